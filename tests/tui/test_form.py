"""Forms: what they say stays as long as it is true."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import UsageError
from tests.tui.seat import Seat
from tui.dialogs.form import Field, Form, Values


async def test_a_refusal_stands_until_something_is_changed(seat: Seat) -> None:
    """Whatever the checks beside the fields find meanwhile; and a list that was chosen from leaves nothing behind in the hints."""
    checks: list[Values] = []

    async def check(values: Values) -> str:
        checks.append(values)
        return f"check {len(checks)}"

    async def save(_values: Values) -> None:
        raise UsageError("it is full", hint="make room")

    async def offers(_values: Values) -> Sequence[tuple[str, str]]:
        return [("main", "main"), ("second", "second")]

    fields = [
        Field("path", "path", "", "where", check=check),
        Field("storage", "storage", "", "which", offers=offers),
    ]
    seat.app.push_screen(Form("Where?", fields, save, lambda _values: ["the preview"]))
    await seat.sees("Where?", "the preview")
    await seat.press("ctrl+s")
    await seat.sees("not saved: it is full; make room", "-> make room")
    await seat.press("ctrl+t")
    await seat.sees("check 1", "not saved: it is full; make room", "-> make room")
    await seat.press("x")
    await seat.sees("the preview")
    assert "it is full" not in seat.text
    await seat.press("down", "ctrl+o")
    await seat.sees("second")
    await seat.press("enter")
    await seat.sees("storage           main", "esc leave")
    assert "looking" not in seat.text
