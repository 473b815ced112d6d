"""Backups: what is at risk on top, then the sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.widget import Widget

from engine.model.requests import BackupRequest, DrillRequest
from engine.model.status import Concern, SourceStatus, Status
from tui.actions import Action
from tui.panes.base import Pane, View
from tui.place import bindings
from tui.text import age, ladder, moment, printable
from tui.widgets.line import Line
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowTable

_ATTENTION_ROWS = 4


class SourcesView(View):
    """Every source: what it can be brought back to, how old that is, how well it is proved."""

    PLACE = "sources"
    BINDINGS = bindings("sources")
    DEFAULT_CSS = "SourcesView > #attention { height: auto; } SourcesView > #attention > Line { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self.table = RowTable(
            [
                Column("SOURCE", 14, is_flexible=True), Column("RECOVERABLE TO", 14), Column("AGE", 4, is_right=True),
                Column("KIND", 8, rank=2), Column("COPIES", 6, is_right=True, rank=3), Column("PROOF", 13), Column("SCORE", 5, is_right=True, rank=1),
            ],
            empty="there is no source yet: n defines one",
        )  # fmt: skip
        self.attention = [Line() for _ in range(_ATTENTION_ROWS)]

    def compose(self) -> Iterator[Widget]:
        """Attention above, sources below."""
        yield from self.attention
        yield self.table

    async def load(self) -> None:
        """Everything at one instant."""
        status = await self.console.engine.status((await self.console.engine.expectations()).sources)
        self._show_attention(status.concerns)
        self.table.show_rows([_row(each, status) for each in status.sources])

    def _show_attention(self, concerns: Sequence[Concern]) -> None:
        shown = concerns[:_ATTENTION_ROWS]
        for line, concern in zip(
            self.attention, [*shown, *[None] * (_ATTENTION_ROWS - len(shown))], strict=True
        ):
            line.display = concern is not None
            if concern is not None:
                mark = "!" if concern.is_risk else "-"
                line.show(
                    f"{mark} {printable(concern.subject)}  {printable(concern.reason)}",
                    tone="risk" if concern.is_risk else "warning",
                )

    def why_off(self, action: Action) -> str:
        """There must be a source."""
        return "" if self.table.current is not None else "there is no source yet"

    async def do_source_backup(self) -> None:
        """Hands a backup of the chosen sources to a worker."""
        names = tuple(self.table.chosen())
        await self.console.submit("backup", BackupRequest(names), f"backing up {', '.join(names)}")

    async def do_source_drill(self) -> None:
        """Hands a drill to a worker."""
        for name in self.table.chosen():
            await self.console.submit("drill", DrillRequest(name), f"drill of {name}")


def _row(source: SourceStatus, status: Status) -> Row:
    tone = (
        "risk"
        if any(each.is_risk and each.subject == f"source {source.source}" for each in status.concerns)
        else ""
    )
    return Row(
        source.source,
        (
            printable(source.source),
            moment(source.recoverable_to, status.at),
            age(source.recoverable_to, status.at),
            source.kind,
            str(source.copies),
            ladder(source.proof, source.proven_at, status.at),
            str(source.score),
        ),
        tone,
        (
            source.source,
            source.recoverable_to,
            source.recoverable_to,
            source.kind,
            source.copies,
            source.proven_at,
            source.score,
        ),
    )


class BackupsPane(Pane):
    """Tab 1."""

    TITLE = "backups"

    def __init__(self, *, id: str) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(SourcesView(), id=id)
