"""Google Cloud Storage's JSON API and Backblaze's B2, as far as a repository needs them, written from their public documentation.

Each is a function from a request to an answer over objects in memory (see http_service.py). Pages of listings are short, so that a test
turns them with few objects.
"""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import itertools
import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from engine.clock import SystemClock
from tests.fakes.http_service import Answer, Request, part_of

PAGE = 100
"""Entries."""
_NOW = "2026-01-02T03:04:05.678Z"


def answer_json(status: int, value: Any) -> Answer:
    """JSON, as both services speak it."""
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=UTF-8"})


@dataclass(slots=True)
class Objects:
    """What a service holds: bytes by bucket and name."""

    by_bucket: dict[str, dict[str, bytes]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def make(self) -> str:
        """A new bucket's name."""
        name = f"b{secrets.token_hex(8)}"
        with self.lock:
            self.by_bucket[name] = {}
        return name

    def page(self, bucket: str, prefix: str, after: str, limit: int) -> tuple[list[str], str]:
        """Names that begin so, from `after` on, and the name that the next page begins with, or nothing."""
        names = [name for name in sorted(self.by_bucket[bucket]) if name.startswith(prefix) and name >= after]
        return names[:limit], names[limit] if len(names) > limit else ""


def _xml(text: str) -> Answer:
    return Answer(
        200, f"<?xml version='1.0' encoding='UTF-8'?>{text}".encode(), {"Content-Type": "application/xml"}
    )


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    """Made once: it takes a third of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Gcs:
    """https://cloud.google.com/storage/docs/json_api/v1: objects insert, get, list and delete, and the login of a service account."""

    def __init__(self, key: rsa.RSAPrivateKey | None = None) -> None:
        self.objects = Objects()
        self.token = secrets.token_hex(16)
        self.token_uri = "https://oauth2.googleapis.com/token"
        self._key = key or _key()
        self._uploads: dict[str, dict[int, bytes]] = {}

    @property
    def credentials(self) -> str:
        """The key file of the one service account."""
        private = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "project_id": "tests",
            "private_key_id": "1",
            "private_key": private.decode(),
            "client_email": "backup@tests.iam.gserviceaccount.com",
            "client_id": "1",
            "token_uri": self.token_uri,
        }
        return json.dumps(account, indent=2)

    def __call__(self, request: Request) -> Answer:
        """Any of its hosts."""
        if request.path == "/token":
            return self._log_in(request)
        if "X-Goog-Signature" in request.query:
            return self._signed(request)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return self._error(401, "Invalid Credentials", "authError")
        with self.objects.lock:
            if request.path.startswith(("/storage/", "/upload/")):
                return self._call(request)
            return self._in_parts(request)

    def _signed(self, request: Request) -> Answer:
        """Whoever has the address (docs: V4 signing process; Signed URLs, XML API errors)."""
        begin, _, signature = request.target.rpartition("&X-Goog-Signature=")
        path, _, words = begin.partition("?")
        query = request.query
        host = request.headers.get("host", "storage.googleapis.com")
        scope = query["X-Goog-Credential"].partition("/")[2]
        asked = "\n".join(("GET", path, words, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"))
        digest = hashlib.sha256(asked.encode()).hexdigest()
        text = "\n".join(("GOOG4-RSA-SHA256", query["X-Goog-Date"], scope, digest))
        try:
            self._key.public_key().verify(
                bytes.fromhex(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (InvalidSignature, ValueError):
            return Answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        made = datetime.datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
        if SystemClock().now() > made + datetime.timedelta(seconds=int(query["X-Goog-Expires"])):
            return Answer(400, b"<Error><Code>ExpiredToken</Code></Error>")
        _, bucket, name = unquote(path).split("/", 2)
        found = self.objects.by_bucket[bucket].get(name)
        return Answer(404, b"<Error><Code>NoSuchKey</Code></Error>") if found is None else Answer(200, found)

    def _in_parts(self, request: Request) -> Answer:
        """An upload in parts (XML API multipart uploads)."""
        _, bucket, name = unquote(urlsplit(request.target).path).split("/", 2)
        query = request.query
        if request.method == "POST" and request.target.endswith("?uploads"):
            upload = secrets.token_hex(8)
            self._uploads[upload] = {}
            return _xml(f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{name}</Key><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")  # fmt: skip
        parts = self._uploads[query["uploadId"]]
        if request.method == "PUT":
            parts[int(query["partNumber"])] = request.body
            etag = hashlib.md5(request.body, usedforsecurity=False).hexdigest()
            return Answer(200, b"", {"ETag": f'"{etag}"'})
        assert request.method == "POST", request.method
        self.objects.by_bucket[bucket][name] = b"".join(parts[number] for number in sorted(parts))
        return _xml(f"<CompleteMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{name}</Key><ETag>&quot;x-1&quot;</ETag></CompleteMultipartUploadResult>")  # fmt: skip

    def _call(self, request: Request) -> Answer:
        # The name of an object is one part of the path, its slashes encoded.
        words = urlsplit(request.target).path.removeprefix("/upload").split("/")
        assert words[1:4] == ["storage", "v1", "b"], words
        assert words[5] == "o", words
        bucket = self.objects.by_bucket.get(words[4])
        if bucket is None:
            return self._error(404, "The specified bucket does not exist.", "notFound")
        if request.path.startswith("/upload/") and request.method == "POST":
            bucket[request.query["name"]] = request.body
            return answer_json(200, self._resource(words[4], request.query["name"]))
        if len(words) == 6:
            return self._list(words[4], request.query)
        assert len(words) == 7, words
        return self._one(request, words[4], unquote(words[6]))

    def _one(self, request: Request, bucket: str, name: str) -> Answer:
        if name not in self.objects.by_bucket[bucket]:
            return self._error(404, f"No such object: {bucket}/{name}", "notFound")
        if request.method == "DELETE":
            del self.objects.by_bucket[bucket][name]
            return Answer(204)
        if request.query.get("alt") == "media":
            return part_of(self.objects.by_bucket[bucket][name], request.headers.get("range"))
        return answer_json(200, self._resource(bucket, name))

    def _list(self, bucket: str, query: Mapping[str, str]) -> Answer:
        limit = min(int(query.get("maxResults", PAGE)), PAGE)
        names, following = self.objects.page(
            bucket, query.get("prefix", ""), query.get("pageToken", ""), limit
        )
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if names:
            answer["items"] = [self._resource(bucket, name) for name in names]
        if following:
            answer["nextPageToken"] = following
        return answer_json(200, answer)

    def _resource(self, bucket: str, name: str) -> dict[str, Any]:
        content = self.objects.by_bucket[bucket][name]
        return {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/1",
            "name": name,
            "bucket": bucket,
            "generation": "1",
            "contentType": "application/octet-stream",
            "size": str(len(content)),
            "md5Hash": base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode(),
            "etag": "CKWasoTgyPkCEAE=",
            "timeCreated": _NOW,
            "updated": _NOW,
        }

    def _log_in(self, request: Request) -> Answer:
        """The exchange of a signed assertion for a token (RFC 7523)."""
        form = parse_qs(request.body.decode())
        signed, _, signature = form.get("assertion", [""])[0].rpartition(".")
        try:
            raw = base64.urlsafe_b64decode(signature + "==")
            self._key.public_key().verify(raw, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return answer_json(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        return answer_json(200, {"access_token": self.token, "expires_in": 3599, "token_type": "Bearer"})

    @staticmethod
    def _error(status: int, message: str, reason: str) -> Answer:
        error = {"message": message, "domain": "global", "reason": reason}
        return answer_json(status, {"error": {"code": status, "message": message, "errors": [error]}})


class B2:
    """https://www.backblaze.com/apidocs: version 2 of the native API, for one account. Deleting is hiding: the versions stay."""

    API, DOWNLOAD, POD = "api001.backblazeb2.com", "f001.backblazeb2.com", "pod-000-1000-00.backblaze.com"

    def __init__(self) -> None:
        self.objects = Objects()
        self.key_id, self.key = secrets.token_hex(12), secrets.token_hex(16)
        self._token, self._upload_token = secrets.token_hex(16), secrets.token_hex(16)
        self._count = itertools.count(1)

    def bucket_id(self, bucket: str) -> str:
        """Buckets have an id beside their name."""
        return hashlib.sha256(bucket.encode()).hexdigest()[:24]

    def __call__(self, request: Request) -> Answer:
        """Any of its hosts."""
        if request.path == "/b2api/v2/b2_authorize_account":
            return self._authorize(request)
        given = request.headers.get("authorization")
        is_upload = request.path.startswith("/b2api/v2/b2_upload_file/")
        if given != (self._upload_token if is_upload else self._token):
            return self._error(401, "bad_auth_token", "Invalid authorization token")
        with self.objects.lock:
            if request.path.startswith("/file/"):
                return self._download(request)
            if is_upload:
                return self._upload(request)
            told = request.query | (json.loads(request.body) if request.body else {})
            bucket = self._bucket_of(told.get("bucketId", ""))
            if bucket is None:
                return self._error(400, "bad_bucket_id", "Invalid bucketId")
            return self._call(request.path.rpartition("/")[2], bucket, told)

    def _authorize(self, request: Request) -> Answer:
        login = base64.b64encode(f"{self.key_id}:{self.key}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}":
            return self._error(401, "unauthorized", "The application key is not valid")
        return answer_json(
            200,
            {
                "accountId": "1",
                "authorizationToken": self._token,
                "apiUrl": f"https://{self.API}",
                "downloadUrl": f"https://{self.DOWNLOAD}",
                "recommendedPartSize": 100_000_000,
                "absoluteMinimumPartSize": 5_000_000,
            },
        )

    def _call(self, name: str, bucket: str, told: Mapping[str, Any]) -> Answer:
        objects = self.objects.by_bucket[bucket]
        if name == "b2_get_upload_url":
            url = f"https://{self.POD}/b2api/v2/b2_upload_file/{told['bucketId']}/{next(self._count)}"
            return answer_json(
                200,
                {"bucketId": told["bucketId"], "uploadUrl": url, "authorizationToken": self._upload_token},
            )
        if name == "b2_hide_file":
            if told["fileName"] not in objects:
                return self._error(400, "no_such_file", f"File not present: {told['fileName']}")
            del objects[told["fileName"]]
            return answer_json(200, {"action": "hide", "fileName": told["fileName"], "fileId": "1"})
        assert name == "b2_list_file_names", name
        names, following = self.objects.page(
            bucket,
            told.get("prefix", ""),
            told.get("startFileName", ""),
            min(int(told.get("maxFileCount", PAGE)), PAGE),
        )
        files = [self._file(bucket, each) for each in names]
        return answer_json(200, {"files": files, "nextFileName": following or None})

    def _upload(self, request: Request) -> Answer:
        bucket = self._bucket_of(request.path.split("/")[4])
        assert bucket is not None
        name = unquote(request.headers["x-bz-file-name"])
        sha1 = hashlib.sha1(request.body, usedforsecurity=False).hexdigest()
        if request.headers["x-bz-content-sha1"] not in ("do_not_verify", sha1):
            return self._error(400, "bad_request", "Sha1 did not match data received")
        self.objects.by_bucket[bucket][name] = request.body
        return answer_json(200, self._file(bucket, name))

    def _download(self, request: Request) -> Answer:
        _, _, bucket, name = request.path.split("/", 3)
        if name not in self.objects.by_bucket.get(bucket, {}):
            return self._error(404, "not_found", f"File with such name does not exist: {name}")
        answer = part_of(self.objects.by_bucket[bucket][name], request.headers.get("range"))
        return answer if answer.status != 416 else self._error(416, "range_not_satisfiable", "bad range")

    def _bucket_of(self, bucket_id: str) -> str | None:
        return next((name for name in self.objects.by_bucket if self.bucket_id(name) == bucket_id), None)

    def _file(self, bucket: str, name: str) -> dict[str, Any]:
        content = self.objects.by_bucket[bucket][name]
        return {
            "accountId": "1",
            "action": "upload",
            "bucketId": self.bucket_id(bucket),
            "contentLength": len(content),
            "contentMd5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "contentSha1": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
            "contentType": "application/octet-stream",
            "fileId": f"4_{name}",
            "fileInfo": {},
            "fileName": name,
            "uploadTimestamp": 1767323045678,
        }

    @staticmethod
    def _error(status: int, code: str, message: str) -> Answer:
        return answer_json(status, {"status": status, "code": code, "message": message})
