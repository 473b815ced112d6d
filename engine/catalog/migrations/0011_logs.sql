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
