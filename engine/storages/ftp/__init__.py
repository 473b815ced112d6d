"""A directory of an FTP server, over explicit TLS (RFC 4217) unless plain FTP is asked for; passive, at the address that we chose.

FTP has no sync, no word for a missing file that differs from a forbidden one, and no listing that all servers write alike: what was
written is asked for its size before it gets its name, and lines of listings are taken for what a stranger says. What a server holds in its
memory when its power fails may be lost; verify finds it.
"""
