"""demo --fleet: a home with a year of history of twenty hosts, to try everything on.

Only a few things in it are real: a tree of files and a SQLite database in the home, backed up and drilled into two folders there. All else is a
past alone, of hosts and storages whose names resolve to nowhere; its worker starts nothing by itself and looks at nothing (config.toml).
"""
