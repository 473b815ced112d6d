-- What a worker needs to know of a job that waits: its turn, its last moment, and how often it is tried.

ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN not_before INTEGER;
ALTER TABLE jobs ADD COLUMN deadline INTEGER;
ALTER TABLE jobs ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN most_attempts INTEGER NOT NULL DEFAULT 1;
ALTER TABLE jobs ADD COLUMN retry_s INTEGER NOT NULL DEFAULT 60;
CREATE INDEX jobs_waiting ON jobs (priority DESC, created_at, job_id) WHERE status = 'queued';
CREATE INDEX jobs_held ON jobs (owner) WHERE owner <> '' AND status IN ('queued', 'running');
ALTER TABLE workers ADD COLUMN is_stopping INTEGER NOT NULL DEFAULT 0;
