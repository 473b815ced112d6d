"""The evidence that drills left: listed, shown, signed off, held against a key, written out."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on
from textual.widget import Widget

from engine.model.results import EvidenceCheck, EvidenceItem
from engine.model.text import counted
from tui import backup_work, paths
from tui.actions import ACTIONS, Action
from tui.dialogs.menu import Menu
from tui.dialogs.reader import Reader
from tui.panes import restore_text, restore_work
from tui.panes.base import View
from tui.place import bindings
from tui.text import clock, moment, printable
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable

if TYPE_CHECKING:
    from tui.app import ConsoleApp

_TONES = {"failed": "risk", "damaged": "risk", "inconclusive": "warning"}


class EvidenceView(View):
    """Of all sources, or of one."""

    PLACE = "evidence"
    BINDINGS = bindings("evidence")

    def __init__(self, source: str = "") -> None:
        super().__init__()
        self.source = source
        self.table = RowTable(
            [
                Column("AT", 14), Column("SOURCE", 12, is_flexible=True), Column("VERDICT", 12), Column("LEVEL", 8, rank=1),
                Column("TOOK", 7, is_right=True), Column("SIGNED OFF BY", 14, is_flexible=True), Column("DRILL", 8, rank=2),
            ],
            empty="no drill has left evidence yet",
        )  # fmt: skip
        self._items: dict[str, EvidenceItem] = {}

    @property
    def crumb(self) -> str:
        """Of which source."""
        return "evidence"

    def compose(self) -> Iterator[Widget]:
        """The list."""
        yield self.table

    async def load(self) -> None:
        """Reads what the folder of evidence holds."""
        found = await self.console.engine.evidence(source=self.source)
        self._items = {each.job_id: each for each in found}
        now = self.console.now()
        self.table.show_rows([_row(each, now) for each in found])

    @property
    def item(self) -> EvidenceItem:
        """The one under the cursor; there is one."""
        assert self.table.current is not None
        return self._items[self.table.current.key]

    def why_off(self, action: Action) -> str:
        """Most need a row."""
        if action.action_id == "evidence.key" or self.table.current is not None:
            return ""
        return "no drill has left evidence yet"

    def copyables(self) -> Sequence[tuple[str, str]]:
        """Drill, file, and the command line that shows it."""
        if self.table.current is None:
            return [("command", "holdfast evidence list")]
        item = self.item
        return [
            ("drill", item.job_id),
            ("file", item.report),
            ("command", f"holdfast evidence show {item.job_id}"),
        ]

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Enter."""
        event.stop()
        self.perform(ACTIONS["evidence.show"])

    async def do_evidence_show(self) -> None:
        """Whole."""
        await show_evidence(self.console, self.item.job_id)

    async def do_evidence_sign_off(self) -> None:
        """Asks who stands by it, and what there is to say; the evidence stays as it is."""
        item = self.item
        who = await self.console.ask_line("signed off by (your name): ")
        if not who:
            return
        note = await self.console.ask_line("note, if there is one: ")
        if note is None:
            return
        await self.console.engine.sign_off(item.job_id, who, note)
        self.console.tell(f"drill {item.job_id} of {item.source} is signed off by {who}", "good")
        self.reload()

    async def do_evidence_verify(self) -> None:
        """This home's own, against its key; or files of any other, against the key of a file."""
        how = await self.console.ask(
            Menu(
                "Check evidence",
                [
                    ("own", "all that is listed here, against this home's key"),
                    ("files", "files of a folder, against a public key in a file"),
                ],
            )
        )
        if how == "own":
            found = await self.console.engine.check_evidence([each.report for each in self._items.values()])
        elif how == "files":
            asked = await self._ask_for_files()
            if asked is None:
                return
            found = await self.console.engine.check_evidence(*asked)
        else:
            return
        await self.console.ask(Reader(_checked(found), [_check_line(each) for each in found]))

    async def _ask_for_files(self) -> tuple[Sequence[str], str] | None:
        """Files, and the file of the key."""
        named = await self.console.ask_line("files of evidence (quoted where they hold spaces): ")
        if not named:
            return None
        key = await self.console.ask_line("file of the public key: ")
        return (
            ([paths.absolute(each) for each in paths.pasted(named)[0]], restore_work.local_path(key))
            if key
            else None
        )

    async def do_evidence_key(self) -> None:
        """The key that whoever checks needs; no secret."""
        line, fingerprint = await self.console.engine.evidence_public_key()
        said = [line, "", f"fingerprint {fingerprint}", "", "holdfast evidence verify FILE --public-key KEYFILE checks with it, on any machine"]  # fmt: skip
        await self.console.ask(Reader("Public key of this home's evidence: it is no secret", said))

    async def do_evidence_log(self) -> None:
        """Of another home's drill there is none."""
        await backup_work.show_log(self.console, self.item.job_id)

    async def do_evidence_out(self) -> None:
        """JSON, page and signatures into a folder."""
        await write_out(self.console, self.item.job_id)


async def show_evidence(console: ConsoleApp, report: str) -> None:
    """The evidence of a drill on a page. Raises: UnknownNameError, DamagedError."""
    item, document, signature = await console.engine.show_evidence(report)
    await console.ask(
        Reader(
            f"Drill {item.job_id} of {printable(item.source)}: {item.status}",
            evidence_lines(item, document, signature),
        )
    )


async def write_out(console: ConsoleApp, report: str) -> None:
    """Asks for a folder of this machine, and writes the evidence there. Raises: UsageError where that cannot be."""
    folder = await console.ask_line("write the evidence to folder: ", str(Path.cwd()))
    if folder:
        target = restore_work.local_path(folder)
        written = await console.engine.export_evidence(report, target)
        console.tell(
            f"{counted(len(written), 'file')} of evidence, JSON, PDF and signatures, are in {target}", "good"
        )


def evidence_lines(item: EvidenceItem, document: Mapping[str, Any], signature: str) -> list[str]:
    """All that it says, a line each."""
    drill = document.get("drill", {})
    lines = [
        f"verdict    {item.status}, level {item.level or 'none'}, backup {item.backup_id}",
        f"took       {clock(item.rto_s)}"
        + (f" of {clock(drill['budget_s'])}" if drill.get("budget_s") else ""),
        f"written    {item.written_at} on {document.get('machine', '')}",
        f"signature  {signature}",
        f"file       {item.report}",
        *([f"took part  {', '.join(item.by)}"] if item.by else []),
        *([f"note       {item.note}"] if item.note else []),
        *(
            f"signed off by {each.by}, {each.at}{f': {each.note}' if each.note else ''}"
            for each in item.sign_offs
        ),
        "",
        *(
            f"{each['status']:<8} {clock(each['duration_s']):>7}  {each['step']}  {each['detail']}"
            for each in drill.get("steps", [])
        ),
        "",
        *(
            f"{'right' if each['passed'] else 'WRONG':<8} {each['check']}: {each['actual']}"
            + ("" if each["passed"] else f" instead of {each['expected']}")
            for each in drill.get("checks", [])
        ),
    ]
    return [printable(each) for each in lines]


def _checked(found: Sequence[EvidenceCheck]) -> str:
    valid = sum(each.status == "valid" for each in found)
    return f"{valid} of {counted(len(found), 'file')} as they were signed"


def _check_line(check: EvidenceCheck) -> str:
    return printable(f"{check.status:<12} {check.file}  {check.detail}")


def _row(item: EvidenceItem, now: datetime.datetime) -> Row:
    at = datetime.datetime.fromisoformat(item.written_at) if item.written_at else None
    signed = printable(", ".join(each.by for each in item.sign_offs))
    return Row(
        item.job_id,
        (
            moment(at, now),
            printable(item.source),
            item.status,
            restore_text.level_word(item.level),
            clock(item.rto_s),
            signed,
            item.job_id[:8],
        ),
        _TONES.get(item.status, ""),
        (item.written_at, item.source, item.status, item.level, item.rto_s, signed, item.job_id),
    )
