"""The page of keys, as Markdown, made from the table of actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tui.actions import Action, Danger, of_place
from tui.actions.key_names import shown
from tui.actions.places import PLACES
from tui.actions.verbs import WITHOUT_ACTION

_HEAD: Final = """# The keys of the console

`make keys` writes this page from the table of actions (`tui/actions`), from which the console's bindings, help and palette are made too.

`:` or `ctrl+p` finds each of these from anywhere, also by the verbs of the command line, with their names: `backup shop --to near`, `drill crm --at
14:05`, `go storage near`, `open source/shop`. `?` shows those of the place where one is, and why one is off. An action without a key is done by
the palette.

What asks first: `!` asks for a yes, `!!` shows what will happen and asks for the name of what goes. Neither takes an enter that was held down.

Other keys stand in `console.toml` in the home, by id; what is wrong there is told by its line, and the usual key stands:

```
[keys]
"source.backup" = "f5"            # in place of the usual key
"source.drill" = ["!", "ctrl+k"]  # two
```

A key that another action has at the same place is refused unless that one gets another too. There are no keys with Alt: terminals say it by an
escape before the key, and over a slow line that is escape and the key.
"""
_SIGNS: Final = {Danger.NONE: "", Danger.COSTLY: " `!`", Danger.DESTROYING: " `!!`"}


def markdown() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_places(), *_without()])


def _places() -> Iterator[str]:
    for place, about in PLACES.items():
        yield f"## {about.title[:1].upper()}{about.title[1:]}\n"
        yield f"{about.way[:1].upper()}{about.way[1:]}.\n"
        yield "| key | does | id | the same at a shell |"
        yield "|---|---|---|---|"
        for action in of_place(place):
            yield f"| {_keys(action)} | {action.title}{_SIGNS[action.danger]} | `{action.action_id}` | {_code(action.verbs)} |"
        yield ""


def _keys(action: Action) -> str:
    return _code([shown(each) for each in action.keys])


def _code(words: Sequence[str]) -> str:
    return ", ".join(f"`` {each} ``" if "`" in each else f"`{each}`" for each in words).replace("|", "\\|")


def _without() -> Iterator[str]:
    yield "## Verbs without an action\n"
    yield "| verb | why |"
    yield "|---|---|"
    for verb, reason in WITHOUT_ACTION.items():
        yield f"| `{verb}` | {reason} |"
    yield ""
