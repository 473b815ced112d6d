-- Recovery plans.

CREATE TABLE plans (
    name TEXT PRIMARY KEY,
    steps TEXT NOT NULL,
    budget_s REAL,
    note TEXT NOT NULL
) WITHOUT ROWID;
