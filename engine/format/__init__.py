"""The repository format, version 2, as restic reads and writes it: bytes in, bytes out."""
