"""A tree of files that a test writes down, fed as a source feeds one: a listing, and what is wanted of it in the order of the wants."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.model.entry import Entry, Failure, Fetched

SMALL_BYTES = 512 << 10
PIECE_BYTES = 300_000


@dataclass(frozen=True, slots=True)
class Made:
    """One entry of the tree, and how it behaves."""

    path: str
    content: bytes = b""
    type: str = "f"
    mode: int = 0o644
    mtime_s: int = 1_700_000_000
    inode: int = 0
    """0: one made of the path."""
    links: int = 1
    target: str = ""
    rdev: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    listed_bytes: int | None = None
    """The size that the listing tells where that is another than the content's: the file grew or shrank since."""
    found_type: str = ""
    """What lies there when it is wanted, where that is something else than was listed."""
    is_vanished: bool = False
    """Listed, and gone when it is wanted."""

    @property
    def number(self) -> int:
        """Its inode."""
        return self.inode or 1 + sum(
            byte << 8 * (at % 5) for at, byte in enumerate(self.path.encode())
        ) % (1 << 48)  # fmt: skip

    def entry(self) -> Entry:
        """As a listing has it."""
        size = len(self.content) if self.listed_bytes is None else self.listed_bytes
        time = b"%d.0000000070" % self.mtime_s
        return Entry(
            self.path.encode(), self.type, self.mode, 0, 0, b"root", b"root", size if self.type == "f" else 0,
            time, time, self.number, 64769, self.links, self.target.encode(),
        )  # fmt: skip


def directories(*made: Made) -> list[Made]:
    """The same in a listing's order: each directory that a path needs ahead of what is in it, and all of it before the next."""
    found: dict[str, Made] = {}
    for each in made:
        parts = each.path.split("/")
        for end in range(1, len(parts)):
            path = "/".join(parts[:end])
            found.setdefault(path, Made(path, type="d", mode=0o755))
        found[each.path] = each
    return sorted(found.values(), key=lambda each: each.path.split("/"))


class MadeFeed:
    """See `sources.base.TreeFeed`. `wanted` tells what was asked for."""

    is_here = False

    def __init__(self, made: Iterable[Made], batch: int = 3) -> None:
        self.made = list(made)
        self._batch = batch
        self._by_path = {each.path.encode(): each for each in self.made}
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._sent: set[int] = set()
        self._failures: list[Failure] = []
        self.wanted: list[bytes] = []

    async def entries(self) -> AsyncIterator[Sequence[Entry]]:
        """The listing, a few at a time."""
        for begin in range(0, len(self.made), self._batch):
            await asyncio.sleep(0)
            yield [each.entry() for each in self.made[begin : begin + self._batch]]

    async def want(self, paths: Sequence[bytes]) -> None:
        """Asks."""
        await asyncio.sleep(0)
        self.wanted += paths
        for path in paths:
            self._queue.put_nowait(path)

    async def end_of_wants(self) -> None:
        """Nothing more."""
        self._queue.put_nowait(None)

    async def contents(self) -> AsyncIterator[Sequence[Fetched]]:
        """One at a time, in order."""
        while (path := await self._queue.get()) is not None:
            made = self._by_path[path]
            if made.is_vanished:
                self._failures.append(Failure(path, "vanished", "No such file or directory"))
                continue
            yield [self._fetched(made)]

    def failures(self) -> Sequence[Failure]:
        """Those that vanished."""
        return self._failures

    def warnings(self) -> Sequence[str]:
        """None."""
        return ()

    def _fetched(self, made: Made) -> Fetched:
        path = made.path.encode()
        if made.links > 1 and made.type != "d":
            # What GNU tar does: the second name of an inode comes without content, attributes and device number.
            if made.number in self._sent:
                return Fetched(path, (), 0, None, None, "")
            self._sent.add(made.number)
        if made.type == "f" and len(made.content) > SMALL_BYTES:
            return Fetched(path, made.xattrs, 0, None, pieces(made.content), "f")
        type_ = made.found_type or made.type
        return Fetched(path, made.xattrs, made.rdev, made.content if type_ == "f" else b"", None, type_)


async def pieces(content: bytes, piece_bytes: int = PIECE_BYTES) -> AsyncIterator[bytes]:
    """A stream of it."""
    for begin in range(0, len(content), piece_bytes):
        await asyncio.sleep(0)
        yield content[begin : begin + piece_bytes]


def changed(made: Sequence[Made], path: str, **fields: object) -> list[Made]:
    """The same tree, with one entry changed."""
    return [dataclasses.replace(each, **fields) if each.path == path else each for each in made]  # type: ignore[arg-type]


def files_feed(*named: tuple[str, bytes]) -> MadeFeed:
    """A feed of plain files and the directories above them."""
    return MadeFeed(directories(*(Made(path, content) for path, content in named)))


class HereFeed(MadeFeed):
    """A folder of this machine, whose plain files the caller may read itself; `stale` are listed as they are no more."""

    is_here = True

    def __init__(self, folder: Path, stale: Iterable[str] = ()) -> None:
        names = sorted(path.name for path in folder.iterdir())
        root = str(folder).lstrip("/")
        super().__init__(
            directories(*(Made(f"{root}/{name}", (folder / name).read_bytes()) for name in names)), batch=40
        )
        self._root = root
        self._stale = frozenset(stale)

    async def entries(self) -> AsyncIterator[Sequence[Entry]]:
        """The listing, with the change times that the files have."""
        async for batch in super().entries():
            yield [self._as_it_is(entry) for entry in batch]

    def _as_it_is(self, entry: Entry) -> Entry:
        status = Path("/" + entry.path.decode()).lstat()
        ctime = b"%d.%09d0" % divmod(status.st_ctime_ns, 10**9)
        is_stale = entry.path.decode().rpartition("/")[2] in self._stale
        return entry if entry.type == "d" or is_stale else entry._replace(ctime=ctime)
