"""The options of a proxy, as they are understood."""

from __future__ import annotations

import pytest

from engine import errors
from engine.model.definitions import OptionValue
from engine.model.secret import Secret
from engine.storages import proxy


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("proxy.example.org:3128", "http://proxy.example.org:3128"),
        ("https://proxy.example.org/", "https://proxy.example.org:443"),
        ("socks5://[::1]", "socks5://[::1]:1080"),
    ],
)
def test_an_address_is_understood_as_it_is_written(text: str, url: str) -> None:
    """As curl and others take it."""
    found = proxy.read({"proxy": text}, {})
    assert found is not None
    assert found.url == found.url_with_login == url
    assert (found.for_requests is None) == found.is_socks


def test_a_login_stands_in_no_address_that_people_see() -> None:
    """Logs and messages are read by others."""
    found = proxy.read({"proxy": "http://p:1", "proxy_user": "ann"}, {"proxy_secret": Secret("w@rd/\n")})
    assert found is not None
    assert found.url_with_login == "http://ann:w%40rd%2F@p:1"
    assert "w@rd" not in repr(found) + found.url + proxy.advice(found)


@pytest.mark.parametrize(
    ("options", "secrets", "words"),
    [
        ({"proxy": "ftp://p"}, {}, "is no address of a proxy"),
        ({"proxy": "http://p/path"}, {}, "is no address of a proxy"),
        ({"proxy": "http://p:99999"}, {}, "is no address of a proxy"),
        ({"proxy": "http://me:word@p"}, {}, "holds a name or password"),
        ({"proxy": "http://p", "proxy_user": "ann"}, {}, "half of the proxy's login"),
        ({"proxy": "http://p"}, {"proxy_secret": Secret("w")}, "half of the proxy's login"),
        ({"proxy_user": "ann"}, {}, "without the proxy"),
    ],
)
def test_what_cannot_be_meant_is_named(
    options: dict[str, OptionValue], secrets: dict[str, Secret], words: str
) -> None:
    """Before anything goes the wrong way."""
    with pytest.raises(errors.ConfigurationError, match=words) as caught:
        proxy.read(options, secrets)
    assert "me:word" not in caught.value.message
