"""Kind `files`: trees of files. The listing and the stream of contents are pure parsers; what runs on the host stands around them.

source.py the source itself; find.py and tar.py the tools, running.py how they run and end; listing.py with order.py, tar_stream.py with pax.py,
and messages.py what they say; walk.py the way without them; roots.py, excludes.py what is asked for; journal.py what went wrong.
"""
