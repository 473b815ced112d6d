"""The catalog: holdfast's own database of hosts, sources, storages, backups, jobs and all that is known of them. SQLite, one file.

catalog.py opens it and shows its parts; opening.py creates, migrates and refuses; database.py runs named queries in transactions and
translates SQLite's errors; the other modules hold one noun each. SQL lies in queries.sql, to be read as SQL; schema.sql is the whole as
it is now, migrations/ the way there: a test keeps the two equal.

Instants are whole microseconds since 1970 in UTC, so that they sort, compare and take eight bytes. Lists and options are JSON. A backup
names its source, host and storages by name and without a foreign key: what was backed up stays known after its definition is gone.

A million backups are to take less than a gigabyte. What is old and what says the same again and again is packed (packing.py, audit_rows.py); what two
tables could say one says (shortening.py). Nothing is let go but the log lines of jobs that completed 90 days ago, and the runs of a schedule
behind its last 200 and the last 90 days: its jobs stay.

aiosqlite runs SQLite in one thread for each open catalog: a slow disk never blocks the event loop. Write-ahead log with
synchronous=FULL: a row that was committed outlives a power cut. A catalog on a network file system is not supported, for SQLite is not.
"""
