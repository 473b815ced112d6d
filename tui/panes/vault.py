"""The secrets of the vault: names and times, never what they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from textual.widget import Widget

from engine.model.secret import Secret
from engine.model.text import counted, instant
from tui import keys
from tui.actions import Action
from tui.dialogs.confirm import AskSecret, Confirm, TypeName
from tui.panes.base import View
from tui.place import bindings
from tui.text import printable
from tui.widgets.row_source import Column, Row
from tui.widgets.rows import RowTable

_NONE: Final = "the vault is empty: {secret.set} seals a secret"


class VaultView(View):
    """What is sealed."""

    PLACE = "vault"
    BINDINGS = bindings("vault")

    def __init__(self) -> None:
        super().__init__()
        self.table = RowTable(
            [
                Column("SECRET", 20, is_flexible=True),
                Column("SET", 16),
                Column("NAMED BY", 24, is_flexible=True),
            ],
            empty=_NONE,
        )

    @property
    def crumb(self) -> str:
        """In the path."""
        return "vault"

    def compose(self) -> Iterator[Widget]:
        """The list."""
        yield self.table

    async def load(self) -> None:
        """Names, and what definitions name them."""
        secrets = await self.console.engine.secrets()
        users = await self.console.engine.secret_users()
        self.table.show_rows(
            [
                Row(
                    name,
                    (printable(name), instant(at), printable(", ".join(users.get(name, ())))),
                    order=(name, at, ""),
                )
                for name, at in secrets
            ]
        )

    @property
    def chosen(self) -> str:
        """The name under the cursor."""
        row = self.table.current
        return row.key if row is not None else ""

    def why_off(self, action: Action) -> str:
        """Most need a secret."""
        if not self.chosen and action.action_id != "secret.set":
            return keys.said(_NONE)
        return ""

    def copyables(self) -> Sequence[tuple[str, str]]:
        """How definitions name it."""
        return (
            [("REF", f"vault:{self.chosen}"), ("command", f"holdfast vault set {self.chosen}")]
            if self.chosen
            else ()
        )

    async def do_secret_set(self) -> None:
        """Asks for a name, then for the secret."""
        name = await self.console.ask_line("Name of the secret: ")
        if not name:
            return
        if any(each == name for each, _ in await self.console.engine.secrets()):
            self.console.tell(
                f"there is a secret named {name}: {keys.of('secret.replace')} puts another in its place"
            )
            return
        await self._seal(name, f"Secret {name}")

    async def do_secret_replace(self) -> None:
        """The old one is gone then."""
        name = self.chosen
        if await self.console.pass_guard("secret.replace"):
            await self._seal(name, f"Another secret in place of {name}")

    async def _seal(self, name: str, title: str) -> None:
        said = await self.console.ask(AskSecret(printable(title), "the secret, which is not shown:"))
        if said:
            await self.console.engine.set_secret(name, Secret(said))
            self.console.tell(f"secret {name} is sealed; name it as vault:{name}")
            self.reload()

    async def do_secret_remove(self) -> None:
        """Its name is typed."""
        name = self.chosen
        users = (await self.console.engine.secret_users()).get(name, ())
        lines = [
            "The secret is gone for good: nothing keeps a copy but a recovery kit.",
            *(
                [f"Named by: {', '.join(users)}. They will not work without it."]
                if users
                else ["Nothing that is defined names it."]
            ),
            f"Same as: holdfast vault remove {name}",
        ]
        asked = TypeName(f"FORGET SECRET {printable(name)}", lines, name)
        if await self.console.ask(asked) and await self.console.pass_guard("secret.remove"):
            await self.console.engine.remove_secret(name)
            self.console.tell(f"secret {name} is forgotten")
            self.reload()

    async def do_secret_rotate(self) -> None:
        """All of them."""
        lines = [
            "Every secret is sealed anew; the old key opens nothing then.",
            "Print each recovery kit anew afterwards: it holds the vault's key.",
        ]
        if await self.console.ask(
            Confirm("Seal all secrets under a fresh key?", lines, yes="seal them anew")
        ) and await self.console.pass_guard("secret.rotate"):
            count = await self.console.engine.rotate_vault()
            self.console.tell(
                f"{counted(count, 'secret')} sealed under a fresh key: print each recovery kit anew"
            )
            self.reload()
