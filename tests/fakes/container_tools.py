"""Stand-ins for docker, podman and kubectl: they check how they are called, and run the real program with no more environment than they passed on.

What the real tools do with standard input, environment and exit status is what these do. None of them has a container.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

_BEGIN = """\
#!{python} -S
import os, sys
words = sys.argv[1:]
with open("{log}", "a") as log:
    print(*words, sep="\\n", file=log)
def refuse(why, status=125):
    print(why, file=sys.stderr)
    sys.exit(status)
if words[:2] != ["exec", "-i"]:
    refuse("no exec -i")
environment = {{"PATH": os.environ["PATH"]}}
"""
_DOCKER = (
    _BEGIN
    + """\
words = words[2:]
while words[0] == "--env":
    if "=" in words[1]:
        refuse("a value in a command line")
    if words[1] in os.environ:
        environment[words[1]] = os.environ[words[1]]
    words = words[2:]
if words[0] != "{container}":
    refuse("Error: No such container: " + words[0], 1)
words = words[1:]
"""
)
_KUBECTL = (
    _BEGIN
    + """\
if words[2:6] != ["-n", "prod", "{container}", "--"]:
    refuse("Error from server (NotFound)", 1)
words = words[6:]
"""
)
_END = """\
try:
    os.execvpe(words[0], words, environment)
except FileNotFoundError:
    refuse('exec: "' + words[0] + '": executable file not found in $PATH', 127)
"""


def install(folder: Path, container: str = "db-1") -> Path:
    """Puts the three into the folder, which is to be the first of PATH; returns the file that their words are written to, one a line.

    The pod of kubectl is in the namespace `prod`.
    """
    log = folder / "words"
    log.touch()
    log.chmod(0o666)
    for name, check in (("docker", _DOCKER), ("podman", _DOCKER), ("kubectl", _KUBECTL)):
        program = folder / name
        text = (check + _END).format(python=sys.executable, log=log, container=container)
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
    return log


def words(log: Path) -> Sequence[str]:
    """All words of all calls."""
    return log.read_text(encoding="utf-8").splitlines()
