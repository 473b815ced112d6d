"""Traffic with a repository over a storage: everything that awaits, about one repository. Knows no host, source or person.

repository.py create, open, unpacked files, snapshots, blobs; keys.py passwords; lock.py locks and their proof of death; index.py,
packed_index.py and index_builder.py which blob lies where, for tens of millions of them; cache.py what is kept of it on this machine;
blobs.py how reads are grouped.

reader.py choosing a snapshot, walking and listing it; patterns.py what find, include and exclude understand; find.py, diff.py across
snapshots; dump.py and dump_tar.py one file or a folder written out; restore.py the way in to restoring: restore_walk.py goes through the
trees, restore_folders.py makes directories, restore_links.py hard links, restore_long.py long files, restore_delete.py what is too much,
restore_pool.py and restore_worker.py the processes that make files, restore_files.py and restore_content.py how, restore_plan.py previews.
"""
