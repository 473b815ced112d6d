"""Where each key of a document stands, and what is said of mistakes in it."""

from __future__ import annotations

from typing import Any

import pytest

from engine.errors import ConfigurationError
from engine.fleet import comparison
from engine.fleet.document import Document
from engine.model.definitions import Host, Source

TEXT = '''\
# a comment with [hosts.none]
[hosts.web]
address = "x"   # = "y"
identity = [
  "a",  # ]
  "[hosts.none]",
]
[hosts."a.b"]
address = """
[hosts.none]
key = 1
"""
jump.first = 'it''s'.x
'''


def test_each_key_has_its_line() -> None:
    """An editor jumps to it."""
    text = TEXT.replace(
        "jump.first = 'it''s'.x\n",
        "as_user = 'u'\n[[plans.all.steps]]\nto = '/a'\n[[plans.all.steps]]\nhost = 1\n",
    )
    document = Document.parse(text, "fleet.toml")
    expected = {
        ("hosts", "web"): 2,
        ("hosts", "web", "address"): 3,
        ("hosts", "web", "identity"): 4,
        ("hosts", "a.b"): 8,
        ("hosts", "a.b", "as_user"): 13,
        ("plans", "all", "steps", 0, "to"): 15,
        ("plans", "all", "steps", 1): 16,
        ("plans", "all", "steps", 1, "host"): 17,
        ("hosts", "web", "identity", 1): 4,
        ("nowhere",): 1,
    }  # fmt: skip
    assert {path: document.line(path) for path in expected} == expected


SOUND = '[hosts.web]\naddress = "web"\n[sources.site]\nkind = "files"\nhost = "web"\npath = "/srv"\n'
TOLD = '[destinations.ops]\nkind = "apprise"\n'
STORAGE = '[storages.near]\nkind = "local"\n'


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("[hosts.web", "fleet.toml is no TOML", None),
        ("[host.web]\n", "line 1: there is no table 'host'", "did you mean hosts?"),
        ('hosts = "web"\n', "line 1: hosts is a table", None),
        ('[hosts.web]\naddress = "a"\nidentify = "k"\n', "line 3: there is no key 'identify'", "did you mean identity?"),
        ('[hosts.web]\n\naddress = 5\n', "line 3: hosts.web.address is a text", None),
        ('[hosts.web]\nas_user = "a"\n', "line 1: hosts.web needs address", None),
        ('[hosts.web]\naddress = "a"\npassphrase = "hunter2"\n', "line 3: hosts.web.passphrase says where the secret is kept", None),
        ('[hosts.web]\naddress = "a"\nmax_channels = true\n', "line 3: hosts.web.max_channels is a whole number", None),
        ('[hosts.web]\naddress = "a"\nkind = "telnet"\n', "line 3: hosts.web.kind is ssh or local", None),
        ('[hosts."-web"]\naddress = "a"\n', "line 1: '-web' cannot be the name of a host", "begins with a letter"),
        ('[hosts."web-[3-1]"]\naddress = "a"\n', r"line 1: 3-1 in web-\[3-1\] is no range", None),
        ('[hosts."web-[1-2]"]\naddress = "a"\n[hosts."web-[2-3]"]\naddress = "b"\n', "line 3: web-2 is made twice", None),
        ('[hosts."web-[1-9999999]"]\naddress = "a"\n', "is no range", "at most"),
        ('[hosts."a[[1-2]"]\naddress = "a"\n', "has a bracket too many", None),
        ('[groups.web]\nhosts = ["wbe"]\n[hosts.web]\naddress = "a"\n', "line 2: there is no host named wbe", "did you mean web?"),
        ('[groups.web]\nmembers = []\n', "line 2: there is no key of a group 'members'", None),
        (SOUND.replace('host = "web"', 'host = "wep"'), "line 5: there is no host named wep, which source site needs", "did you mean web?"),
        (SOUND.replace('host = "web"', 'host = "@web"'), "line 5: there is no group web", "there are: none"),
        (f'[groups.all]\nhosts = ["web"]\n{SOUND}'.replace('host = "web"', 'host = "@all"'),
         "line 5: 'site' names one for 1 hosts", '[sources."site-{host}"]'),
        (SOUND.replace("path =", "paths ="), "line 6: there is no key 'paths'", "did you mean path?"),
        (SOUND.replace('kind = "files"\n', ""), "line 3: sources.site needs kind", None),
        (STORAGE, "line 1: a storage of kind local needs path", None),
        (STORAGE + 'path = "here"\n', "line 3: storages.near.path begins with /", None),
        (STORAGE + 'path = "/a"\nbucket = "b"\n', "line 4: there is no key 'bucket'", None),
        (STORAGE + 'path = "/a"\nmax_size = "much"\n', "line 4: storages.near.max_size is a size", None),
        (STORAGE + 'path = "/a"\nlimit_hours = "8-18"\n', "line 4: storages.near.limit_hours are hours of the day", None),
        (STORAGE + 'path = "/a"\npassword = "swordfish"\n', "line 4: storages.near.password says where", None),
        (STORAGE + 'path = "/a"\ndefault = true\n[storages.far]\nkind = "local"\npath = "/b"\ndefault = true\n',
         "line 8: there is one default storage, not near and far", None),
        ("[plans.all]\nnote = 'x'\n", "line 1: plans.all needs steps", None),
        ('[[plans.all.steps]]\nsource = "shop"\nin_place = "yes"\n', "line 3: plans.all.steps.1.in_place: expected `bool`", None),
        ('[[plans.all.steps]]\nsource = "shop"\nin_plase = true\n', "line 3: there is no key of a step 'in_plase'", "did you mean in_place?"),
        ('[[plans.all.steps]]\nsource = "shop"\n', "line 1: there is no source named shop, which plan all needs", None),
        (TOLD + 'url = "mailto://me:hunter2@mail"\n', "line 3: destinations.ops.url says where the secret is kept", None),
        (TOLD + 'url = "env:U"\nshown = "mail"\n', "line 4: there is no key 'shown'", "there are: kind, url"),
        (TOLD + 'url = "env:U"\noccasions = ["failed"]\n', "line 4: destinations.ops.occasions.1: 'failed' is not known here", "did you mean failure?"),
        ('[plans.all]\nbudget = 5\nsteps = [{source = "a"}]\n', "line 2: there is no key 'budget'", "did you mean budget_s?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_and_line(text: str, said: str, hint: str | None) -> None:
    """A fleet of 500 hosts is no place to look for a typing error; and no secret that was written out is repeated."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        comparison.read(Document.parse(text, "fleet.toml"), {})
    assert caught.value.message.startswith("fleet.toml")
    assert (hint or "") in (caught.value.hint or "")
    assert "hunter2" not in caught.value.message
    assert "swordfish" not in caught.value.message


FLEET = """\
[groups.web]
hosts = ["web-[1-3]", "other"]
[hosts."web-[1-3]"]
address = "backup@{name}.example.org"
[hosts.web-2]
address = "elsewhere"
[hosts.other]
address = "other"
[sources."site-{host}"]
kind = "files"
host = "@web"
path = ["/srv/{host}", "/etc"]
"""


def test_patterns_and_groups_stand_for_many() -> None:
    """500 hosts need no 500 blocks, and the one that is otherwise has one of its own."""
    wanted = comparison.read(Document.parse(FLEET, "fleet.toml"), {})
    hosts = wanted.definitions["hosts"]
    assert {name: host.address for name, host in hosts.items()} == {
        "web-1": "backup@web-1.example.org",
        "web-2": "elsewhere",
        "web-3": "backup@web-3.example.org",
        "other": "other",
    }
    sources = wanted.definitions["sources"]
    assert list(sources) == ["site-web-1", "site-web-2", "site-web-3", "site-other"]
    assert sources["site-web-3"] == Source("site-web-3", "files", "web-3", {"path": ("/srv/web-3", "/etc")})


def test_a_group_takes_hosts_by_pattern_and_says_where_none_is_meant() -> None:
    """Who adds a web server must not look for the groups that it belongs to."""
    wanted = comparison.read(Document.parse(FLEET.replace('web-[1-3]", "other', "web-*"), "fleet.toml"), {})
    assert list(wanted.definitions["sources"]) == ["site-web-2", "site-web-1", "site-web-3"]
    with pytest.raises(ConfigurationError, match=r"line 2: there is no host that matches wbe-\*"):
        comparison.read(Document.parse(FLEET.replace('"other"]', '"wbe-*"]'), "fleet.toml"), {})


def test_only_what_the_document_has_a_table_for_is_its_business() -> None:
    """A file about hosts alone prunes no source."""
    current: dict[str, dict[str, Any]] = {
        "hosts": {"old": Host("old", address="a")},
        "sources": {"s": Source("s", "files", "localhost")},
    }
    document = Document.parse('[hosts.new]\naddress = "b"\n', "f")
    found = comparison.changes(comparison.read(document, current, is_pruning=True), current, is_pruning=True)
    assert [(each.what, each.noun, each.name) for each in found] == [
        ("add", "host", "new"),
        ("remove", "host", "old"),
    ]


def test_a_host_that_goes_and_is_needed_is_a_mistake() -> None:
    """What would be refused half-way is refused before."""
    current = {"hosts": {"old": Host("old", address="a")}}
    text = '[hosts.new]\naddress = "b"\n[sources.s]\nkind = "files"\nhost = "old"\npath = "/a"\n'
    document = Document.parse(text, "f")
    assert comparison.read(document, current).definitions["sources"]["s"].host == "old"
    with pytest.raises(ConfigurationError, match="line 5: there is no host named old"):
        comparison.read(document, current, is_pruning=True)


ALL_WRONG = """\
[hosts.web]
adress = "web"
max_channels = true
[hosts.db]
address = "db"
[groups.all]
hosts = ["db", "dp", "wbe"]
[sources.site]
kind = "files"
host = "bd"
path = "/srv"
[sources.made]
kind = "files"
host = "web"
paths = "/srv"
[storage.near]
"""


def test_all_mistakes_are_told_at_once_and_none_that_only_follows_from_another() -> None:
    """Whoever mends one after the other runs the same command twenty times."""
    with pytest.raises(ConfigurationError) as caught:
        comparison.read(Document.parse(ALL_WRONG, "f"), {})
    assert [each.message for each in (caught.value, *caught.value.others)] == [
        "f, line 2: there is no key 'adress'",
        "f, line 3: hosts.web.max_channels is a whole number of at least 1",
        "f, line 7: there is no host named dp",
        "f, line 7: there is no host named wbe",
        "f, line 10: there is no host named bd, which source site needs",
        "f, line 15: there is no key 'paths'",
        "f, line 16: there is no table 'storage'",
    ]
    hints = [each.hint or "" for each in (caught.value, *caught.value.others)]
    near = ["address", "", "", "web", "", "path", "storages"]
    assert hints == [each and f"did you mean {each}?" for each in near]
