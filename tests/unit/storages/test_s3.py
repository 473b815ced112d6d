"""The parts of the S3 storage that need no service: options, bodies, and what the client's errors mean."""

from __future__ import annotations

import asyncio
import hashlib
import inspect

import aiohttp
import pytest
from aiobotocore import response
from botocore import exceptions as boto
from botocore import parsers
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from engine import errors
from engine.model.definitions import OptionValue
from engine.storages.s3 import body, settings
from engine.storages.s3.errors import Speaker

PLACE = "s3:https://s3.example.org/b"


@pytest.mark.parametrize(
    ("options", "location"),
    [
        ({}, "s3:https://s3.amazonaws.com/b"),
        ({"region": "eu-west-3"}, "s3:https://s3.eu-west-3.amazonaws.com/b"),
        ({"endpoint": "s3.example.org", "prefix": "/x/y/"}, "s3:https://s3.example.org/b/x/y"),
        ({"endpoint": "http://[::1]:9000/", "region": "r"}, "s3:http://[::1]:9000/b"),
    ],
)
def test_the_location_is_what_restic_takes(options: dict[str, OptionValue], location: str) -> None:
    """The kit prints it."""
    assert settings.read({"bucket": "b", **options}).location == location


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bucket": ""}, "needs the option bucket"),
        ({"bucket": "a/b"}, "is no bucket's name"),
        ({"endpoint": "http://127.0.0.1/bucket"}, "holds more than a host"),
        ({"endpoint": "ftp://x"}, "no address of a server"),
        ({"endpoint": "https://x:99999"}, "no address of a server"),
        ({"endpoint": "https://me@x"}, "holds a name or password"),
        ({"proxy": "http://me:word@127.0.0.1:1"}, "holds a name or password"),
        ({"addressing": "odd"}, "must be one of auto, path, virtual"),
        ({"retention_mode": "governance"}, "both its mode and its days"),
        ({"retention_days": 3}, "both its mode and its days"),
        ({"kms_key": "k"}, "means nothing without its encryption"),
        ({"encryption": "AES256", "kms_key": "k"}, "means nothing without its encryption"),
        ({"timeout": "soon"}, "must be a whole number"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_an_option_that_cannot_be_meant_is_named(options: dict[str, OptionValue], words: str) -> None:
    """Before anything is asked of the network, and without the word itself where it may be a secret."""
    with pytest.raises(errors.ConfigurationError, match=words) as caught:
        settings.read({"bucket": "b", **options})
    assert "me:word" not in caught.value.message


def test_restic_is_told_what_it_cannot_guess() -> None:
    """Style, authority, region, proxy; and an archive class is no obstacle that one finds out by waiting."""
    found = settings.read(
        {"bucket": "b", "addressing": "virtual", "ca_file": "/ca", "storage_class": "DEEP_ARCHIVE", "insecure_tls": True}
    )  # fmt: skip
    restic = found.restic({"access_key_id_ref": "vault:x"})
    assert list(restic.flags) == ["-o", "s3.bucket-lookup=dns", "--cacert", "/ca", "--insecure-tls"]
    assert restic.environment["AWS_SECRET_ACCESS_KEY"] == "secret_key"
    assert "DEEP_ARCHIVE" in restic.note
    assert "find keys" in found.restic({}).note


@settings_of_hypothesis(max_examples=25)
@given(
    st.lists(st.binary(max_size=40) | st.integers(1, 3).map(lambda count: bytes(count * 110_000)), max_size=9)
)
def test_a_body_is_its_parts_one_behind_the_other(parts: list[bytes]) -> None:
    """However many and small they are, in pieces that a connection takes."""
    moved: list[int] = []

    async def collect() -> tuple[bytes, list[int]]:
        made = await body.prepare(parts, has_md5=True, on_progress=lambda: moved.append(1))
        if isinstance(made.content, bytes):
            return made.content, []
        pieces = [bytes(piece) async for piece in made.content]
        assert made.content.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
        assert len(made.content) == sum(map(len, parts))
        return b"".join(pieces), [len(piece) for piece in pieces]

    found, sizes = asyncio.run(collect())
    assert found == b"".join(parts)
    assert all(0 < size <= body.STEP_BYTES for size in sizes)


@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 25))
def test_parts_are_dealt_out_to_bodies_of_one_size(parts: list[bytes], part_bytes: int) -> None:
    """A service takes parts of one size and a shorter last one."""
    bodies = [b"".join(each) for each in body.cut(parts, part_bytes)]
    assert b"".join(bodies) == b"".join(parts)
    assert all(len(each) == part_bytes for each in bodies[:-1])
    assert all(bodies)


def _raised(kind: type[BaseException]) -> BaseException:
    """An error of that class, with whatever its maker wants."""
    if issubclass(kind, boto.BotoCoreError):
        fields = {"error", "endpoint_url", "proxy_url", "provider", "cred_var", "report", "profile", "msg"}
        try:
            return kind(**dict.fromkeys(fields, "x"))
        except (KeyError, TypeError):
            made = kind.__new__(kind)
            made.args = ("x",)
            return made
    made = kind.__new__(kind)
    made.args = ()
    return made


CLIENT_ERRORS = [
    kind
    for module in (boto, aiohttp, parsers, response)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, boto.BotoCoreError | aiohttp.ClientError | parsers.ResponseParserError)
    and not issubclass(kind, boto.ProfileNotFound)
]


@pytest.mark.parametrize("kind", CLIENT_ERRORS, ids=lambda kind: kind.__name__)
def test_no_error_of_the_client_gets_through(kind: type[Exception]) -> None:
    """A traceback is no answer to whoever waits for a backup."""
    with pytest.raises(errors.StorageError) as caught, Speaker(PLACE).translating("s3:GetObject", "config"):
        raise _raised(kind)
    assert caught.value.message.startswith(f"config at {PLACE}: ")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("raised", "is_passing"),
    [
        (boto.EndpointConnectionError(endpoint_url="x"), True),
        (boto.ConnectionClosedError(endpoint_url="x"), True),
        (boto.ReadTimeoutError(endpoint_url="x"), True),
        (boto.ProxyConnectionError(proxy_url="x"), True),
        (boto.ResponseStreamingError(error="x"), True),
        (aiohttp.ClientPayloadError(), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (boto.SSLError(endpoint_url="x", error="x"), False),
        (boto.NoCredentialsError(), False),
        (boto.PartialCredentialsError(provider="x", cred_var="x"), False),
        (boto.ParamValidationError(report="x"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_may_pass_is_tried_again_and_nothing_else(raised: Exception, is_passing: bool) -> None:
    """A wrong key tried for a quarter of an hour locks accounts."""
    with pytest.raises(errors.StorageError) as caught, Speaker(PLACE).translating("s3:GetObject"):
        raise raised
    assert caught.value.retryable is is_passing


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_an_answer_without_words_is_judged_by_its_status(status: int) -> None:
    """Proxies and balancers know no XML."""
    answer = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
    told = Speaker(PLACE).translated(boto.ClientError(answer, "PutObject"), "s3:PutObject")
    assert told.retryable


def test_a_strangers_words_are_shortened_and_cannot_move_the_cursor() -> None:
    """A service's message ends on somebody's terminal."""
    answer = {"Error": {"Code": "Odd\x1b[2J", "Message": "a\nb\x1b" + "c" * 1000}}
    told = Speaker(PLACE).translated(boto.ClientError(answer, "PutObject"), "s3:PutObject")
    assert told.message.isprintable()
    assert len(told.message) < 400
