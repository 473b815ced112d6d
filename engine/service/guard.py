"""The guard before what cannot be undone. See engine/guard.py."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import os
from dataclasses import dataclass

from engine import guard as guarding
from engine.errors import CatalogBusyError, RefusedError, UsageError
from engine.guard import Guard
from engine.jobs import values
from engine.model.secret import Secret
from engine.service.parts import Methods

_SETTING = "guard"

Answer = Secret | str
"""What a person typed, or the REF of where a script has it."""


@dataclass(frozen=True, slots=True)
class GuardState:
    """Whether there is a guard."""

    is_set: bool
    set_at: datetime.datetime | None = None
    codes: int = 0
    """That still hold."""


class GuardMethods(Methods):
    """A passphrase that is asked for before restores in place, deletions and key changes."""

    async def guard(self) -> GuardState:
        """Whether there is a guard, and how many codes still hold."""
        found = await self._guard()
        if found is None:
            return GuardState(is_set=False)
        now = self._parts.clock.now()
        holding = [each for each in found.codes if each.expires_at is None or each.expires_at > now]
        return GuardState(True, found.set_at, len(holding))

    @staticmethod
    def is_guarded(request: object) -> bool:
        """Whether whoever submits this job passes the guard before, where there is one."""
        return guarding.is_guarded(request)

    async def set_guard(self, passphrase: Answer, current: Answer = "") -> None:
        """Sets the passphrase; where there is one, `current` is that, or a code. Codes that were made go.

        Raises: RefusedError where that is wrong, UsageError for a passphrase that is too short.
        """
        if await self._guard() is not None:
            await self.pass_guard("guard set", current)
        text = await self._revealed(passphrase)
        guarding.require_fit(text)
        hashed = await asyncio.to_thread(guarding.hashed, text, guarding.fresh_salt(os.urandom))
        await self._put(Guard(hashed, self._parts.clock.now()))
        await self._parts.write_down("guard set", "")

    async def remove_guard(self, current: Answer) -> None:
        """Takes the guard away. Raises: RefusedError for a wrong answer, UsageError where there is none."""
        await self._require_guard()
        await self.pass_guard("guard remove", current)
        await self._parts.catalog.settings.put(_SETTING, None)
        await self._parts.write_down("guard remove", "")

    async def make_guard_code(self, current: Answer, expires_at: datetime.datetime) -> str:
        """A code that holds once, until then; for somebody who is not to know the passphrase. Raises: as `remove_guard`."""
        await self._require_guard()
        await self.pass_guard("guard code", current)
        found = await self._require_guard()
        code = guarding.new_code(os.urandom)
        salt = guarding.fresh_salt(os.urandom)
        hashed = await asyncio.to_thread(guarding.hashed, code, salt, expires_at)
        await self._put(dataclasses.replace(found, codes=(*found.codes, hashed)))
        await self._parts.write_down("guard code", "", detail=f"until {expires_at.isoformat()}")
        return code

    async def pass_guard(self, verb: str, answer: Answer) -> None:
        """Lets pass whoever knows the passphrase or a code; anybody where there is no guard. The verb goes into the audit log.

        Raises: RefusedError for a wrong answer, or none.
        """
        found = await self._guard()
        if found is None:
            return
        text = await self._revealed(answer)
        left = (
            await asyncio.to_thread(guarding.passed, found, text, self._parts.clock.now()) if text else None
        )
        if left is None:
            said = f"`{verb}` is guarded, and that is not the passphrase, nor a code that holds"
            said = said if text else f"`{verb}` is guarded: the passphrase is needed, or a code"
            await self._parts.write_down(verb, "", "refused", "at the guard")
            raise RefusedError(said, hint="type it at a terminal, or say --guard REF")
        if left != found and not await self._parts.catalog.settings.swap(
            _SETTING, values.to_object(found), values.to_object(left)
        ):
            raise CatalogBusyError("the guard was changed meanwhile", hint="once more, please")

    async def _guard(self) -> Guard | None:
        kept = await self._parts.catalog.settings.get(_SETTING)
        if kept is None:
            return None
        found = values.from_object(Guard, kept)
        return dataclasses.replace(found, codes=tuple(found.codes))

    async def _require_guard(self) -> Guard:
        found = await self._guard()
        if found is None:
            raise UsageError("there is no guard", hint="holdfast guard set")
        return found

    async def _put(self, guard: Guard) -> None:
        await self._parts.catalog.settings.put(_SETTING, values.to_object(guard))

    async def _revealed(self, answer: Answer) -> str:
        if isinstance(answer, str):
            if not answer:
                return ""
            answer = await self._parts.secrets(answer)
        return answer.reveal().decode("utf-8", "surrogateescape")
