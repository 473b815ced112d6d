"""Traffic with a repository over a storage: everything that awaits, about one repository. Knows no host, source or person.

repository.py create, open, unpacked files, snapshots, blobs; keys.py passwords; lock.py locks and their proof of death; index.py,
packed_index.py and index_builder.py which blob lies where, for tens of millions of them; cache.py what is kept of it on this machine;
blobs.py how reads are grouped.
"""
