-- What each backup was asked to hold, and by what it was proved.

ALTER TABLE backups ADD COLUMN scope TEXT NOT NULL DEFAULT 'all';
ALTER TABLE backups ADD COLUMN proven_by TEXT NOT NULL DEFAULT '';
ALTER TABLE proofs ADD COLUMN verb TEXT NOT NULL DEFAULT '';
