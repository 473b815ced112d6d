"""python -m tests.bench: see --help. Ends with 1 when a floor is not reached."""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import engine
from tests.bench import buckets, postgres, report
from tests.bench.inputs import Inputs
from tests.bench.measure import RunFailedError, adopt_orphans
from tests.bench.pairs import Results, run_workload
from tests.bench.programs import Program
from tests.bench.single import ONLY_BY_NAME, SINGLES
from tests.bench.workloads import WORKLOADS, Workload, chosen, local_programs, remote_programs
from tests.servers.ceph import running_ceph
from tests.servers.sshd import running_sshd
from tests.servers.tools import CACHE

_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 -- a tmpfs is what the figures are defined on


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    names = [*(workload.name for workload in WORKLOADS), *SINGLES]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"names, with commas between: {', '.join(names)}")
    parser.add_argument(
        "--pairs",
        type=int,
        default=5,
        help="rounds of each workload; the order of programs turns round each time",
    )
    parser.add_argument(
        "--place",
        type=Path,
        default=_MEMORY_FOLDER / "holdfast-bench",
        help="folder for inputs and repositories",
    )
    parser.add_argument("--keep-inputs", action="store_true", help="leave the inputs for the next run")
    parser.add_argument(
        "--programs",
        default="",
        help="beginnings of names, with commas between: holdfast,restic,borg ... (default: all)",
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="size of the inputs; figures count at 1 only"
    )
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    chosen_words = parser.parse_args(words)
    unknown = set(_split(chosen_words.only)) - set(names)
    if unknown:
        parser.error(f"there is no workload {', '.join(sorted(unknown))}: {', '.join(names)}")
    return chosen_words


def _split(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _machine() -> dict[str, Any]:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


@contextlib.contextmanager
def _programs(workload: Workload, scale: float, beginnings: list[str]) -> Iterator[list[Program]]:
    """What does the workload, with the servers that it needs running."""
    with contextlib.ExitStack() as stack:
        if workload.is_in_bucket:
            programs = buckets.programs(stack.enter_context(running_ceph(CACHE / "bench-ceph")))
        elif not workload.is_remote:
            programs = local_programs()
        elif workload.kind == "pgbench":
            database = stack.enter_context(postgres.running(scale))
            programs = postgres.programs(database, stack.enter_context(running_sshd(extra=postgres.LOGIN)))
        else:
            programs = remote_programs(workload, stack.enter_context(running_sshd()))
        yield [
            program for program in programs if not beginnings or program.name.startswith(tuple(beginnings))
        ]


def _run_all(options: argparse.Namespace, results: Results) -> list[report.Figure]:
    names, beginnings = _split(options.only), _split(options.programs)
    inputs = Inputs(options.place / "inputs", options.scale)
    workloads = chosen(names) if not names or set(names) & {workload.name for workload in WORKLOADS} else []
    try:
        for place, workload in enumerate(workloads):
            with _programs(workload, options.scale, beginnings) as programs:
                data = workload.data(inputs)
                run_workload(workload, programs, options.place, data, options.pairs, results)
            if not options.keep_inputs and all(
                later.kind != workload.kind for later in workloads[place + 1 :]
            ):
                inputs.discard(workload.kind)
        return _run_singles(
            [name for name in SINGLES if (name in names if names else name not in ONLY_BY_NAME)],
            options.place,
            results,
        )
    finally:
        if not options.keep_inputs:
            inputs.remove()
            shutil.rmtree(options.place, ignore_errors=True)


def _run_singles(names: list[str], place: Path, results: Results) -> list[report.Figure]:
    figures: list[report.Figure] = []
    for name in names:
        room = place / "room"
        room.mkdir(parents=True, exist_ok=True)
        try:
            figures.extend(SINGLES[name](room))
        except RunFailedError as exc:
            results.failures.append(f"{name}: {exc}")
        finally:
            shutil.rmtree(room, ignore_errors=True)
    return figures


def main(words: Sequence[str] | None = None) -> int:
    """Runs the benches; 0 when every floor is reached."""
    options = _parse(words)
    # As an installation leaves it: where Python is told to write no bytecode, every start would compile the whole program.
    compileall.compile_dir(str(Path(engine.__file__).parent), quiet=1)
    adopt_orphans()
    results = Results()
    figures = _run_all(options, results)
    machine = _machine()
    print(
        f"\n{machine['cpus']} x {machine['cpu']}, Linux {machine['kernel']}, Python {machine['python']}; {options.pairs} rounds\n"
    )
    print(report.table(results, figures))
    if options.json:
        options.json.write_text(
            json.dumps(report.as_json(results, figures, machine), indent=1), encoding="utf-8"
        )
    missed = list(report.misses(results, figures))
    print("\n" + ("\n".join(f"BELOW ITS FLOOR: {miss}" for miss in missed) or "every floor is reached"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
