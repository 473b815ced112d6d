"""How a Command becomes one line for a POSIX shell: pure text, the same for this machine and for one behind SSH.

The shell that runs the command does four things around it, all in one line so that a sudoers rule can name it exactly:

- it reads the secrets from standard input, and exports them in the command's own subshell and nowhere else;
- it lowers its own priority, where renice and ionice are there;
- for a command without input it keeps the rest of standard input as a life line: when that ends, because we closed the channel, lost
  the connection or were killed, the whole process group is ended. sshd passes on no signals for root (transport notes, section 1.5);
- where the output is compressed on the way it hands on the status of the command, never only that of the compressor.
"""

from __future__ import annotations

import re

from engine.errors import UsageError
from engine.hosts.base import Command

SHELL = b"/bin/sh"
LIMIT_BYTES = 120 << 10
"""Linux takes at most 128 KiB in one argument (MAX_ARG_STRLEN), and the script is one."""
KILL_AFTER_S = 3
"""What a command gets between TERM and KILL when its life line is cut."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\$?\Z")
_PLAIN = re.compile(rb"[A-Za-z0-9@%+=:,./_-]+\Z")

_GENTLE = b"renice -n 10 -p $$ >/dev/null 2>&1; ionice -c 2 -n 7 -p $$ >/dev/null 2>&1; "
# The guard ignores TERM to outlive its own signal; `trap :` keeps the main shell until its command is gone, and a subshell resets it.
_GUARD = (
    b'exec 3<&0; { trap "" TERM; cat <&3; kill -TERM 0; '
    b"for i in %s; do kill -0 $$ || exit; sleep 1; done; kill -KILL 0; } >/dev/null 2>&1 & "
    b"trap : TERM; ( %s ) </dev/null 3<&-; exit $?"
)
# The status of the command goes around the compressor by descriptor 5; a compressor that fails adds its own behind it.
_COMPRESSED = (
    b"exec 4>&1; s=$( { { ( %s ) 4>&- 5>&-; echo $? >&5; } | zstd -q -1 -T1 -c >&4 5>&- || echo $? >&5; } 5>&1 ); "
    b"set -- $s; exit ${2:-${1:-125}}"
)
_AS_USER = (
    b'S=%(script)s; if [ "$(id -un)" = %(user)s ]; then exec /bin/sh -c "$S"; '
    b'elif command -v sudo >/dev/null 2>&1; then exec sudo -n -u %(user)s -- /bin/sh -c "$S"; '
    b'elif command -v doas >/dev/null 2>&1; then exec doas -n -u %(user)s /bin/sh -c "$S"; '
    b'elif [ "$(id -u)" = 0 ]; then exec runuser -u %(user)s -- /bin/sh -c "$S"; '
    b"else echo neither sudo nor doas is installed >&2; exit 127; fi"
)


def quote(word: str | bytes) -> bytes:
    """A word as a POSIX shell reads it back unchanged, whatever bytes it holds; str is UTF-8 with surrogate escapes. Raises: UsageError for a NUL."""
    data = word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word
    if b"\0" in data:
        raise UsageError("a word of a command holds a NUL byte")
    return data if _PLAIN.match(data) else b"'" + data.replace(b"'", b"'\\''") + b"'"


def privileged(command: Command) -> bytes:
    """The script that `/bin/sh -c` runs as `command.as_user`, behind sudo or doas.

    It depends on nothing but the command, neither on the link nor on priorities, so that a sudoers line can name it exactly.
    Raises: UsageError for names that are none, NUL bytes, or a command that is too long.
    """
    return _limited(command, _read_secrets(command) + _guarded(command, _body(command)))


def compose(command: Command, *, is_gentle: bool = False, is_compressed: bool = False) -> bytes:
    """The script that `/bin/sh -c` runs as the user who logged in; it becomes `command.as_user` where that is asked for.

    Raises: as `privileged`.
    """
    if command.as_user is None:
        body = _COMPRESSED % _body(command) if is_compressed else _body(command)
        script = _read_secrets(command) + _guarded(command, body)
    else:
        script = _AS_USER % {
            b"script": quote(privileged(command)),
            b"user": quote(valid_user(command.as_user)),
        }
        if is_compressed:
            script = _COMPRESSED % script
    return _limited(command, (_GENTLE if is_gentle else b"") + script)


def remote_line(script: bytes) -> bytes:
    """What a login shell of any kind is given to run the script."""
    return b"exec " + SHELL + b" -c " + quote(script)


def preamble(command: Command) -> bytes:
    """What is written to standard input ahead of all else: the secrets, one a line, in the order in which the script reads them.

    Raises: UsageError for a secret with a newline or NUL.
    """
    lines = []
    for name, secret in command.secrets.items():
        value = secret.reveal()
        if b"\n" in value or b"\0" in value:
            raise UsageError(f"the secret for {name} holds a newline or NUL, which cannot be handed on")
        lines.append(value + b"\n")
    return b"".join(lines)


def valid_user(user: str) -> str:
    """The user's name if it can be one. Raises: UsageError."""
    if not _USER.match(user):
        raise UsageError(f"{user!r} cannot be the name of a user")
    return user


def _valid_name(name: str) -> bytes:
    if not _NAME.match(name):
        raise UsageError(f"{name!r} cannot be the name of an environment variable")
    return name.encode()


def _read_secrets(command: Command) -> bytes:
    """Reads them into shell variables that are not exported: the guard and its cat shall not carry them in their environment."""
    names = [_valid_name(name) for name in command.secrets]
    return b"".join(b"unset %b; IFS= read -r %b || exit 125; " % (name, name) for name in names)


def _body(command: Command) -> bytes:
    settings = {"LC_ALL": "C", **command.settings}
    exports = [b"export"]
    exports += [_valid_name(name) + b"=" + quote(value) for name, value in settings.items()]
    exports += [_valid_name(name) for name in command.secrets]
    return b" ".join(exports) + b"; exec " + b" ".join(quote(word) for word in command.words)


def _guarded(command: Command, body: bytes) -> bytes:
    if command.input == "stream":
        return body
    return _GUARD % (b" ".join(b"%d" % second for second in range(KILL_AFTER_S)), body)


def _limited(command: Command, script: bytes) -> bytes:
    if len(script) > LIMIT_BYTES:
        raise UsageError(
            f"the command line of {command.program} is too long: {len(script)} bytes",
            hint="give the list on standard input",
        )
    return script
