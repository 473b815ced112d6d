"""Kind `redis`, for Redis and Valkey: the whole server as one RDB file, taken over the replication protocol while it is in use.

An RDB file holds every numbered database of the server, and is loaded by a server that starts, never by one that runs: in place such a server
is emptied, and gets the file's keys one by one. So here a
*database* of the protocol is the server's whole content, named `dump` as its file is, and the numbered databases are its tables: `db0`,
`db3`, with their keys as rows.

The server forks for it, and may need twice its memory where much is written meanwhile. By default (`repl-diskless-sync-delay`) it begins five
seconds late, lest a replica asks for the same.

`client` says how redis-cli is called and reads INFO; `rdb` and `checksum` prove a file whole as it streams by, without any tool;
`source` reads; `server` and `scratch` are the live server and a throwaway one. `values` knows how the file is written, `contents` what it
holds, `records` cuts it into its keys, `sending` makes commands of them, and `refill` gives these to the live server.
"""
