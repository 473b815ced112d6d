-- Schedules, what became of their instants, and how busy hosts were.

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
CREATE INDEX schedule_runs_by_job ON schedule_runs (job_id) WHERE job_id <> '';

-- How busy hosts were when jobs began on them: the first figure of /proc/loadavg.
CREATE TABLE host_loads (
    host TEXT NOT NULL,
    at INTEGER NOT NULL,
    load REAL NOT NULL,
    PRIMARY KEY (host, at)
) WITHOUT ROWID;
