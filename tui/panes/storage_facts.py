"""What is known of a storage, as rows and lines: what it holds, how far it is behind, what is left if it is lost. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from engine.model.results import VerifyResult
from engine.model.standings import Loss, StorageStanding
from tui import keys
from tui.text import age, bar, moment, printable, short_size, size, span
from tui.widgets.row_source import Row

_LAG_S = 86_400.0
"""A storage that is further behind than this is marked."""
_SOON_FULL_DAYS = 30.0
_SHOWN_LOGS = 4


def verdict(result: VerifyResult) -> list[str]:
    """What a check found, a line each."""
    return [
        f"{result.status}: {result.packs_read} packs read, {size(result.bytes_read)} in {span(result.duration_s)}",
        *(f"! damaged {each.pack[:8]}: {each.message}" for each in result.damaged),
        *(f"  in backups {', '.join(each.backups)}" for each in result.damaged if each.backups),
        *(f"repaired {each.pack[:8]}: {each.message}" for each in result.repaired),
        *result.hints,
    ]


def details(
    standing: StorageStanding, loss: Loss, everything: Sequence[StorageStanding], now: datetime.datetime
) -> list[str]:
    """What is known of a storage, a line each."""
    storage = standing.storage
    lines = []
    if standing.error:
        lines.append(f"! does not answer: {standing.error}")
    lines += [
        f"{storage.name}  {storage.kind} {place_of(storage.options)}  repository {storage.repository_id[:8]}",
        *_room(standing),
        f"newest backup {moment(standing.newest_at, now)}; {_behind(standing)}",
        *(f"locked by {who}, {age(since, now)} ago" for who, since in standing.locks),
        *loss_lines(loss),
        f"copies: {sum(each.storage.is_enabled for each in everything)} storages switched on, of "
        f"{len({each.storage.kind for each in everything})} kinds",
        f"looked at {age(standing.seen_at, now)} ago"
        if standing.seen_at is not None
        else "not looked at yet: the worker does once an hour",
    ]
    return [printable(each) for each in lines]


def place_of(options: Any) -> str:
    """Where it lies, as a path or URL."""
    parts = [
        str(options[name])
        for name in ("host", "url", "bucket", "container", "path", "remote", "prefix")
        if options.get(name)
    ]
    return ":".join(parts)


def _room(standing: StorageStanding) -> list[str]:
    lines = []
    used, free, total = standing.used_bytes, standing.free_bytes, standing.total_bytes
    if free is not None and total:
        lines.append(f"room  [{bar(1 - free / total, 30)}]  {size(free)} of {size(total)} free")
    elif free is not None:
        lines.append(f"room  {size(free)} free")
    parts = (
        [f"holds {size(used)}"]
        if used is not None
        else [f"{keys.of('storage.measure')} measures what it holds"]
    )
    if standing.growth_bytes_per_day is not None:
        parts.append(f"grows by {size(standing.growth_bytes_per_day)} a day")
    if standing.days_until_full is not None:
        parts.append(f"full in {standing.days_until_full:.0f} days")
    return [*lines, ", ".join(parts), *_logs(standing)]


def _logs(standing: StorageStanding) -> list[str]:
    """How much of it logs take, before packing."""
    found = sorted(standing.logs, key=lambda each: -each.size_bytes)
    if not found:
        return []
    named = [f"{each.source} {size(each.size_bytes)}" for each in found[:_SHOWN_LOGS]]
    named += [f"and {len(found) - _SHOWN_LOGS} more"] if len(found) > _SHOWN_LOGS else []
    return [f"logs {size(sum(each.size_bytes for each in found))} before packing: {', '.join(named)}"]


def _behind(standing: StorageStanding) -> str:
    lacks = (
        f"lacks {standing.missing} that it was meant to take ({keys.of('storage.copy')} copies them)"
        if standing.missing
        else "lacks nothing it was meant to take"
    )
    return f"{span(standing.lag_s)} behind; {lacks}" if standing.lag_s else lacks


def loss_lines(loss: Loss) -> list[str]:
    """What is left if it is lost."""
    if not loss.sources:
        return [f"lost {loss.storage}?  it holds no source's newest backups"]
    lines = []
    if loss.lost:
        lines.append(
            f"! lost {loss.storage}?  {len(loss.lost)} of {loss.sources} sources are in no other storage: {', '.join(loss.lost[:5])}"
        )
    if loss.best:
        told = (
            f"{loss.recoverable_to.astimezone():%Y-%m-%d %H:%M}" if loss.recoverable_to is not None else "-"
        )
        lines.append(
            f"lost {loss.storage}?  {loss.best} has most of the rest; all of that can be brought back to {told} or later"
        )
    if loss.older:
        lines.append(f"   older elsewhere: {', '.join(name for name, _ in loss.older[:5])}")
    return lines


def lock_line(info: Any, now: datetime.datetime) -> str:
    """A lock: whose it is, and whether its holder lives."""
    if info.lock is None:
        return f"{info.name[:8]}  {info.verdict.value}: {info.reason}"
    kind = "exclusive" if info.lock.exclusive else "shared"
    who = (
        f"{info.lock.username}@{info.lock.hostname}, process {info.lock.pid}, {age(info.lock.time, now)} ago"
    )
    return f"{info.name[:8]}  {kind}  {who}: {info.verdict.value}, {info.reason}"


def row_of(standing: StorageStanding, now: datetime.datetime) -> Row:
    """A storage in the list."""
    storage = standing.storage
    is_late = standing.lag_s > _LAG_S
    is_filling = standing.days_until_full is not None and standing.days_until_full < _SOON_FULL_DAYS
    state = (
        "off"
        if not storage.is_enabled
        else "no answer!"
        if standing.error
        else f"full in {standing.days_until_full:.0f}d!"
        if is_filling
        else ("locked" if standing.locks else "default" if storage.is_default else "on")
    )
    tone = (
        "dim"
        if not storage.is_enabled
        else "risk"
        if standing.error
        else "warning"
        if is_late or is_filling or standing.missing
        else ""
    )
    cells = (
        printable(storage.name),
        storage.kind,
        short_size(standing.used_bytes),
        short_size(standing.free_bytes) if standing.free_bytes is not None else "-",
        str(standing.backups),
        str(standing.missing or "-"),
        f"{span(standing.lag_s)}{'!' if is_late else ''}" if standing.lag_s else "0",
        age(standing.proved_at, now) if standing.proved_at is not None else "NEVER",
        state,
    )
    order = (
        storage.name,
        storage.kind,
        standing.used_bytes,
        standing.free_bytes,
        standing.backups,
        standing.missing,
        standing.lag_s,
        standing.proved_at,
        state,
    )
    return Row(storage.name, cells, tone, order)
