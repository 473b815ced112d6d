"""What is shared by link, in all storages that hand out links."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual import on
from textual.widget import Widget

from engine.errors import HoldfastError
from engine.model.archives import Share
from engine.model.text import instant
from tui import backup_work
from tui.actions import Action
from tui.dialogs.confirm import Confirm
from tui.panes.base import View
from tui.place import bindings
from tui.text import printable, short_size
from tui.widgets.line import Line
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowList, RowTable


class SharesView(View):
    """The links themselves are secrets: one is shown when it is asked for."""

    PLACE = "shares"
    BINDINGS = bindings("shares")

    def __init__(self) -> None:
        super().__init__()
        self.said = Line("asking the storages…")
        self.said.add_class("aside")
        self.table = RowTable(
            [Column("STORAGE", 12), Column("NAME", 20, is_flexible=True, keeps_end=True), Column("SIZE", 5, is_right=True), Column("LEFT", 4, is_right=True), Column("UNTIL", 16, rank=1)],
            empty="nothing is shared: {history.share} on a backup shares it",
        )  # fmt: skip
        self._shares: dict[str, Share] = {}

    @property
    def crumb(self) -> str:
        """Where one is."""
        return "shared"

    def compose(self) -> Iterator[Widget]:
        """The list, and which storages said nothing."""
        yield self.table
        yield self.said

    async def load(self) -> None:
        """Asks each storage; one that hands out no links, or cannot be reached, is named below."""
        found: list[Share] = []
        silent = []
        for storage in await self.console.engine.storages():
            if storage.is_enabled:
                try:
                    found += await self.console.engine.shares(storage.name)
                except HoldfastError as error:
                    silent.append(f"{storage.name}: {error.message}")
        now = self.console.now()
        self._shares = {f"{each.storage} {each.name}": each for each in found}
        self.table.show_rows(
            [
                Row(
                    key,
                    (
                        printable(each.storage),
                        printable(each.name),
                        short_size(each.size_bytes),
                        backup_work.until(now, each.expires_at),
                        instant(each.expires_at),
                    ),
                )
                for key, each in self._shares.items()
            ]
        )
        self.said.show(printable("; ".join(silent)), tone="dim")

    @property
    def share(self) -> Share | None:
        """The one under the cursor."""
        return self._shares.get(self.table.current.key) if self.table.current is not None else None

    def why_off(self, action: Action) -> str:
        """There must be one."""
        return "" if self.share is not None else "nothing is shared"

    def copyables(self) -> Sequence[tuple[str, str]]:
        """Its name, and what ends it."""
        share = self.share
        if share is None:
            return [("command", "holdfast shares --on STORAGE")]
        return [("name", share.name), ("command", f"holdfast unshare {share.name} --on {share.storage}")]

    @on(RowList.Opened)
    def opened(self, event: RowList.Opened) -> None:
        """Its link."""
        event.stop()
        self.console.run_guarded(self.do_shares_link(), name="shares.link")

    async def do_shares_link(self) -> None:
        """Shown until it is closed."""
        if self.share is not None:
            await backup_work.show_link(self.console, self.share.storage, self.share.name)

    async def do_shares_unshare(self) -> None:
        """Asks first."""
        share = self.share
        if share is not None and await self.console.ask(
            Confirm(
                f"End the link to {printable(share.name)}?",
                ["Whoever has it gets nothing any more."],
                yes="end it",
            )
        ):
            await self.console.engine.unshare(share.storage, share.name)
            self.console.tell(f"shared no more: {printable(share.name)}")
            self.reload()
