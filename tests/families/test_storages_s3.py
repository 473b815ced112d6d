"""What only S3 has: permissions, tokens, TLS, object lock, classes, encryption, parts, and the service's own words for what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from engine import errors
from engine.clock import SystemClock
from engine.jobs import storage_report
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages import registry
from engine.storages.base import Key, Kind, Opening, OpenStorage
from engine.storages.s3 import client, settings
from engine.storages.s3.errors import Speaker
from engine.storages.s3.storage import S3Storage
from tests.servers.ceph import Ceph
from tests.servers.fault_proxy import Fault, Harm, Way, running_fault_proxy
from tests.servers.http_fault_proxy import Answer, HttpFaultProxy, Spoiled, running_http_fault_proxy

pytestmark = pytest.mark.slow

OBJECT = os.urandom(1 << 20)
KEY = Key(Kind.PACK, hashlib.sha256(OBJECT).hexdigest())


class Bucket:
    """A bucket of the test's own, looked at with the service's own calls."""

    def __init__(self, ceph: Ceph, raw: Any) -> None:
        self.ceph = ceph
        self.raw = raw
        self.name = f"s3-{uuid.uuid4().hex}"

    def secrets(self) -> dict[str, Secret]:
        """The only key."""
        return {"access_key_id": Secret(self.ceph.access_key), "secret_key": Secret(self.ceph.secret_key)}

    def opening(self, port: int | None = None, **options: OptionValue) -> Opening:
        """How a member is opened."""
        told = {"bucket": self.name, "endpoint": f"http://127.0.0.1:{port or self.ceph.port}", **options}
        return Opening(told, SystemClock(), self.secrets())

    def opened(
        self, port: int | None = None, **options: OptionValue
    ) -> contextlib.AbstractAsyncContextManager[OpenStorage]:
        """A storage as jobs get it, which tries a call again at once."""
        opening = self.opening(port, **options)
        return registry.open_storage(
            "s3", opening.options, clock=opening.clock, secrets=opening.secrets, sleep=no_wait
        )

    async def deny(self, *actions: str) -> None:
        """Takes rights away from everybody."""
        resources = [f"arn:aws:s3:::{self.name}", f"arn:aws:s3:::{self.name}/*"]
        statement = {"Effect": "Deny", "Principal": "*", "Action": list(actions), "Resource": resources}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        await self.raw.put_bucket_policy(Bucket=self.name, Policy=policy)


async def no_wait(_span_s: float) -> None:
    """Lets retries come at once."""
    await asyncio.sleep(0)


@pytest.fixture
async def bucket(ceph: Ceph) -> AsyncIterator[Bucket]:
    """One for each test; made by whoever opens it first."""
    found = Bucket(ceph, None)
    opening = found.opening()
    place = settings.read(opening.options)
    async with client.connected(place, opening.secrets, Speaker(place.location)) as connection:
        found.raw = connection.client
        yield found


async def test_a_test_names_every_right_that_is_missing(bucket: Bucket) -> None:
    """A policy that forbids to delete is found out before the first prune, not by it."""
    async with bucket.opened() as storage:
        await storage.create()
        assert (await storage_report.test("s", storage, SystemClock())).login == "the keys that were given"
        await bucket.deny("s3:DeleteObject", "s3:ListBucket")
        with pytest.raises(
            errors.StorageDeniedError, match=r"refuses the right to list and to delete"
        ) as caught:
            await storage_report.test("s", storage, SystemClock())
        assert "s3:ListBucket" in (caught.value.hint or "")
        await storage.put(Key(Kind.CONFIG), [b"config"])
        await bucket.deny("s3:PutObject", "s3:GetObject")
        with pytest.raises(
            errors.StorageDeniedError, match=r"refuses the right to write and to read:.*s3:PutObject"
        ):
            await storage_report.test("s", storage, SystemClock())
        with pytest.raises(errors.StorageDeniedError, match="the key may not do s3:GetObject"):
            await storage.size(Key(Kind.CONFIG))
    async with bucket.opened(append_only=True) as storage:
        await bucket.deny("s3:DeleteObject")
        await storage_report.test("s", storage, SystemClock())


async def test_bytes_that_were_damaged_on_the_way_up_are_refused_by_the_service(bucket: Bucket) -> None:
    """Else a line that flips bits would be found out by the next verify, when the source has changed."""
    async with running_fault_proxy(bucket.ceph.port) as proxy, bucket.opened(proxy.port) as storage:
        await storage.create()
        for content in (OBJECT, OBJECT[:100_000]):
            proxy.arm(Fault(Harm.FLIP, Way.UP, 50_000))
            key = Key(Kind.PACK, hashlib.sha256(content).hexdigest())
            await storage.put(key, [content])
            assert await storage.get(key) == content
            assert proxy.struck == 1


async def test_tls_is_checked_against_the_authorities_that_were_given(bucket: Bucket) -> None:
    """Whoever sits in between would get a copy of all that is signed."""
    endpoint = f"https://127.0.0.1:{bucket.ceph.tls_port}"
    async with bucket.opened(endpoint=endpoint) as storage:
        with pytest.raises(errors.StorageError, match="TLS certificate is not trusted") as caught:
            await storage.create()
        assert not caught.value.retryable
        assert "--ca-file" in (caught.value.hint or "")
    authority = str(bucket.ceph.authority)
    for options in ({"ca_file": authority}, {"insecure_tls": True}):
        async with bucket.opened(endpoint=endpoint, **options) as storage:
            await storage.create()
            await storage.put(KEY, [OBJECT])
            assert await storage.get(KEY, 5, 10) == OBJECT[5:15]
    assert "--cacert" in storage.traits.restic.flags or "--insecure-tls" in storage.traits.restic.flags


async def test_a_retention_and_a_legal_hold_protect_all_but_locks(bucket: Bucket) -> None:
    """Who steals the key deletes nothing for good; locks come and go, and would pile up."""
    lock = Key(Kind.LOCK, hashlib.sha256(b"lock").hexdigest())
    async with bucket.opened(retention_mode="governance", retention_days=3, legal_hold=True) as storage:
        await storage.create()
        await storage.put(KEY, [OBJECT])
        await storage.put(lock, [b"lock"])
        found = await bucket.raw.head_object(Bucket=bucket.name, Key=KEY.path())
        assert (found["ObjectLockMode"], found["ObjectLockLegalHoldStatus"]) == ("GOVERNANCE", "ON")
        left = found["ObjectLockRetainUntilDate"] - SystemClock().now()
        assert datetime.timedelta(days=2) < left <= datetime.timedelta(days=3)
        assert "ObjectLockMode" not in await bucket.raw.head_object(Bucket=bucket.name, Key=lock.path())
        await storage.delete(KEY)
        with pytest.raises(errors.ObjectMissingError):
            await storage.get(KEY)
        versions = (await bucket.raw.list_object_versions(Bucket=bucket.name, Prefix="data/"))["Versions"]
        with pytest.raises(Exception, match="AccessDenied"):
            await bucket.raw.delete_object(
                Bucket=bucket.name, Key=KEY.path(), VersionId=versions[0]["VersionId"]
            )


async def test_an_append_only_storage_deletes_nothing_but_locks(bucket: Bucket) -> None:
    """Somebody who takes this machine over cannot thin the backups out by it."""
    lock = Key(Kind.LOCK, hashlib.sha256(b"lock").hexdigest())
    async with bucket.opened(append_only=True) as storage:
        await storage.create()
        await storage.put(KEY, [OBJECT])
        await storage.put(lock, [b"lock"])
        await storage.delete(lock)
        with pytest.raises(errors.StorageReadOnlyError, match="append-only"):
            await storage.delete(KEY)
        assert storage.traits.append_only
        assert await storage.size(KEY) == len(OBJECT)


@contextlib.asynccontextmanager
async def in_parts(bucket: Bucket, port: int | None = None) -> AsyncIterator[S3Storage]:
    """A storage that sends what is larger than 5 MiB, the least that services take, in parts."""
    opening = bucket.opening(port)
    place = dataclasses.replace(settings.read(opening.options), part_bytes=5 << 20)
    async with client.connected(place, opening.secrets, Speaker(place.location)) as connection:
        yield S3Storage(place, connection, opening)


async def test_an_object_too_large_for_one_request_goes_up_in_parts(bucket: Bucket) -> None:
    """A pack of a blob that is larger than all others, which restic may have written."""
    content = os.urandom(11 << 20)
    key = Key(Kind.PACK, hashlib.sha256(content).hexdigest())
    async with in_parts(bucket) as storage:
        await storage.create()
        await storage.put(key, [content[:100], content[100 : 6 << 20], memoryview(content)[6 << 20 :]])
        assert await storage.get(key) == content
        assert await storage.get(key, (5 << 20) - 10, 20) == content[(5 << 20) - 10 : (5 << 20) + 10]


async def test_parts_of_an_upload_that_was_given_up_are_removed(bucket: Bucket) -> None:
    """They cost money, and no listing shows them."""
    content = os.urandom(11 << 20)
    key = Key(Kind.PACK, hashlib.sha256(content).hexdigest())
    async with running_http_fault_proxy(bucket.ceph.port) as proxy, in_parts(bucket, proxy.port) as storage:
        await storage.create()
        proxy.spoil(Spoiled(Answer(403), method="PUT", target="partNumber=2"))
        with pytest.raises(errors.StorageDeniedError):
            await storage.put(key, [content])
        assert "Uploads" not in await bucket.raw.list_multipart_uploads(Bucket=bucket.name)
        await bucket.raw.create_multipart_upload(Bucket=bucket.name, Key=key.path())
        assert await storage.clean(3600) == 0
        assert await storage.clean(-3600) == 1
        assert "Uploads" not in await bucket.raw.list_multipart_uploads(Bucket=bucket.name)


async def test_only_packs_go_into_another_class_and_all_are_encrypted(bucket: Bucket) -> None:
    """A restore reads index and snapshots first, and must not wait for an archive."""
    options: dict[str, OptionValue] = {
        "storage_class": "GLACIER_IR",
        "encryption": "aws:kms",
        "kms_key": "k1",
    }
    async with (
        running_http_fault_proxy(bucket.ceph.port) as proxy,
        bucket.opened(proxy.port, **options) as storage,
    ):
        proxy.spoil(Spoiled(Answer(200, headers={"ETag": '"x"'}), times=6))
        for kind in Kind:
            await storage.put(Key(kind, "" if kind is Kind.CONFIG else KEY.name), [b"x"])
        classes = {
            each.target.split("/")[2]: each.headers.get("x-amz-storage-class") for each in proxy.requests
        }
        assert classes == {kind.value: "GLACIER_IR" if kind is Kind.PACK else None for kind in Kind}
        assert {each.headers["x-amz-server-side-encryption"] for each in proxy.requests} == {"aws:kms"}
        assert {each.headers["x-amz-server-side-encryption-aws-kms-key-id"] for each in proxy.requests} == {
            "k1"
        }


async def test_the_first_alone_of_two_configs_at_one_place_is_kept(bucket: Bucket) -> None:
    """The repository of the second would be sealed with a key that the first one's config does not fit."""
    config = Key(Kind.CONFIG)
    async with running_http_fault_proxy(bucket.ceph.port) as proxy, bucket.opened(proxy.port) as storage:
        await storage.create()
        put_new = storage.traits.put_new
        assert put_new is not None
        proxy.spoil(Spoiled(said(501, "NotImplemented")))
        await put_new(config, [b"by a service that knows no conditions"])
        await storage.delete(config)
        await put_new(config, [b"first"])
        with pytest.raises(errors.ObjectExistsError, match=r"config at .* is there already"):
            await put_new(config, [b"second"])
        assert await storage.get(config) == b"first"


async def test_conditional_writes_never_write_the_same_bytes_twice(bucket: Bucket) -> None:
    """A lost answer would make a version more, which is paid for, and which under a retention nobody can remove."""
    async with (
        running_http_fault_proxy(bucket.ceph.port) as proxy,
        bucket.opened(proxy.port, conditional_writes=True) as storage,
    ):
        await storage.create()
        proxy.spoil(Spoiled(Answer(503), is_done_first=True, method="PUT"))
        await storage.put(KEY, [OBJECT[:-1], OBJECT[-1:]])
        await storage.put(KEY, [OBJECT])
        assert [each.headers.get("if-none-match") for each in proxy.requests if each.method == "PUT"] == [
            "*"
        ] * 3
        for other in (b"x" * len(OBJECT), b"shorter"):
            await storage.put(KEY, [other])
            assert await storage.get(KEY) == other


def said(status: int, code: str) -> Answer:
    """An error as S3 words it."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>words of\x20a stranger</Message></Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (said(400, "ExpiredToken"), errors.StorageDeniedError, "session token is not valid"),
        (
            said(403, "RequestTimeTooSkewed"),
            errors.StorageDeniedError,
            "clocks of this machine and of the service",
        ),
        (said(403, "AccessDenied"), errors.StorageDeniedError, "may not do s3:PutObject"),
        (said(404, "NoSuchBucket"), errors.StorageError, "there is no such bucket"),
        (said(400, "AuthorizationHeaderMalformed"), errors.StorageError, "the region is a wrong one"),
        (said(403, "QuotaExceeded"), errors.StorageFullError, "quota is used up"),
        (Answer(507), errors.StorageFullError, "it is full"),
        (said(400, "InvalidStorageClass"), errors.StorageError, "no such storage class"),
        (said(400, "KMS.DisabledException"), errors.StorageDeniedError, "encryption that was asked for"),
        (said(501, "NotImplemented"), errors.StorageError, "does not offer s3:PutObject"),
        (said(418, "Teapot"), errors.StorageError, "refused s3:PutObject: Teapot words of a stranger"),
    ],
    ids=lambda value: value.body.decode()[36:56] if isinstance(value, Answer) else "",
)
async def test_what_the_service_says_is_told_in_one_sentence(
    bucket: Bucket, answer: Answer, kind: type[errors.StorageError], words: str
) -> None:
    """With the way out, and at once: no try more changes it."""
    async with running_http_fault_proxy(bucket.ceph.port) as proxy, bucket.opened(proxy.port) as storage:
        proxy.spoil(Spoiled(answer, times=9))
        with pytest.raises(kind, match=words) as caught:
            await storage.put(KEY, [OBJECT])
        assert type(caught.value) is kind
        assert "\n" not in caught.value.message
        assert not caught.value.message.endswith(".")
        assert {each.method for each in proxy.requests} <= {"PUT", "HEAD"}
        assert sum(each.method == "PUT" for each in proxy.requests) == 1
        assert bucket.ceph.secret_key not in caught.value.message


async def test_an_object_in_an_archive_is_told_from_one_that_is_missing(bucket: Bucket) -> None:
    """It is there, and comes back in hours."""
    async with running_http_fault_proxy(bucket.ceph.port) as proxy, bucket.opened(proxy.port) as storage:
        proxy.spoil(Spoiled(said(403, "InvalidObjectState")))
        with pytest.raises(errors.StorageError, match="archive class"):
            await storage.get(KEY)


async def test_a_service_that_ignores_ranges_is_refused(bucket: Bucket) -> None:
    """It would send a whole pack for each blob of a restore."""
    async with running_http_fault_proxy(bucket.ceph.port) as proxy, bucket.opened(proxy.port) as storage:
        proxy.spoil(Spoiled(Answer(200, OBJECT)))
        with pytest.raises(errors.StorageError, match="sends whole objects"):
            await storage.get(KEY, 10, 20)


LOGINS: list[tuple[Mapping[str, str], Mapping[str, OptionValue], str]] = [
    ({"AWS_ACCESS_KEY_ID": "ID", "AWS_SECRET_ACCESS_KEY": "KEY"}, {}, "AWS_ACCESS_KEY_ID"),
    ({"AWS_SHARED_CREDENTIALS_FILE": "FILE"}, {"profile": "nightly"}, "a profile of"),
]


@pytest.mark.parametrize(("environment", "options", "expected"), LOGINS, ids=["environment", "profile"])
async def test_a_key_is_found_where_the_machine_keeps_it(
    bucket: Bucket,
    environment: Mapping[str, str],
    options: Mapping[str, OptionValue],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """And the test says which one it was: the wrong account is found out by it."""
    ceph = bucket.ceph
    kept = tmp_path_factory.mktemp("aws") / "credentials"
    kept.write_text(
        f"[nightly]\naws_access_key_id={ceph.access_key}\naws_secret_access_key={ceph.secret_key}\n"
    )
    values = {"ID": ceph.access_key, "KEY": ceph.secret_key, "FILE": str(kept)}
    for name, value in environment.items():
        monkeypatch.setenv(name, values[value])
    told = {**bucket.opening().options, **options}
    async with registry.open_storage("s3", told, clock=SystemClock()) as storage:
        await storage.create()
        assert expected in storage.traits.login


async def test_where_no_key_is_found_the_ways_to_give_one_are_told(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked of the network for it but what was allowed."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    options = bucket.opening().options
    with pytest.raises(errors.StorageDeniedError, match="no key was given") as caught:
        async with registry.open_storage("s3", options, clock=SystemClock()):
            pass
    assert "--profile" in (caught.value.hint or "")
    with pytest.raises(errors.ConfigurationError, match="no profile nobody"):
        async with registry.open_storage("s3", {**options, "profile": "nobody"}, clock=SystemClock()):
            pass
    with pytest.raises(errors.ConfigurationError, match="half of a key"):
        async with registry.open_storage(
            "s3", options, clock=SystemClock(), secrets={"secret_key": Secret("k")}
        ):
            pass


async def test_a_key_that_nobody_knows_is_told_from_a_wrong_one(bucket: Bucket) -> None:
    """Which half was mistyped is half the way to mend it."""
    told = bucket.opening().options
    for name, words in (
        ("access_key_id", "knows no such access key id"),
        ("secret_key", "does not belong to"),
    ):
        secrets = {**bucket.secrets(), name: Secret("NOSUCHKEY00NOSUCHKEY")}
        async with registry.open_storage("s3", told, clock=SystemClock(), secrets=secrets) as storage:
            with pytest.raises(errors.StorageDeniedError, match=words):
                await storage.create()


@pytest.mark.parametrize(
    ("addressing", "place"),
    [("path", "storage.invalid/{bucket}"), ("virtual", "{bucket}.storage.invalid")],
    ids=["path", "virtual"],
)
async def test_a_proxy_carries_all_requests(bucket: Bucket, addressing: str, place: str) -> None:
    """Where the machine may not go out by itself; the bucket's name stands where the service wants it."""
    async with running_http_fault_proxy(bucket.ceph.port) as proxy:
        seen: HttpFaultProxy = proxy
        carried = f"http://127.0.0.1:{proxy.port}"
        options: dict[str, OptionValue] = {
            "endpoint": "http://storage.invalid",
            "proxy": carried,
            "addressing": addressing,
        }
        async with bucket.opened(None, **options) as storage:
            proxy.spoil(Spoiled(Answer(200, OBJECT)))
            assert await storage.get(KEY) == OBJECT
        (asked,) = seen.requests
        assert asked.target.split("?")[0] == f"http://{place.format(bucket=bucket.name)}/{KEY.path()}"


async def test_the_role_of_a_container_is_asked_for_its_keys(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key is kept anywhere, and the ones that the machine is lent are gone in hours."""
    until = (SystemClock().now() + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lent = {
        "AccessKeyId": bucket.ceph.access_key,
        "SecretAccessKey": bucket.ceph.secret_key,
        "Token": "",
        "Expiration": until,
    }
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    async with running_http_fault_proxy(bucket.ceph.port) as metadata:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{metadata.port}/role")
        metadata.spoil(Spoiled(Answer(200, json.dumps(lent).encode()), times=9))
        told = bucket.opening().options
        async with registry.open_storage("s3", told, clock=SystemClock()) as storage:
            assert storage.traits.login == "the role of this container"
            await storage.create()
        assert {each.target for each in metadata.requests} == {"/role"}
