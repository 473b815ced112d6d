-- A catalog that takes less room.

-- Older rows of the audit log, a thousand to a block: see audit_rows.py. The newest are never among them.
CREATE TABLE audit_blocks (
    last INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    packed BLOB NOT NULL
);

-- What both tables said. This one outlived more backups, and did not know by what they were proved.
INSERT INTO proof_standings (source, proof, is_passed, proven_at, backup_id, storage, job_id, detail, verb)
SELECT source, proof, is_passed, proven_at, '', '', '', '', '' FROM source_proofs WHERE true
ON CONFLICT (source, proof, is_passed) DO UPDATE SET proven_at = excluded.proven_at, backup_id = '', storage = '', job_id = '', detail = '', verb = ''
WHERE excluded.proven_at > proven_at;
DROP TABLE source_proofs;

-- Nobody asks by the one; by the other, who asks finds by time what he wants.
DROP INDEX schedule_runs_by_job;
DROP INDEX backups_by_job;

-- Empty for completed, which nearly all of them are.
UPDATE copies SET status = '' WHERE status = 'completed';
