-- Alerts, silences, destinations, and the outbox.

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

CREATE TABLE deliveries (
    notice_id INTEGER NOT NULL REFERENCES notices (notice_id) ON DELETE CASCADE,
    destination TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    sent_at INTEGER,
    error TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (notice_id, destination)
) WITHOUT ROWID;
CREATE INDEX deliveries_waiting ON deliveries (destination, next_at) WHERE state = 'waiting';
CREATE INDEX deliveries_sent ON deliveries (destination, sent_at) WHERE sent_at IS NOT NULL;

CREATE INDEX jobs_drills ON jobs (created_at) WHERE verb = 'drill';

-- When each kind of proof was last tried of any backup of a source, and passed or not. It outlives the backups.
CREATE TABLE source_proofs (
    source TEXT NOT NULL,
    proof TEXT NOT NULL,
    is_passed INTEGER NOT NULL,
    proven_at INTEGER NOT NULL,
    PRIMARY KEY (source, proof, is_passed)
) WITHOUT ROWID;
INSERT INTO source_proofs (source, proof, is_passed, proven_at)
SELECT b.source, p.proof, p.is_passed, max(p.proven_at) FROM backups AS b JOIN proofs AS p ON p.backup_id = b.backup_id
WHERE b.scope = 'all' AND p.proof != 'taken' AND NOT EXISTS (
    SELECT 1 FROM proofs AS d
    WHERE d.backup_id = p.backup_id AND d.storage = p.storage AND d.proof = 'taken' AND d.proven_at >= p.proven_at
)
GROUP BY b.source, p.proof, p.is_passed;
