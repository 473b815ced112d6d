"""Textual's names of keys, as they stand on a keyboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NAMES: Final[Mapping[str, str]] = {
    "question_mark": "?", "slash": "/", "colon": ":", "escape": "esc", "space": "space", "left_square_bracket": "[",
    "right_square_bracket": "]", "minus": "-", "ctrl+backslash": "ctrl+\\", "plus": "+", "less_than_sign": "<",
    "greater_than_sign": ">", "equals_sign": "=", "full_stop": ".", "comma": ",", "asterisk": "*", "exclamation_mark": "!",
    "quotation_mark": '"', "number_sign": "#", "dollar_sign": "$", "percent_sign": "%", "ampersand": "&", "apostrophe": "'",
    "left_parenthesis": "(", "right_parenthesis": ")", "semicolon": ";", "at": "@", "backslash": "\\", "circumflex_accent": "^",
    "underscore": "_", "grave_accent": "`", "left_curly_bracket": "{", "vertical_line": "|", "right_curly_bracket": "}", "tilde": "~",
}  # fmt: skip


def shown(key: str) -> str:
    """`question_mark` is `?`."""
    return _NAMES.get(key, key)


def named(said: str) -> str:
    """The other way round: `ctrl+\\` is `ctrl+backslash`; what is no such name stays."""
    return next((key for key, name in _NAMES.items() if name == said), said)
