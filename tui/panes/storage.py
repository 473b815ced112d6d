"""Storage: what each holds, how far it is behind, and what is left if it is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from textual import on
from textual.widget import Widget

from engine.model.requests import CopyCatalogRequest, CopyRequest, PruneRequest, VerifyRequest
from engine.model.results import PruneResult, VerifyResult
from engine.model.standings import StorageStanding
from tui import backup_work, keys
from tui.actions import Action
from tui.dialogs import wizards
from tui.dialogs.confirm import Confirm, TypeName
from tui.dialogs.menu import Menu
from tui.dialogs.reader import Reader
from tui.panes import storage_facts
from tui.panes.base import Pane, View
from tui.panes.schedule_keep import type_rules
from tui.place import bindings
from tui.text import printable, size
from tui.widgets.page import Page
from tui.widgets.row_source import Column
from tui.widgets.rows import RowList, RowTable

_CHECKS = (
    ("structure", "structure: index, snapshots, trees"),
    ("slice", "a tenth of its data, what was not proved for the longest time"),
    ("data", "all of its data"),
    ("repair", "all of its data, and make anew what is damaged, from other storages"),
)

_NONE: Final = "there is no storage yet: {storage.new} defines one"


class StorageView(View):
    """The storages, and below them what is known of the one under the cursor."""

    PLACE = "storage"
    BINDINGS = bindings("storage")
    DEFAULT_CSS = """
    StorageView > RowTable { height: 1fr; max-height: 40%; }
    StorageView > Page { height: 1fr; border-top: ascii $foreground; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_class("beside")
        self.table = RowTable(
            [
                Column("STORAGE", 10, is_flexible=True), Column("KIND", 7), Column("USED", 6, is_right=True, rank=1),
                Column("FREE", 6, is_right=True), Column("BACKUPS", 7, is_right=True, rank=2), Column("LACKS", 5, is_right=True),
                Column("LAG", 5, is_right=True), Column("PROVED", 6, is_right=True), Column("STATE", 12),
            ],
            empty=_NONE,
        )  # fmt: skip
        self.page = Page()
        self.page.add_class("aside")
        self._known: dict[str, StorageStanding] = {}

    def compose(self) -> Iterator[Widget]:
        """Storages above, the details below, or beside them where there is room."""
        yield self.table
        yield self.page

    async def load(self) -> None:
        """Reads all of them, and what is left without the current one."""
        found = await self.console.engine.storage_standings()
        self._known = {each.storage.name: each for each in found}
        now = self.console.now()
        self.table.show_rows([storage_facts.row_of(each, now) for each in found])
        await self._show_details()

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        """Details of another one."""
        event.stop()
        self.console.run_worker(
            self._show_details(), group="storage details", exclusive=True, exit_on_error=False
        )

    async def _show_details(self) -> None:
        standing = self.current
        if standing is None:
            self.page.show([])
            return
        loss = await self.console.engine.storage_loss(standing.storage.name)
        self.page.show(storage_facts.details(standing, loss, list(self._known.values()), self.console.now()))

    @property
    def current(self) -> StorageStanding | None:
        """The one under the cursor."""
        row = self.table.current
        return self._known.get(row.key) if row is not None else None

    @property
    def chosen(self) -> str:
        """Its name; empty where there is none."""
        return self.current.storage.name if self.current is not None else ""

    def why_off(self, action: Action) -> str:
        """Most need a storage."""
        if action.action_id == "storage.new":
            return ""
        if action.action_id.startswith("catalog."):
            return "" if self._known else "there is no storage yet"
        return "" if self.current is not None else keys.said(_NONE)

    def copyables(self) -> Sequence[tuple[str, str]]:
        """Name, where it lies, its repository, and the command line that measures it."""
        if self.current is None:
            return ()
        storage = self.current.storage
        place = storage_facts.place_of(storage.options)
        return [
            ("name", storage.name),
            *([("place", place)] if place else []),
            ("repository", storage.repository_id),
            ("command", f"holdfast storage usage {storage.name}"),
        ]

    async def do_storage_new(self) -> None:
        """The wizard."""
        await wizards.add_storage(self.console)
        self.reload()

    async def do_storage_edit(self) -> None:
        """The wizard, filled."""
        await wizards.edit_storage(self.console, self.chosen)
        self.reload()

    async def do_storage_move(self) -> None:
        """The wizard of the new place, then a worker."""
        await wizards.move_storage(self.console, self.chosen)
        self.reload()

    # Jobs.

    async def do_storage_verify(self) -> None:
        """Asks how much, and checks."""
        how = await self.console.ask(Menu(f"Check {self.chosen}", _CHECKS))
        if how is None:
            return
        request = VerifyRequest(
            storage=self.chosen,
            is_reading_data=how in ("data", "repair"),
            slice_percent=10.0 if how == "slice" else None,
            is_repairing=how == "repair",
        )
        result = await self.console.finish("verify", request, f"checking {self.chosen}", VerifyResult)
        if result is not None:
            await self.console.ask(Reader(f"Check of {result.storage}", storage_facts.verdict(result)))
        self.reload()

    async def do_storage_prune(self) -> None:
        """Shows what a prune would free; after a yes it is done."""
        name = self.chosen
        plan = await self.console.finish(
            "prune", PruneRequest(name, is_dry_run=True), f"planning a prune of {name}", PruneResult
        )
        if plan is None:
            return
        if not plan.packs_deleted and not plan.packs_rewritten:
            self.console.tell(f"a prune of {name} would free nothing")
            return
        lines = [
            f"{plan.packs_deleted} packs are deleted, {plan.packs_rewritten} rewritten: {size(plan.freed_bytes)} freed.",
            f"Unused: {size(plan.unused_bytes_before)} before, {size(plan.unused_bytes_after)} after.",
            "No backup needs what goes. Nobody else can write to the storage meanwhile.",
            f"Same as: holdfast prune --storage {name}",
        ]
        if await self.console.ask(
            Confirm(f"Prune {name}?", lines, yes="prune it")
        ) and await self.console.pass_guard("storage.prune"):
            await self.console.submit("prune", PruneRequest(name), f"pruning {name}")

    async def do_storage_rules(self) -> None:
        """Typed, judged at once, and done only where that is asked for."""
        await type_rules(self.console, storage=self.chosen)

    async def do_storage_copy(self) -> None:
        """What it missed, or all backups of another storage."""
        name = self.chosen
        others = [
            each.storage.name
            for each in self._known.values()
            if each.storage.name != name and each.storage.is_enabled
        ]
        if not others:
            self.console.tell("there is no other storage to copy from")
            return
        entries = [("", "what it was meant to take and lacks, from whichever storage has it")]
        entries += [(each, f"all backups of {each}") for each in others]
        chosen = await self.console.ask(Menu(f"Copy to {name}", entries))
        if chosen is None:
            return
        request = CopyRequest(chosen, name, (), bool(chosen), not chosen)
        await self.console.submit("copy", request, f"copying to {name}")

    # Questions and switches.

    async def do_storage_kit(self) -> None:
        """All that a restore without holdfast needs. Holds a secret: it is shown, and not kept on screen."""
        kit = await self.console.engine.recovery_kit(self.chosen)
        await self.console.ask(
            Reader(f"Recovery kit of {self.chosen}: keep it off this machine", kit.splitlines())
        )

    async def do_storage_test(self) -> None:
        """Asks the storage itself."""
        self.console.tell(f"testing {self.chosen} …")
        found = await self.console.engine.test_storage(self.chosen)
        free = f", {size(found.free_bytes)} free" if found.free_bytes is not None else ""
        self.console.tell(
            f"{found.storage} answers in {found.latency_s * 1000:.1f} ms; {size(found.upload_bytes_s)}/s up, "
            f"{size(found.download_bytes_s)}/s down{free}",
            "good",
        )

    async def do_storage_measure(self) -> None:
        """Adds up what lies there."""
        self.console.tell(f"measuring {self.chosen} …")
        found = await self.console.engine.measure_storage(self.chosen)
        logs = ", ".join(f"{printable(each.source)} {size(each.size_bytes)}" for each in found.logs)
        self.console.tell(
            f"{found.storage}: {size(found.used_bytes)} used, {size(found.raw_bytes)} held ({found.ratio:.1f} times)"
            + (f"; of it logs {size(found.log_bytes)}: {logs}" if found.logs else "")
        )
        self.reload()

    async def do_storage_log(self) -> None:
        """Whatever it did there."""
        await backup_work.show_last_log(self.console, storage=self.chosen)

    async def do_storage_locks(self) -> None:
        """Asks the storage who holds it."""
        locks = await self.console.engine.storage_locks(self.chosen)
        lines = [storage_facts.lock_line(each, self.console.now()) for each in locks] or ["nobody locks it"]
        await self.console.ask(Reader(f"Locks of {self.chosen}", lines))

    async def do_storage_unlock(self) -> None:
        """Shows the locks; removes those whose holder is proved dead, and after the name was typed all others too."""
        name = self.chosen
        locks = await self.console.engine.storage_locks(name)
        if not locks:
            self.console.tell(f"nobody locks {name}")
            return
        lines = [storage_facts.lock_line(each, self.console.now()) for each in locks]
        dead = sum(each.verdict.is_removable for each in locks)
        if dead:
            if await self.console.ask(
                Confirm(
                    f"Remove {dead} of {len(locks)} locks of {name}?", lines, yes="remove those of the dead"
                )
            ):
                removed = await self.console.engine.unlock_storage(name)
                self.console.tell(f"{len(removed)} locks of {name} removed")
        elif await self.console.ask(
            TypeName(f"REMOVE {len(locks)} LOCKS OF {name}, whose holders may still be writing", lines, name)
        ):
            removed = await self.console.engine.unlock_storage(name, is_forced=True)
            self.console.tell(f"{len(removed)} locks of {name} removed, whoever held them")

    async def do_storage_switch(self) -> None:
        """On, or off."""
        standing = self.current
        if standing is None:
            return
        is_enabled = not standing.storage.is_enabled
        await self.console.engine.enable_storage(standing.storage.name, is_enabled=is_enabled)
        self.console.tell(
            f"{standing.storage.name} is switched {'on' if is_enabled else 'off'}; {keys.of('storage.switch')} switches it back"
        )
        self.reload()

    async def do_storage_default(self) -> None:
        """Backups go to it where none is named."""
        await self.console.engine.make_default_storage(self.chosen)
        self.console.tell(f"{self.chosen} is used where no storage is named")
        self.reload()

    async def do_storage_rotate(self) -> None:
        """A new password is made, and shown this once."""
        name = self.chosen
        lines = [
            f"The repository of {name} gets a new password, which is made, sealed in the vault and shown this once.",
            "The old one opens it no more: recovery kits that were printed before are worth nothing then.",
            f"Same as: holdfast storage rotate-password {name}",
        ]
        if not await self.console.ask(TypeName(f"CHANGE THE PASSWORD OF {name}", lines, name)):
            return
        if await self.console.pass_guard("storage.rotate"):
            made = await self.console.engine.rotate_storage_password(name, "")
            kit = await self.console.engine.recovery_kit(name)
            await self.console.ask(
                Reader(
                    f"The new password of {name}, shown this once",
                    [made, "", "The new recovery kit:", "", *kit.splitlines()],
                )
            )

    async def do_storage_remove(self) -> None:
        """Forgets it, after its name was typed."""
        name = self.chosen
        loss = await self.console.engine.storage_loss(name)
        lines = [
            f"holdfast forgets {name} and what its repository holds. The repository itself stays as it is.",
            *storage_facts.loss_lines(loss),
            f"Same as: holdfast storage remove {name}",
        ]
        if await self.console.ask(
            TypeName(f"FORGET STORAGE {name}", lines, name)
        ) and await self.console.pass_guard("storage.remove"):
            await self.console.engine.remove_storage(name)
            self.console.tell(f"storage {name} is forgotten; its repository is left as it is")
            self.reload()

    async def do_catalog_copy(self) -> None:
        """Into all storages."""
        await self.console.submit("copy_catalog", CopyCatalogRequest(), "copying the catalog")

    async def do_catalog_publish(self) -> None:
        """For readers."""
        is_new = await self.console.engine.refresh_reading_copy()
        self.console.tell(
            "the copy for readers is renewed"
            if is_new
            else "the copy for readers holds all there is, or no group is named for it"
        )


class StoragePane(Pane):
    """Tab 4."""

    TITLE = "storage"

    def __init__(self, *, id: str) -> None:  # noqa: A002 -- Textual's own name
        super().__init__(StorageView(), id=id)
