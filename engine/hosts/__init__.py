"""The hosts family: this machine, and machines reached over SSH. A host runs commands and streams bytes; it knows nothing of backups."""
