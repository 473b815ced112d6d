-- The catalog as it is now. A new home gets this; an older one gets there by migrations/, and a test keeps the two equal.
-- `workers` and `jobs` are read by programs of other versions before they migrate: their columns owner, version, status, lease_until and is_stopping stay.

CREATE TABLE hosts (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    options TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE sources (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    host TEXT NOT NULL,
    options TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sources_by_host ON sources (host);

CREATE TABLE storages (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    options TEXT NOT NULL,
    password TEXT NOT NULL,
    repository_id TEXT NOT NULL,
    is_enabled INTEGER NOT NULL,
    is_default INTEGER NOT NULL
) WITHOUT ROWID;

-- Recovery plans.
CREATE TABLE plans (
    name TEXT PRIMARY KEY,
    steps TEXT NOT NULL,
    budget_s REAL,
    note TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE backups (
    backup_id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    host TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    completed_at INTEGER,
    size_bytes INTEGER NOT NULL,
    added_bytes INTEGER NOT NULL,
    files_new INTEGER NOT NULL,
    files_changed INTEGER NOT NULL,
    files_unmodified INTEGER NOT NULL,
    warnings TEXT NOT NULL,
    tags TEXT NOT NULL,
    proof TEXT NOT NULL,
    proven_at INTEGER,
    is_protected INTEGER NOT NULL,
    expires_at INTEGER,
    hold_reason TEXT NOT NULL,
    job_id TEXT NOT NULL,
    scope TEXT NOT NULL DEFAULT 'all',
    proven_by TEXT NOT NULL DEFAULT ''
);
CREATE INDEX backups_by_time ON backups (created_at);
CREATE INDEX backups_by_source ON backups (source, created_at);
CREATE INDEX backups_not_completed ON backups (status, created_at, backup_id) WHERE status <> 'completed';
CREATE INDEX backups_expiring ON backups (expires_at) WHERE expires_at IS NOT NULL;

-- A backup as one storage holds it. created_at repeats the backup's, so that a storage's newest are found by one index.
CREATE TABLE copies (
    backup_id TEXT NOT NULL REFERENCES backups (backup_id) ON DELETE CASCADE,
    storage TEXT NOT NULL,
    snapshot_id BLOB NOT NULL,
    status TEXT NOT NULL,
    error TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (backup_id, storage)
) WITHOUT ROWID;
CREATE INDEX copies_by_storage ON copies (storage, created_at, backup_id);
CREATE INDEX copies_missing ON copies (storage) WHERE snapshot_id = x'';

CREATE TABLE tags (
    tag TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    backup_id TEXT NOT NULL REFERENCES backups (backup_id) ON DELETE CASCADE,
    PRIMARY KEY (tag, created_at, backup_id)
) WITHOUT ROWID;
CREATE INDEX tags_by_backup ON tags (backup_id);

-- What was proved of a backup, pass or fail.
CREATE TABLE proofs (
    backup_id TEXT NOT NULL REFERENCES backups (backup_id) ON DELETE CASCADE,
    proven_at INTEGER NOT NULL,
    storage TEXT NOT NULL,
    proof TEXT NOT NULL,
    is_passed INTEGER NOT NULL,
    job_id TEXT NOT NULL,
    detail TEXT NOT NULL,
    verb TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (backup_id, proven_at, storage, proof)
) WITHOUT ROWID;

-- When each pack of a repository was last read whole and found good.
CREATE TABLE pack_proofs (
    repository_id TEXT NOT NULL,
    pack BLOB NOT NULL,
    proven_at INTEGER NOT NULL,
    PRIMARY KEY (repository_id, pack)
) WITHOUT ROWID;

CREATE TABLE jobs (
    job_id TEXT NOT NULL UNIQUE,
    verb TEXT NOT NULL,
    request TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    completed_at INTEGER,
    owner TEXT NOT NULL DEFAULT '',
    lease_until INTEGER,
    idempotency_key TEXT NOT NULL,
    progress TEXT NOT NULL DEFAULT '{}',
    result TEXT NOT NULL DEFAULT '{}',
    error TEXT NOT NULL DEFAULT '',
    error_class TEXT NOT NULL DEFAULT '',
    is_cancel_requested INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER,
    deadline INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    most_attempts INTEGER NOT NULL DEFAULT 1,
    retry_s INTEGER NOT NULL DEFAULT 60
);
CREATE UNIQUE INDEX jobs_by_key ON jobs (idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX jobs_by_time ON jobs (created_at);
CREATE INDEX jobs_not_completed ON jobs (status, created_at) WHERE status <> 'completed';
CREATE INDEX jobs_not_backup ON jobs (verb, created_at) WHERE verb <> 'backup';
CREATE INDEX jobs_running ON jobs (created_at) WHERE status = 'running';
CREATE INDEX jobs_kit_drilled ON jobs (completed_at)
WHERE verb = 'drill' AND status = 'completed' AND json_extract(result, '$.scenario') = 'kit-only';
CREATE INDEX jobs_drilled ON jobs (json_extract(result, '$.source'), created_at) WHERE verb = 'drill' AND status = 'completed';
CREATE INDEX jobs_waiting ON jobs (priority DESC, created_at, job_id) WHERE status = 'queued';
CREATE INDEX jobs_held ON jobs (owner) WHERE owner <> '' AND status IN ('queued', 'running');

-- What a job needs a place at, `host:NAME` or `storage:NAME`. held_until is empty while it waits; then it is the job's lease.
CREATE TABLE slots (
    job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    resource TEXT NOT NULL,
    held_until INTEGER,
    PRIMARY KEY (job_id, resource)
) WITHOUT ROWID;
CREATE INDEX slots_held ON slots (resource, held_until) WHERE held_until IS NOT NULL;

CREATE TABLE job_log (
    job_id TEXT NOT NULL REFERENCES jobs (job_id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
) WITHOUT ROWID;

CREATE TABLE workers (
    owner TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    is_stopping INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- The vault's secrets, sealed: a catalog that leaks holds none.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    changed_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Keys of SSH hosts that a person accepted: `address` as known_hosts writes it, HOST or [HOST]:PORT.
CREATE TABLE host_keys (
    address TEXT NOT NULL,
    key TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (address, key)
) WITHOUT ROWID;

-- The audit log: `record` is JSON, `hash` covers it and the hash before.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    record TEXT NOT NULL,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL
);

-- Where people are told. `url` is a REF; `definition` is JSON.
CREATE TABLE destinations (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    definition TEXT NOT NULL,
    digested_at INTEGER
) WITHOUT ROWID;

-- What is wrong: of each condition and subject at most one row stands, which is one without recovered_at.
CREATE TABLE alerts (
    alert_id TEXT NOT NULL UNIQUE,
    condition TEXT NOT NULL,
    subject TEXT NOT NULL,
    is_risk INTEGER NOT NULL,
    reason TEXT NOT NULL,
    remedy TEXT NOT NULL,
    raised_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    recovered_at INTEGER,
    told_at INTEGER,
    acknowledged_at INTEGER,
    acknowledged_by TEXT NOT NULL,
    note TEXT NOT NULL,
    host TEXT NOT NULL,
    job_id TEXT NOT NULL
);
CREATE UNIQUE INDEX alerts_standing ON alerts (condition, subject) WHERE recovered_at IS NULL;
CREATE INDEX alerts_by_time ON alerts (raised_at, alert_id);
CREATE INDEX alerts_told ON alerts (told_at) WHERE told_at IS NOT NULL;

CREATE TABLE silences (
    silence_id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    condition TEXT NOT NULL,
    begins_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    made_by TEXT NOT NULL
) WITHOUT ROWID;

-- The outbox: what people are to be told. A job's row is written in the transaction that ends it, and made into a message when it is routed.
CREATE TABLE notices (
    notice_id INTEGER PRIMARY KEY,
    notice_key TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    job_id TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '{}',
    destination TEXT NOT NULL DEFAULT '',
    is_routed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX notices_unrouted ON notices (notice_id) WHERE is_routed = 0;
CREATE INDEX notices_by_time ON notices (at);

-- What goes to each destination; `taken_by` is the process that is sending it.
CREATE TABLE deliveries (
    notice_id INTEGER NOT NULL REFERENCES notices (notice_id) ON DELETE CASCADE,
    destination TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    sent_at INTEGER,
    error TEXT NOT NULL DEFAULT '',
    taken_by TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (notice_id, destination)
) WITHOUT ROWID;
CREATE INDEX deliveries_waiting ON deliveries (destination, next_at) WHERE state = 'waiting';
CREATE INDEX deliveries_taken ON deliveries (taken_by) WHERE taken_by <> '';
CREATE INDEX deliveries_sent ON deliveries (destination, sent_at) WHERE sent_at IS NOT NULL;

-- What is done by itself. `definition` is JSON, as a person wrote it; the other columns are where it is. `after` repeats the definition's.
CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    after TEXT NOT NULL,
    decided_until INTEGER NOT NULL,
    planned_at INTEGER,
    next_at INTEGER,
    moved TEXT NOT NULL,
    pause TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX schedules_next ON schedules (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedules_decided ON schedules (decided_until);
CREATE INDEX schedules_after ON schedules (after) WHERE after <> '';

-- What became of each instant of a schedule, by part: a host's sources, a source, a storage. With last_at: of all from the one to the other.
CREATE TABLE schedule_runs (
    schedule TEXT NOT NULL,
    planned_at INTEGER NOT NULL,
    part TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    job_id TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    last_at INTEGER,
    PRIMARY KEY (schedule, planned_at, part)
) WITHOUT ROWID;
CREATE INDEX schedule_runs_open ON schedule_runs (schedule, part) WHERE outcome = 'open';

-- How busy hosts were when jobs began on them: the first figure of /proc/loadavg.
CREATE TABLE host_loads (
    host TEXT NOT NULL,
    at INTEGER NOT NULL,
    load REAL NOT NULL,
    PRIMARY KEY (host, at)
) WITHOUT ROWID;

-- The newest attempt at each rung to prove a source, passed and failed: it outlives the backup that was proved.
CREATE TABLE proof_standings (
    source TEXT NOT NULL,
    proof TEXT NOT NULL,
    is_passed INTEGER NOT NULL,
    proven_at INTEGER NOT NULL,
    backup_id TEXT NOT NULL,
    storage TEXT NOT NULL,
    job_id TEXT NOT NULL,
    detail TEXT NOT NULL,
    verb TEXT NOT NULL,
    PRIMARY KEY (source, proof, is_passed)
) WITHOUT ROWID;

-- How many jobs of each verb ended how, and when the last one did: counted as they end, for counting a million rows takes a second.
CREATE TABLE job_counts (
    verb TEXT NOT NULL,
    status TEXT NOT NULL,
    count INTEGER NOT NULL,
    last_at INTEGER,
    PRIMARY KEY (verb, status)
) WITHOUT ROWID;
CREATE TRIGGER jobs_counted AFTER UPDATE OF status ON jobs
WHEN OLD.status IN ('queued', 'running') AND NEW.status NOT IN ('queued', 'running')
BEGIN
    INSERT INTO job_counts (verb, status, count, last_at) VALUES (NEW.verb, NEW.status, 1, NEW.completed_at)
    ON CONFLICT (verb, status) DO UPDATE SET count = count + 1, last_at = excluded.last_at;
END;

-- Older rows of the audit log, a thousand to a block: see audit_rows.py. The newest are never among them.
CREATE TABLE audit_blocks (
    last INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    packed BLOB NOT NULL
);

-- Maintenance windows that come again. `definition` is JSON.
CREATE TABLE windows (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL
) WITHOUT ROWID;

-- The few jobs that want a storage's repository for themselves alone: see find_claimable.
CREATE INDEX slots_cleaning ON slots (resource) WHERE resource >= 'cleaning:' AND resource < 'cleaning~';

-- Logs of databases, as each storage holds them: runs of segments that follow each other.
CREATE TABLE log_runs (
    source TEXT NOT NULL,
    storage TEXT NOT NULL,
    identity TEXT NOT NULL,
    series TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    begins_at INTEGER,
    ends_at INTEGER,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (source, storage, identity, series, first)
) WITHOUT ROWID;

-- Where a series of a server's log goes on from another.
CREATE TABLE log_forks (
    source TEXT NOT NULL,
    identity TEXT NOT NULL,
    series TEXT NOT NULL,
    parent TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (source, identity, series)
) WITHOUT ROWID;

-- The newest log snapshot of a source in a storage.
CREATE TABLE log_heads (
    source TEXT NOT NULL,
    storage TEXT NOT NULL,
    snapshot_id BLOB NOT NULL,
    shipped_at INTEGER NOT NULL,
    PRIMARY KEY (source, storage)
) WITHOUT ROWID;

-- What was seen of a source's log on its host. `state` is JSON.
CREATE TABLE log_states (
    source TEXT PRIMARY KEY,
    polled_at INTEGER NOT NULL,
    state TEXT NOT NULL
) WITHOUT ROWID;

-- Backups that logs can be replayed onto.
CREATE TABLE bases (
    backup_id TEXT PRIMARY KEY REFERENCES backups (backup_id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    identity TEXT NOT NULL,
    series TEXT NOT NULL,
    number INTEGER NOT NULL,
    consistent_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX bases_by_source ON bases (source, consistent_at);

-- What had come of segments that servers were writing, as each storage holds it: one of each server and series.
CREATE TABLE log_tails (
    source TEXT NOT NULL,
    storage TEXT NOT NULL,
    identity TEXT NOT NULL,
    series TEXT NOT NULL,
    number INTEGER NOT NULL,
    begins_at INTEGER,
    ends_at INTEGER,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (source, storage, identity, series)
) WITHOUT ROWID;
