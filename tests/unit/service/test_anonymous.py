"""What is pasted into a bug report says what happened, and to nobody whom or with which key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.secret import Secret
from engine.service.anonymous import Anonymous

ANONYMOUS = Anonymous(
    {"host": ["db1", "vault.example.org"], "source": ["shop", "shop-files"], "option": ["customers"]},
    [Secret("hunter2-hunter2"), Secret("pa ss")],
)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("host db1 refused the connection", "host <host 1> refused the connection"),
        ("source shop-files: shop is gone", "source <source 2>: <source 1> is gone"),
        ("login failed with hunter2-hunter2", "login failed with (secret)"),
        ("aHVudGVyMi1odW50ZXIy in base64", "(secret) in base64"),
        ("cannot open /srv/pay roll/may.ods: denied", "cannot open <path> <path>: denied"),
        ('role "carol" may not read', "role <name> may not read"),
        ("carol@db7.example.net:22 hung up", "<login>:22 hung up"),
        ("10.1.2.3:5432 and fe80::1 are down", "<address> and <address> are down"),
        ("see https://user:pw@s3.example.org/b?X=1", "see <url>"),
        ("mirror.example.org does not answer", "<name> does not answer"),
        ("PGPASSWORD=abc psql: no", "PGPASSWORD=(secret) psql: no"),
        ("password: swordfish, try again", "password=(secret) try again"),
        ("Authorization: Bearer abcdef was refused", "Authorization=(secret) was refused"),
        ("key AKIA1234567890ABCDEF is unknown", "key <word> is unknown"),
        ("database customers is locked\nagain", "database <option 1> is locked again"),
        ("the disk is full after 12 s, 3 of 40 packs", "the disk is full after 12 s, 3 of 40 packs"),
        ("it is full:/srv", "it is full:<path>"),
    ],
)
def test_what_happened_stays_and_to_whom_goes(said: str, kept: str) -> None:
    """Sentences as they really come."""
    assert ANONYMOUS.text(said) == kept


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_secret_survives_whatever_stands_around_it(before: str, after: str) -> None:
    """Nor does a text in which none stands break it."""
    assert "hunter2-hunter2" not in ANONYMOUS.text(f"{before}hunter2-hunter2{after}")


def test_nothing_that_is_known_is_nothing_to_hide() -> None:
    """A home in which nothing is defined yet."""
    assert Anonymous({}).text("it is empty") == "it is empty"
