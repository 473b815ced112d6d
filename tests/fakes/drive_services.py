"""Dropbox, Google Drive and OneDrive, as far as a repository needs them, written from their public documentation.

Each is a function from a request to an answer over a tree in memory (see http_service.py): one account, its root empty at first. Pages of
listings are short, so that a test turns them with few objects.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.http_service import Answer, Request, part_of
from tests.fakes.object_services import PAGE, answer_json

_NOW = "2026-01-02T03:04:05Z"


@dataclass(slots=True)
class Login:
    """An application that a person let in: its refresh token gets access tokens."""

    client_id: str = field(default_factory=lambda: secrets.token_hex(8))
    client_secret: str = field(default_factory=lambda: secrets.token_hex(16))
    refresh_token: str = field(default_factory=lambda: secrets.token_hex(16))
    access_token: str = field(default_factory=lambda: secrets.token_hex(16))

    def exchange(self, form: Mapping[str, list[str]]) -> Answer:
        """The token endpoint (RFC 6749, 6)."""
        given = {name: values[-1] for name, values in form.items()}
        wanted = {
            "grant_type": "refresh_token",
            "refresh_token": self.refresh_token,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        if {name: given.get(name) for name in wanted} != wanted:
            return answer_json(400, {"error": "invalid_grant", "error_description": "refused"})
        return answer_json(
            200,
            {
                "access_token": self.access_token,
                "refresh_token": self.refresh_token,
                "expires_in": 3600,
                "token_type": "bearer",
            },
        )

    def lets_in(self, request: Request) -> bool:
        """Whether the request bears the access token."""
        return request.headers.get("authorization") == f"Bearer {self.access_token}"


@dataclass(slots=True)
class Tree:
    """Files and folders by path: `/a/b`. A folder has no content."""

    items: dict[str, bytes | None] = field(default_factory=lambda: {"": None})

    def put(self, path: str, content: bytes | None) -> None:
        """With the folders above."""
        above = path.rpartition("/")[0]
        if above not in self.items:
            self.put(above, None)
        self.items[path] = content

    def below(self, path: str, *, is_deep: bool) -> list[str]:
        """What lies in a folder, sorted."""
        inner = [each for each in self.items if each.startswith(f"{path}/")]
        return sorted(each for each in inner if is_deep or "/" not in each[len(path) + 1 :])

    def remove(self, path: str) -> None:
        """With all that is in it."""
        for each in [path, *self.below(path, is_deep=True)]:
            del self.items[each]


class Dropbox:
    """https://www.dropbox.com/developers/documentation/http/documentation: files."""

    HOSTS = ("api.dropboxapi.com", "content.dropboxapi.com")

    def __init__(self) -> None:
        self.login, self.tree = Login(), Tree()
        self._lock = threading.RLock()
        self._cursors: dict[str, list[str]] = {}

    def __call__(self, request: Request) -> Answer:
        """Either of its hosts."""
        if request.path == "/oauth2/token":
            return self.login.exchange(parse_qs(request.body.decode()))
        if not self.login.lets_in(request):
            return self._error(401, "invalid_access_token")
        assert request.method == "POST"
        name = request.path.removeprefix("/2/files/")
        is_content = name in ("upload", "download")
        told = json.loads(request.headers["dropbox-api-arg"] if is_content else request.body)
        with self._lock:
            handler = getattr(self, f"_{name.replace('/', '_')}")
            answer: Answer = handler(told, request)
            return answer

    def _upload(self, told: Mapping[str, Any], request: Request) -> Answer:
        assert told["mode"] == "overwrite"
        self.tree.put(told["path"], request.body)
        return answer_json(200, self._metadata(told["path"], tagged=False))

    def _download(self, told: Mapping[str, Any], request: Request) -> Answer:
        content = self.tree.items.get(told["path"])
        if content is None:
            return self._error(409, "path/not_found/")
        return part_of(content, request.headers.get("range"))

    def _get_metadata(self, told: Mapping[str, Any], _request: Request) -> Answer:
        if told["path"] not in self.tree.items:
            return self._error(409, "path/not_found/")
        return answer_json(200, self._metadata(told["path"]))

    def _delete_v2(self, told: Mapping[str, Any], _request: Request) -> Answer:
        if told["path"] not in self.tree.items:
            return self._error(409, "path_lookup/not_found/")
        found = self._metadata(told["path"])
        self.tree.remove(told["path"])
        return answer_json(200, {"metadata": found})

    def _create_folder_v2(self, told: Mapping[str, Any], _request: Request) -> Answer:
        if told["path"] in self.tree.items:
            return self._error(409, "path/conflict/folder/")
        self.tree.put(told["path"], None)
        return answer_json(200, {"metadata": self._metadata(told["path"], tagged=False)})

    def _list_folder(self, told: Mapping[str, Any], _request: Request) -> Answer:
        path = told["path"]
        if path == "/":
            return Answer(400, b'Specify the root folder as an empty string rather than as "/".')
        if path not in self.tree.items:
            return self._error(409, "path/not_found/")
        inner = self.tree.below(path, is_deep=told["recursive"])
        return self._page(([path] if told["recursive"] and path else []) + inner)

    def _list_folder_continue(self, told: Mapping[str, Any], _request: Request) -> Answer:
        return self._page(self._cursors.pop(told["cursor"]))

    def _page(self, paths: list[str]) -> Answer:
        cursor = secrets.token_hex(8)
        self._cursors[cursor] = paths[PAGE:]
        entries = [self._metadata(each) for each in paths[:PAGE] if each in self.tree.items]
        return answer_json(200, {"entries": entries, "cursor": cursor, "has_more": len(paths) > PAGE})

    def _metadata(self, path: str, *, tagged: bool = True) -> dict[str, Any]:
        content = self.tree.items[path]
        found = {
            "name": path.rpartition("/")[2],
            "path_lower": path.lower(),
            "path_display": path,
            "id": "id:" + hashlib.sha256(path.encode()).hexdigest()[:22],
        }
        if tagged:
            found[".tag"] = "folder" if content is None else "file"
        if content is None:
            return found
        return found | {
            "client_modified": _NOW,
            "server_modified": _NOW,
            "rev": "a1c10ce0dd78",
            "size": len(content),
            "is_downloadable": True,
        }

    @staticmethod
    def _error(status: int, summary: str) -> Answer:
        tags = summary.strip("/").split("/")
        return answer_json(status, {"error_summary": f"{summary}..", "error": {".tag": tags[0]}})


class OneDrive:
    """https://learn.microsoft.com/graph/api/resources/onedrive: items by path, upload sessions."""

    HOSTS = ("graph.microsoft.com", "login.microsoftonline.com", "sn3302.up.1drv.com")
    _ROOT = "/v1.0/me/drive/root"

    def __init__(self) -> None:
        self.login, self.tree = Login(), Tree()
        self._lock = threading.RLock()
        self._sessions: dict[str, tuple[str, bytearray]] = {}

    def __call__(self, request: Request) -> Answer:
        """Any of its hosts."""
        if request.path == "/common/oauth2/v2.0/token":
            return self.login.exchange(parse_qs(request.body.decode()))
        with self._lock:
            if request.path.startswith("/up/"):
                return self._upload_fragment(request)
            if not self.login.lets_in(request):
                return self._error(401, "InvalidAuthenticationToken")
            assert request.path.startswith(self._ROOT), request.path
            # `root/children` and `root:/a/b:/children` (Addressing resources in a drive).
            path, _, action = request.path.removeprefix(self._ROOT).removeprefix(":").partition(":")
            if path in ("/children", ""):
                path, action = "", path
            return self._act(request, path.rstrip("/"), action)

    def _act(self, request: Request, path: str, action: str) -> Answer:
        if request.method == "PUT" and action == "/content":
            status = 200 if path in self.tree.items else 201
            self.tree.put(path, request.body)
            return answer_json(status, self._item(path))
        if request.method == "POST" and action == "/createUploadSession":
            session = secrets.token_hex(8)
            self._sessions[session] = (path, bytearray())
            return answer_json(
                200, {"uploadUrl": f"https://{self.HOSTS[2]}/up/{session}", "expirationDateTime": _NOW}
            )
        if request.method == "POST" and action == "/children":
            if path not in self.tree.items:
                return self._error(404, "itemNotFound")
            name = json.loads(request.body)["name"]
            self.tree.items.setdefault(f"{path}/{name}", None)
            return answer_json(201, self._item(f"{path}/{name}"))
        if path not in self.tree.items:
            return self._error(404, "itemNotFound")
        return self._on_found(request, path, action)

    def _on_found(self, request: Request, path: str, action: str) -> Answer:
        content = self.tree.items[path]
        if request.method == "DELETE":
            self.tree.remove(path)
            return Answer(204)
        if action == "/children":
            inner = self.tree.below(path, is_deep=False)
            begin = int(request.query.get("$skiptoken", "0"))
            answer: dict[str, Any] = {"value": [self._item(each) for each in inner[begin : begin + PAGE]]}
            if len(inner) > begin + PAGE:
                url = f"https://{self.HOSTS[0]}{urlsplit(request.target).path}"
                answer["@odata.nextLink"] = f"{url}?$skiptoken={begin + PAGE}"
            return answer_json(200, answer)
        if action == "/content":
            return part_of(content or b"", request.headers.get("range"))
        return answer_json(200, self._item(path))

    def _upload_fragment(self, request: Request) -> Answer:
        """Bytes of a session, one after the other; they bear no token."""
        assert "authorization" not in request.headers
        path, gathered = self._sessions[request.path.removeprefix("/up/")]
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", request.headers["content-range"])
        assert found is not None
        begin, end, total = (int(each) for each in found.groups())
        assert (begin, end - begin + 1) == (len(gathered), len(request.body))
        gathered += request.body
        if end + 1 < total:
            assert len(request.body) % 327_680 == 0
            return answer_json(202, {"nextExpectedRanges": [f"{end + 1}-"], "expirationDateTime": _NOW})
        status = 200 if path in self.tree.items else 201
        self.tree.put(path, bytes(gathered))
        return answer_json(status, self._item(path))

    def _item(self, path: str) -> dict[str, Any]:
        content = self.tree.items[path]
        above = path.rpartition("/")[0]
        facet: dict[str, Any] = (
            {"folder": {"childCount": len(self.tree.below(path, is_deep=False))}}
            if content is None
            else {"file": {"mimeType": "application/octet-stream"}}
        )
        return facet | {
            "id": hashlib.sha256(path.encode()).hexdigest()[:16],
            "name": path.rpartition("/")[2] or "root",
            "size": len(content or b""),
            "eTag": '"{1},1"',
            "lastModifiedDateTime": _NOW,
            "parentReference": {"driveId": "1", "id": "2", "path": f"/drive/root:{above}"},
        }

    @staticmethod
    def _error(status: int, code: str) -> Answer:
        return answer_json(status, {"error": {"code": code, "message": "The service said no."}})


@dataclass(slots=True)
class _DriveFile:
    name: str
    parent: str
    content: bytes | None
    is_trashed: bool = False


class GoogleDrive:
    """https://developers.google.com/workspace/drive/api/reference/rest/v3/files: list, get, create, update."""

    HOSTS = ("www.googleapis.com",)
    _FOLDER = "application/vnd.google-apps.folder"

    def __init__(self) -> None:
        self.login = Login()
        self._lock = threading.RLock()
        self._files: dict[str, _DriveFile] = {}
        self._ids: Iterator[int] = itertools.count(1)

    def __call__(self, request: Request) -> Answer:
        """Its host; its logins come by `exchange`."""
        if not self.login.lets_in(request):
            return self._error(401, "Invalid Credentials", "authError")
        path = request.path.removeprefix("/upload").removeprefix("/drive/v3/files").strip("/")
        with self._lock:
            if not path:
                return self._list(request.query) if request.method == "GET" else self._create(request)
            found = self._files.get(path)
            if found is None:
                return self._error(404, f"File not found: {path}.", "notFound")
            if request.method == "PATCH":
                return self._update(request, path, found)
            if request.query.get("alt") == "media":
                return part_of(found.content or b"", request.headers.get("range"))
            return answer_json(200, self._resource(path))

    def exchange(self, request: Request) -> Answer:
        """The token endpoint, which takes its fields in the address too."""
        return self.login.exchange(parse_qs(urlsplit(request.target).query))

    def _create(self, request: Request) -> Answer:
        content = None
        told = json.loads(request.body) if not request.path.startswith("/upload") else {}
        if request.path.startswith("/upload"):
            assert request.query["uploadType"] == "multipart"
            head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
            metadata, media = message_from_bytes(head + request.body, policy=policy.HTTP).iter_parts()
            told = json.loads(metadata.get_content())
            content = bytes(media.get_content())
        assert (told.get("mimeType") == self._FOLDER) == (content is None)
        number = f"id{next(self._ids)}"
        self._files[number] = _DriveFile(told["name"], told["parents"][0], content)
        return answer_json(200, self._resource(number))

    def _update(self, request: Request, number: str, found: _DriveFile) -> Answer:
        if request.path.startswith("/upload"):
            assert request.query["uploadType"] == "media"
            found.content = request.body
        else:
            found.is_trashed = json.loads(request.body).get("trashed", found.is_trashed)
        return answer_json(200, self._resource(number))

    def _list(self, query: Mapping[str, str]) -> Answer:
        wanted = query["q"]
        names = re.findall(r"name = '([^']*)'", wanted)
        parents = re.findall(r"'([^']*)' in parents", wanted)
        assert "trashed = false" in wanted
        found = [
            number
            for number, each in self._files.items()
            if not each.is_trashed
            and each.parent in parents
            and (not names or each.name in names)
            and ("mimeType" not in wanted or each.content is None)
        ]
        begin, limit = int(query.get("pageToken", "0")), min(int(query.get("pageSize", "100")), PAGE)
        answer: dict[str, Any] = {"files": [self._resource(each) for each in found[begin : begin + limit]]}
        if len(found) > begin + limit:
            answer["nextPageToken"] = str(begin + limit)
        return answer_json(200, answer)

    def _resource(self, number: str) -> dict[str, Any]:
        each = self._files[number]
        found: dict[str, Any] = {
            "kind": "drive#file",
            "id": number,
            "name": unquote(each.name),
            "mimeType": self._FOLDER if each.content is None else "application/octet-stream",
            "modifiedTime": _NOW,
            "parents": [each.parent],
        }
        return found if each.content is None else found | {"size": str(len(each.content))}

    @staticmethod
    def _error(status: int, message: str, reason: str) -> Answer:
        error = {"message": message, "domain": "global", "reason": reason}
        return answer_json(status, {"error": {"code": status, "message": message, "errors": [error]}})
