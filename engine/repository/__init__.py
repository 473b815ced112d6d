"""Traffic with a repository over a storage: everything that awaits, about one repository. Knows no host, source or person.

repository.py create, open, unpacked files, snapshots, blobs; keys.py passwords; lock.py locks and their proof of death; index.py,
packed_index.py and index_builder.py which blob lies where, for tens of millions of them; cache.py what is kept of it on this machine;
blobs.py how reads are grouped.

writer.py a session that feeds several repositories from one reading: lanes.py one repository each, packing.py from a blob to an open pack,
streams.py from a stream to chunks, chunk_workers.py threads for these and shared_packs.py the packs that they fill, pool.py and pool_worker.py
processes for small files, frames.py how one talks to them, slots.py the memory that packs come back in; read_files.py and read_long.py files
of this machine;
tree_writer.py and tree_parts.py a tree of files out of a listing, parents.py, folder_memory.py and wholeness.py what of it is as it was.

reader.py choosing a snapshot, walking and listing it; patterns.py what find, include and exclude understand; find.py, diff.py across
snapshots; dump.py and dump_tar.py one file or a folder written out; restore.py the way in to restoring: restore_walk.py goes through the
trees, restore_folders.py makes directories, restore_links.py hard links, restore_long.py long files, restore_delete.py what is too much,
restore_pool.py, restore_talk.py and restore_worker.py the processes that make files, restore_files.py and restore_content.py how, restore_plan.py previews;
restore_tar.py a part of a snapshot as a stream for another machine's tar; added.py two snapshots side by side.

check.py and the other check_*.py what is damaged and whom it touches; prune.py, prune_plan.py and index_rewriting.py what nobody needs;
forget.py; repair.py the index and repair_packs.py packs that were damaged; copy.py; tree_sweep.py every tree once; added_blobs.py and id_table.py what a run adds, in few bytes each.
"""
