"""How quickly a host's output reaches us: this machine's pipes, and asyncssh beside OpenSSH's own client.

    python -m tests.bench.hosts [MEGABYTES]

Both sides of each pair run in turn, three times; the file lies in memory. CPU seconds a GiB are the figure to compare: the rate swings
with whatever else the machine does.
"""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from engine.hosts.base import Command, OpenHost
from engine.hosts.registry import open_host
from engine.model.definitions import Host
from tests.families.hosts import resolve_secret, ssh_definition
from tests.servers.sshd import Sshd, running_sshd

ROUNDS = 3
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """One pull of the whole file."""

    rate: float
    """MiB a second."""
    cpu: float
    """Our own CPU seconds, and those of a client program, for each GiB."""


def cpu_seconds(*who: int) -> float:
    """User and system time."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, who))


async def pull(host: OpenHost, path: Path) -> Run:
    """Reads the file by `cat` on the host. Children are left out: on this machine they are the host's side."""
    begin, cpu, total = time.monotonic(), cpu_seconds(resource.RUSAGE_SELF), 0
    async with host.start(Command(("cat", str(path)))) as process:
        while piece := await process.read():
            total += len(piece)
        if not (await process.wait()).is_success or total != path.stat().st_size:
            raise SystemExit("the file did not arrive whole")
    return Run(
        total / MIB / (time.monotonic() - begin),
        (cpu_seconds(resource.RUSAGE_SELF) - cpu) * 1024 * MIB / total,
    )


def pull_by_program(words: list[str], size: int, *, counts_children: bool) -> Run:
    """Reads the same by a program and blocking reads."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) if counts_children else (resource.RUSAGE_SELF,)
    begin, cpu = time.monotonic(), cpu_seconds(*who)
    with subprocess.Popen(words, stdout=subprocess.PIPE, pipesize=MIB) as process:
        if process.stdout is None:
            raise SystemExit("no pipe")
        while os.read(process.stdout.fileno(), MIB):
            pass
    return Run(size / MIB / (time.monotonic() - begin), (cpu_seconds(*who) - cpu) * 1024 * MIB / size)


async def measure(server: Sshd, path: Path) -> dict[str, list[Run]]:
    """All four ways, interleaved."""
    size = path.stat().st_size
    runs: dict[str, list[Run]] = {
        "pipe, ours": [],
        "pipe, blocking reads": [],
        "asyncssh": [],
        "ssh program": [],
    }
    local = open_host(Host("this", kind="local"), resolve_secret=resolve_secret)
    remote = open_host(ssh_definition(server), resolve_secret=resolve_secret)
    async with local as this, remote as box:
        for _ in range(ROUNDS):
            runs["pipe, ours"].append(await pull(this, path))
            runs["pipe, blocking reads"].append(
                pull_by_program(["cat", str(path)], size, counts_children=False)
            )
            runs["asyncssh"].append(await pull(box, path))
            runs["ssh program"].append(pull_by_program(server.ssh(f"cat {path}"), size, counts_children=True))
    return runs


def main() -> int:
    """Prints the medians; status 1 where asyncssh costs over a fifth more CPU than the ssh program."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory, running_sshd() as server:
        path = Path(directory) / "data"
        path.write_bytes(os.urandom(MIB) * megabytes)
        runs = asyncio.run(measure(server, path))
    cost = {}
    for name, taken in runs.items():
        cost[name] = statistics.median(run.cpu for run in taken)
        print(
            f"{name:22} {statistics.median(run.rate for run in taken):7.0f} MiB/s {cost[name]:6.2f} CPU s/GiB"
        )
    return 0 if cost["asyncssh"] <= 1.2 * cost["ssh program"] else 1


if __name__ == "__main__":
    sys.exit(main())
