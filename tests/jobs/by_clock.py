"""The command line as a process of its own that goes by a shared clock: `python -m tests.jobs.by_clock FILE WORD...`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from engine.cli.dispatch import dispatch
from tests.fakes.shared_clock import LoopPolicy, SharedClock

if __name__ == "__main__":
    clock = SharedClock(Path(sys.argv[1]))
    asyncio.set_event_loop_policy(LoopPolicy(clock))
    sys.exit(dispatch(sys.argv[2:], clock))
