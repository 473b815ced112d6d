-- Maintenance windows that come again. `definition` is JSON.
CREATE TABLE windows (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL
) WITHOUT ROWID;

-- The process that is sending a message.
ALTER TABLE deliveries ADD COLUMN taken_by TEXT NOT NULL DEFAULT '';
CREATE INDEX deliveries_taken ON deliveries (taken_by) WHERE taken_by <> '';
