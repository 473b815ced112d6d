"""completion: scripts for bash, zsh and fish, made from the table of verbs and the options that each verb declares."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from engine.cli import dispatch
from engine.cli.command import Command, Parser
from engine.cli.output import Output
from engine.cli.verbs import VERBS
from engine.errors import UsageError

_SHELLS: Final = ("bash", "zsh", "fish")
_FOR_FILES: Final = frozenset({"DIR", "FILE", "PATH"})


class Option(NamedTuple):
    """An option as a shell completes it."""

    flag: str
    takes: str
    """"nothing", "file", "value", or "one of these" as words parted by blanks."""
    summary: str


def options_of(verb: str) -> Sequence[Option]:
    """All options of a verb."""
    try:
        parser = dispatch.build_parser(verb, dispatch.load(verb))
    except ModuleNotFoundError:
        return ()
    found = []
    for action in parser._actions:
        for flag in action.option_strings:
            if flag.startswith("--"):
                summary = "" if action.help in (None, argparse.SUPPRESS) else str(action.help)
                found.append(Option(flag, _takes(action), summary))
    return found


def words_of(verb: str) -> Sequence[str]:
    """All that may follow a verb: the choices of what has no flag, and the flags."""
    try:
        parser = dispatch.build_parser(verb, dispatch.load(verb))
    except ModuleNotFoundError:
        return ()
    choices = [
        str(each) for action in parser._actions if not action.option_strings for each in action.choices or ()
    ]
    return (*choices, *(each.flag for each in options_of(verb)))


def _takes(action: argparse.Action) -> str:
    if action.choices is not None:
        return " ".join(str(each) for each in action.choices)
    if action.nargs == 0:
        return "nothing"
    return "file" if action.metavar in _FOR_FILES else "value"


def _second_words() -> Mapping[str, Sequence[str]]:
    """Noun -> verbs."""
    nouns: dict[str, list[str]] = {}
    for name in VERBS:
        noun, _, verb = name.partition(" ")
        if verb:
            nouns.setdefault(noun, []).append(verb)
    return nouns


def _first_words() -> Sequence[str]:
    return tuple(dict.fromkeys(name.partition(" ")[0] for name in VERBS))


def bash() -> str:
    """For bash."""
    cases = "\n".join(
        f'    "{noun}") words="{" ".join(verbs)}" ;;' for noun, verbs in _second_words().items()
    )
    tables = [(verb, options_of(verb)) for verb in VERBS]
    flags = "\n".join(f'    "{verb}") words="{" ".join(words_of(verb))}" ;;' for verb in VERBS)
    choices = "\n".join(
        f'    "{verb} {each.flag}") words="{each.takes}"; return 0 ;;'
        for verb, options in tables
        for each in options
        if each.takes not in ("nothing", "file", "value")
    )
    values = " ".join(
        sorted({each.flag for _, options in tables for each in options if each.takes == "value"})
    )
    files = " ".join(sorted({each.flag for _, options in tables for each in options if each.takes == "file"}))
    return f"""# bash completion of holdfast; in ~/.bashrc: source <(holdfast completion bash)
_holdfast_value() {{
  case "$1 $2" in
{choices}
  esac
  return 1
}}
_holdfast() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" verb="" words="" word index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="${{COMP_WORDS[index]}}"
    case "$word" in
      --home) ((index++)); continue ;;
      -*) continue ;;
    esac
    verb="$word"
    case " {" ".join(_second_words())} " in
      *" $word "*) ((index + 1 < COMP_CWORD)) && verb="$word ${{COMP_WORDS[index+1]}}" ;;
    esac
    break
  done
  if _holdfast_value "$verb" "$previous"; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    return
  fi
  case " {files} " in *" $previous "*) compopt -o default; return ;; esac
  case " {values} " in *" $previous "*) return ;; esac
  case "$verb" in
    "") words="{" ".join(_first_words())} --home --json --version --help" ;;
{cases}
{flags}
  esac
  if [[ "$current" == -* || "$verb" != *" "* && "$words" != --* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  else
    compopt -o default
  fi
}}
complete -F _holdfast holdfast
"""


def fish() -> str:
    """For fish."""
    lines = [
        "# fish completion of holdfast; holdfast completion fish > ~/.config/fish/completions/holdfast.fish"
    ]
    lines.append("complete -c holdfast -n __fish_use_subcommand -f")
    seconds = _second_words()
    for word in _first_words():
        summary = VERBS[word].summary if word in VERBS else f"{', '.join(seconds[word])}"
        lines.append(f"complete -c holdfast -n __fish_use_subcommand -f -a {word} -d {_quoted(summary)}")
    for noun, verbs in seconds.items():
        unseen = f"__fish_seen_subcommand_from {noun}; and not __fish_seen_subcommand_from {' '.join(verbs)}"
        for verb in verbs:
            summary = VERBS[f"{noun} {verb}"].summary
            lines.append(f"complete -c holdfast -n {_quoted(unseen)} -f -a {verb} -d {_quoted(summary)}")
    for name in VERBS:
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in name.split())
        lines += [
            f"complete -c holdfast -n {_quoted(seen)} {_fish_option(each)}" for each in options_of(name)
        ]
    return "\n".join(lines) + "\n"


def _fish_option(option: Option) -> str:
    takes = {"nothing": "", "file": " -r", "value": " -x"}.get(
        option.takes, f" -x -a {_quoted(option.takes)}"
    )
    return f"-l {option.flag.removeprefix('--')}{takes} -d {_quoted(option.summary)}"


def zsh() -> str:
    """For zsh."""
    seconds = _second_words()
    firsts = "\n".join(f"    {_quoted(_described(word, seconds))}" for word in _first_words())
    cases = []
    for noun, verbs in seconds.items():
        shown = " ".join(_quoted(f"{verb}:{VERBS[f'{noun} {verb}'].summary}") for verb in verbs)
        cases.append(f"    {noun}) second=({shown}) ;;")
    flags = "\n".join(
        f"    {_quoted(name)}) _arguments -S {_zsh_options(name)} '*:: :_files' ;;" for name in VERBS
    )
    joined = "\n".join(cases)
    return f"""#compdef holdfast
# zsh completion of holdfast; in ~/.zshrc: source <(holdfast completion zsh)
_holdfast() {{
  local -a first second
  local verb
  first=(
{firsts}
  )
  if (( CURRENT == 2 )); then
    _describe verb first
    return
  fi
  verb=$words[2]
  case $verb in
{joined}
  esac
  if (( $#second )); then
    if (( CURRENT == 3 )); then
      _describe verb second
      return
    fi
    verb="$verb $words[3]"
    shift words; (( CURRENT-- ))
  fi
  shift words; (( CURRENT-- ))
  case $verb in
{flags}
  esac
}}
compdef _holdfast holdfast
"""


def _described(word: str, seconds: Mapping[str, Sequence[str]]) -> str:
    summary = VERBS[word].summary if word in VERBS else ", ".join(seconds[word])
    return f"{word}:{summary}"


def _zsh_options(verb: str) -> str:
    return " ".join(_quoted(_zsh_option(option)) for option in options_of(verb))


def _zsh_option(option: Option) -> str:
    summary = option.summary.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    takes = {"nothing": "", "file": ":file:_files", "value": ":value:"}
    return f"*{option.flag}[{summary}]" + takes.get(option.takes, f":value:({option.takes})")


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _declare(parser: Parser) -> None:
    parser.add_argument("shell", choices=_SHELLS)


def _completion(arguments: argparse.Namespace, output: Output) -> int:
    script = {"bash": bash, "zsh": zsh, "fish": fish}[arguments.shell]()
    if output.is_json:
        raise UsageError("a completion script is no JSON", hint="leave --json out")
    output.write(script.encode())
    return 0


COMPLETION = Command(_declare, None, run_alone=_completion)
