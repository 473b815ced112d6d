"""Roles out of the `globals.sql` of a backup: those that are missing, and nothing else of what stands in it. Pure.

The script is taken apart into statements, and each is looked at word by word: one that is not of a known form is left out, so that nothing
of it is ever run because it stands there. What concerns roles that are there already is left out too: those stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from engine.errors import SourceError
from engine.sources.postgres import quoting

LIMIT_BYTES = 64 << 20
_TOKEN = re.compile(
    r"""
    (?P<left_out> \s+ | --[^\n]* | ^\\[^\n]* )
    | (?P<quoted> "(?:[^"]|"")*" )
    | (?P<text> [Ee]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<other> -?\d+(?:\.\d+)? | [;,.=()] )
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_FLAGS = frozenset(
    f"{no}{flag}"
    for no in ("", "NO")
    for flag in ("SUPERUSER", "INHERIT", "CREATEROLE", "CREATEDB", "LOGIN", "REPLICATION", "BYPASSRLS")
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    @property
    def name(self) -> str:
        """As an identifier."""
        return self.text[1:-1].replace('""', '"') if self.kind == "quoted" else self.text.lower()

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these words of the language."""
        return self.kind == "word" and self.text.upper() in words


@dataclass(frozen=True, slots=True)
class RolePlan:
    """What has to be run."""

    names: Sequence[str]
    """The roles that are made, in the script's order."""
    statements: Sequence[str]


def plan(script: bytes, there: Collection[str]) -> RolePlan:
    """What makes the roles of a script that are not `there`. Raises: SourceError where it is no script of pg_dumpall."""
    statements = list(_statements(script.decode("utf-8", "surrogateescape")))
    names = [each[2].name for each in statements if _is_creation(each)]
    missing = [name for name in dict.fromkeys(names) if name not in there]
    wanted = [_rendered(each, frozenset(missing)) for each in statements]
    return RolePlan(missing, [each for each in wanted if each])


def drop(names: Sequence[str]) -> str:
    """Removes roles that were made, one of which may be a member of another."""
    return "".join(f"drop role if exists {quoting.identifier(name)};" for name in reversed(names))


def _statements(script: str) -> Iterator[list[_Token]]:
    statement: list[_Token] = []
    at = 0
    while at < len(script):
        found = _TOKEN.match(script, at)
        if found is None:
            raise SourceError(
                "the roles of the backup cannot be understood: they are no script of pg_dumpall"
            )
        at = found.end()
        kind = found.lastgroup or ""
        if kind == "left_out":
            continue
        if found[0] == ";":
            yield statement
            statement = []
        else:
            statement.append(_Token(kind, found[0]))


def _is_creation(statement: Sequence[_Token]) -> bool:
    return len(statement) == 3 and _begins(statement, "CREATE", "ROLE") and _is_name(statement[2])


def _rendered(statement: Sequence[_Token], missing: Collection[str]) -> str:
    """The statement, where it is of a known form and about missing roles; else nothing."""
    is_wanted = (
        (_is_creation(statement) and statement[2].name in missing)
        or (_is_alteration(statement) and statement[2].name in missing)
        or (_is_comment(statement) and statement[3].name in missing)
    )
    if not is_wanted and _is_membership(statement) and statement[3].name in missing:
        # Who granted it may be anybody, who perhaps is not there.
        return _joined(_before(statement, "GRANTED"))
    return _joined(statement) if is_wanted else ""


def _joined(statement: Sequence[_Token]) -> str:
    return " ".join(each.text for each in statement) + ";"


def _before(statement: Sequence[_Token], word: str) -> Sequence[_Token]:
    ends = [number for number, each in enumerate(statement) if each.is_word(word)]
    return statement[: ends[-1]] if ends else statement


def _begins(statement: Sequence[_Token], *words: str) -> bool:
    return len(statement) > len(words) and all(
        token.is_word(word) for token, word in zip(statement, words, strict=False)
    )


def _is_name(token: _Token) -> bool:
    return token.kind in ("word", "quoted")


def _is_alteration(statement: Sequence[_Token]) -> bool:
    """`ALTER ROLE name WITH options`, or `ALTER ROLE name SET setting TO values`; settings for one database are the database's own."""
    if not _begins(statement, "ALTER", "ROLE") or len(statement) < 5 or not _is_name(statement[2]):
        return False
    if statement[3].is_word("WITH"):
        return _are_options(statement[4:])
    return statement[3].is_word("SET") and _is_setting(statement[4:])


def _are_options(tokens: Sequence[_Token]) -> bool:
    at = 0
    while at < len(tokens):
        kinds = [each.kind for each in tokens[at : at + 3]]
        if tokens[at].is_word(*_FLAGS):
            at += 1
        elif tokens[at].is_word("PASSWORD") and kinds[1:2] == ["text"]:
            at += 2
        elif (tokens[at].is_word("VALID") and kinds[2:3] == ["text"] and tokens[at + 1].is_word("UNTIL")) or (
            tokens[at].is_word("CONNECTION") and kinds[2:3] == ["other"] and tokens[at + 1].is_word("LIMIT")
        ):
            at += 3
        else:
            return False
    return True


def _is_setting(tokens: Sequence[_Token]) -> bool:
    names = [number for number, each in enumerate(tokens) if each.is_word("TO") or each.text == "="]
    if not names:
        return False
    name, values = tokens[: names[0]], tokens[names[0] + 1 :]
    return (
        all(_is_name(each) or each.text == "." for each in name)
        and bool(values)
        and all(each.kind in ("word", "quoted", "text") or each.text not in ".=()" for each in values)
    )


def _is_membership(statement: Sequence[_Token]) -> bool:
    """`GRANT role TO member …`."""
    return (
        len(statement) >= 4
        and statement[0].is_word("GRANT")
        and _is_name(statement[1])
        and statement[2].is_word("TO")
        and _is_name(statement[3])
        and all(
            each.is_word("WITH", "ADMIN", "OPTION", "INHERIT", "SET", "TRUE", "FALSE") or each.text == ","
            for each in _before(statement, "GRANTED")[4:]
        )
    )


def _is_comment(statement: Sequence[_Token]) -> bool:
    return (
        len(statement) == 6
        and _begins(statement, "COMMENT", "ON", "ROLE")
        and _is_name(statement[3])
        and statement[4].is_word("IS")
        and statement[5].kind == "text"
    )
