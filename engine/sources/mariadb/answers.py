"""What the client prints with `--xml`, which alone tells NULL from a text, and a field from its neighbour whatever it holds. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

Row = Sequence[str | None]
"""The fields of a row, NULL as None."""
ResultSet = Sequence[Row]

_RESULT = re.compile(r"<resultset [^>]*>(.*?)</resultset>", re.DOTALL)
_ROW = re.compile(r"<row>(.*?)</row>", re.DOTALL)
_FIELD = re.compile(r'<field name="[^"]*"(?:( xsi:nil="true") />|>(.*?)</field>)', re.DOTALL)
_ENTITY = re.compile(r"&(amp|lt|gt|quot);")
_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"'}


def parse_results(answer: bytes) -> list[ResultSet]:
    """The result sets in order. The client escapes `&`, `<`, `>` and `"` everywhere and prints all else as it is, a NUL as a space."""
    text = answer.decode("utf-8", "surrogateescape")
    return [
        [[None if nil else _plain(value) for nil, value in _FIELD.findall(row)] for row in _ROW.findall(rows)]
        for rows in _RESULT.findall(text)
    ]


def _plain(value: str) -> str:
    return _ENTITY.sub(lambda found: _CHARACTERS[found[1]], value)


def texts(row: Row) -> list[str]:
    """The fields with NULL as the empty text."""
    return [field or "" for field in row]
