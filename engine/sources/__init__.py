"""The sources family: what is backed up. A source turns a host into items (streams with a name) or into a tree of files.

base.py is the contract (logs.py that of logs between backups, server_files.py of a server's own files, incremental.py and chaining.py of what
changed in these since a backup), registry.py the table, then one file a member. A source knows its host and no storage: what it gives is judged
complete or not before anybody may call it a backup.
"""
