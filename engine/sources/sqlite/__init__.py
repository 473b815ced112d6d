"""Kind `sqlite`: one SQLite database, copied whole and at one instant while it is being written to.

The host's own sqlite3 does it by `VACUUM INTO`, which notices damaged pages (status 11) where `.backup` copies them and `.dump` hides them;
where it is missing, the host's python3 does by the backup call and an integrity check of the copy. The copy lies in a private folder on
the host while it is sent, and needs as much space there as the database. Measured: design notes on SQLite, with version 3.40. What the
manifest says is counted in that copy, so it is of the dump's own instant.

A *database* of the protocol is a file, and the server is the folder in which it lies: a restore writes a file of a fresh name beside the
live one, checks it, and renames it over. `facts` says how a file is counted, `source` reads, `folder` restores, `scratch` is a throwaway
folder.
"""
