"""A running Redis server emptied and filled again from an RDB file: key by key, by RESTORE, through redis-cli in one pipe.

The server is looked at first: whether it may be written to at all, understands values of that version, has room. Nothing of that leaves a
trace: the value that it is shown has expired long ago, and commands that would empty it are sent with a word too many.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from engine.errors import ConnectionLostError, RefusedError, SourceError, UnknownNameError
from engine.hosts.base import Process, require_started
from engine.model.manifest import CheckResult, DatabaseFacts, compare
from engine.sources.redis import values
from engine.sources.redis.client import Client, Info, version_numbers
from engine.sources.redis.rdb import RdbCheck
from engine.sources.redis.records import RecordReader
from engine.sources.redis.sending import Count, Sample, Sender, payload, quoted
from engine.sources.refill import Refill, RefillPlan

_FED_BYTES = 256 << 10
_LONGEST_VALUE_BYTES = 512 << 20
"""What a server takes as one argument (`proto-max-bulk-len`)."""
_EMPTYING_TIMEOUT_S = 3600.0
_SAMPLES_LIMIT_BYTES = 16 << 20
_FIRST_VERSION = (5, 0)
"""Of Redis that knows RESTORE with an absolute time."""
_FUNCTIONS_SINCE = (7, 0)
_PROBE = "holdfast"
_DATABASE = re.compile(r"(?:db)?(\d{1,9})\Z")
_ENDED = re.compile(rb"errors: (\d+), replies: (\d+)")
# For each key a line: its type, whether it expires, and its value in hexadecimal digits.
_LOOK = (
    "local d = redis.call('DUMP', KEYS[1]) if not d then return 'none' end "
    "local h = string.gsub(string.sub(d, 1, -11), '.', function(c) return string.format('%02x', string.byte(c)) end) "
    "return redis.call('TYPE', KEYS[1]).ok .. ' ' .. (redis.call('PTTL', KEYS[1]) >= 0 and 1 or 0) .. ' ' .. h"
)


@asynccontextmanager
async def refilling(
    client: Client, facts: DatabaseFacts, databases: Sequence[str], seed: int
) -> AsyncIterator[Refill]:
    """See `refill.RefillableSource.refill`. Raises: UnknownNameError for what is no database of Redis."""
    async with AsyncExitStack() as stack:
        yield _Refill(client, facts, frozenset(map(_number, databases)), seed, stack)


class _Refill:
    """See `refill.Refill`."""

    def __init__(
        self,
        client: Client,
        facts: DatabaseFacts,
        databases: Collection[int],
        seed: int,
        stack: AsyncExitStack,
    ) -> None:
        self._client = client
        self._facts = facts
        self._databases = databases
        self._seed = seed
        self._stack = stack
        self._check = RdbCheck(f"the dump for {client.where}")
        self._count = Count()
        self._counting = RecordReader(self._count)
        self._sender: Sender | None = None
        self._sending: RecordReader | None = None
        self._process: Process | None = None
        self._has_functions = False

    async def measure(self, data: bytes) -> None:
        await asyncio.to_thread(self._measured, data)

    def _measured(self, data: bytes) -> None:
        for begin in range(0, len(data), _FED_BYTES):
            self._counting.feed(self._check.take(data[begin : begin + _FED_BYTES]))

    async def require_possible(self) -> RefillPlan:
        last, _is_vouched_for = self._check.finish()
        self._counting.feed(last)
        self._counting.finish()
        info = await self._client.info()
        self._require_writable(info)
        self._has_functions = version_numbers(info.version) >= _FUNCTIONS_SINCE
        arriving = self._count.tables(self._databases)
        if self._count.longest_bytes >= _LONGEST_VALUE_BYTES - 16:
            raise RefusedError(
                f"the dump has a value of {self._count.longest_bytes} bytes, more than {self._client.where} takes at once"
            )
        self._require_room(info)
        await self._require_understood(info)
        await self._require_allowed([int(each.name.removeprefix("db")) for each in arriving])
        going = [
            each
            for each in info.tables
            if not self._databases or int(each.name.removeprefix("db")) in self._databases
        ]
        return RefillPlan(replace(self._facts, tables=arriving), replace(self._facts, tables=going))

    def _require_writable(self, info: Info) -> None:
        where = self._client.where
        if info.is_replica:
            raise RefusedError(
                f"{where} is a replica, and takes what its master has",
                hint="restore into the master: `--on SOURCE` names the source of it",
            )
        if info.is_cluster:
            raise RefusedError(
                f"{where} is a node of a cluster, which has but a part of the keys",
                hint="restore into a directory (--to DIR), and load the file into a server of its own",
            )
        if version_numbers(info.version) < _FIRST_VERSION:
            raise RefusedError(
                f"{where} is of version {info.version}; from 5.0 on keys can be restored into a running server"
            )

    async def _require_understood(self, info: Info) -> None:
        """Shows it a value of the file's version that has expired long ago: one that it takes is gone in the same instant."""
        shown = quoted(payload(b"\0\xc0\1", self._check.version))
        said = await self._said(
            f"RESTORE {quoted(_PROBE.encode() + b':' + self._seed.to_bytes(8, 'big'))} 1 {shown} REPLACE ABSTTL"
        )
        if "payload version" in said:
            raise RefusedError(
                f"the dump is of RDB version {self._check.version}, which {self._client.where} ({info.version}) cannot read: it is older than the server of the backup",
                hint="restore into a server of the backup's version or a newer one: `--on SOURCE`",
            )
        # A server that is full now will be empty then.
        if said != "OK" and not said.startswith("OOM"):
            raise self._client.refusal(said.encode())

    async def _require_allowed(self, arriving: Sequence[int]) -> None:
        """Whether it has these databases, and lets us empty it: asked with a word too many, which it looks at only where it would do it."""
        numbers, emptying = sorted({*arriving, *self._databases}), self._emptying()
        lines = [f"SELECT {number}" for number in numbers]
        lines += [f"{' '.join(words)} {_PROBE}" for words in emptying]
        # Behind an error redis-cli prints an empty line.
        answers = [each for each in (await self._said(*lines)).splitlines() if each]
        for number, answer in zip(numbers, answers, strict=False):
            if answer != "OK":
                raise RefusedError(
                    f"{self._client.where} has no database {number}: {answer}",
                    hint="raise `databases` in its configuration, or choose others with --database",
                )
        for words, answer in zip(emptying, answers[len(numbers) :], strict=True):
            if "syntax error" not in answer and "only supports" not in answer:
                raise self._client.refusal(f"{words[0]}: {answer}".encode())

    def _require_room(self, info: Info) -> None:
        if self._databases:
            return
        if info.most_bytes and self._facts.size_bytes > info.most_bytes:
            raise RefusedError(
                f"{self._client.where} may hold {info.most_bytes} bytes, and the backup's server held {self._facts.size_bytes}",
                hint="raise its `maxmemory`, or choose databases with --database",
            )

    def _emptying(self) -> list[tuple[str, ...]]:
        if self._databases:
            return [("FLUSHDB",)]
        return [("FUNCTION", "FLUSH"), ("FLUSHALL",)] if self._has_functions else [("FLUSHALL",)]

    async def empty(self) -> None:
        for words in self._emptying():
            for number in sorted(self._databases) or [0]:
                await self._client.answer("-n", str(number), *words, timeout_s=_EMPTYING_TIMEOUT_S)
        command = await self._client.command("--pipe", "--pipe-timeout", "600")
        command = replace(command, input="stream")
        self._command = command
        self._process = await self._stack.enter_async_context(self._client.host.start(command))
        self._sender = Sender(self._check.version, self._count.long, self._databases, self._seed)
        self._sending = RecordReader(self._sender)

    async def write(self, data: bytes) -> None:
        for begin in range(0, len(data), _FED_BYTES):
            await self._send(await asyncio.to_thread(self._converted, data[begin : begin + _FED_BYTES]))

    def _converted(self, data: bytes) -> bytes:
        assert self._sender is not None
        assert self._sending is not None
        self._sending.feed(data)
        return self._sender.taken()

    async def _send(self, data: bytes) -> None:
        assert self._process is not None
        try:
            if data:
                await self._process.write(data)
        except BrokenPipeError:
            await self._judge()
            raise SourceError(f"redis-cli ended before all was sent to {self._client.where}") from None

    async def finish(self) -> Sequence[CheckResult]:
        assert self._process is not None
        assert self._sending is not None
        self._sending.finish()
        await self._process.close_input()
        await self._judge()
        actual = DatabaseFacts(self._facts.name, tables=(await self._client.info()).tables)
        expected = DatabaseFacts(self._facts.name, tables=self._count.tables(self._databases))
        chosen = [f"db{number}" for number in self._databases]
        return [*compare(expected, actual, chosen), *await self._sampled()]

    async def _judge(self) -> None:
        """Raises: SourceError unless redis-cli has an answer to each command, and no error among them."""
        assert self._process is not None
        assert self._sender is not None
        said = b""
        while data := await self._process.read():
            said = (said + data)[-1000:]
        ended = await self._process.wait()
        where = self._client.where
        if ended.status is None and ended.signal is None:
            raise ConnectionLostError(f"{self._client.host.name} never said how redis-cli ended")
        require_started(self._client.host.name, self._command, ended)
        found = _ENDED.search(said)
        if found is None or int(found[1]):
            words = (ended.stderr or said).decode(errors="backslashreplace").strip().splitlines()
            many = f" ({int(found[1])} of {self._sender.commands} commands)" if found else ""
            raise SourceError(
                f"{where} did not take all keys{many}: {words[0][:300] if words else 'it said nothing'}"
            )
        if int(found[2]) != self._sender.commands or not ended.is_success:
            raise SourceError(f"{where} answered {int(found[2])} of {self._sender.commands} commands")

    async def _sampled(self) -> list[CheckResult]:
        """Some of the keys as the server has them now. Other limits of its own may encode a collection another way: only a string's content,
        and what is encoded as before, can be held against what was sent."""
        assert self._sender is not None
        samples = self._sender.samples
        if not samples:
            return []
        lines = [
            f'SELECT {each.record.database}\nEVAL "{_LOOK}" 1 {quoted(each.record.key)}' for each in samples
        ]
        said = await self._client.run_lines(lines, limit_bytes=_SAMPLES_LIMIT_BYTES)
        answers = said.decode(errors="replace").splitlines()[1::2]
        if len(answers) != len(samples) or any(
            "NOPERM" in each or each.startswith("ERR") for each in answers
        ):
            return []
        wrong = [each for each, answer in zip(samples, answers, strict=True) if not _is_same(each, answer)]
        return [
            CheckResult(
                "values of keys at random",
                "0 of them wrong",
                f"{len(wrong)} of {len(samples)} wrong",
                not wrong,
            )
        ]

    async def _said(self, *lines: str) -> str:
        said = await self._client.run_lines(lines, limit_bytes=1 << 20)
        return said.decode(errors="replace").strip()


def _is_same(sample: Sample, answer: str) -> bool:
    parts = answer.split(" ")
    if len(parts) != 3:
        # It may have expired meanwhile, and only then be gone.
        return bool(sample.record.expires_ms)
    expires, found = parts[1] == "1", bytes.fromhex(parts[2])
    if expires != bool(sample.record.expires_ms):
        return False
    if found == sample.value:
        return True
    text = values.plain_string(sample.value)
    if text is not None:
        return values.plain_string(found) == text
    if found[:1] != sample.value[:1]:
        return parts[0] != "string"
    return True


def _number(name: str) -> int:
    found = _DATABASE.match(name)
    if found is None:
        raise UnknownNameError(
            f"Redis has no database named {name!r}", hint="its databases are numbered: --database 0"
        )
    return int(found[1])
