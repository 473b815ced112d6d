"""Messages in a person's own words: `$reason` and its like stand for facts. The first line of a template is the title."""

from __future__ import annotations

import dataclasses
import string
from typing import Final

from engine.errors import ConfigurationError
from engine.model.alerts import Message
from engine.model.names import nearest

FIELDS: Final = (
    "title", "body", "occasion", "subject", "condition", "reason", "remedy", "source", "host", "storage", "schedule", "verb",
    "status", "job", "at",
)  # fmt: skip
"""What a template may name. What a message knows nothing of is empty."""


def check(template: str) -> None:
    """Raises: ConfigurationError, with the name that is unknown and the nearest one that is not."""
    lines = template.splitlines()
    if not lines or not lines[0].strip():
        raise ConfigurationError("the first line of a template is the title, and is empty here")
    for found in string.Template.pattern.finditer(template):
        name = found["named"] or found["braced"]
        if found["invalid"] is not None:
            line = template.count("\n", 0, found.start()) + 1
            raise ConfigurationError(
                f"line {line} of the template has a $ that names nothing", hint="$$ is a $"
            )
        if name and name not in FIELDS:
            near = nearest(name, FIELDS)
            raise ConfigurationError(
                f"the template names ${name}, which no message knows",
                hint=f"did you mean ${near}?" if near else f"there are: {', '.join(FIELDS)}",
            )


def apply(template: str, message: Message) -> Message:
    """The message in the template's words; as it is where there is none."""
    if not template:
        return message
    known = {name: message.facts.get(name, "") for name in FIELDS}
    known |= {"title": message.title, "body": message.body, "occasion": message.occasion.value}
    title, _, body = string.Template(template).safe_substitute(known).partition("\n")
    return dataclasses.replace(message, title=" ".join(title.split()), body=body.strip("\n"))
