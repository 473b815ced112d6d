"""Archives that links lead to, in a folder of the bucket that restic does not look into."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from engine.storages.s3.errors import Speaker

_FOLDER: Final = "shares/"
_PART_BYTES: Final = 16 << 20
"""Of the first thousand: see `_parts`."""
_CLEAN_UP_S: Final = 10.0


class S3Sharing:
    """See `base.Sharing`."""

    longest_s = 7 * 86400.0
    """Of a signature of version 4."""

    def __init__(self, client: Any, bucket: str, prefix: str, speaker: Speaker) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix + _FOLDER
        self._speaker = speaker

    async def put(self, name: str, pieces: AsyncIterator[bytes]) -> int:
        """In parts, so that nothing is visible before the last request."""
        where = self._at(name)
        size_bytes = 0
        with self._speaker.translating("s3:PutObject", _FOLDER + name):
            upload = await self._client.create_multipart_upload(
                **where, ContentType="application/octet-stream"
            )
            where |= {"UploadId": upload["UploadId"]}
            try:
                done: list[dict[str, object]] = []
                async for part in _parts(pieces):
                    number = len(done) + 1
                    answer = await self._client.upload_part(**where, PartNumber=number, Body=part)
                    done.append({"PartNumber": number, "ETag": answer["ETag"]})
                    size_bytes += len(part)
                await self._client.complete_multipart_upload(**where, MultipartUpload={"Parts": done})
            except BaseException:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(_CLEAN_UP_S):
                        await asyncio.shield(self._client.abort_multipart_upload(**where))
                raise
        return size_bytes

    async def link(self, name: str, expires_s: int) -> str:
        """Signed with the storage's own key; no request is sent."""
        with self._speaker.translating("s3:GetObject"):
            url = await self._client.generate_presigned_url(
                "get_object", Params=self._at(name), ExpiresIn=expires_s
            )
        return str(url)

    async def list(self) -> AsyncGenerator[tuple[str, int], None]:
        """A thousand names a request."""
        call = {"Bucket": self._bucket, "Prefix": self._prefix}
        while True:
            with self._speaker.translating("s3:ListBucket", _FOLDER):
                page = await self._client.list_objects_v2(**call)
            for entry in page.get("Contents", ()):
                yield entry["Key"].removeprefix(self._prefix), int(entry["Size"])
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not token:
                return
            call["ContinuationToken"] = token

    async def delete(self, name: str) -> None:
        """One request."""
        with self._speaker.translating("s3:DeleteObject", _FOLDER + name):
            await self._client.delete_object(**self._at(name))

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}


async def _parts(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in parts of one size, which doubles with each thousand, so that they suffice for any length; one at least."""
    gathered = bytearray()
    number = 0
    async for piece in pieces:
        gathered += piece
        while len(gathered) >= (size := _PART_BYTES << min(number // 1000, 5)):
            yield bytes(gathered[:size])
            del gathered[:size]
            number += 1
    if gathered or not number:
        yield bytes(gathered)
