"""holdfast's engine: all of holdfast that runs without a terminal.

Reads from the top: cli (verbs) > service (the one door) > worker > jobs (one file a verb) > repository (the restic format on a storage)
> storages, sources, catalog, notifications, vault > hosts (commands and streams), format (the restic format as pure functions) > config > events,
retention, schedule, alerting > model, clock > errors. Imports point downwards only; import-linter keeps it so.
"""

__version__ = "0.1.0"
