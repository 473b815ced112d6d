"""A directory of a host that is reached over SSH and gives files by SFTP alone: no shell, chroot and `internal-sftp` are enough.

It is laid out and written as stock restic's SFTP backend does (internal/backend/sftp), through asyncssh and the host's own definition: its
address, jumps, keys and the key that it must show. All that the server tells is taken for what a stranger says.
"""
