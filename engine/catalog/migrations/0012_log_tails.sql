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
