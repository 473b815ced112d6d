"""The repository format, version 2, as restic reads and writes it: bytes in, bytes out, no input or output of its own.

A repository
    `config`, `keys/ID`, `locks/ID`, `snapshots/ID`, `index/ID` and `data/XX/ID`, XX being the first two digits of ID. Every name but
    `config` is the SHA-256 of the stored bytes (ids). A key file is plain JSON (key_file) and holds the master key, sealed under a
    key made of a password by scrypt. All else is sealed by the master key (crypto): AES-256-CTR and Poly1305-AES, 32 bytes longer.

Sealed JSON
    `config` (config_file) is bare JSON. Index files (index), snapshots (snapshot) and locks (lock_file) are a 0x02 byte and a zstd frame of
    their JSON (unpacked).

Packs
    Blobs, each sealed by itself, end to end, then a sealed header that lists them (pack; pack_buffer
    makes those of small blobs). A blob (blob) is a piece of a file, cut by content
    (chunker) and at most 8 MiB, or a tree (tree): the nodes of one directory (names, node_text). Its identifier is the SHA-256 of its
    plaintext, so what is there already is not stored again. It may be compressed (compression); then header and index say its plain
    length. Blobs of trees and of data lie in different packs. Index files say which blob is in which pack.

Order of writes
    Packs, then the index that names them, then the snapshot. A snapshot is what makes a backup exist; packs in no index and index entries
    that no snapshot needs do no harm.

Database backups
    A snapshot of a database has the tree `/KIND/SOURCE/` (the source's kind and its name in holdfast) of

    - `globals.sql`: roles and what else belongs to no single database, where the kind has such
    - `databases/NAME.dump`, or `databases/NAME.sql`: one for each database
    - `databases/NAME.data/0001.dump` and on: rows of some of its tables, where several dumps were taken of it at once; `NAME.dump` has all else
    - `manifest.json`: the true names, versions, and what a restore needs to know

    NAME is the database's, percent-encoded where it holds `/`, `%` or control characters, is `.` or `..`, or is over 200 bytes: layout.py.
    Its restore, ls, diff and the recovery kit rely on this layout, so it does not change.

Whatever is read may come from a damaged disk or a hostile storage: decoders bound what they allocate and raise
`engine.errors.DamagedError`, naming what is wrong, and nothing else.
"""
