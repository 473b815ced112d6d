"""Another user of the machine, who looks at every process's command line and environment, all the time, for a secret."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.servers.tools import missing

_UID = 48009
"""Of nobody else."""
_READY_TIMEOUT_S = 30.0
_LOOK = """\
while :; do grep -asoFH -f "$1" /proc/[0-9]*/cmdline /proc/[0-9]*/environ; echo round; done
"""
_FOUND = re.compile(r"(/proc/\d+/(?:cmdline|environ)):(.*)")


class Onlooker:
    """To be entered; what was seen is whole once it was left. A process that shows a word of its own proves that it looks."""

    def __init__(self, secret: str) -> None:
        if os.geteuid() != 0:
            missing("looking as another user needs root")
        self._secret = secret
        self._canary = f"canary-{os.urandom(8).hex()}"
        self._seen: list[tuple[str, str]] = []
        self._rounds = 0
        self._more = threading.Condition()

    def __enter__(self) -> Onlooker:
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-onlooker-")
        words = Path(self._folder.name) / "words"
        words.write_text(f"{self._secret}\n{self._canary}\n", encoding="utf-8")
        for path in (words, words.parent):
            path.chmod(0o700)
            os.chown(path, _UID, _UID)
        self._process = subprocess.Popen(
            # Nice, for what it looks at must get on where processors are few.
            ["nice", "-n", "5", "sh", "-c", _LOOK, "sh", str(words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            user=_UID,
            group=_UID,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        self._prove()
        return self

    def __exit__(self, *_exception: object) -> None:
        # A round that began after the last process did its work.
        self._wait(lambda rounds=self._rounds: self._rounds >= rounds + 2)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()

    @property
    def found(self) -> list[str]:
        """Where the secret was seen."""
        return sorted({place for place, word in self._seen if word != self._canary})

    @property
    def rounds(self) -> int:
        """How often it looked at all processes."""
        return self._rounds

    def _prove(self) -> None:
        words = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()", self._canary]
        with subprocess.Popen(words, stdin=subprocess.PIPE) as canary:
            self._wait(lambda: (f"/proc/{canary.pid}/cmdline", self._canary) in self._seen)
            assert canary.stdin is not None
            canary.stdin.close()

    def _wait(self, is_so: object) -> None:
        assert callable(is_so)
        until = time.monotonic() + _READY_TIMEOUT_S
        with self._more:
            assert self._more.wait_for(lambda: bool(is_so()), until - time.monotonic()), "nobody looks"

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = _FOUND.match(line.decode(errors="replace").rstrip("\n"))
            with self._more:
                if found:
                    self._seen.append((found[1], found[2]))
                else:
                    self._rounds += 1
                self._more.notify_all()
