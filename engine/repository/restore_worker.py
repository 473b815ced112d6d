"""A worker process of a restore: it is given nodes and makes the files, links and devices that they describe.

Making a small file costs some 15 us in the kernel and as much in the interpreter, so there is one process for each core. Spoken to over
frames.py; see restore_pool.py for who says what. Directories are the parent's: they are there before their files come, and get their
metadata after.
"""

from __future__ import annotations

import errno
import gc
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.errors import DamagedError, RestoreError
from engine.format import tree
from engine.format.allocator import tune_allocator
from engine.format.crypto import MasterKey
from engine.format.tree import Node
from engine.repository import restore_content, restore_files, restore_talk
from engine.repository.blobs import BlobDecoder
from engine.repository.frames import Frame, WorkerEnd
from engine.repository.index import Index
from engine.repository.restore_content import BlobSource, LocalPacks, Piece
from engine.repository.restore_files import Descent, MetadataError, Rights
from engine.repository.restore_talk import Talk, TaskReport

_CREATE_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: should a fifo have taken the file's place, opening it must not wait."""
_COLLECT_AFTER: Final = 50_000
"""Objects that are made before the garbage collector looks for cycles, of which a worker makes none but with errors."""
_TOGETHER_BYTES: Final = 1 << 20
"""Plaintext that is decoded before it is written, where packs lie on this machine: it is then still in the processor's cache."""


def work(end: WorkerEnd) -> None:
    """Serves one channel until the parent closes it."""
    tune_allocator()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 100)
    os.umask(0)  # every mode is given where something is made, and to the bit
    frame = end.receive()
    if frame is None:
        return
    talk = Talk(end)
    worker = _Worker(talk, frame.header)
    handlers = {
        restore_talk.FILES: worker.files,
        restore_talk.DECIDE: worker.decide,
        restore_talk.COMPARE: worker.compare,
        restore_talk.CREATE: worker.create,
        restore_talk.SEGMENT: worker.segment,
        restore_talk.FINISH: worker.finish,
        restore_talk.ABANDON: worker.abandon,
    }
    while (task := talk.next_task()) is not None:
        report = TaskReport()
        try:
            handlers[task.kind](task, report)
        except (OSError, DamagedError, RestoreError) as error:
            report.error = restore_files.reason(error)
        end.send(restore_talk.RESULT, report.header())


class _Job(NamedTuple):
    """One file to be written."""

    parts: Sequence[bytes]
    is_fresh: bool
    """Whether its directory was made by this restore, so that nothing can be in the way."""
    node: Node
    pieces: list[Piece]
    size: int
    """By its blobs, whatever its node says."""
    differs: set[int] | None
    """Numbers of the pieces that the existing file lacks; None where there is none to take from."""


class _Worker:
    """The state of one worker process."""

    def __init__(self, talk: Talk, setup: Any) -> None:
        self._root = restore_files.open_target(setup["target"])
        found = os.fstat(self._root)
        if [found.st_dev, found.st_ino] != setup["target_inode"]:
            raise RestoreError("the target directory was replaced while the restore began")
        self._descent = Descent(self._root)
        self._rights = Rights.mine()
        self._overwrite: str = setup["overwrite"]
        self._is_deleting: bool = setup["is_deleting"]
        self._is_verifying: bool = setup["is_verifying"]
        self._temporary = b"%b%b-%d-" % (restore_files.TEMPORARY_PREFIX, setup["token"], os.getpid())
        self._count = 0
        index = Index.open_files([Path(os.fsdecode(path)) for path in setup["indexes"]])
        decoder = BlobDecoder(MasterKey.from_json(setup["key"]))
        if setup["local_path"]:
            packs = LocalPacks(Path(os.fsdecode(setup["local_path"]))).request
            batch_bytes, self._together_bytes = restore_content.BATCH_BYTES, _TOGETHER_BYTES
        else:
            packs = talk.request
            batch_bytes, self._together_bytes = restore_content.FAR_BATCH_BYTES, restore_content.BATCH_BYTES
        self._source = BlobSource(index, decoder, packs, talk.rescue, batch_bytes=batch_bytes)

    def files(self, task: Frame, report: TaskReport) -> None:
        """Everything but directories in some folders."""
        waiting: list[_Job] = []
        held = 0
        for parts, is_fresh, nodes in _folders(task):
            for node in nodes:
                try:
                    job = self._prepare(parts, is_fresh, node, report)
                except (OSError, DamagedError, RestoreError) as error:
                    self._fail(report, parts, node, error)
                    continue
                if job is None:
                    continue
                waiting.append(job)
                held += node.size
                if held >= self._together_bytes:
                    self._write_all(waiting, report)
                    waiting, held = [], 0
        self._write_all(waiting, report)

    def _prepare(self, parts: Sequence[bytes], is_fresh: bool, node: Node, report: TaskReport) -> _Job | None:
        """Does what needs no content; gives a job for what does."""
        old = None if is_fresh else restore_files.status(self._descent.enter(parts), node.name)
        if old is not None and self._overwrite == "never":
            report.kept += 1
            _unlink(report, parts, node)
            return None
        if node.type != "file":
            self._make_special(parts, is_fresh, node)
            report.restored += 1
            return None
        if old is not None and self._has_content_by_time(node, old):
            self._refresh(parts, node, report)
            return None
        wanted = self._source.pieces(node.content or ())
        size = wanted[-1].offset + wanted[-1].length if wanted else 0
        differs = None
        if old is not None and stat.S_ISREG(old.st_mode) and old.st_size:
            differs = self._differing(parts, node.name, wanted)
            if not differs and old.st_size == size and _may_stay(node, old):
                self._refresh(parts, node, report)
                return None
        return _Job(parts, is_fresh, node, wanted, size, differs)

    def _has_content_by_time(self, node: Node, old: os.stat_result) -> bool:
        return (
            self._overwrite == "if-changed"
            and not self._is_verifying
            and stat.S_ISREG(old.st_mode)
            and old.st_size == node.size
            and old.st_mtime_ns == restore_files.nanoseconds(node.mtime)
            and _may_stay(node, old)
        )

    def _differing(self, parts: Sequence[bytes], name: bytes, wanted: Sequence[Piece]) -> set[int] | None:
        try:
            old = os.open(name, _OLD_FLAGS, dir_fd=self._descent.enter(parts))
        except OSError:
            return None
        try:
            return restore_content.differing(old, wanted)
        finally:
            os.close(old)

    def _refresh(self, parts: Sequence[bytes], node: Node, report: TaskReport) -> None:
        """Sets the metadata of a file whose content is right already."""
        report.unchanged += 1
        report.done_bytes += node.size
        opened = os.open(node.name, _OLD_FLAGS, dir_fd=self._descent.enter(parts))
        try:
            restore_files.apply_to_open(opened, node, self._rights, is_fresh=False)
        finally:
            os.close(opened)

    def _read_back(self, opened: int, wanted: Sequence[Piece]) -> None:
        """Raises: RestoreError where the file system does not give back what was written."""
        if self._is_verifying and restore_content.differing(opened, wanted):
            raise RestoreError("what was written does not read back the same")

    def _write_all(self, jobs: Sequence[_Job], report: TaskReport) -> None:
        """Writes files, the blobs of all fetched together where they are no more than is held at once."""
        short = [job for job in jobs if job.differs is None and job.size <= restore_content.BATCH_BYTES]
        groups: list[list[_Job]] = [[]]
        held = 0
        for job in short:
            if held + job.size > restore_content.BATCH_BYTES:
                groups.append([])
                held = 0
            groups[-1].append(job)
            held += job.size
        for group in groups:
            plain = self._source.load([piece.id for job in group for piece in job.pieces])
            for job in group:
                self._try_write(job, plain, report)
        for job in jobs:
            if job.differs is not None or job.size > restore_content.BATCH_BYTES:
                self._try_write(job, None, report)

    def _try_write(
        self, job: _Job, plain: dict[bytes, bytes | DamagedError] | None, report: TaskReport
    ) -> None:
        try:
            self._write(job, plain, report)
        except (OSError, DamagedError, RestoreError) as error:
            self._fail(report, job.parts, job.node, error)

    def _write(self, job: _Job, plain: dict[bytes, bytes | DamagedError] | None, report: TaskReport) -> None:
        node, size = job.node, job.size
        folder = self._descent.enter(job.parts)
        temporary = self._temporary_name()
        opened = os.open(temporary, _CREATE_FLAGS, self._first_mode(job), dir_fd=folder)
        try:
            try:
                if plain is None:
                    report.fetched_bytes += self._write_long(opened, folder, job, size)
                else:
                    _write_short(opened, job.pieces, plain, size)
                    report.fetched_bytes += size
                self._read_back(opened, job.pieces)
                problem = self._describe(opened, node, is_fresh=job.is_fresh)
            finally:
                os.close(opened)
            self._put_in_place(folder, temporary, node.name)
        except BaseException:
            restore_files.discard(folder, temporary)
            raise
        report.restored += 1
        report.done_bytes += size
        self._complain(report, job.parts, node, problem, size)

    def _first_mode(self, job: _Job) -> int:
        """The mode to make a file with: its own where that is safe and saves a call.

        Nobody else gets into a directory that this restore made before it is finished; elsewhere a file is nobody's but ours until its
        owner and attributes are right.
        """
        mode = self._rights.mode(job.node)
        is_safe = job.is_fresh and mode <= 0o777 and not job.node.extended_attributes
        return mode if is_safe else 0o600

    def _write_long(self, opened: int, folder: int, job: _Job, size: int) -> int:
        os.ftruncate(opened, size)
        if job.differs is None:
            return restore_content.write_content(opened, self._source, job.pieces, old=None, differs=set())
        old = os.open(job.node.name, _OLD_FLAGS, dir_fd=folder)
        try:
            return restore_content.write_content(
                opened, self._source, job.pieces, old=old, differs=job.differs
            )
        finally:
            os.close(old)

    def _describe(self, opened: int, node: Node, *, is_fresh: bool) -> str:
        """Sets the metadata of a new file; gives what could not be set."""
        try:
            restore_files.apply_to_open(opened, node, self._rights, is_fresh=is_fresh)
        except MetadataError as error:
            return error.message
        return ""

    def _complain(
        self, report: TaskReport, parts: Sequence[bytes], node: Node, problem: str, size: int
    ) -> None:
        if problem:
            report.failures.append(
                (_path(parts, node), f"the content is restored, but not all else: {problem}")
            )
        if size != node.size:
            report.failures.append(
                (_path(parts, node), f"it holds {size} bytes, but the backup says {node.size}")
            )

    def _make_special(self, parts: Sequence[bytes], is_fresh: bool, node: Node) -> None:
        """Makes a link, fifo or device under a temporary name and puts it in place."""
        folder = self._descent.enter(parts)
        temporary = self._temporary_name()
        if node.type == "symlink":
            os.symlink(node.linktarget, temporary, dir_fd=folder)
        elif node.type == "fifo":
            os.mkfifo(temporary, 0o600, dir_fd=folder)
        elif node.type in ("dev", "chardev"):
            kind = stat.S_IFBLK if node.type == "dev" else stat.S_IFCHR
            os.mknod(temporary, kind | 0o600, node.device, dir_fd=folder)
        elif node.type == "socket":
            return
        else:
            raise RestoreError(f"it is of the unknown type {node.type[:20]!r}")
        problem: MetadataError | None = None
        try:
            try:
                restore_files.apply_by_name(folder, temporary, node, self._rights, is_fresh=is_fresh)
            except MetadataError as error:
                problem = error
            self._put_in_place(folder, temporary, node.name)
        except BaseException:
            restore_files.discard(folder, temporary)
            raise
        if problem is not None:
            raise problem

    def _put_in_place(self, folder: int, temporary: bytes, name: bytes) -> None:
        """Gives it its name. Raises: RestoreError where a directory that holds something is in the way."""
        try:
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
        if self._is_deleting:
            restore_files.remove(folder, name, device=os.fstat(folder).st_dev)
        else:
            try:
                os.rmdir(name, dir_fd=folder)
            except OSError as error:
                raise RestoreError("a directory that is not empty is in the way") from error
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)

    def _temporary_name(self) -> bytes:
        self._count += 1
        return b"%b%d" % (self._temporary, self._count)

    @staticmethod
    def _fail(report: TaskReport, parts: Sequence[bytes], node: Node, error: Exception) -> None:
        report.failures.append((_path(parts, node), restore_files.reason(error)))
        _unlink(report, parts, node)

    # A long file is shared by all workers: decided on by one, then written in segments, then finished by one.

    def decide(self, task: Frame, report: TaskReport) -> None:
        """Whether a long file is to be written, and whether an existing one is worth comparing with."""
        [(parts, is_fresh, nodes)] = _folders(task)
        node = nodes[0]
        old = None if is_fresh else restore_files.status(self._descent.enter(parts), node.name)
        if old is not None and self._overwrite == "never":
            report.kept += 1
            report.answer = "done"
            _unlink(report, parts, node)
        elif old is not None and self._has_content_by_time(node, old):
            self._refresh(parts, node, report)
            report.answer = "done"
        elif old is not None and stat.S_ISREG(old.st_mode) and old.st_size:
            report.answer = (
                "same size" if _may_stay(node, old) and old.st_size == task.header["size"] else "other size"
            )
        else:
            report.answer = "new"

    def compare(self, task: Frame, report: TaskReport) -> None:
        """Which pieces of an existing file differ."""
        found = self._differing(task.header["parts"], task.header["name"], _pieces(task))
        report.answer = sorted(range(len(task.header["pieces"])) if found is None else found)

    def create(self, task: Frame, report: TaskReport) -> None:
        """Makes the empty file of a size under a temporary name."""
        folder = self._descent.enter(task.header["parts"])
        name = self._temporary_name()
        opened = os.open(name, _CREATE_FLAGS, 0o600, dir_fd=folder)
        try:
            os.ftruncate(opened, task.header["size"])
        finally:
            os.close(opened)
        report.answer = name

    def segment(self, task: Frame, report: TaskReport) -> None:
        """Writes some pieces of a long file."""
        header = task.header
        folder = self._descent.enter(header["parts"])
        opened = os.open(header["temporary"], os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        old = None
        try:
            if header["differs"] is not None:
                old = os.open(header["name"], _OLD_FLAGS, dir_fd=folder)
            wanted = _pieces(task)
            report.fetched_bytes += restore_content.write_content(
                opened, self._source, wanted, old=old, differs=set(header["differs"] or ())
            )
            report.done_bytes += sum(piece.length for piece in wanted)
            self._read_back(opened, wanted)
        finally:
            os.close(opened)
            if old is not None:
                os.close(old)

    def finish(self, task: Frame, report: TaskReport) -> None:
        """Sets a long file's metadata and gives it its name; with no temporary name the file is there already."""
        [(parts, is_fresh, nodes)] = _folders(task)
        node = nodes[0]
        temporary: bytes | None = task.header["temporary"]
        if temporary is None:
            self._refresh(parts, node, report)
            return
        folder = self._descent.enter(parts)
        opened = os.open(temporary, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            problem = self._describe(opened, node, is_fresh=is_fresh)
        finally:
            os.close(opened)
        self._put_in_place(folder, temporary, node.name)
        report.restored += 1
        self._complain(report, parts, node, problem, task.header["size"])

    def abandon(self, task: Frame, _report: TaskReport) -> None:
        """Removes what was written of a long file."""
        restore_files.discard(self._descent.enter(task.header["parts"]), task.header["temporary"])


def _folders(task: Frame) -> Iterator[tuple[Sequence[bytes], bool, list[Node]]]:
    """The folders of a task with their nodes. The parent has checked nothing but names."""
    view = memoryview(task.body)
    begin = 0
    for parts, is_fresh, length in task.header["folders"]:
        yield parts, is_fresh, tree.decode_tree(view[begin : begin + length], strict=False)
        begin += length


def _pieces(task: Frame) -> list[Piece]:
    return [Piece(*each) for each in task.header["pieces"]]


def _may_stay(node: Node, old: os.stat_result) -> bool:
    """Whether an existing file can be kept: not where it hangs together with names that the backup does not link."""
    return old.st_nlink == 1 or 1 < old.st_nlink <= node.links


def _path(parts: Sequence[bytes], node: Node) -> bytes:
    return b"/".join((*parts, node.name))


def _unlink(report: TaskReport, parts: Sequence[bytes], node: Node) -> None:
    """Tells that other names must not be linked to this one."""
    if node.links > 1:
        report.unlinkable.append(_path(parts, node))


def _write_short(
    opened: int, pieces: Sequence[Piece], plain: dict[bytes, bytes | DamagedError], size: int
) -> None:
    is_sparse = restore_content.is_sparse_at(size)
    if is_sparse:
        os.ftruncate(opened, size)
    for piece in pieces:
        restore_content.put(opened, piece, restore_content.whole(plain[piece.id]), is_sparse=is_sparse)
