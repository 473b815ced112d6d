-- Maintenance windows that come again. `definition` is JSON.
CREATE TABLE windows (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL
) WITHOUT ROWID;
