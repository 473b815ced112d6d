-- All queries of the catalog, by name. `:name` are parameters. A name is used once: a test finds those that nobody uses.

-- name: list_hosts
SELECT name, kind, address, options FROM hosts ORDER BY name;

-- name: get_host
SELECT name, kind, address, options FROM hosts WHERE name = :name;

-- name: add_host
INSERT INTO hosts (name, kind, address, options) VALUES (:name, :kind, :address, :options);

-- name: replace_host
UPDATE hosts SET kind = :kind, address = :address, options = :options WHERE name = :name;

-- name: remove_host
DELETE FROM hosts WHERE name = :name;

-- name: list_sources
SELECT name, kind, host, options FROM sources ORDER BY name;

-- name: list_sources_of_host
SELECT name FROM sources WHERE host = :host ORDER BY name;

-- name: list_storages_of_host
SELECT name FROM storages WHERE json_extract(options, '$.host') = :host ORDER BY name;

-- name: get_source
SELECT name, kind, host, options FROM sources WHERE name = :name;

-- name: add_source
INSERT INTO sources (name, kind, host, options) VALUES (:name, :kind, :host, :options);

-- name: replace_source
UPDATE sources SET kind = :kind, host = :host, options = :options WHERE name = :name;

-- name: remove_source
DELETE FROM sources WHERE name = :name;

-- name: list_storages
SELECT name, kind, options, password, repository_id, is_enabled, is_default FROM storages ORDER BY name;

-- name: get_storage
SELECT name, kind, options, password, repository_id, is_enabled, is_default FROM storages WHERE name = :name;

-- name: add_storage
INSERT INTO storages (name, kind, options, password, repository_id, is_enabled, is_default)
VALUES (:name, :kind, :options, :password, :repository_id, :is_enabled, :is_default);

-- name: replace_storage
UPDATE storages SET kind = :kind, options = :options, password = :password, repository_id = :repository_id,
    is_enabled = :is_enabled, is_default = :is_default
WHERE name = :name;

-- name: remove_storage
DELETE FROM storages WHERE name = :name;

-- name: clear_other_defaults
UPDATE storages SET is_default = 0 WHERE name <> :name AND is_default;

-- name: list_plans
SELECT name, steps, budget_s, note FROM plans ORDER BY name;

-- name: get_plan
SELECT name, steps, budget_s, note FROM plans WHERE name = :name;

-- name: add_plan
INSERT INTO plans (name, steps, budget_s, note) VALUES (:name, :steps, :budget_s, :note);

-- name: remove_plan
DELETE FROM plans WHERE name = :name;

-- name: add_backup
INSERT INTO backups (backup_id, source, host, kind, status, created_at, completed_at, size_bytes, added_bytes, files_new,
    files_changed, files_unmodified, warnings, tags, proof, proven_at, is_protected, expires_at, hold_reason, job_id, scope, proven_by)
VALUES (:backup_id, :source, :host, :kind, :status, :created_at, :completed_at, :size_bytes, :added_bytes, :files_new,
    :files_changed, :files_unmodified, :warnings, :tags, :proof, :proven_at, :is_protected, :expires_at, :hold_reason, :job_id, :scope, :proven_by)
ON CONFLICT (backup_id) DO UPDATE SET source = excluded.source, host = excluded.host, kind = excluded.kind,
    status = excluded.status, created_at = excluded.created_at, completed_at = excluded.completed_at,
    size_bytes = excluded.size_bytes, added_bytes = excluded.added_bytes, files_new = excluded.files_new,
    files_changed = excluded.files_changed, files_unmodified = excluded.files_unmodified, warnings = excluded.warnings,
    tags = excluded.tags, proof = excluded.proof, proven_at = excluded.proven_at, is_protected = excluded.is_protected,
    expires_at = excluded.expires_at, hold_reason = excluded.hold_reason, job_id = excluded.job_id,
    scope = excluded.scope, proven_by = excluded.proven_by;

-- name: finish_backup
UPDATE backups SET status = :status, completed_at = :completed_at, added_bytes = :added_bytes WHERE backup_id = :backup_id;

-- name: remove_copies_of_backup
DELETE FROM copies WHERE backup_id = :backup_id;

-- name: remove_tags_of_backup
DELETE FROM tags WHERE backup_id = :backup_id;

-- name: add_copy
INSERT OR REPLACE INTO copies (backup_id, storage, snapshot_id, status, error, created_at)
SELECT backup_id, :storage, :snapshot_id, :status, :error, created_at FROM backups WHERE backup_id = :backup_id;

-- One that a storage lacks, unless another job brought it there meanwhile.
-- name: add_missing_copy
INSERT INTO copies (backup_id, storage, snapshot_id, status, error, created_at)
SELECT backup_id, :storage, :snapshot_id, :status, :error, created_at FROM backups WHERE backup_id = :backup_id
ON CONFLICT (backup_id, storage) DO UPDATE SET status = excluded.status, error = excluded.error WHERE snapshot_id = x'';

-- A backup that was incomplete only because a storage lacked it.
-- name: complete_backup
UPDATE backups SET status = 'completed' WHERE backup_id = :backup_id AND status = 'incomplete'
    AND NOT EXISTS (SELECT 1 FROM copies WHERE copies.backup_id = :backup_id AND copies.snapshot_id = x'');

-- name: add_tag
INSERT OR IGNORE INTO tags (tag, created_at, backup_id) VALUES (:tag, :created_at, :backup_id);

-- The newest backups, a page of them. `driver` is what the page is read along: backups, or the copies or tags that choose them.
-- Written so that each form has its index for filter and order: a page costs the same at the start and after a million.
-- name: select_backups
SELECT b.backup_id, b.source, b.host, b.kind, b.status, b.created_at, b.completed_at, b.size_bytes, b.added_bytes, b.files_new,
    b.files_changed, b.files_unmodified, b.warnings, b.tags, b.proof, b.proven_at, b.is_protected, b.expires_at, b.hold_reason, b.job_id,
    b.scope, b.proven_by
FROM backups AS b;

-- A copy whose status is empty is completed: that is nearly all of them.
-- As select_backups, of the rows' numbers alone.
-- name: select_backup_keys
SELECT b.rowid FROM backups AS b;

-- name: copies_of_backups
SELECT c.backup_id, c.storage, lower(hex(c.snapshot_id)), CASE c.status WHEN '' THEN 'completed' ELSE c.status END, c.error
FROM json_each(:backup_ids) AS wanted CROSS JOIN copies AS c ON c.backup_id = wanted.value
ORDER BY c.backup_id, c.storage;

-- name: backups_by_prefix
SELECT backup_id FROM backups WHERE backup_id >= :prefix AND backup_id < :prefix || '~' ORDER BY backup_id LIMIT 2;

-- `snapshot_ids` is ids of 32 bytes, one behind the other. They are looked for in one pass over all copies, half a second for two millions of
-- them: an index would cost a fifteenth of the catalog, and nothing that is done often asks. `+` keeps SQLite from the index by storage,
-- which leads to each row by itself.
-- name: backups_by_snapshots
WITH RECURSIVE wanted (number) AS (
    SELECT 0 UNION ALL SELECT number + 1 FROM wanted WHERE 32 * (number + 2) <= length(:snapshot_ids)
)
SELECT lower(hex(snapshot_id)), backup_id FROM copies
WHERE +storage = :storage AND snapshot_id IN (SELECT substr(:snapshot_ids, 1 + 32 * number, 32) FROM wanted);

-- name: newest_of_each_source
SELECT (SELECT b.backup_id FROM backups AS b WHERE b.source = s.name ORDER BY b.created_at DESC, b.backup_id DESC LIMIT 1)
FROM sources AS s ORDER BY s.name;

-- Of each source the newest that holds all of it, found along the index, and whether those before it that were completed were about as large.
-- name: select_newest_of_sources
SELECT b.backup_id, b.source, b.host, b.kind, b.status, b.created_at, b.completed_at, b.size_bytes, b.added_bytes, b.files_new,
    b.files_changed, b.files_unmodified, b.warnings, b.tags, b.proof, b.proven_at, b.is_protected, b.expires_at, b.hold_reason, b.job_id,
    b.scope, b.proven_by, (
        SELECT coalesce(max(size_bytes) <= :factor * b.size_bytes AND b.size_bytes <= :factor * min(size_bytes), 0) FROM (
            SELECT size_bytes, status FROM backups WHERE source = s.name AND scope = 'all' ORDER BY created_at DESC LIMIT :among
        ) WHERE status = 'completed'
    )
FROM sources AS s CROSS JOIN backups AS b ON b.rowid = (
    SELECT rowid FROM backups WHERE source = s.name AND scope = 'all' ORDER BY created_at DESC, backup_id DESC LIMIT 1
)
ORDER BY s.name;

-- Of each of these sources the newest that hold all of it.
-- name: select_last_of_sources
SELECT b.backup_id, b.source, b.host, b.kind, b.status, b.created_at, b.completed_at, b.size_bytes, b.added_bytes, b.files_new,
    b.files_changed, b.files_unmodified, b.warnings, b.tags, b.proof, b.proven_at, b.is_protected, b.expires_at, b.hold_reason, b.job_id,
    b.scope, b.proven_by
FROM json_each(:sources) AS s CROSS JOIN backups AS b ON b.rowid IN (
    SELECT rowid FROM backups WHERE source = s.value AND scope = 'all' ORDER BY created_at DESC, backup_id DESC LIMIT :each
)
ORDER BY b.source, b.created_at DESC, b.backup_id DESC;

-- name: first_of_sources
SELECT value, (SELECT created_at FROM backups WHERE source = value AND scope = 'all' ORDER BY created_at LIMIT 1)
FROM json_each(:sources);

-- name: recent_sizes
SELECT b.source, b.size_bytes FROM sources AS s CROSS JOIN backups AS b ON b.rowid IN (
    SELECT rowid FROM backups WHERE source = s.name AND scope = 'all' AND status <> 'failed' ORDER BY created_at DESC LIMIT :count
)
ORDER BY s.name, b.created_at;

-- name: count_backups_by_storage
SELECT storage, count(*) - (SELECT count(*) FROM copies AS missing WHERE missing.storage = copies.storage AND missing.snapshot_id = x'')
FROM copies GROUP BY storage;

-- name: count_missing_by_storage
SELECT storage, count(*) FROM copies WHERE snapshot_id = x'' GROUP BY storage;

-- name: has_backups
SELECT EXISTS (SELECT 1 FROM backups);

-- name: count_backups
SELECT count(*) FROM backups;

-- name: count_backups_of_source
SELECT count(*) FROM backups WHERE source = :source;

-- name: set_protection
UPDATE backups SET is_protected = :is_protected, hold_reason = :hold_reason WHERE backup_id = :backup_id;

-- name: set_expiry
UPDATE backups SET expires_at = :expires_at WHERE backup_id = :backup_id;

-- name: remove_copy
DELETE FROM copies WHERE backup_id = :backup_id AND storage = :storage;

-- `moves` is pairs of ids, each the old one and the new one, one behind the other.
-- name: move_copies
WITH RECURSIVE wanted (number) AS (
    SELECT 0 UNION ALL SELECT number + 1 FROM wanted WHERE 64 * (number + 2) <= length(:moves)
), moved (old, new) AS MATERIALIZED (
    SELECT substr(:moves, 1 + 64 * number, 32), substr(:moves, 33 + 64 * number, 32) FROM wanted
)
UPDATE copies SET snapshot_id = (SELECT new FROM moved WHERE old = copies.snapshot_id)
WHERE storage = :storage AND snapshot_id IN (SELECT old FROM moved);

-- name: move_log_heads
WITH RECURSIVE wanted (number) AS (
    SELECT 0 UNION ALL SELECT number + 1 FROM wanted WHERE 64 * (number + 2) <= length(:moves)
), moved (old, new) AS MATERIALIZED (
    SELECT substr(:moves, 1 + 64 * number, 32), substr(:moves, 33 + 64 * number, 32) FROM wanted
)
UPDATE log_heads SET snapshot_id = (SELECT new FROM moved WHERE old = log_heads.snapshot_id)
WHERE storage = :storage AND snapshot_id IN (SELECT old FROM moved);

-- name: remove_log_heads_of_storage
DELETE FROM log_heads WHERE storage = :storage;

-- name: remove_log_runs_of_storage
DELETE FROM log_runs WHERE storage = :storage;

-- name: remove_log_tails_of_storage
DELETE FROM log_tails WHERE storage = :storage;

-- name: remove_copies_of_storage
DELETE FROM copies WHERE storage = :storage;

-- name: remove_backup
DELETE FROM backups WHERE backup_id = :backup_id;

-- name: remove_backup_without_copies
DELETE FROM backups WHERE backup_id = :backup_id AND NOT EXISTS (SELECT 1 FROM copies WHERE copies.backup_id = backups.backup_id);

-- name: remove_backups_without_copies
DELETE FROM backups WHERE NOT EXISTS (SELECT 1 FROM copies WHERE copies.backup_id = backups.backup_id);

-- What each storage has of each source, looked for among a source's newest 64 backups.
-- name: newest_in_storages
SELECT s.name, c.storage, max(b.created_at)
FROM sources AS s CROSS JOIN backups AS b ON b.rowid IN (
    SELECT near.rowid FROM backups AS near WHERE near.source = s.name ORDER BY near.created_at DESC LIMIT 64
) CROSS JOIN copies AS c ON c.backup_id = b.backup_id AND c.snapshot_id <> x''
WHERE b.status <> 'failed' AND b.scope = 'all'
GROUP BY s.name, c.storage;

-- name: proved_storages
SELECT storage, max(proven_at) FROM proof_standings WHERE is_passed AND storage <> '' GROUP BY storage;

-- name: growth_of_storage
WITH found AS (
    SELECT c.created_at AS at, b.added_bytes AS added, row_number() OVER (PARTITION BY b.source ORDER BY c.created_at) AS place
    FROM copies AS c JOIN backups AS b ON b.backup_id = c.backup_id
    WHERE c.storage = :storage AND c.created_at >= :since AND c.snapshot_id <> x''
)
SELECT sum(added) FILTER (WHERE place > 1), max(at) - min(at) FROM found;

-- name: add_proof
INSERT OR REPLACE INTO proofs (backup_id, proven_at, storage, proof, is_passed, job_id, detail, verb)
VALUES (:backup_id, :proven_at, :storage, :proof, :is_passed, :job_id, :detail, :verb);

-- name: set_proof
UPDATE backups SET proof = :proof, proven_at = :proven_at, proven_by = :proven_by WHERE backup_id = :backup_id;

-- name: list_proofs
SELECT backup_id, storage, proof, proven_at, is_passed, job_id, detail, verb FROM proofs
WHERE backup_id = :backup_id ORDER BY proven_at DESC, storage, proof;

-- name: proved_in_storage
SELECT DISTINCT backup_id FROM proofs WHERE storage = :storage AND is_passed AND proof != 'taken';

-- name: keep_proof_standing
INSERT INTO proof_standings (source, proof, is_passed, proven_at, backup_id, storage, job_id, detail, verb)
VALUES (:source, :proof, :is_passed, :proven_at, :backup_id, :storage, :job_id, :detail, :verb)
ON CONFLICT (source, proof, is_passed) DO UPDATE SET proven_at = excluded.proven_at, backup_id = excluded.backup_id,
    storage = excluded.storage, job_id = excluded.job_id, detail = excluded.detail, verb = excluded.verb
WHERE excluded.proven_at >= proven_at;

-- Where the bytes that were proved are others now.
-- name: void_proof_standings
DELETE FROM proof_standings WHERE backup_id = :backup_id AND storage = :storage AND proven_at <= :proven_at;

-- What still holds of the source by its other proofs, in place of what was void.
-- name: refill_proof_standings
INSERT OR IGNORE INTO proof_standings (source, proof, is_passed, proven_at, backup_id, storage, job_id, detail, verb)
SELECT b.source, p.proof, p.is_passed, max(p.proven_at), p.backup_id, p.storage, p.job_id, p.detail, p.verb
FROM backups AS b CROSS JOIN proofs AS p ON p.backup_id = b.backup_id
WHERE b.source = (SELECT source FROM backups WHERE backup_id = :backup_id) AND b.scope = 'all' AND p.proof <> 'taken' AND NOT EXISTS (
    SELECT 1 FROM proofs AS d
    WHERE d.backup_id = p.backup_id AND d.storage = p.storage AND d.proof = 'taken' AND d.proven_at >= p.proven_at
)
GROUP BY p.proof, p.is_passed;

-- name: list_proof_standings
SELECT p.source, p.backup_id, p.storage, p.proof, p.proven_at, p.is_passed, p.job_id, p.detail, p.verb
FROM json_each(:sources) AS s CROSS JOIN proof_standings AS p ON p.source = s.value
ORDER BY s.key, p.proven_at DESC, p.is_passed;

-- name: list_source_proofs
SELECT source, proof, is_passed, proven_at FROM proof_standings WHERE source = :source OR :source = '' ORDER BY source, proven_at DESC;

-- name: add_pack_proof
INSERT OR REPLACE INTO pack_proofs (repository_id, pack, proven_at) VALUES (:repository_id, :pack, :proven_at);

-- name: list_pack_proofs
SELECT pack, proven_at FROM pack_proofs WHERE repository_id = :repository_id;

-- name: remove_pack_proof
DELETE FROM pack_proofs WHERE repository_id = :repository_id AND pack = :pack;

-- name: add_job
INSERT INTO jobs (job_id, verb, request, status, created_at, idempotency_key, owner, priority, not_before, deadline, most_attempts, retry_s)
VALUES (:job_id, :verb, :request, 'queued', :created_at, :idempotency_key, :owner, :priority, :not_before, :deadline, :most_attempts,
    :retry_s);

-- name: get_job_by_key
SELECT job_id, verb FROM jobs WHERE idempotency_key = :idempotency_key AND idempotency_key <> '';

-- name: list_jobs_by_key
SELECT idempotency_key, job_id FROM jobs WHERE idempotency_key <> '' AND idempotency_key IN (SELECT value FROM json_each(:keys));

-- name: add_slot
INSERT OR IGNORE INTO slots (job_id, resource) VALUES (:job_id, :resource);

-- name: get_job
SELECT job_id, verb, request, status, created_at, started_at, completed_at, owner, lease_until, idempotency_key, progress, result,
    error, error_class, is_cancel_requested, priority, not_before, deadline, attempts, most_attempts
FROM jobs WHERE job_id = :job_id;

-- name: jobs_by_prefix
SELECT job_id FROM jobs WHERE job_id >= :prefix AND job_id < :prefix || '~' ORDER BY job_id LIMIT 2;

-- What a job made it made since it was queued, give or take a day by a clock that was set. An index would cost a thirtieth of the catalog, and what
-- asks is a job's second attempt.
-- name: backups_of_job
SELECT b.backup_id FROM jobs AS j CROSS JOIN backups AS b
    ON b.created_at >= min(j.created_at, coalesce(j.started_at, j.created_at)) - 86400000000 AND b.job_id = j.job_id
WHERE j.job_id = :job_id;

-- The newest jobs, a page of them; conditions and order are put behind it.
-- name: select_jobs
SELECT job_id, verb, request, status, created_at, started_at, completed_at, owner, lease_until, idempotency_key, progress, result,
    error, error_class, is_cancel_requested, priority, not_before, deadline, attempts, most_attempts
FROM jobs;

-- The newest backup jobs that ended so. That they are not completed says to SQLite that an index of a few will do.
-- name: list_failed_backups
SELECT job_id, coalesce(completed_at, created_at), error, error_class, request
FROM jobs WHERE status = :status AND verb = 'backup' AND status <> 'completed' ORDER BY created_at DESC, job_id DESC LIMIT :limit;

-- Jobs that run one after the other, in their order, each with the source that it is about, or else the backup.
-- name: list_batch
SELECT j.job_id, j.verb, j.status, coalesce(json_extract(j.request, '$.source'), b.source, json_extract(j.request, '$.backup'), ''), j.result
FROM jobs AS j LEFT JOIN backups AS b ON b.backup_id = json_extract(j.request, '$.backup')
WHERE j.idempotency_key <> '' AND j.idempotency_key >= :first AND j.idempotency_key <= :last ORDER BY j.idempotency_key;

-- Those that failed and are to be tried again, or are being so.
-- name: list_retried_jobs
SELECT job_id FROM jobs WHERE status = 'queued' AND attempts > 0
UNION ALL SELECT job_id FROM jobs WHERE status = 'running' AND attempts > 1;

-- name: list_jobs_ended
SELECT job_id, verb, request, status, created_at, started_at, completed_at, owner, lease_until, idempotency_key, progress, result,
    error, error_class, is_cancel_requested
FROM jobs WHERE created_at >= :begun AND completed_at >= :since ORDER BY created_at DESC, job_id DESC LIMIT :limit;

-- Jobs that are over, oldest first, a page of them from behind a place on. `+` keeps SQLite to the order of time.
-- name: list_ended_jobs
SELECT job_id, verb, status, created_at, completed_at, request, result, error FROM jobs
WHERE created_at >= :since AND (created_at, job_id) > (:since, :after_id) AND created_at < :until
    AND status NOT IN ('queued', 'running') AND +verb IN (SELECT value FROM json_each(:verbs))
ORDER BY created_at, job_id LIMIT :limit;

-- The newest drill of a source that came to an end, whatever its verdict.
-- name: last_drill
SELECT job_id FROM jobs
WHERE status = 'completed' AND verb = 'drill' AND json_extract(result, '$.source') = :source
ORDER BY created_at DESC, job_id DESC LIMIT 1;

-- `+` takes the column's affinity away, with which SQLite would not look into the index.
-- name: newest_drills
SELECT s.name, d.job_id, json_extract(d.result, '$.rto_s'), json_extract(d.result, '$.budget_s'), d.created_at
FROM sources AS s CROSS JOIN jobs AS d ON d.rowid = (
    SELECT rowid FROM jobs WHERE verb = 'drill' AND status = 'completed' AND json_extract(result, '$.source') = +s.name
    ORDER BY created_at DESC LIMIT 1
);

-- The newest drills of a source that came to an end, and how large their backups were where those are still there.
-- name: past_drills
SELECT d.job_id, :source, d.created_at, json_extract(d.result, '$.status'), json_extract(d.result, '$.level'),
    json_extract(d.result, '$.backup_id'), json_extract(d.result, '$.rto_s'), json_extract(d.result, '$.budget_s'),
    json_array_length(d.result, '$.checks'), (SELECT count(*) FROM json_each(d.result, '$.checks') WHERE NOT json_extract(value, '$.passed')),
    b.size_bytes
FROM jobs AS d LEFT JOIN backups AS b ON b.backup_id = json_extract(d.result, '$.backup_id')
WHERE d.verb = 'drill' AND d.status = 'completed' AND json_extract(d.result, '$.source') = :source
ORDER BY d.created_at DESC, d.job_id DESC LIMIT :limit;

-- Of each source the newest of them.
-- name: last_drills
SELECT d.job_id, s.name, d.created_at, json_extract(d.result, '$.status'), json_extract(d.result, '$.level'),
    json_extract(d.result, '$.backup_id'), json_extract(d.result, '$.rto_s'), json_extract(d.result, '$.budget_s'),
    json_array_length(d.result, '$.checks'), (SELECT count(*) FROM json_each(d.result, '$.checks') WHERE NOT json_extract(value, '$.passed')),
    b.size_bytes
FROM sources AS s CROSS JOIN jobs AS d ON d.rowid = (
    SELECT rowid FROM jobs WHERE verb = 'drill' AND status = 'completed' AND json_extract(result, '$.source') = +s.name
    ORDER BY created_at DESC LIMIT 1
) LEFT JOIN backups AS b ON b.backup_id = json_extract(d.result, '$.backup_id');

-- name: last_kit_drill
SELECT completed_at FROM jobs WHERE verb = 'drill' AND status = 'completed'
    AND json_extract(result, '$.scenario') = 'kit-only' AND json_extract(result, '$.status') = 'passed'
ORDER BY created_at DESC LIMIT 1;

-- The most urgent, then oldest, job that waits and whose places are all free. A place is taken while its job's lease lives. One that has an
-- owner waits for that process alone, which asks for it by its id.
-- A cleaner, which has a place `cleaning:NAME`, wants a repository for itself alone. A worker takes it where nothing else works at the storage,
-- and takes nothing else for the storage while it has just begun and may wait for a lock still. One that waits has others wait behind it,
-- for spans that double as the spans between them do: `:patience` to twice as long, then four times to eight times as long, and so on, so that one of
-- them outlasts any backup, and others have half of the time. Whoever came `:ahead` before it, or is more urgent, does not wait for it.
-- name: find_claimable
WITH taken (resource) AS (
    SELECT resource FROM slots WHERE held_until > :now
    GROUP BY resource
    HAVING count(*) >= coalesce(
        (SELECT value FROM json_each(:limits) WHERE key = slots.resource),
        (SELECT value FROM json_each(:limits) WHERE key = substr(slots.resource, 1, instr(slots.resource, ':')) || '*'),
        :default_limit
    )
),
cleaners (job_id, storage, status, owner, priority, started_at, ready_at) AS MATERIALIZED (
    SELECT c.job_id, substr(c.resource, 10), j.status, j.owner, j.priority, j.started_at, max(j.created_at, coalesce(j.not_before, 0))
    FROM slots AS c INDEXED BY slots_cleaning CROSS JOIN jobs AS j ON j.job_id = c.job_id
    WHERE c.resource >= 'cleaning:' AND c.resource < 'cleaning~' AND (j.deadline IS NULL OR j.deadline > :now OR j.status = 'running')
),
used (storage) AS MATERIALIZED (
    SELECT substr(resource, 9) FROM slots WHERE held_until > :now AND resource >= 'storage:' AND resource < 'storage~'
        AND NOT EXISTS (SELECT 1 FROM cleaners WHERE cleaners.job_id = slots.job_id)
),
turns (storage, priority, since) AS MATERIALIZED (
    SELECT storage, 1 << 62, -1 << 62 FROM cleaners
    WHERE status = 'running' AND started_at > :now - :begins AND 'cleaning:' || storage IN (SELECT resource FROM slots WHERE held_until > :now)
    UNION ALL
    SELECT storage, priority, ready_at - :ahead FROM cleaners
    WHERE status = 'queued' AND owner = '' AND 'cleaning:' || storage NOT IN (SELECT resource FROM taken)
        AND EXISTS (
            SELECT 1 FROM json_each('[1,4,16,64,256,1024,4096,16384,65536]') AS turn
            WHERE ready_at <= :now - turn.value * :patience AND ready_at > :now - 2 * turn.value * :patience
        )
)
SELECT job_id FROM jobs INDEXED BY jobs_waiting
WHERE status = 'queued' AND (:job_id = '' OR job_id = :job_id)
    AND (owner = '' OR (owner = :owner AND :job_id <> ''))
    AND (not_before IS NULL OR not_before <= :now OR :job_id <> '')
    AND (deadline IS NULL OR deadline > :now)
    AND (:overall < 0 OR :job_id <> ''
        OR (SELECT count(*) FROM jobs AS busy WHERE busy.status = 'running' AND busy.lease_until > :now) < :overall)
    AND NOT EXISTS (SELECT 1 FROM slots WHERE slots.job_id = jobs.job_id AND slots.resource IN (SELECT resource FROM taken))
    AND (:job_id <> '' OR CASE WHEN EXISTS (SELECT 1 FROM cleaners WHERE cleaners.job_id = jobs.job_id)
        THEN NOT EXISTS (SELECT 1 FROM cleaners JOIN used USING (storage) WHERE cleaners.job_id = jobs.job_id)
        ELSE NOT EXISTS (
            SELECT 1 FROM turns WHERE priority >= jobs.priority AND since <= max(jobs.created_at, coalesce(jobs.not_before, 0))
                AND EXISTS (SELECT 1 FROM slots WHERE slots.job_id = jobs.job_id AND slots.resource = 'storage:' || turns.storage)
        ) END)
ORDER BY priority DESC, created_at, job_id LIMIT 1;

-- What workers have before them: how many jobs wait, how many of those need not wait for a time, when that is so for the next one, and the
-- next deadline.
-- name: queue
SELECT count(*), coalesce(sum(not_before IS NULL OR not_before <= :now), 0), min(CASE WHEN not_before > :now THEN not_before END),
    min(deadline)
FROM jobs WHERE status = 'queued' AND owner = '';

-- Jobs that are not over, as they are, and those that are, as they were counted.
-- name: count_jobs
SELECT verb, 'queued', count(*), NULL FROM jobs WHERE status = 'queued' GROUP BY verb
UNION ALL SELECT verb, 'running', count(*), NULL FROM jobs WHERE status = 'running' GROUP BY verb
UNION ALL SELECT verb, status, count, last_at FROM job_counts ORDER BY 1, 2;

-- name: claim_job
UPDATE jobs SET status = 'running', owner = :owner, lease_until = :lease_until, started_at = :now, attempts = attempts + 1
WHERE job_id = :job_id AND status = 'queued';

-- name: hold_slots
UPDATE slots SET held_until = :lease_until WHERE job_id = :job_id;

-- name: renew_job
UPDATE jobs SET lease_until = :lease_until WHERE job_id = :job_id AND owner = :owner AND status = 'running'
RETURNING is_cancel_requested;

-- name: set_progress
UPDATE jobs SET progress = :progress WHERE job_id = :job_id AND owner = :owner AND status = 'running'
RETURNING is_cancel_requested;

-- name: verb_and_request
SELECT verb, request FROM jobs WHERE job_id = :job_id;

-- How far it came is told by its result.
-- name: finish_job
UPDATE jobs SET status = :status, completed_at = :completed_at, request = :request, result = :result, error = :error,
    error_class = :error_class, progress = CASE WHEN :status = 'completed' THEN '{}' ELSE progress END, owner = '', lease_until = NULL
WHERE job_id = :job_id AND owner = :owner AND status = 'running';

-- Jobs that some process holds: those that run, and those that wait for that process alone.
-- name: list_held_jobs
SELECT job_id FROM jobs WHERE owner <> '' AND status IN ('queued', 'running');

-- Queues a job again that another attempt is to be made of, unless a person wanted its end. `uncounted` is 1 where this attempt is not counted.
-- name: requeue_job
UPDATE jobs SET status = 'queued', owner = '', lease_until = NULL, progress = '{}', error = :error, error_class = :error_class,
    attempts = attempts - :uncounted,
    not_before = CASE WHEN :uncounted THEN NULL
        ELSE :now + min(:longest, (retry_s * 1000000) << min(2 * (attempts - 1), 20)) END
WHERE job_id = :job_id AND owner = :owner AND status = 'running' AND (:lease_until IS NULL OR lease_until = :lease_until)
    AND is_cancel_requested = 0 AND most_attempts > 1 AND attempts - :uncounted < most_attempts;

-- name: wait_again
UPDATE slots SET held_until = NULL WHERE job_id = :job_id;

-- name: interrupt_job
UPDATE jobs SET status = CASE WHEN is_cancel_requested THEN 'cancelled' ELSE 'interrupted' END, completed_at = :completed_at, error = :error,
    error_class = 'InterruptedJobError', lease_until = NULL
WHERE job_id = :job_id AND owner = :owner AND status IN ('running', 'queued') AND lease_until IS :lease_until;

-- name: has_overdue_jobs
SELECT 1 FROM jobs WHERE status = 'queued' AND deadline <= :now LIMIT 1;

-- name: end_overdue_jobs
UPDATE jobs SET status = 'failed', completed_at = :now, error_class = 'DeadlinePassedError',
    error = :reason || CASE WHEN error = '' THEN '' ELSE ' again (' || error || ')' END
WHERE status = 'queued' AND deadline <= :now
RETURNING job_id;

-- name: give_up_job
UPDATE jobs SET status = CASE error_class WHEN 'InterruptedJobError' THEN 'interrupted' ELSE 'failed' END, completed_at = :completed_at, error = :error
WHERE job_id = :job_id AND status = 'queued';

-- name: cancel_queued_job
UPDATE jobs SET status = 'cancelled', completed_at = :completed_at, is_cancel_requested = 1
WHERE job_id = :job_id AND status = 'queued';

-- name: request_cancel
UPDATE jobs SET is_cancel_requested = 1 WHERE job_id = :job_id AND status = 'running';

-- name: free_slots
DELETE FROM slots WHERE job_id = :job_id;

-- name: remove_old_jobs
DELETE FROM jobs WHERE completed_at < :before AND status NOT IN ('queued', 'running');

-- name: add_log_line
INSERT INTO job_log (job_id, number, at, level, message)
SELECT :job_id, 1 + coalesce((SELECT max(number) FROM job_log WHERE job_id = :job_id), 0), :at, :level, :message
RETURNING number;

-- name: trim_log
DELETE FROM job_log WHERE job_id = :job_id AND number <= :number;

-- name: last_to_forget
SELECT created_at FROM jobs WHERE created_at >= :since AND created_at < :before ORDER BY created_at LIMIT 1 OFFSET :limit;

-- A schedule decides no instant again that is so long over.
-- name: forget_keys
UPDATE jobs SET idempotency_key = '' WHERE created_at >= :since AND created_at < :until AND status = 'completed'
    AND idempotency_key <> '' AND substr(idempotency_key, 1, 9) = 'schedule ';

-- name: forget_logs
DELETE FROM job_log WHERE job_id IN (
    SELECT job_id FROM jobs INDEXED BY jobs_by_time WHERE created_at >= :since AND created_at < :until AND status = 'completed'
);

-- name: list_log
SELECT number, at, level, message FROM job_log WHERE job_id = :job_id AND number > :after ORDER BY number LIMIT :limit;

-- name: list_schedules
SELECT name, definition, decided_until, planned_at, next_at, moved, pause FROM schedules ORDER BY name;

-- name: get_schedule
SELECT name, definition, decided_until, planned_at, next_at, moved, pause FROM schedules WHERE name = :name;

-- name: add_schedule
INSERT INTO schedules (name, definition, after, decided_until, planned_at, next_at, moved, pause)
VALUES (:name, :definition, :after, :decided_until, :planned_at, :next_at, :moved, :pause);

-- name: replace_schedule
UPDATE schedules SET definition = :definition, after = :after, decided_until = :decided_until, planned_at = :planned_at,
    next_at = :next_at, moved = :moved, pause = :pause
WHERE name = :name;

-- name: remove_schedule
DELETE FROM schedules WHERE name = :name;

-- name: list_schedules_after
SELECT name FROM schedules WHERE after = :name ORDER BY name;

-- What is due, and what a clock that was wrong decided far ahead of now.
-- name: list_due_schedules
SELECT name, definition, decided_until, planned_at, next_at, moved, pause FROM schedules
WHERE next_at <= :now OR decided_until > :ahead
ORDER BY next_at, name LIMIT :limit;

-- name: list_schedule_states
SELECT name, definition, decided_until, planned_at, next_at, moved, pause FROM schedules
WHERE name IN (SELECT value FROM json_each(:names));

-- name: next_schedule
SELECT min(next_at) FROM schedules WHERE next_at IS NOT NULL;

-- name: move_schedule
UPDATE schedules SET decided_until = :decided_until, planned_at = :planned_at, next_at = :next_at, moved = :moved WHERE name = :name;

-- name: set_schedule_pause
UPDATE schedules SET pause = :pause WHERE name = :name;

-- A skip is no last word: a run of the same instant takes its place, never another one's.
-- name: add_schedule_run
INSERT INTO schedule_runs (schedule, planned_at, part, outcome, reason, job_id, decided_at, last_at)
VALUES (:schedule, :planned_at, :part, :outcome, :reason, :job_id, :decided_at, :last_at)
ON CONFLICT (schedule, planned_at, part) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason, job_id = excluded.job_id,
    decided_at = excluded.decided_at, last_at = excluded.last_at
WHERE schedule_runs.outcome = 'skipped';

-- name: list_schedule_runs
SELECT schedule, planned_at, part, outcome, reason, job_id, decided_at, last_at FROM schedule_runs
WHERE schedule = :schedule ORDER BY planned_at DESC, part LIMIT :limit;

-- The newest instants, so many of them, with all parts and the times of their jobs.
-- name: list_run_records
SELECT r.schedule, r.planned_at, r.part, r.outcome, r.reason, r.job_id, r.decided_at, r.last_at, j.started_at, j.completed_at
FROM schedule_runs r LEFT JOIN jobs j ON j.job_id = r.job_id
WHERE r.schedule = :schedule AND r.planned_at >= (
    SELECT min(planned_at) FROM (
        SELECT DISTINCT planned_at FROM schedule_runs WHERE schedule = :schedule ORDER BY planned_at DESC LIMIT :instants))
ORDER BY r.planned_at DESC, r.part;

-- A cross join, for the order: a seek for each schedule.
-- name: list_skipped_runs
SELECT r.schedule, r.planned_at, r.part, r.outcome, r.reason, r.job_id, r.decided_at, r.last_at
FROM schedules s CROSS JOIN schedule_runs r ON r.schedule = s.name AND r.planned_at >= :since
WHERE r.outcome = 'skipped' ORDER BY r.planned_at DESC LIMIT :limit;

-- A cross join, for the order: a seek for each schedule.
-- name: newest_schedule_runs
SELECT r.schedule, r.planned_at, r.part, r.outcome, r.reason, r.job_id, r.decided_at, r.last_at
FROM schedules s CROSS JOIN schedule_runs r ON r.schedule = s.name
    AND r.planned_at = (SELECT max(planned_at) FROM schedule_runs WHERE schedule = s.name);

-- The last one of each of these parts that is over; mostly that is one of the newest few.
-- name: last_ended_runs
SELECT r.schedule, r.planned_at, r.part, r.outcome, r.reason, r.job_id, r.decided_at, r.last_at
FROM json_each(:parts) AS wanted CROSS JOIN schedule_runs AS r
    ON r.schedule = wanted.value ->> 0 AND r.part = wanted.value ->> 1 AND r.planned_at = (
        SELECT planned_at FROM schedule_runs
        WHERE schedule = wanted.value ->> 0 AND part = wanted.value ->> 1 AND outcome IN ('completed', 'incomplete', 'failed')
        ORDER BY planned_at DESC LIMIT 1);

-- name: list_open_runs
SELECT r.schedule, r.planned_at, r.part, r.outcome, r.reason, r.job_id, r.decided_at, r.last_at,
    coalesce(j.status, 'cancelled'), coalesce(j.error_class, ''), coalesce(j.error, ''), coalesce(j.result, '{}')
FROM schedule_runs r INDEXED BY schedule_runs_open LEFT JOIN jobs j ON j.job_id = r.job_id
WHERE r.outcome = 'open' AND r.schedule IN (SELECT value FROM json_each(:names));

-- Runs whose job is over.
-- name: list_ended_runs
SELECT r.schedule, r.planned_at, r.part, r.outcome, r.reason, r.job_id, r.decided_at, r.last_at,
    coalesce(j.status, 'cancelled'), coalesce(j.error_class, ''), coalesce(j.error, 'its job is gone'), coalesce(j.result, '{}')
FROM schedule_runs r LEFT JOIN jobs j ON j.job_id = r.job_id
WHERE r.outcome = 'open' AND coalesce(j.status, '') NOT IN ('queued', 'running')
LIMIT :limit;

-- name: set_schedule_run
UPDATE schedule_runs SET outcome = :outcome, reason = :reason
WHERE schedule = :schedule AND planned_at = :planned_at AND part = :part AND outcome = 'open' AND job_id = :job_id;

-- name: remove_old_runs
DELETE FROM schedule_runs WHERE schedule = :schedule AND outcome <> 'open' AND (planned_at < :before OR (planned_at < :recent AND planned_at < (
    SELECT planned_at FROM schedule_runs WHERE schedule = :schedule ORDER BY planned_at DESC LIMIT 1 OFFSET :least - 1
)));

-- Instants of schedules that others follow, which those have not decided yet, and whether any part of them is still open.
-- name: list_followed_runs
SELECT s.name, r.planned_at, max(r.outcome = 'failed'), min(r.outcome = 'skipped')
FROM schedules s INDEXED BY schedules_after JOIN schedule_runs r ON r.schedule = s.after AND r.planned_at > s.decided_until AND r.planned_at <= :ahead AND r.last_at IS NULL
WHERE s.after <> '' AND NOT EXISTS (
    SELECT 1 FROM schedule_runs AS o
    WHERE o.schedule = s.after AND o.outcome = 'open' AND o.planned_at > s.decided_until AND o.planned_at <= r.planned_at
)
GROUP BY s.name, r.planned_at ORDER BY s.name, r.planned_at LIMIT :limit;

-- How long the last runs took that ended well.
-- name: list_run_durations
SELECT r.planned_at, min(j.started_at), max(j.completed_at)
FROM schedule_runs r JOIN jobs j ON j.job_id = r.job_id
WHERE r.schedule = :schedule AND r.outcome IN ('completed', 'incomplete') AND j.completed_at IS NOT NULL
GROUP BY r.planned_at ORDER BY r.planned_at DESC LIMIT :limit;

-- name: add_host_load
INSERT INTO host_loads (host, at, load) SELECT :host, :at, :load
WHERE NOT EXISTS (SELECT 1 FROM host_loads WHERE host = :host AND at > :at - :apart AND at < :at + :apart);

-- name: remove_host_loads
DELETE FROM host_loads WHERE host = :host AND at < :before;

-- name: list_host_loads
SELECT host, at, load FROM host_loads
WHERE host IN (SELECT value FROM json_each(:hosts)) AND at >= :since ORDER BY host, at;

-- name: list_source_hosts
SELECT s.name, s.kind, s.host, coalesce(json_extract(h.options, '$.retired'), '')
FROM sources s LEFT JOIN hosts h ON h.name = s.host ORDER BY s.name;

-- name: renew_worker
INSERT INTO workers (owner, version, started_at, lease_until) VALUES (:owner, :version, :now, :lease_until)
ON CONFLICT (owner) DO UPDATE SET lease_until = excluded.lease_until, version = excluded.version
RETURNING is_stopping;

-- name: stop_worker
UPDATE workers SET is_stopping = 1 WHERE owner = :owner AND is_stopping = 0;

-- name: is_worker_stopping
SELECT is_stopping FROM workers WHERE owner = :owner;

-- name: remove_worker
DELETE FROM workers WHERE owner = :owner;

-- name: remove_idle_worker
DELETE FROM workers WHERE owner = :owner AND NOT EXISTS (SELECT 1 FROM jobs WHERE status = 'queued' AND owner = '');

-- name: list_workers
SELECT owner, version, started_at, lease_until, is_stopping FROM workers ORDER BY started_at, owner;

-- name: live_leases
SELECT owner, 'a worker of holdfast ' || version, lease_until FROM workers WHERE lease_until > :now
UNION ALL
SELECT owner, 'job ' || job_id, lease_until FROM jobs WHERE status = 'running' AND lease_until > :now;

-- name: get_setting
SELECT value FROM settings WHERE name = :name;

-- name: list_settings_between
SELECT name, value FROM settings WHERE name >= :begin AND name < :end;

-- name: list_settings
SELECT name, value FROM settings ORDER BY name;

-- name: reading_state
SELECT (SELECT max(sequence) FROM audit), (SELECT max(rowid) FROM jobs),
    (SELECT group_concat(job_id || status) FROM (
        SELECT job_id, status FROM jobs WHERE status = 'queued' UNION ALL SELECT job_id, status FROM jobs WHERE status = 'running'
    ));

-- name: put_setting
INSERT OR REPLACE INTO settings (name, value) VALUES (:name, :value);

-- name: remove_setting
DELETE FROM settings WHERE name = :name;

-- name: get_secret
SELECT sealed FROM secrets WHERE name = :name;

-- name: list_secrets
SELECT name, sealed, changed_at FROM secrets ORDER BY name;

-- name: put_secret
INSERT OR REPLACE INTO secrets (name, sealed, changed_at) VALUES (:name, :sealed, :changed_at);

-- name: reseal_secret
UPDATE secrets SET sealed = :sealed WHERE name = :name;

-- name: remove_secret
DELETE FROM secrets WHERE name = :name;

-- name: list_host_keys
SELECT address, key, accepted_at FROM host_keys WHERE address = :address OR :address = '' ORDER BY address, key;

-- name: add_host_key
INSERT OR IGNORE INTO host_keys (address, key, accepted_at) VALUES (:address, :key, :accepted_at);

-- name: remove_host_keys
DELETE FROM host_keys WHERE address = :address;

-- name: audit_head
SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1;

-- name: add_audit_record
INSERT INTO audit (sequence, record, previous, hash) VALUES (:sequence, :record, :previous, :hash);

-- Those before the end of the next block: all but what was put there by somebody else are behind the last one.
-- name: list_audit
SELECT sequence, record, previous, hash FROM audit
WHERE sequence > :after AND sequence <= coalesce((SELECT min(last) FROM audit_blocks WHERE last > :after), 1 << 62)
ORDER BY sequence LIMIT :limit;

-- name: oldest_audit
SELECT sequence FROM audit ORDER BY sequence LIMIT 1;

-- name: audit_to_pack
SELECT sequence, record, previous, hash FROM audit WHERE sequence >= :first ORDER BY sequence LIMIT :limit;

-- name: remove_packed_audit
DELETE FROM audit WHERE sequence BETWEEN :first AND :last;

-- name: add_audit_block
INSERT INTO audit_blocks (first, last, packed) VALUES (:first, :last, :packed);

-- name: audit_block_after
SELECT first, last, packed FROM audit_blocks WHERE last > :after ORDER BY last LIMIT 1;

-- name: audit_block_before
SELECT first, last, packed FROM audit_blocks WHERE first < :before ORDER BY last DESC LIMIT 1;

-- What was proved of each source by backups that are still there.
-- name: list_proofs_of_period
SELECT b.source, p.proof, p.is_passed, count(*), max(p.proven_at), p.verb, p.job_id
FROM proofs AS p JOIN backups AS b ON b.backup_id = p.backup_id
WHERE p.proven_at >= :since AND p.proven_at < :until AND b.scope = 'all' AND p.proof <> 'taken' GROUP BY b.source, p.proof, p.is_passed;

-- name: newest_audit
SELECT sequence, record, previous, hash FROM audit ORDER BY sequence DESC LIMIT :limit;

-- name: list_destinations
SELECT definition FROM destinations ORDER BY name;

-- name: get_destination
SELECT definition FROM destinations WHERE name = :name;

-- name: add_destination
INSERT INTO destinations (name, kind, definition) VALUES (:name, :kind, :definition);

-- name: replace_destination
UPDATE destinations SET kind = :kind, definition = :definition WHERE name = :name;

-- name: list_schedules_naming
SELECT s.name FROM schedules AS s, json_each(s.definition, '$.notify') AS n WHERE n.value = :destination ORDER BY s.name LIMIT 1;

-- name: remove_destination
DELETE FROM destinations WHERE name = :name;

-- name: remove_deliveries_to
DELETE FROM deliveries WHERE destination = :name;

-- name: get_digested
SELECT digested_at FROM destinations WHERE name = :name;

-- name: set_digested
UPDATE destinations SET digested_at = :at WHERE name = :name;

-- Nobody is to be told where there is nobody: then the outbox stays empty.
-- name: add_job_notice
INSERT OR IGNORE INTO notices (notice_key, at, job_id)
SELECT 'job:' || :job_id || ':' || :what, :now, :job_id WHERE EXISTS (SELECT 1 FROM destinations);

-- name: add_notice
INSERT OR IGNORE INTO notices (notice_key, at, job_id, message, destination)
SELECT :notice_key, :at, :job_id, :message, :destination WHERE EXISTS (SELECT 1 FROM destinations);

-- name: list_unrouted
SELECT notice_id, notice_key, at, job_id, message, destination FROM notices WHERE is_routed = 0 ORDER BY notice_id LIMIT :limit;

-- name: destinations_of_notice
SELECT d.destination, json_extract(n.message, '$.occasion') FROM notices AS n JOIN deliveries AS d ON d.notice_id = n.notice_id
WHERE n.notice_key = :notice_key;

-- name: route_notice
UPDATE notices SET is_routed = 1, message = :message WHERE notice_id = :notice_id AND is_routed = 0;

-- name: add_delivery
INSERT OR IGNORE INTO deliveries (notice_id, destination, state, next_at) VALUES (:notice_id, :destination, 'waiting', :next_at);

-- name: list_due_deliveries
SELECT d.notice_id, n.message, n.at, d.attempts FROM deliveries AS d JOIN notices AS n ON n.notice_id = d.notice_id
WHERE d.destination = :destination AND d.state = 'waiting' AND d.next_at <= :now ORDER BY d.notice_id LIMIT :limit;

-- name: set_delivery
UPDATE deliveries SET state = :state, attempts = attempts + :attempts, next_at = :next_at, sent_at = :sent_at, error = coalesce(:error, error),
    taken_by = :taken_by
WHERE notice_id = :notice_id AND destination = :destination AND state = 'waiting';

-- name: list_delivery_holders
SELECT DISTINCT taken_by FROM deliveries WHERE taken_by <> '';

-- name: release_deliveries
UPDATE deliveries SET next_at = :now, taken_by = '' WHERE taken_by = :taken_by AND state = 'waiting';

-- Several notices may have gone in one message, which then have one time.
-- name: count_sent
SELECT count(DISTINCT sent_at), min(sent_at) FROM deliveries WHERE destination = :destination AND sent_at > :since;

-- name: count_waiting_deliveries
SELECT (SELECT count(*) FROM deliveries WHERE state = 'waiting') + (SELECT count(*) FROM notices WHERE is_routed = 0);

-- name: last_deliveries
SELECT d.destination, d.state, d.attempts, d.error, max(coalesce(d.sent_at, d.next_at)) FROM deliveries AS d
WHERE d.error <> '' OR d.sent_at IS NOT NULL GROUP BY d.destination;

-- Who was told, or should have been, of what came up in that time.
-- name: list_told
SELECT coalesce(d.sent_at, n.at), d.destination, d.state, n.message FROM notices AS n JOIN deliveries AS d ON d.notice_id = n.notice_id
WHERE n.at >= :since AND n.at < :until ORDER BY n.at, d.destination;

-- name: purge_notices
DELETE FROM notices WHERE at < :routine_before AND is_routed = 1
    AND (at < :before OR coalesce(json_extract(message, '$.occasion'), 'start') IN ('start', 'success')
        OR NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.notice_id = notices.notice_id))
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.notice_id = notices.notice_id AND deliveries.state = 'waiting');

-- name: list_standing_alerts
SELECT alert_id, condition, subject, is_risk, reason, remedy, raised_at, seen_at, recovered_at, told_at, acknowledged_at,
    acknowledged_by, note, host, job_id
FROM alerts WHERE recovered_at IS NULL ORDER BY raised_at, alert_id;

-- name: list_alerts
SELECT alert_id, condition, subject, is_risk, reason, remedy, raised_at, seen_at, recovered_at, told_at, acknowledged_at,
    acknowledged_by, note, host, job_id
FROM alerts ORDER BY raised_at DESC, alert_id DESC LIMIT :limit;

-- name: alerts_by_prefix
SELECT alert_id FROM alerts WHERE alert_id >= :prefix AND alert_id < :prefix || '~' ORDER BY alert_id LIMIT 2;

-- When each condition of a subject was told last, whether its alert stands or not.
-- name: last_told_alerts
SELECT condition, subject, max(told_at) FROM alerts WHERE told_at > :since GROUP BY condition, subject;

-- name: add_alert
INSERT INTO alerts (alert_id, condition, subject, is_risk, reason, remedy, raised_at, seen_at, recovered_at, told_at, acknowledged_at,
    acknowledged_by, note, host, job_id)
VALUES (:alert_id, :condition, :subject, :is_risk, :reason, :remedy, :raised_at, :seen_at, :recovered_at, :told_at, :acknowledged_at,
    :acknowledged_by, :note, :host, :job_id)
ON CONFLICT (condition, subject) WHERE recovered_at IS NULL DO NOTHING;

-- name: update_alert
UPDATE alerts SET is_risk = :is_risk, reason = :reason, remedy = :remedy, seen_at = :seen_at, recovered_at = :recovered_at,
    told_at = :told_at, host = :host, job_id = :job_id
WHERE alert_id = :alert_id;

-- name: acknowledge_alert
UPDATE alerts SET acknowledged_at = :at, acknowledged_by = :by, note = :note WHERE alert_id = :alert_id AND recovered_at IS NULL;

-- name: remove_old_alerts
DELETE FROM alerts WHERE recovered_at < :before;

-- name: list_silences
SELECT silence_id, subject, condition, begins_at, ends_at, reason, made_by FROM silences ORDER BY begins_at, silence_id;

-- name: add_silence
INSERT INTO silences (silence_id, subject, condition, begins_at, ends_at, reason, made_by)
VALUES (:silence_id, :subject, :condition, :begins_at, :ends_at, :reason, :made_by);

-- name: end_silence
DELETE FROM silences WHERE silence_id = :silence_id;

-- name: list_windows
SELECT definition FROM windows ORDER BY name;

-- name: get_window
SELECT definition FROM windows WHERE name = :name;

-- name: put_window
INSERT INTO windows (name, definition) VALUES (:name, :definition) ON CONFLICT (name) DO UPDATE SET definition = excluded.definition;

-- name: remove_window
DELETE FROM windows WHERE name = :name;

-- name: catalog_version
PRAGMA user_version;

-- name: data_version
PRAGMA data_version;

-- name: quick_check
PRAGMA quick_check(20);

-- name: foreign_key_check
PRAGMA foreign_key_check;

-- name: list_log_runs
SELECT storage, identity, series, first, last, begins_at, ends_at, size_bytes FROM log_runs
WHERE source = :source ORDER BY storage, identity, series, first;

-- name: remove_log_runs
DELETE FROM log_runs WHERE source = :source AND storage = :storage;

-- name: add_log_run
INSERT INTO log_runs (source, storage, identity, series, first, last, begins_at, ends_at, size_bytes)
VALUES (:source, :storage, :identity, :series, :first, :last, :begins_at, :ends_at, :size_bytes);

-- name: list_log_tails
SELECT storage, identity, series, number, number, begins_at, ends_at, size_bytes FROM log_tails
WHERE source = :source ORDER BY storage, identity, series;

-- name: remove_log_tails
DELETE FROM log_tails WHERE source = :source AND storage = :storage;

-- name: add_log_tail
INSERT INTO log_tails (source, storage, identity, series, number, begins_at, ends_at, size_bytes)
VALUES (:source, :storage, :identity, :series, :first, :begins_at, :ends_at, :size_bytes);

-- name: list_log_forks
SELECT series, parent, number, identity FROM log_forks WHERE source = :source ORDER BY identity, series;

-- name: put_log_fork
INSERT INTO log_forks (source, identity, series, parent, number) VALUES (:source, :identity, :series, :parent, :number)
ON CONFLICT (source, identity, series) DO UPDATE SET parent = excluded.parent, number = excluded.number;

-- name: list_log_heads
SELECT source, storage, snapshot_id, shipped_at FROM log_heads WHERE :source IN ('', source) ORDER BY source, storage;

-- name: put_log_head
INSERT INTO log_heads (source, storage, snapshot_id, shipped_at) VALUES (:source, :storage, :snapshot_id, :shipped_at)
ON CONFLICT (source, storage) DO UPDATE SET snapshot_id = excluded.snapshot_id, shipped_at = excluded.shipped_at;

-- name: list_log_states
SELECT state FROM log_states WHERE :source IN ('', source) ORDER BY source;

-- name: put_log_state
INSERT INTO log_states (source, polled_at, state) VALUES (:source, :polled_at, :state)
ON CONFLICT (source) DO UPDATE SET polled_at = excluded.polled_at, state = excluded.state;

-- name: put_base
INSERT INTO bases (backup_id, source, identity, series, number, consistent_at)
VALUES (:backup_id, :source, :identity, :series, :number, :consistent_at)
ON CONFLICT (backup_id) DO UPDATE SET source = excluded.source, identity = excluded.identity, series = excluded.series,
    number = excluded.number, consistent_at = excluded.consistent_at;

-- name: list_bases
SELECT bases.backup_id, bases.identity, bases.series, bases.number, bases.consistent_at,
    (SELECT group_concat(storage, char(10)) FROM copies WHERE copies.backup_id = bases.backup_id AND copies.snapshot_id <> x'')
FROM bases WHERE bases.source = :source ORDER BY bases.consistent_at, bases.backup_id;

-- name: list_logged_sources
SELECT source FROM log_heads UNION SELECT source FROM log_states ORDER BY 1;

-- name: list_all_log_runs
SELECT source, storage, identity, series, first, last, begins_at, ends_at, size_bytes FROM log_runs
ORDER BY source, storage, identity, series, first;

-- name: list_all_log_tails
SELECT source, storage, identity, series, number, number, begins_at, ends_at, size_bytes FROM log_tails
ORDER BY source, storage, identity, series;

-- name: list_all_log_forks
SELECT source, series, parent, number, identity FROM log_forks ORDER BY source, identity, series;

-- name: list_edge_bases
-- Of each storage that holds any of a source's log: the oldest and the newest base that it holds too.
SELECT log_heads.source, log_heads.storage, bases.backup_id, bases.identity, bases.series, bases.number, bases.consistent_at
FROM log_heads JOIN bases ON bases.backup_id IN (
    (SELECT edge.backup_id FROM bases AS edge JOIN copies ON copies.backup_id = edge.backup_id
        WHERE edge.source = log_heads.source AND copies.storage = log_heads.storage AND copies.snapshot_id <> x''
        ORDER BY edge.consistent_at LIMIT 1),
    (SELECT edge.backup_id FROM bases AS edge JOIN copies ON copies.backup_id = edge.backup_id
        WHERE edge.source = log_heads.source AND copies.storage = log_heads.storage AND copies.snapshot_id <> x''
        ORDER BY edge.consistent_at DESC LIMIT 1))
ORDER BY log_heads.source, log_heads.storage, bases.consistent_at;
