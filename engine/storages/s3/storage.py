"""A bucket, or what lies below a prefix in it, laid out as stock restic's S3 backend does (internal/backend/s3)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Final

from botocore import exceptions as boto

from engine import errors
from engine.clock import Clock
from engine.model.definitions import OptionValue
from engine.storages.base import (
    Buffer,
    Key,
    Kind,
    Listed,
    Opening,
    Space,
    Traits,
    check_range,
    count_bytes,
    is_name,
)
from engine.storages.s3 import body, client, settings
from engine.storages.s3.errors import Speaker, code_of
from engine.storages.s3.settings import Settings
from engine.storages.s3.sharing import S3Sharing

_CLEAN_UP_S: Final = 10.0
_WHERE_NONE: Final = {"IfNoneMatch": "*"}
"""The condition that nothing of that name is there; the service answers 412 where something is (RFC 9110, 13.1.2)."""
_OUT_OF_RANGE: Final = ("InvalidRange", "416")


@contextlib.asynccontextmanager
async def open_s3(opening: Opening) -> AsyncIterator[S3Storage]:
    """Options: see `settings.Settings`. Opens whether the bucket is there or not: `create` makes it."""
    found = settings.read(opening.options, opening.secrets)
    speaker = Speaker(found.location)
    async with client.connected(found, opening.secrets, speaker) as connection:
        yield S3Storage(found, connection, opening)


class S3Storage:
    """Objects in a bucket. Made by `open_s3`."""

    def __init__(self, found: Settings, connection: client.Connection, opening: Opening) -> None:
        self._settings = found
        self._client = connection.client
        self._clock: Clock = opening.clock
        self._speaker = Speaker(found.location)
        self._prefix = f"{found.prefix}/" if found.prefix else ""
        sharing = S3Sharing(connection.client, found.bucket, self._prefix, self._speaker)
        self._traits = dataclasses.replace(
            _traits(found, connection, opening.options), sharing=sharing, put_new=self._put_new
        )

    @property
    def location(self) -> str:
        """The address as stock restic takes it."""
        return self._settings.location

    @property
    def traits(self) -> Traits:
        """What it can do."""
        return self._traits

    async def create(self) -> None:
        """Makes the bucket where there is none, with object lock where it is to be used."""
        call = {"Bucket": self._settings.bucket, "Prefix": self._prefix, "MaxKeys": 1}
        try:
            with self._calling("s3:ListBucket"):
                await self._client.list_objects_v2(**call)
        except errors.StorageError as error:
            if not _is_of(error, "NoSuchBucket"):
                raise
        else:
            return
        region = self._client.meta.region_name
        made: dict[str, Any] = {"Bucket": self._settings.bucket}
        if region != settings.DEFAULT_REGION:
            made["CreateBucketConfiguration"] = {"LocationConstraint": region}
        if self._settings.is_locking:
            made["ObjectLockEnabledForBucket"] = True
        with self._calling("s3:CreateBucket"):
            await self._client.create_bucket(**made)

    async def put(self, key: Key, parts: Sequence[Buffer]) -> None:
        """One request, whose signature carries the hash of all bytes; several parts for an object that is larger than one may be.

        With `conditional_writes` it is sent only where nothing of that name is there; what is there is read, and replaced where it differs.
        """
        if not self._settings.is_conditional:
            await self._write(key, parts, {})
            return
        try:
            await self._write(key, parts, _WHERE_NONE)
        except errors.ObjectExistsError:
            if not await self._holds(key, parts):
                await self._write(key, parts, {})

    async def _put_new(self, key: Key, parts: Sequence[Buffer]) -> None:
        """See `base.Traits.put_new`."""
        try:
            await self._write(key, parts, _WHERE_NONE)
        except errors.StorageError as error:
            if not _is_of(error, "NotImplemented"):
                raise
            await self._write(key, parts, {})

    async def _write(self, key: Key, parts: Sequence[Buffer], condition: Mapping[str, str]) -> None:
        where, how = self._at(key), self._how(key)
        if count_bytes(parts) > self._settings.part_bytes:
            await self._put_in_parts(key, where | how, parts, condition)
            return
        with self._calling("s3:PutObject", key.path()):
            async with self._patience() as patience:
                prepared = await body.prepare(
                    parts, has_md5=self._settings.is_locking, on_progress=patience.renew
                )
                summed = {"ContentMD5": prepared.md5} if prepared.md5 else {}
                await self._client.put_object(**where, **how, **summed, **condition, Body=prepared.content)

    async def _holds(self, key: Key, parts: Sequence[Buffer]) -> bool:
        """Whether just these bytes lie there, as after an answer that was lost."""
        wanted = count_bytes(parts)
        try:
            return await self.size(key) == wanted and await self.get(key, 0, wanted) == b"".join(parts)
        except errors.ObjectMissingError:
            return False

    async def get(self, key: Key, offset: int = 0, length: int | None = None) -> bytes:
        """A range of the object. A service that ignores ranges is refused, not waited for."""
        check_range(key, max(offset, 0) + (length or 0), offset, length)
        if length == 0:
            check_range(key, await self.size(key), offset, 0)
            return b""
        if not offset and length is None:
            return await self._read(key, {}, None)
        end = "" if length is None else str(offset + length - 1)
        try:
            found = await self._read(key, {"Range": f"bytes={offset}-{end}"}, length)
        except _OutOfRangeError:
            check_range(key, await self.size(key), offset, length)
            return b""
        if length is not None:
            check_range(key, offset + len(found), offset, length)
        return found

    async def size(self, key: Key) -> int:
        """What a HEAD says. Where that fails, a GET of one byte says why: the answer to a HEAD has no room for it."""
        where = self._at(key)
        try:
            with self._calling("s3:GetObject", key.path()):
                async with self._patience():
                    return int((await self._client.head_object(**where))["ContentLength"])
        except (errors.ObjectMissingError, errors.StorageDeniedError):
            await self._read(key, {"Range": "bytes=0-0"}, 1)
            raise

    async def list(self, kind: Kind) -> AsyncGenerator[Listed, None]:
        """A thousand names a request."""
        folder = self._prefix + kind.value
        call = {"Bucket": self._settings.bucket, "Prefix": folder if kind is Kind.CONFIG else f"{folder}/"}
        while True:
            with self._calling("s3:ListBucket", kind.value):
                async with self._patience():
                    page = await self._client.list_objects_v2(**call)
            for entry in page.get("Contents", ()):
                if (key := _key(kind, entry["Key"].removeprefix(self._prefix))) is not None:
                    yield Listed(key, int(entry["Size"]))
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not token:
                return
            call["ContinuationToken"] = token

    async def delete(self, key: Key) -> None:
        """Removes the object; in a bucket that keeps versions, its versions stay until the bucket's own rules remove them."""
        where = self._at(key)
        if self._settings.is_append_only and key.kind is not Kind.LOCK:
            raise errors.StorageReadOnlyError(
                f"{key.path()} at {self.location} is not deleted: the storage is append-only",
                hint="forget and prune it from where it is defined without --append-only",
            )
        try:
            with self._calling("s3:DeleteObject", key.path()):
                async with self._patience():
                    await self._client.delete_object(**where)
        except errors.ObjectMissingError:
            return

    async def space(self) -> Space:
        """No service tells."""
        return Space(free_bytes=None, total_bytes=None)

    async def clean(self, older_than_s: float) -> int:
        """Gives up uploads in parts that were begun longer ago than that, and never ended: they cost room that no listing shows."""
        before = self._clock.now() - datetime.timedelta(seconds=older_than_s)
        removed = 0
        for where, begun in await self._uploads():
            if begun < before:
                with self._calling("s3:AbortMultipartUpload"):
                    await self._client.abort_multipart_upload(**where)
                removed += 1
        return removed

    async def _uploads(self) -> Sequence[tuple[Mapping[str, str], datetime.datetime]]:
        """Those in parts that are under way below the prefix; none where the service knows no such thing, or does not tell this key."""
        call = {"Bucket": self._settings.bucket, "Prefix": self._prefix}
        found = deque[tuple[Mapping[str, str], datetime.datetime]]()
        while True:
            try:
                with self._calling("s3:ListBucketMultipartUploads"):
                    page = await self._client.list_multipart_uploads(**call)
            except errors.StorageError as error:
                if error.retryable:
                    raise
                return found
            for each in page.get("Uploads", ()):
                where = {"Bucket": self._settings.bucket, "Key": each["Key"], "UploadId": each["UploadId"]}
                found.append((where, each["Initiated"]))
            if not page.get("IsTruncated"):
                return found
            call |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def _read(self, key: Key, ranged: Mapping[str, str], length: int | None) -> bytes:
        """At most `length` bytes, and all that the answer promised. Raises: _OutOfRangeError where the range begins behind the end."""
        where = self._at(key)
        with self._calling("s3:GetObject", key.path()):
            async with self._patience() as patience:
                try:
                    answer = await self._client.get_object(**where, **ranged)
                except boto.ClientError as error:
                    if code_of(error) in _OUT_OF_RANGE:
                        raise _OutOfRangeError from error
                    if key.kind is Kind.CONFIG and code_of(error) == "NoSuchBucket":
                        # Where there is no bucket, there is no repository: that is what whoever asks for the config wants to know.
                        told = self._speaker.translated(error, "s3:GetObject")
                        raise errors.ObjectMissingError(told.message, hint=told.hint) from error
                    raise
                promised = int(answer["ContentLength"])
                if ranged and (promised > (length or promised) or "ContentRange" not in answer):
                    _refuse_whole(answer, promised, length, self.location)
                pieces: list[bytes] = []
                async with answer["Body"] as stream:
                    while piece := await stream.content.readany():
                        pieces.append(piece)
                        patience.renew()
        found = b"".join(pieces)
        check_range(key, len(found), 0, promised)
        return found

    async def _put_in_parts(
        self, key: Key, call: Mapping[str, Any], parts: Sequence[Buffer], condition: Mapping[str, str]
    ) -> None:
        """Nothing is visible before the last request, which names all parts; what was sent is given up where it fails."""
        where = self._at(key)
        with self._calling("s3:PutObject", key.path()):
            upload = await self._client.create_multipart_upload(**call)
            where = {**where, "UploadId": upload["UploadId"]}
            done = []
            try:
                for number, each in enumerate(body.cut(parts, self._settings.part_bytes), 1):
                    async with self._patience() as patience:
                        prepared = await body.prepare(
                            each, has_md5=self._settings.is_locking, on_progress=patience.renew
                        )
                        summed = {"ContentMD5": prepared.md5} if prepared.md5 else {}
                        answer = await self._client.upload_part(
                            **where, **summed, PartNumber=number, Body=prepared.content
                        )
                    done.append({"PartNumber": number, "ETag": answer["ETag"]})
                await self._client.complete_multipart_upload(
                    **where, **condition, MultipartUpload={"Parts": done}
                )
            except BaseException:
                with contextlib.suppress(boto.BotoCoreError, boto.ClientError, OSError, TimeoutError):
                    async with asyncio.timeout(_CLEAN_UP_S):
                        await asyncio.shield(self._client.abort_multipart_upload(**where))
                raise

    def _at(self, key: Key) -> dict[str, str]:
        return {"Bucket": self._settings.bucket, "Key": self._prefix + key.path()}

    def _how(self, key: Key) -> dict[str, Any]:
        """How an object is kept: class, encryption, protection."""
        found, how = self._settings, dict[str, Any]()
        if found.storage_class and key.kind is Kind.PACK:
            how["StorageClass"] = found.storage_class
        if found.encryption:
            how["ServerSideEncryption"] = found.encryption
        if found.kms_key:
            how["SSEKMSKeyId"] = found.kms_key
        if key.kind is Kind.LOCK:
            return how
        if found.retention_mode:
            until = self._clock.now() + datetime.timedelta(days=found.retention_days)
            how |= {"ObjectLockMode": found.retention_mode, "ObjectLockRetainUntilDate": until}
        if found.has_legal_hold:
            how["ObjectLockLegalHoldStatus"] = "ON"
        return how

    def _calling(self, action: str, what: str = "") -> contextlib.AbstractContextManager[None]:
        return self._speaker.translating(action, what)

    @contextlib.asynccontextmanager
    async def _patience(self) -> AsyncIterator[_Patience]:
        """Ends what goes on inside when nothing moved for the storage's time-out. Raises: TimeoutError."""
        async with asyncio.timeout(self._settings.timeout_s) as limit:
            yield _Patience(limit, self._settings.timeout_s)


class _Patience:
    """Counts from the last byte that moved."""

    __slots__ = ("_limit", "_loop", "_span_s")

    def __init__(self, limit: asyncio.Timeout, span_s: float) -> None:
        self._limit = limit
        self._span_s = span_s
        self._loop = asyncio.get_running_loop()

    def renew(self) -> None:
        """Something moved."""
        with contextlib.suppress(RuntimeError):
            self._limit.reschedule(self._loop.time() + self._span_s)


class _OutOfRangeError(Exception):
    """The range begins behind the object's end."""


def _is_of(error: errors.StorageError, code: str) -> bool:
    """Whether the service gave that as its reason."""
    return isinstance(error.__cause__, boto.ClientError) and code_of(error.__cause__) == code


def _refuse_whole(answer: Mapping[str, Any], promised: int, length: int | None, location: str) -> None:
    """rclone answers a range with 200 and no more than it; a service that sends the whole object would do so for each blob."""
    if length is not None and promised <= length:
        return
    answer["Body"].close()
    raise errors.StorageError(
        f"{location} sends whole objects where a part was asked for", hint="it is no service that a repository can be kept on"
    )  # fmt: skip


def _key(kind: Kind, path: str) -> Key | None:
    """What lies at that path below the prefix; None where it is none of ours."""
    if kind is Kind.CONFIG:
        return Key(kind) if path == Kind.CONFIG.value else None
    name = path.rpartition("/")[2]
    return Key(kind, name) if is_name(name) and Key(kind, name).path() == path else None


def _traits(found: Settings, connection: client.Connection, options: Mapping[str, OptionValue]) -> Traits:
    return Traits(
        connections=found.connections,
        append_only=found.is_append_only,
        login=connection.login,
        restic=found.restic(options),
    )
