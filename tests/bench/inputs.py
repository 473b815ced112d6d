"""The data of the benches, the same on every machine and at every run: made from fixed seeds, kept in one folder, removed at the end."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

MIB = 1 << 20
STREAM_BYTES = 2048 * MIB
SMALL_FILES = 100_000
SMALL_TOTAL_BYTES = 421_000_000
MIB_FILES = 2_000
MANY_FILES = 1_000_000
_BLOCK_BYTES = 16 * MIB
_FILES_IN_FOLDER = 100
_OLD_NS = 1_750_000_000_000_000_000
"""Times of the generated files start here, in June 2025, a little over a second apart."""

_SYLLABLES = [consonant + vowel for consonant in "bdklmnrst" for vowel in "aeiou"]
_STATES = ("new", "paid", "packed", "shipped", "delivered", "returned", "cancelled")
_VOCABULARY = 4_000
_ROWS_AT_ONCE = 1_000


def _vocabulary() -> list[str]:
    draw = random.Random(0)
    return ["".join(draw.choices(_SYLLABLES, k=draw.randint(1, 4))) for _ in range(_VOCABULARY)]


_WORDS = _vocabulary()
# A few words are said often and most seldom, as in speech.
_WEIGHTS = list(itertools.accumulate(1 / (rank + 2) for rank in range(_VOCABULARY)))


def _rows(number: int) -> Iterator[str]:
    """Rows without end."""
    draw = random.Random(number)
    for row in itertools.count(number * 100_000, _ROWS_AT_ONCE):
        said = draw.choices(_WORDS, cum_weights=_WEIGHTS, k=20 * _ROWS_AT_ONCE)
        numbers = draw.choices(range(1_000_000), k=2 * _ROWS_AT_ONCE)
        tokens = draw.randbytes(10 * _ROWS_AT_ONCE).hex()
        for place in range(_ROWS_AT_ONCE):
            first, second = numbers[2 * place : 2 * place + 2]
            name, street, *text = said[20 * place : 20 * place + 9 + first % 12]
            token = tokens[20 * place : 20 * place + 20]
            yield (
                f"INSERT INTO public.orders VALUES ({row + place}, {first}, '{name} {street}', '{_STATES[second % 7]}', "
                f"{second % 10_000}.{first % 100:02d}, '{token[:8]}-{token[8:12]}-4000-8000-0000{token[12:]}', "
                f"'2025-{1 + first % 12:02d}-{1 + second % 28:02d} {first % 24:02d}:{second % 60:02d}:00+00', '{' '.join(text)}', NULL, true);\n"
            )


def sql_block(number: int, size_bytes: int = _BLOCK_BYTES) -> bytes:
    """One block of a dump: INSERT rows of numbers, names, sentences, a uuid and a time. zstd -3 makes about 0.3 of it."""
    taken: list[str] = []
    missing = size_bytes
    for row in _rows(number):
        taken.append(row)
        missing -= len(row)
        if missing <= 0:
            break
    return "".join(taken).encode()[:size_bytes]


def random_block(number: int, size_bytes: int = _BLOCK_BYTES) -> bytes:
    """One block that no program can make smaller."""
    return random.Random(1_000_000 + number).randbytes(size_bytes)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Makes what is asked for under `directory`, once. `scale` shrinks everything: 1 for figures that count, less to try the harness."""

    directory: Path
    scale: float = 1.0

    def stream(self, kind: str) -> Path:
        """A file of 2 GiB, `sql` or `random`."""
        path = self.directory / f"{kind}.stream"
        if not path.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            make: Callable[[int], bytes] = {"sql": sql_block, "random": random_block}[kind]
            blocks = max(1, round(self.scale * STREAM_BYTES / _BLOCK_BYTES))
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                file.writelines(_in_processes(make, range(blocks)))
            partial.rename(path)
        return path

    def tree(self, kind: str) -> Path:
        """A folder: `small` 100,000 files of 421 MB in all; `mib` 2,000 files of 1 MiB; `many` 1,000,000 files of a few bytes."""
        root = self.directory / kind
        if not root.exists():
            partial = root.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            sizes = self._sizes(kind)
            folders = [
                (partial, kind, at, sizes[at : at + _FILES_IN_FOLDER])
                for at in range(0, len(sizes), _FILES_IN_FOLDER)
            ]
            for _done in _in_processes(_make_folder, folders):
                pass
            for at, folder in enumerate(
                sorted({folder for folder in partial.rglob("*") if folder.is_dir()}, reverse=True)
            ):
                _make_old(folder, at)
            partial.rename(root)
        return root

    def remove(self) -> None:
        """Removes all that was made."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def discard(self, kind: str) -> None:
        """Removes one input, for the memory that it takes."""
        (self.directory / f"{kind}.stream").unlink(missing_ok=True)
        shutil.rmtree(self.directory / kind, ignore_errors=True)

    def _sizes(self, kind: str) -> list[int]:
        if kind == "mib":
            return [MIB] * round(MIB_FILES * self.scale)
        draw = random.Random(kind)
        if kind == "many":
            return [draw.randrange(64) for _ in range(round(MANY_FILES * self.scale))]
        count = round(SMALL_FILES * self.scale)
        drawn = [draw.lognormvariate(0, 1.4) for _ in range(count)]
        share = SMALL_TOTAL_BYTES * self.scale / sum(drawn)
        return [int(size * share) for size in drawn]


def _make_folder(job: tuple[Path, str, int, list[int]]) -> int:
    """Writes the files of one folder: half text, half random, so that half of them compress."""
    root, kind, first, sizes = job
    folder = root / f"part-{first // 10_000:03d}" / f"folder-{first // _FILES_IN_FOLDER:05d}"
    folder.mkdir(parents=True)
    # Each half is cut from one block, at odd places, so that no two files of the tree are alike.
    half = max(sum(sizes[::2]), sum(sizes[1::2]))
    number = 5_000_000 + first
    blocks = (
        [sql_block(number, half), random_block(number, half)]
        if kind != "many"
        else [random_block(number, half * 2)] * 2
    )
    places = [0, 0] if kind != "many" else [0, half]
    for offset, size in enumerate(sizes):
        which = offset % 2
        path = folder / f"file-{first + offset:07d}.{'sql' if which == 0 else 'bin'}"
        path.write_bytes(blocks[which][places[which] : places[which] + size])
        places[which] += size
        _make_old(path, first + offset)
    return len(sizes)


def _make_old(path: Path, number: int) -> None:
    instant = _OLD_NS + number * 1_000_000_007
    os.utime(path, ns=(instant, instant))


def _in_processes(make: Callable[[_Given], _Made], work: Iterable[_Given]) -> Iterator[_Made]:
    """The results in order, made by one process a CPU, a few ahead of what is taken."""
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        ahead: list[concurrent.futures.Future[_Made]] = []
        for given in work:
            ahead.append(pool.submit(make, given))
            if len(ahead) > 8:
                yield ahead.pop(0).result()
        for future in ahead:
            yield future.result()
