"""catalog copy: a sealed copy of the catalog into storages, now, and not with the next backup."""

from __future__ import annotations

from engine.errors import UsageError
from engine.events import Warned
from engine.jobs import catalog_copies
from engine.jobs.context import JobContext
from engine.jobs.opening import open_repositories
from engine.model.requests import CopyCatalogRequest
from engine.model.results import CopyCatalogResult


async def run(context: JobContext, request: CopyCatalogRequest) -> CopyCatalogResult:
    """Copies into those that are named, or all that are enabled. Raises: UsageError; where none could be written, the first error."""
    storages = [each for each in await context.catalog.storages.all() if each.is_enabled]
    if request.storages:
        storages = [await context.catalog.storages.get(name) for name in dict.fromkeys(request.storages)]
    if not storages:
        raise UsageError("there is no storage that could hold a copy", hint="holdfast storage add")
    async with open_repositories(context, storages, is_exclusive=False, limits=request.limits) as opened:
        failed = {name: error.message for name, error in opened.failed}
        failed |= await catalog_copies.keep_now(context, opened.opened)
    for name, message in failed.items():
        context.emit(Warned(f"storage {name} has no copy: {message}"))
    kept = tuple(each.name for each in storages if each.name not in failed)
    return CopyCatalogResult(context.job_id, "incomplete" if failed else "completed", kept, failed)
