"""The fleet in one file: hosts, sources, storages, plans, destinations and schedules as a TOML document, read, checked, compared and written. Pure.

One table a noun, and one codec a table, in the list of codecs.py: whoever adds a noun adds a line there. The rest (where a mistake stands,
patterns and groups, differences, comments that outlive a rewrite, the schema for editors) is the same for all of them.

Why TOML: people write comments into what they keep in git, and Python reads it without a library. tomlkit (90 ms to import, so on use
alone) writes it, because it alone changes one value and leaves the rest of a document as a person wrote it.
"""
