"""The fakes of cloud services answer as the services' documentation says, shown by its own examples."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.fakes.drive_services import Dropbox, GoogleDrive, OneDrive
from tests.fakes.http_service import Answer, Request, part_of
from tests.fakes.object_services import B2, PAGE, Gcs


def parsed(answer: Answer, status: int = 200) -> Any:
    """The body of an answer with that status."""
    assert answer.status == status, answer
    return json.loads(answer.body)


def test_a_range_is_answered_as_rfc_9110_says() -> None:
    """Section 14: 206 with Content-Range, cut at the end; 416 behind it."""
    assert part_of(b"0123456789", "bytes=2-4") == Answer(206, b"234", {"Content-Range": "bytes 2-4/10"})
    assert part_of(b"0123456789", "bytes=8-20") == Answer(206, b"89", {"Content-Range": "bytes 8-9/10"})
    assert part_of(b"0123456789", "bytes=7-").body == b"789"
    assert part_of(b"0123456789", "bytes=10-11") == Answer(416, b"", {"Content-Range": "bytes */10"})


def test_google_cloud_storage_keeps_and_lists_objects() -> None:
    """Objects: insert, get, list, delete (json_api/v1/objects); status and error codes (json_api/v1/status-codes)."""
    service = Gcs()
    bucket = service.objects.make()
    login = {"authorization": f"Bearer {service.token}"}
    url = f"/storage/v1/b/{bucket}/o"
    made = parsed(
        service(Request("POST", f"/upload{url}?uploadType=media&name=a%2Fb", login, b"hello world"))
    )
    assert (made["kind"], made["name"], made["size"]) == ("storage#object", "a/b", "11")
    assert made["md5Hash"] == "XrY7u+Ae7tCTyyK7j1rNww=="
    assert parsed(service(Request("GET", f"{url}/a%2Fb", login))) == made
    assert service(Request("GET", f"{url}/a%2Fb?alt=media", login | {"range": "bytes=0-4"})).body == b"hello"
    assert [each["name"] for each in parsed(service(Request("GET", f"{url}?prefix=a/", login)))["items"]] == ["a/b"]  # fmt: skip
    assert service(Request("DELETE", f"{url}/a%2Fb", login)).status == 204
    assert parsed(service(Request("DELETE", f"{url}/a%2Fb", login)), 404)["error"]["code"] == 404
    missing = parsed(service(Request("GET", "/storage/v1/b/none/o", login)), 404)
    assert missing["error"]["message"] == "The specified bucket does not exist."
    assert parsed(service(Request("GET", url)), 401)["error"]["errors"][0]["reason"] == "authError"


def test_google_cloud_storage_turns_pages() -> None:
    """nextPageToken is absent on the last page (Objects: list)."""
    service = Gcs()
    bucket = service.objects.make()
    service.objects.by_bucket[bucket] |= {f"{number:04}": b"" for number in range(PAGE + 1)}
    login = {"authorization": f"Bearer {service.token}"}
    first = parsed(service(Request("GET", f"/storage/v1/b/{bucket}/o", login)))
    url = f"/storage/v1/b/{bucket}/o?pageToken={first['nextPageToken']}"
    second = parsed(service(Request("GET", url, login)))
    assert (len(first["items"]), len(second["items"]), "nextPageToken" in second) == (PAGE, 1, False)


def test_b2_goes_the_documented_way_from_key_to_file() -> None:
    """b2_authorize_account, b2_get_upload_url, b2_upload_file, b2_list_file_names, b2_download_file_by_name, b2_hide_file."""
    service = B2()
    bucket = service.objects.make()
    login = base64.b64encode(f"{service.key_id}:{service.key}".encode()).decode()
    account = parsed(service(Request("GET", "/b2api/v2/b2_authorize_account", {"authorization": f"Basic {login}"})))  # fmt: skip
    token = {"authorization": account["authorizationToken"]}
    told = json.dumps({"bucketId": service.bucket_id(bucket)}).encode()
    place = parsed(service(Request("POST", "/b2api/v2/b2_get_upload_url", token, told)))
    headers = {
        "authorization": place["authorizationToken"],
        "x-bz-file-name": "a/typing%20test.txt",
        "x-bz-content-sha1": "0a0a9f2a6772942557ab5355d76af442f8f65e01",
    }
    path = "/" + place["uploadUrl"].partition("//")[2].partition("/")[2]
    made = parsed(service(Request("POST", path, headers, b"Hello, World!")))
    assert (made["fileName"], made["contentLength"], made["action"]) == ("a/typing test.txt", 13, "upload")
    assert service(Request("POST", path, headers, b"Hello, World?")).status == 400
    listed = parsed(service(Request("POST", "/b2api/v2/b2_list_file_names", token, told)))
    assert listed == {"files": [made], "nextFileName": None}
    assert service(Request("GET", f"/file/{bucket}/a/typing%20test.txt", token)).body == b"Hello, World!"
    hidden = json.dumps({"bucketId": service.bucket_id(bucket), "fileName": made["fileName"]}).encode()
    assert parsed(service(Request("POST", "/b2api/v2/b2_hide_file", token, hidden)))["action"] == "hide"
    assert parsed(service(Request("POST", "/b2api/v2/b2_hide_file", token, hidden)), 400)["code"] == "no_such_file"  # fmt: skip
    assert parsed(service(Request("GET", f"/file/{bucket}/a", token)), 404)["code"] == "not_found"
    assert parsed(service(Request("GET", f"/file/{bucket}/a")), 401)["code"] == "bad_auth_token"


def test_dropbox_tells_what_is_missing_by_the_summary_of_its_error() -> None:
    """Endpoint-specific errors are 409 with an error_summary; the root of a listing is an empty text (files/list_folder)."""
    service = Dropbox()
    login = {"authorization": f"Bearer {service.login.access_token}"}

    def call(name: str, **told: Any) -> Answer:
        return service(Request("POST", f"/2/files/{name}", login, json.dumps(told).encode()))

    assert parsed(call("get_metadata", path="/a"), 409)["error_summary"].startswith("path/not_found/")
    assert parsed(call("create_folder_v2", path="/a"))["metadata"]["path_lower"] == "/a"
    assert parsed(call("create_folder_v2", path="/a"), 409)["error_summary"].startswith("path/conflict/")
    argument = json.dumps({"path": "/a/B", "mode": "overwrite"})
    made = parsed(service(Request("POST", "/2/files/upload", login | {"dropbox-api-arg": argument}, b"abc")))
    assert (made["name"], made["size"], made["path_lower"], ".tag" in made) == ("B", 3, "/a/b", False)
    listed = parsed(call("list_folder", path="", recursive=True))
    assert [(each[".tag"], each["path_display"]) for each in listed["entries"]] == [("folder", "/a"), ("file", "/a/B")]  # fmt: skip
    assert call("list_folder", path="/", recursive=False).status == 400
    assert parsed(call("delete_v2", path="/a/B"))["metadata"][".tag"] == "file"
    assert parsed(call("delete_v2", path="/a/B"), 409)["error_summary"].startswith("path_lookup/not_found/")


def test_google_drive_finds_by_query_and_keeps_namesakes() -> None:
    """A name is no key there: two files of one folder may have the same (files.create, search query terms)."""
    service = GoogleDrive()
    login = {"authorization": f"Bearer {service.login.access_token}"}
    for _ in range(2):
        folder = {"name": "a", "mimeType": "application/vnd.google-apps.folder", "parents": ["root"]}
        made = parsed(service(Request("POST", "/drive/v3/files", login, json.dumps(folder).encode())))
    query = "name%20%3D%20'a'%20and%20'root'%20in%20parents%20and%20trashed%20%3D%20false"
    listed = parsed(service(Request("GET", f"/drive/v3/files?q={query}", login)))
    assert [each["name"] for each in listed["files"]] == ["a", "a"]
    assert parsed(service(Request("PATCH", f"/drive/v3/files/{made['id']}", login, b'{"trashed": true}')))
    assert len(parsed(service(Request("GET", f"/drive/v3/files?q={query}", login)))["files"]) == 1
    assert parsed(service(Request("GET", "/drive/v3/files/none", login)), 404)["error"]["code"] == 404


def test_onedrive_takes_large_files_in_order_and_tells_what_comes_next() -> None:
    """driveItem: createUploadSession: 202 with nextExpectedRanges, then 201 with the item; error codes (resource types)."""
    service = OneDrive()
    login = {"authorization": f"Bearer {service.login.access_token}"}
    root = "/v1.0/me/drive/root"
    assert parsed(service(Request("GET", f"{root}:/a", login)), 404)["error"]["code"] == "itemNotFound"
    session = parsed(service(Request("POST", f"{root}:/a/b:/createUploadSession", login, b"{}")))
    path = "/" + session["uploadUrl"].partition("//")[2].partition("/")[2]
    first = service(Request("PUT", path, {"content-range": "bytes 0-327679/327681"}, bytes(327_680)))
    assert parsed(first, 202)["nextExpectedRanges"] == ["327680-"]
    item = parsed(service(Request("PUT", path, {"content-range": "bytes 327680-327680/327681"}, b"x")), 201)
    assert (item["name"], item["size"], item["parentReference"]["path"]) == ("b", 327_681, "/drive/root:/a")
    assert parsed(service(Request("PUT", f"{root}:/a/c:/content", login, b"abc")), 201)["size"] == 3
    listed = parsed(service(Request("GET", f"{root}:/a:/children", login)))
    assert [each["name"] for each in listed["value"]] == ["b", "c"]
    assert service(Request("DELETE", f"{root}:/a/c", login)).status == 204
