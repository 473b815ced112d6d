"""Commands as processes that need not load the program: one that has done so forks itself for each of them.

Loading is four fifths of what most commands take. Such a process has descriptors, environment, signals and an end of its own, like any
other; that the program finds all of its modules by itself is seen by the tests that start it themselves.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import engine

ROOT = Path(__file__).parents[2]
_LONGEST_BYTES = 1 << 20


class Ended(NamedTuple):
    """What a command gave."""

    code: int
    out: bytes
    err: bytes


class Prepared:
    """A process with the program loaded, and the way to it."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.jobs.prepared", str(theirs.fileno())],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], given: bytes | None, timeout_s: float
    ) -> Ended:
        """Runs a command; `given` is its standard input, else that is empty.

        Raises: TimeoutError, and all processes are ended.
        """
        theirs, ours = zip(os.pipe()[::-1], os.pipe()[::-1], strict=True)
        taken, feeding = os.pipe()
        message = json.dumps([list(words), dict(environment), str(Path.cwd())]).encode()
        socket.send_fds(self._ours, [message], [taken, *theirs])
        for descriptor in (taken, *theirs):
            os.close(descriptor)
        with ThreadPoolExecutor(3) as threads:
            threads.submit(_feed, feeding, given or b"")
            out, err = [threads.submit(_drain, descriptor) for descriptor in ours]
            code = self._wait(timeout_s)
        return Ended(int(code), out.result(), err.result())

    def _wait(self, timeout_s: float) -> bytes:
        self._ours.settimeout(timeout_s)
        try:
            code = self._ours.recv(_LONGEST_BYTES)
        except BaseException:
            # What it tells later would be taken for the answer to the next command.
            prepared.cache_clear()
            os.killpg(self._process.pid, signal.SIGKILL)
            raise
        assert code, "the process that forks has ended"
        return code

    def end(self) -> None:
        """Ends it."""
        self._ours.close()
        self._process.wait()


@functools.cache
def prepared() -> Prepared:
    """The one of this test process, which ends with it."""
    made = Prepared()
    atexit.register(made.end)
    return made


def _feed(descriptor: int, data: bytes) -> None:
    try:
        with os.fdopen(descriptor, "wb") as pipe:
            pipe.write(data)
    except BrokenPipeError:
        return  # a command need not read all that it is given


def _drain(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read()


def _serve(control: socket.socket) -> bool:
    """Forks for each command; whether this is such a process, and no longer the one that forks."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _LONGEST_BYTES, 3)
        if not message:
            return False
        child = os.fork()
        if child == 0:
            control.close()
            words, environment, folder = json.loads(message)
            _become(words, environment, folder, descriptors)
            return True
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _become(words: list[str], environment: dict[str, str], folder: str, descriptors: Sequence[int]) -> None:
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    # Python gives itself a locale that can be read and written in where none was given.
    kept = {name: value for name, value in os.environ.items() if name == "LC_CTYPE"}
    os.environ.clear()
    os.environ.update({**kept, **environment})
    sys.argv[1:] = words


def _load() -> None:
    for found in pkgutil.walk_packages(engine.__path__, "engine."):
        importlib.import_module(found.name)
    gc.freeze()  # else each process looks at all of it when it ends, and so copies it


def _main() -> int:
    control = socket.socket(fileno=int(sys.argv[1]))
    _load()
    if not _serve(control):
        return 0
    from engine.cli.main import main

    return main()


if __name__ == "__main__":
    sys.exit(_main())
