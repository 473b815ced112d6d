-- Shaped for a million backups and jobs: what is asked for has its index, and an index holds no more than it needs.

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

-- SQLite takes the other columns from the row that has the maximum.
INSERT INTO proof_standings (source, proof, is_passed, proven_at, backup_id, storage, job_id, detail, verb)
SELECT b.source, p.proof, p.is_passed, max(p.proven_at), p.backup_id, p.storage, p.job_id, p.detail, p.verb
FROM proofs AS p JOIN backups AS b ON b.backup_id = p.backup_id WHERE b.scope = 'all' AND p.proof <> 'taken' AND NOT EXISTS (
    SELECT 1 FROM proofs AS d
    WHERE d.backup_id = p.backup_id AND d.storage = p.storage AND d.proof = 'taken' AND d.proven_at >= p.proven_at
)
GROUP BY b.source, p.proof, p.is_passed;

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

INSERT INTO job_counts (verb, status, count, last_at)
SELECT verb, status, count(*), max(completed_at) FROM jobs WHERE status NOT IN ('queued', 'running') GROUP BY verb, status;

DROP INDEX backups_by_time;
CREATE INDEX backups_by_time ON backups (created_at);
DROP INDEX backups_by_source;
CREATE INDEX backups_by_source ON backups (source, created_at);

DROP INDEX copies_by_snapshot;

DROP INDEX jobs_by_time;
CREATE INDEX jobs_by_time ON jobs (created_at);
DROP INDEX jobs_by_status;
CREATE INDEX jobs_not_completed ON jobs (status, created_at) WHERE status <> 'completed';
CREATE INDEX jobs_not_backup ON jobs (verb, created_at) WHERE verb <> 'backup';
CREATE INDEX jobs_running ON jobs (created_at) WHERE status = 'running';
CREATE INDEX jobs_drilled ON jobs (json_extract(result, '$.source'), created_at) WHERE verb = 'drill' AND status = 'completed';
DROP INDEX jobs_drills;
CREATE INDEX jobs_kit_drilled ON jobs (completed_at)
WHERE verb = 'drill' AND status = 'completed' AND json_extract(result, '$.scenario') = 'kit-only';
