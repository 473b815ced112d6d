"""Kinds `mariadb` and `mysql`: the databases of one MariaDB or MySQL server, dumped as SQL by the server's own tools.

One dump a database, and none that names its database inside: such a dump would overwrite the live one wherever it is loaded. The password
travels on standard input and is known to the client alone (`hosts.base.Command.secrets`). Measured with MariaDB 10.11 and MySQL 9.7, whose own
tools differ in words; other versions by their manuals. A whole server's own files come by mariadb-backup's stream (`physical`), of MariaDB alone.
"""
