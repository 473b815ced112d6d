"""Options that many verbs share, and the types of their values."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from engine.cli.command import Parser, reference
from engine.errors import UsageError
from engine.model import typed
from engine.model.options import TYPES, Option
from engine.model.requests import Limits

T = TypeVar("T")


def add_limits(parser: Parser) -> None:
    """Bounds of a job."""
    group = parser.add_argument_group("limits")
    group.add_argument(
        "--wait-lock",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        help="wait so long for a locked repository",
    )
    group.add_argument("--timeout", type=seconds, metavar="SECONDS", help="end the job after so long")
    group.add_argument("--limit-upload", type=count, metavar="KIB", help="KiB a second to each storage")
    group.add_argument("--limit-download", type=count, metavar="KIB", help="KiB a second from each storage")


def limits(arguments: argparse.Namespace) -> Limits:
    """What `add_limits` understood."""
    return Limits(arguments.wait_lock, arguments.timeout, arguments.limit_upload, arguments.limit_download)


def add_marks(parser: Parser, beside: str = "") -> None:
    """Where a replay ends but for an instant: at a transaction or a point, or just before. `beside`: what they go with."""
    parser.add_argument(
        "--at-transaction",
        default="",
        metavar="ID",
        help=f"{beside}as it was behind this transaction, by its log",
    )
    parser.add_argument(
        "--at-point",
        default="",
        metavar="NAME",
        help=f"{beside}as it was at this named restore point, by its log",
    )
    parser.add_argument(
        "--just-before", action="store_true", help="end just before that instant, transaction or point"
    )


def require_one_target(arguments: argparse.Namespace) -> None:
    """Raises: UsageError where several places to end at are named."""
    if sum(bool(each) for each in (arguments.at, arguments.at_transaction, arguments.at_point)) > 1:
        raise UsageError("name one of --at, --at-transaction and --at-point")


def add_key(parser: Parser) -> None:
    """The key by which a job is done once."""
    parser.add_argument("--idempotency-key", default="", metavar="KEY", help="the same key twice is one job")


def add_yes(parser: Parser, explained: str = "answer the question with yes") -> None:
    """The answer to the question of a verb that destroys something; taken also by one that deletes and has nothing to ask."""
    parser.add_argument("--yes", action="store_true", help=explained)


def _converter(read: Callable[[str], T]) -> Callable[[str], T]:
    """As argparse wants it: what cannot be read is told with the option's name."""

    @functools.wraps(read)
    def convert(text: str) -> T:
        try:
            return read(text)
        except UsageError as error:
            hint = f": {error.hint}" if error.hint else ""
            raise argparse.ArgumentTypeError(error.message + hint) from None

    return convert


seconds = _converter(typed.seconds)
duration = _converter(typed.duration)
count = _converter(typed.count)
size = _converter(typed.size)
number = _converter(typed.number)


def add_option(group: Any, option: Option, text: str = "", *, default: object = None) -> None:
    """Declares an option of a definition; what is not given is `default`. `text` stands in place of its own help."""
    keywords: dict[str, Any] = {
        "dest": option.kept_as,
        "help": (text or option.help).replace("%", "%%"),
        "default": default,
    }
    if option.is_flag:
        group.add_argument(option.flag, action="store_true", **keywords)
        return
    if option.metavar or option.is_secret:
        keywords["metavar"] = option.metavar or "REF"
    if option.choices:
        keywords["choices"] = option.choices
    if option.is_secret:
        keywords["type"] = reference
    elif option.type != "text":
        keywords["type"] = _converter(TYPES[option.type])
    if option.is_list:
        keywords |= {"action": "extend", "nargs": "+"}
    elif option.is_many:
        keywords["action"] = "append"
    group.add_argument(option.flag, **keywords)
