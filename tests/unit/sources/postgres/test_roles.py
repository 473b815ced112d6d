"""Out of a script of pg_dumpall come the roles that are missing, and not one statement more."""

from __future__ import annotations

import pytest

from engine.errors import SourceError
from engine.sources.postgres import roles

SCRIPT = r"""
--
-- PostgreSQL database cluster dump
--
\restrict aBc; drop role postgres;
SET default_transaction_read_only = off;
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER PASSWORD 'SCRAM-SHA-256$4096:x';
CREATE ROLE "o""wn; drop table t; --
er";
ALTER ROLE "o""wn; drop table t; --
er" WITH NOSUPERUSER LOGIN CONNECTION LIMIT 3 PASSWORD 'SCRAM''; --' VALID UNTIL '2030-01-01 00:00:00+00';
ALTER ROLE "o""wn; drop table t; --
er" SET search_path TO 'a', E'b\'; drop role x', "$user";
CREATE ROLE readers;
COMMENT ON ROLE readers IS 'read; all';
ALTER ROLE readers IN DATABASE shop SET work_mem TO '1GB';
GRANT readers TO "o""wn; drop table t; --
er" WITH ADMIN OPTION GRANTED BY postgres;
GRANT readers TO postgres;
CREATE TABLESPACE fast OWNER readers LOCATION '/x';
ALTER ROLE readers WITH LOGIN; DROP TABLE t;
ALTER ROLE readers WITH LOGIN IN ROLE postgres;
GRANT ALL ON DATABASE shop TO readers;
GRANT readers TO readers, postgres;
"""
OWNER = 'o"wn; drop table t; --\ner'


def test_what_is_missing_is_made_and_all_else_left_out() -> None:
    """The script comes from a host; a statement runs because it is known, never because it stands there."""
    planned = roles.plan(SCRIPT.encode(), {"postgres"})
    quoted = '"o""wn; drop table t; --\ner"'
    assert planned.names == [OWNER, "readers"]
    assert planned.statements == [
        f"CREATE ROLE {quoted};",
        f"ALTER ROLE {quoted} WITH NOSUPERUSER LOGIN CONNECTION LIMIT 3 PASSWORD 'SCRAM''; --' VALID UNTIL '2030-01-01 00:00:00+00';",
        f"ALTER ROLE {quoted} SET search_path TO 'a' , E'b\\'; drop role x' , \"$user\";",
        "CREATE ROLE readers;",
        "COMMENT ON ROLE readers IS 'read; all';",
        f"GRANT readers TO {quoted} WITH ADMIN OPTION;",
        "ALTER ROLE readers WITH LOGIN;",
    ]


def test_roles_that_are_there_are_not_touched() -> None:
    """Somebody changed a password since the backup: it stays changed."""
    assert roles.plan(SCRIPT.encode(), {"postgres", OWNER, "readers"}) == roles.RolePlan([], [])


@pytest.mark.parametrize("script", ["CREATE ROLE 'a", 'CREATE ROLE "a', "CREATE ROLE a @ b;"])
def test_what_is_no_script_of_roles_is_refused(script: str) -> None:
    """Half a script must not make half of the roles."""
    with pytest.raises(SourceError, match="no script of pg_dumpall"):
        roles.plan(script.encode(), ())
