"""A line of the palette: what it names, what it may become, what would be done. Values in, values out."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from engine.model.names import is_id_prefix
from tui import keys
from tui.actions.base import Action
from tui.actions.places import NOUNS, PLACES
from tui.actions.verbs import WITHOUT_ACTION
from tui.palette.matching import How, Text, best, text

MOST_ROWS: Final = 200
"""Of what is found."""
_MOST_NAMES: Final = 8
"""Of one noun, where a name was typed and not what to do with it."""
_NAMING: Final[Mapping[str, str]] = {f"--{each}": each for each in NOUNS} | {"--on": "storage"}
"""Options of the command line that say what others say without one."""
_LATEST: Final = "latest:"


@dataclass(frozen=True, slots=True)
class Name:
    """A source, a storage, a job, as it is completed."""

    name: str
    about: str = ""

    @property
    def texts(self) -> tuple[Text, ...]:
        """What is looked through."""
        return (text(self.name), text(self.about)) if self.about else (text(self.name),)


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that can be done: an action, or going to something."""

    key: str
    """The action's id; `go NOUN`, `open NOUN`; a verb."""
    title: str
    shown_key: str = ""
    place: str = ""
    """What the place is called."""
    commands: tuple[str, ...] = ()
    """What does it when it is typed: the verbs of the command line, its own id."""
    lead: str = ""
    """Of the commands the one that means this and nothing else first."""
    noun: str = ""
    needs_name: bool = False
    takes_several: bool = False
    takes_text: bool = False
    """Whether what follows is no name, but what is looked for."""
    options: Mapping[str, str] = field(default_factory=dict)
    """With the noun of what they name; "" for a time."""
    is_here: bool = False
    reason: str = ""
    """Why it is off."""
    texts: tuple[Text, ...] = ()
    about: tuple[Text, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a row of the palette does."""

    entry: Entry
    names: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    """Why it cannot be done."""

    @property
    def line(self) -> str:
        """What could be typed in its place."""
        words = [self.entry.lead or self.entry.commands[0], *map(shlex.quote, self.names)]
        for flag, value in self.options.items():
            words += [flag, value]
        return " ".join(words)

    @property
    def is_open(self) -> bool:
        """Whether a name is still to be given."""
        return self.entry.needs_name and not self.names and not self.entry.is_here


_OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "source.backup": {"--to": "storage"},
    "source.drill": {"--at": ""},
    "source.restore": {"--at": ""},
    "restore.drill": {"--at": ""},
    "history.find": {"--source": "source"},
}
"""The options of verbs that the palette knows too."""
_TAKE_TEXT: Final = frozenset({"history.find"})


def entry_of(action: Action, shown_key: str, *, is_here: bool, reason: str) -> Entry:
    """Of an action. `is_here`: its place takes keys now, so that a row is chosen already."""
    about = PLACES[action.place]
    commands = (*action.verbs, action.action_id)
    return Entry(
        action.action_id,
        action.title,
        shown_key,
        about.title,
        commands,
        noun="" if action.action_id in about.alone else about.noun,
        needs_name=about.needs_name(action),
        takes_several=action.action_id in about.several,
        takes_text=action.action_id in _TAKE_TEXT,
        options=_OPTIONS.get(action.action_id, {}),
        is_here=is_here,
        reason=reason or ("" if is_here else keys.said(about.why_not_from_afar(action))),
        texts=tuple(map(text, (action.title, *commands))),
        about=(text(about.title),),
    )


def others() -> Sequence[Entry]:
    """Going to a row of a list, and opening it; and the verbs that no action stands for, each with the reason."""
    found = [
        Entry(verb, f"holdfast {verb}", place="a shell", commands=(verb,), reason=reason, texts=(text(verb),))
        for verb, reason in WITHOUT_ACTION.items()
    ]
    for verb, title in (("open", "open a {}"), ("go", "go to a {} in its list")):
        for noun, place in NOUNS.items():
            command = f"{verb} {noun}"
            found.append(
                Entry(
                    command,
                    title.format(noun),
                    place=PLACES[place].title,
                    commands=(command,),
                    noun=noun,
                    needs_name=True,
                    texts=(text(command), text(f"{command}s")),
                )
            )
    return found


class Finder:
    """What is found for what is typed. Entries in the order of the table, names by noun, keys of entries in the order of their use, the
    newest first.
    """

    def __init__(
        self, entries: Sequence[Entry], names: Mapping[str, Sequence[Name]], used: Sequence[str] = ()
    ) -> None:
        self._commands: dict[str, list[Entry]] = {}
        for each in sorted(entries, key=lambda one: (not one.noun, not one.is_here)):
            for command in each.commands:
                self._commands.setdefault(command, []).append(each)
        self.entries = [replace(each, lead=self._lead_of(each)) for each in entries]
        known = {each.key: each for each in self.entries}
        self._commands = {
            command: [known[each.key] for each in found] for command, found in self._commands.items()
        }
        self.names = {
            noun: [(each.name, each.texts) for each in names.get(noun, ())] for noun in (*NOUNS, *names)
        }
        self._known = {noun: {name for name, _ in found} for noun, found in self.names.items()}
        self._places = {each.key: number for number, each in enumerate(self.entries)}
        self._used = {key: number for number, key in enumerate(used)}
        self._openers = {each.noun: each for each in self.entries if each.key == f"open {each.noun}"}

    def _lead_of(self, entry: Entry) -> str:
        return next((each for each in entry.commands if self._commands[each][0] is entry), entry.commands[-1])

    def find(self, line: str) -> Sequence[Wanted]:
        """The rows, the likeliest first."""
        said = list(self._of_command(line))
        could = sorted((each for each in said if not each.reason), key=self._is_guess)
        cannot = [each for each in said if each.reason]
        known = {(each.entry.key, each.names) for each in could}
        others = [each for each in self._of_words(line) if (each.entry.key, each.names) not in known]
        return [*could, *others, *cannot][:MOST_ROWS]

    def _is_guess(self, wanted: Wanted) -> bool:
        """Whether it names what may be there: another thing that is of that name is meant rather."""
        known = self._known.get(wanted.entry.noun, set())
        return not wanted.entry.takes_text and any(each not in known for each in wanted.names)

    # What begins with a verb.

    def _of_command(self, line: str) -> Iterator[Wanted]:
        words = _split(line)
        for size in range(min(3, len(words)), 0, -1):
            found = self._commands.get(" ".join(words[:size]).casefold())
            if found and (len(words) > size or line[-1:].isspace()):
                given = _Given.of(words[size:], is_ended=line[-1:].isspace())
                for entry in found:
                    yield from self._of_entry(entry, given)
                return

    def _of_entry(self, entry: Entry, given: _Given) -> Iterator[Wanted]:
        """What an entry becomes by what was given after it."""
        reason = entry.reason
        names, options = list(given.names), {}
        for flag, value in given.options.items():
            if _NAMING.get(flag) == entry.noun and entry.noun and flag not in entry.options:
                names += value.split()
            elif flag in entry.options:
                options[flag] = value
                if not value:
                    reason = reason or f"{flag} needs a {entry.options[flag] or 'time'}"
            elif not (given.is_partial and any(each.startswith(flag) for each in entry.options)):
                reason = reason or f"{flag} is for the command line: holdfast {entry.commands[0]} --help"
        if entry.takes_text:
            yield Wanted(entry, (" ".join(names),) if names else (), options, reason)
        elif not entry.noun:
            if not names:
                yield Wanted(entry, (), options, reason)
        elif given.last_flag:
            yield from self._with_option(Wanted(entry, tuple(names), options, reason), given)
        else:
            yield from self._with_names(Wanted(entry, tuple(names), options, reason), given)

    def _with_option(self, wanted: Wanted, given: _Given) -> Iterator[Wanted]:
        """With the option that is being typed, or its value."""
        entry, flag = wanted.entry, given.last_flag
        if given.is_partial and flag not in (*entry.options, *_NAMING):
            if wanted.reason:
                yield wanted
            for each in entry.options if not wanted.reason else ():
                if each.startswith(flag):
                    yield Wanted(entry, wanted.names, {**wanted.options, each: ""}, f"{each} needs a value")
            return
        noun = entry.options.get(flag, "")
        said = given.options.get(flag, "")
        if not noun or (given.is_ended and said):
            yield self._checked(wanted)
            return
        *before, last = said.split() or [""]
        found = self._matching(noun, last)
        if not found:
            yield self._checked(wanted)
        for name in found:
            yield Wanted(
                entry, wanted.names, {**wanted.options, flag: " ".join([*before, name])}, entry.reason
            )

    def _with_names(self, wanted: Wanted, given: _Given) -> Iterator[Wanted]:
        """With the name that is being typed, or each that may follow."""
        entry = wanted.entry
        if given.is_partial and wanted.names:
            *before, last = wanted.names
            done = tuple(before)
            found = [each for each in self._matching(entry.noun, last) if each not in done]
            if not found or self._is_known(entry.noun, last):
                yield self._checked(wanted)
                found = [each for each in found if each != last]
        else:
            done = wanted.names
            yield self._checked(wanted)
            found = [each for each in self._matching(entry.noun, "") if each not in done]
            if done and not entry.takes_several:
                return
        if not wanted.options and not wanted.reason:
            for name in found:
                yield self._checked(Wanted(entry, (*done, name), wanted.options, wanted.reason))

    def _checked(self, wanted: Wanted) -> Wanted:
        """With the reason where it cannot be: names that nothing has, too many of them."""
        entry, reason = wanted.entry, wanted.reason
        strange = [each for each in wanted.names if not self._is_known(entry.noun, each)]
        if not reason and strange:
            reason = f"there is no {entry.noun} {strange[0]}"
        elif not reason and len(wanted.names) > 1 and not entry.takes_several:
            reason = f"this is done for one {entry.noun} at a time"
        for flag, noun in entry.options.items():
            for value in wanted.options.get(flag, "").split() if noun else ():
                if not reason and not self._is_known(noun, value):
                    reason = f"there is no {noun} {value}"
        return Wanted(entry, wanted.names, wanted.options, reason)

    def _is_known(self, noun: str, name: str) -> bool:
        """Of backups and jobs those that are offered are not all there are: what may be an id is looked for when it is done."""
        if name in self._known.get(noun, ()):
            return True
        if noun == "backup" and name.startswith(_LATEST):
            return self._is_known("source", name.removeprefix(_LATEST))
        return noun in ("backup", "job") and is_id_prefix(name)

    def _matching(self, noun: str, typed: str) -> Sequence[str]:
        found = [(best(typed, texts), name) for name, texts in self.names.get(noun, ())]
        return [name for how, name in sorted(found, key=lambda each: -each[0]) if how is not How.NOT][
            :MOST_ROWS
        ]

    # What does not.

    def _of_words(self, line: str) -> Sequence[Wanted]:
        typed = line.strip()
        found: list[tuple[tuple[int, ...], Wanted]] = []
        for number, each in enumerate(self.entries):
            how = best(typed, each.texts, each.about)
            if how is not How.NOT:
                place = (
                    -how, bool(each.reason), self._used.get(each.key, len(self._used)), not each.is_here, number,
                )  # fmt: skip
                found.append((place, Wanted(each, reason=each.reason)))
        if len(typed) > 1:
            found += self._named(typed)
        return [each for _, each in sorted(found, key=lambda one: one[0])[:MOST_ROWS]]

    def _named(self, typed: str) -> Iterator[tuple[tuple[int, ...], Wanted]]:
        """What has such a name is opened."""
        for noun, opener in self._openers.items():
            about = text(noun)
            found = []
            for name, texts in self.names[noun]:
                own = max(best(word, texts[:1]) for word in typed.split())
                if own >= How.INITIALS and (how := best(typed, (texts[0], about))) is not How.NOT:
                    found.append((how, name))
            for how, name in sorted(found, key=lambda each: -each[0])[:_MOST_NAMES]:
                place = (-how, False, len(self._used), True, self._places[opener.key])
                yield place, Wanted(opener, (name,))


@dataclass(frozen=True, slots=True)
class _Given:
    """Words after a verb."""

    names: Sequence[str]
    options: Mapping[str, str]
    """Each with all words up to the next one."""
    last_flag: str
    """The option that the last word belongs to, or is."""
    is_ended: bool
    """Whether a blank follows the last word."""

    @property
    def is_partial(self) -> bool:
        """Whether the last word may go on."""
        return not self.is_ended

    @classmethod
    def of(cls, words: Sequence[str], *, is_ended: bool) -> _Given:
        """Taken apart."""
        names: list[str] = []
        options: dict[str, str] = {}
        flag = ""
        for word in words:
            if re.match(r"--[a-z]*", word):
                flag, _, value = word.partition("=")
                options[flag] = value
            elif flag:
                options[flag] = f"{options[flag]} {word}".strip()
            else:
                names.append(word)
        return cls(names, options, "" if flag in _NAMING else flag, is_ended)


def _split(line: str) -> list[str]:
    """Words, as a shell parts them where it would; `open source/site` is `open source site`."""
    words = line.split()
    with contextlib.suppress(ValueError):
        words = shlex.split(line)
    if len(words) > 1 and words[0] in ("go", "open") and "/" in words[1]:
        words[1:2] = [each for each in words[1].split("/", 1) if each]
    return words
