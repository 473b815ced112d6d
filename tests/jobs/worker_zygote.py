"""A process that has loaded the program and forks a worker for each nod: so a worker is there within milliseconds, to be killed.

Run by test_worker_kill.py: `worker_zygote HOME DESCRIPTOR`; the descriptor is a socket of packets. It tells `pid N` of each worker, the
worker tells `began` when it begins a job, and when the worker is gone it tells `dead`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import engine.cli.running
import engine.jobs.backup  # what a worker would load when it needs it
from engine import events
from engine.notify import Notifier
from engine.service import open_engine

LOADED = (engine.cli.running, engine.jobs.backup)


async def _work(home: str, telling: socket.socket) -> None:
    def hear(event: events.Event) -> None:
        if isinstance(event, events.StepBegan):
            telling.send(b"began")

    async with open_engine(home, emit=hear, environment={}) as opened:
        await opened.worker(is_staying=False, linger_s=0.0).work(Notifier(), hear)


def _main(home: str, telling: socket.socket) -> None:
    while telling.recv(1):
        pid = os.fork()
        if not pid:
            asyncio.run(_work(home, telling))
            os._exit(0)
        telling.send(f"pid {pid}".encode())
        os.waitpid(pid, 0)
        telling.send(b"dead")


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[2])) as ours:
        _main(sys.argv[1], ours)
