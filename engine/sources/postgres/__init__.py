"""Kind `postgres`: databases of a PostgreSQL server, each as one `pg_dump -Fc -Z0`, with its roles and a manifest.

The clients run on the host, or in a container on it, and are never given a line that a shell takes apart. A session stays open beside each
dump: it exports the snapshot that the dump reads, and gathers the manifest's facts in it. PostgreSQL 10 or newer.
"""
