"""Kind `mongodb`: what `mongodump --archive` streams, as one file.

Written to the documented tool and its source (mongodb/mongo-tools); there is no package of it in Debian, and so it is tested through a
stand-in that checks how it is called. The connection string, which holds the password, reaches the tool as a configuration file on
standard input (`--config=/dev/stdin`) and nowhere else.

The oplog is shipped between dumps (`oplog`, cut by `entries`), and laid beside a dump up to an instant (`replaying`), for `mongorestore
--oplogReplay` behind it: that too is untested against a real server.

`messages` reads what the tool says, `archive` looks at the beginning and end of what it writes, `source` is the source. A restore is
`mongorestore --archive=FILE`: there is no throwaway server here.
"""
