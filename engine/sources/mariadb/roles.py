"""Users and roles out of the `globals.sql` of a backup: those that are missing, and nothing else of what stands in it. Pure.

The script is taken apart into statements, and each is looked at word by word: one that is not of a known form is left out, so that nothing
of it is ever run because it stands there. What concerns accounts that are there already is left out too: those stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from engine.errors import SourceError

_TOKEN = re.compile(
    r"""
    (?P<left_out> \s+ | --(?=\s|$)[^\n]* | \#[^\n]* | \\. )
    | (?P<begin> /\*M?!\d* )
    | (?P<end> \*/ )
    | (?P<left_out_too> /\*.*?\*/ )
    | (?P<quoted> `(?:[^`]|``)*` )
    | (?P<text> '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<other> \d+(?:\.\d+)? | [;,.=()@*:+-] )
    """,
    re.VERBOSE | re.DOTALL,
)
_ENDING = b"\n-- Dump completed"
_HELPER = "mariadb_dump_import_role"
"""Made by the dumper's own script, and dropped at its end."""
_OPTIONS = (
    "IDENTIFIED", "BY", "PASSWORD", "VIA", "WITH", "AS", "USING", "OR", "REQUIRE", "NONE", "SSL", "X509", "SUBJECT", "ISSUER", "CIPHER", "AND",
    "EXPIRE", "NEVER", "DEFAULT", "INTERVAL", "DAY", "ACCOUNT", "LOCK", "UNLOCK", "HISTORY", "REUSE", "CURRENT", "OPTIONAL", "MAX_QUERIES_PER_HOUR",
    "MAX_UPDATES_PER_HOUR", "MAX_CONNECTIONS_PER_HOUR", "MAX_USER_CONNECTIONS", "MAX_STATEMENT_TIME", "GRANT", "ADMIN", "OPTION",
)  # fmt: skip
_PLUGIN_AFTER = ("VIA", "WITH", "OR")
_OBJECTS = ("TABLE", "FUNCTION", "PROCEDURE", "PACKAGE", "BODY")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    @property
    def name(self) -> str:
        """As a name or a text."""
        if self.kind == "quoted":
            return self.text[1:-1].replace("``", "`")
        if self.kind == "text":
            mark = self.text[0]
            return re.sub(r"\\(.)", r"\1", self.text[1:-1].replace(mark * 2, mark), flags=re.DOTALL)
        return self.text

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these words of the language."""
        return self.kind == "word" and self.text.upper() in words


@dataclass(frozen=True, slots=True)
class Account:
    """A user of a host, or a role."""

    user: str
    host: str | None
    """None for a role."""

    @property
    def sql(self) -> str:
        """As a statement has it, and a person is told of it."""
        user = _quoted(self.user)
        return user if self.host is None else f"{user}@{_quoted(self.host)}"


@dataclass(frozen=True, slots=True)
class RolePlan:
    """What has to be run."""

    accounts: Sequence[Account]
    """That are made, in the script's order."""
    statements: Sequence[str]
    """What makes them, with their rights on all, on databases, and on other accounts."""
    object_grants: Sequence[str]
    """Their rights on single tables and routines, which can be granted only where these are there."""


def plan(script: bytes, there: Collection[Account], *, is_mysql: bool = False) -> RolePlan:
    """What makes the accounts of a script that are not `there`. Raises: SourceError where it is no script of users."""
    if _ENDING not in script[-4096:]:
        raise SourceError(
            "the backup holds no users and roles that could be made: its account was not allowed to read them",
            hint="let the account of the source SELECT from the database mysql, and back it up again",
        )
    statements = list(_statements(script.decode("utf-8", "surrogateescape"), is_mysql=is_mysql))
    created = [account for each in statements if (account := _creation(each)) is not None]
    missing = [each for each in dict.fromkeys(created) if each not in there and each.user != _HELPER]
    wanted = frozenset(missing)
    makes = [_made(each) for each in statements if _creation(each) in wanted]
    grants = [grant for each in statements if (grant := _granted(each, wanted)) is not None]
    plain = [text for text, is_of_object in grants if not is_of_object]
    return RolePlan(
        missing,
        list(dict.fromkeys([*makes, *plain])),
        [text for text, is_of_object in grants if is_of_object],
    )


def drop(names: Sequence[str]) -> str:
    """Removes accounts that were made, by what `Account.sql` says of them. Raises: SourceError for anything else."""
    statements = []
    for name in reversed(names):
        first, *others = _statements(f"{name};", is_mysql=False)
        found, rest = _account(first)
        if found is None or rest or others:
            raise SourceError(f"{name!a} is no account that was made")
        statements.append(f"DROP {'ROLE' if found.host is None else 'USER'} IF EXISTS {found.sql};\n")
    return "".join(statements)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _statements(script: str, *, is_mysql: bool) -> Iterator[list[_Token]]:
    """The statements; of what is meant for one kind of server alone, that of this kind."""
    statement: list[_Token] = []
    at, is_passed_over = 0, False
    while at < len(script):
        found = _TOKEN.match(script, at)
        if found is None:
            raise SourceError(
                "the users of the backup cannot be understood: they are no script of mariadb-dump"
            )
        at, kind = found.end(), found.lastgroup or ""
        if kind == "begin":
            is_passed_over = found[0].startswith("/*M!") is is_mysql
        elif kind == "end":
            is_passed_over = False
        elif kind.startswith("left_out") or is_passed_over:
            continue
        elif found[0] == ";":
            yield statement
            statement = []
        else:
            statement.append(_Token(kind, found[0]))


def _begins(statement: Sequence[_Token], *words: str) -> bool:
    return len(statement) > len(words) and all(
        token.is_word(word) for token, word in zip(statement, words, strict=False)
    )


def _account(tokens: Sequence[_Token]) -> tuple[Account | None, Sequence[_Token]]:
    """The account that comes first, and what follows it."""
    names = ("quoted", "text", "word")
    if not tokens or tokens[0].kind not in names or tokens[0].is_word("CURRENT_USER"):
        return None, tokens
    if len(tokens) > 2 and tokens[1].text == "@" and tokens[2].kind in names:
        return Account(tokens[0].name, tokens[2].name), tokens[3:]
    return Account(tokens[0].name, None), tokens[1:]


def _creation(statement: Sequence[_Token]) -> Account | None:
    """Of `CREATE USER IF NOT EXISTS …` with options that are known, or `CREATE ROLE IF NOT EXISTS …`."""
    for word in ("USER", "ROLE"):
        if _begins(statement, "CREATE", word, "IF", "NOT", "EXISTS"):
            found, rest = _account(statement[5:])
            if found is not None and (found.host is None) == (word == "ROLE"):
                return found if word == "ROLE" or _are_options(rest) else None
    return None


def _made(statement: Sequence[_Token]) -> str:
    found, rest = _account(statement[5:])
    assert found is not None
    if found.host is None:
        # Who may give it on is said by a grant.
        return f"CREATE ROLE {found.sql};"
    return f"CREATE USER {found.sql} {_joined(rest)}".rstrip() + ";"


def _are_options(tokens: Sequence[_Token]) -> bool:
    """Of an account: how it proves itself, and what limits it has."""
    return all(
        token.kind == "text"
        or token.is_word(*_OPTIONS)
        or (token.kind == "other" and token.text[0].isdigit())
        or (token.kind in ("word", "quoted") and before is not None and before.is_word(*_PLUGIN_AFTER))
        for before, token in zip([None, *tokens], tokens, strict=False)
    )


def _granted(statement: Sequence[_Token], wanted: Collection[Account]) -> tuple[str, bool] | None:
    """A grant to one of these, or their default role, of a known form; with whether it is on a table or routine. None for all else."""
    if _begins(statement, "SET", "DEFAULT", "ROLE") and len(statement) > 5 and statement[4].is_word("FOR"):
        found, rest = _account(statement[5:])
        is_known = found in wanted and not rest and statement[3].kind != "other"
        return (f"{_joined(statement)};", False) if is_known else None
    places = [number for number, each in enumerate(statement) if each.is_word("TO")]
    if not _begins(statement, "GRANT") or not places:
        return None
    place = places[-1]
    found, rest = _account(statement[place + 1 :])
    if found not in wanted or not _are_options(rest):
        return None
    is_of_object = _what(statement[1:place])
    return None if is_of_object is None else (f"{_joined(statement)};", is_of_object)


def _what(tokens: Sequence[_Token]) -> bool | None:
    """What is granted: whether it is something of a table or routine; None where it is of no known form."""
    places = [number for number, each in enumerate(tokens) if each.is_word("ON")]
    if not places:
        role, rest = _account(tokens)
        return False if role is not None and not rest else None
    rights, target = tokens[: places[-1]], tokens[places[-1] + 1 :]
    if not rights or not all(each.kind in ("word", "quoted") or each.text in ",()" for each in rights):
        return None
    if len(rights) == 1 and rights[0].is_word("PROXY"):
        proxied, rest = _account(target)
        return False if proxied is not None and not rest else None
    while target and target[0].is_word(*_OBJECTS):
        target = target[1:]
    if (
        len(target) != 3
        or target[1].text != "."
        or not all(_is_part(each) for each in (target[0], target[2]))
    ):
        return None
    return target[2].text != "*"


def _is_part(token: _Token) -> bool:
    return token.kind in ("quoted", "word") or token.text == "*"


def _joined(tokens: Sequence[_Token]) -> str:
    """The parts of a name belong together."""
    pieces: list[str] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        is_close = before is None or token.text in (".", "@") or before.text in (".", "@")
        pieces.append(token.text if is_close else f" {token.text}")
    return "".join(pieces)
