"""Evidence of drills: listed, shown, signed off, and the public key that it is checked with.

What reads and writes it is loaded on use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.model.results import EvidenceCheck, EvidenceItem
from engine.service.parts import Methods


class EvidenceMethods(Methods):
    """What drills left."""

    async def evidence(self, *, source: str = "") -> Sequence[EvidenceItem]:
        """All evidence, or that of a source, newest first."""
        from engine.jobs import evidence_records

        found = await asyncio.to_thread(evidence_records.items, self._parts.home.evidence)
        return [each for each in found if source in ("", each.source)]

    async def show_evidence(self, report: str) -> tuple[EvidenceItem, Mapping[str, Any], str]:
        """One drill's evidence, by its job or file: what it is, all that it says, and whether its signature holds (`valid`).

        Raises: UnknownNameError, UsageError, DamagedError, VaultError.
        """
        from engine.jobs import evidence_records

        path = await asyncio.to_thread(evidence_records.find, self._parts.home.evidence, report)
        item = await asyncio.to_thread(evidence_records.item, path)
        document = await asyncio.to_thread(evidence_records.document, path)
        data = await asyncio.to_thread(path.read_bytes)
        return item, document, await evidence_records.verdict(self._parts.context(), path, data)

    async def sign_off(self, report: str, by: str, note: str = "") -> EvidenceItem:
        """Writes down, beside the evidence and in the audit log, that a person stands by it. The evidence stays as it is.

        Raises: UnknownNameError, UsageError; ProofFailedError where the evidence is not what was signed here.
        """
        from engine.jobs import evidence_files, evidence_records

        path = await asyncio.to_thread(evidence_records.find, self._parts.home.evidence, report)
        kept = await evidence_records.sign_off(self._parts.context(), path, by, note)
        item = await asyncio.to_thread(evidence_records.item, path)
        # A name with a semicolon could pass for a claim of its own.
        detail = "by " + by.replace(";", ",") + evidence_files.claim_of([kept])
        await self._parts.write_down("evidence sign-off", item.job_id, detail=detail)
        return item

    async def evidence_public_key(self) -> tuple[str, str]:
        """The key that evidence of this home is checked with: the line of a file of OpenSSH's, and its fingerprint. Raises: VaultError."""
        from engine import signature
        from engine.jobs import evidence_files

        public = signature.public_key(await evidence_files.signing_key(self._parts.context()))
        identity = await self._parts.audit.identity()
        return signature.public_line(public, f"holdfast-evidence-{identity}"), signature.fingerprint(public)

    async def check_evidence(self, files: Sequence[str], public_key: str = "") -> Sequence[EvidenceCheck]:
        """Holds files of evidence against the keys of a file, or else against this home's own. Raises: UsageError, VaultError."""
        from engine import signature
        from engine.jobs import evidence_check, evidence_files

        if public_key:
            keys = await asyncio.to_thread(evidence_check.read_keys, Path(public_key))
        else:
            keys = [signature.public_key(await evidence_files.signing_key(self._parts.context()))]
        return [await asyncio.to_thread(evidence_check.check, Path(each), keys) for each in files]

    async def export_evidence(self, report: str, folder: str) -> Sequence[str]:
        """Writes the evidence of a drill, by its job or file, or of a plan by its file, its page, what was added to it later and all signatures
        into a folder of this machine, with the public key that they are checked with; gives the paths. Files that are there as they would be
        written stay.

        Raises: UnknownNameError, UsageError where it cannot be written or another file of that name is there; VaultError.
        """
        from engine.jobs import evidence_records

        evidence = self._parts.home.evidence
        path = evidence / f"{Path(report).stem}.json"
        if not await asyncio.to_thread(path.exists):
            path = await asyncio.to_thread(evidence_records.find, evidence, report)
        line, _ = await self.evidence_public_key()
        return await asyncio.to_thread(evidence_records.export, path, Path(folder), line)
