-- A catalog that takes less room.

-- Older rows of the audit log, a thousand to a block: see audit_rows.py. The newest are never among them.
CREATE TABLE audit_blocks (
    last INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    packed BLOB NOT NULL
);
