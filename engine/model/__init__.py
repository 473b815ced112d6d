"""The nouns: frozen values that every layer may hold, and that serialise.

entry.py what a host says of a file; definitions.py hosts, sources and storages as a person defined them; backup.py backups and what is
known of them; job.py jobs, their progress and outcome; plans.py recovery plans; schedules.py what is done by itself, and when; masking.py
rules for columns that nobody should see; secret.py a value that never shows itself.
"""
