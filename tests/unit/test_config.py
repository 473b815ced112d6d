"""The home is where the person said, and a mistake in config.toml is shown where it stands."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from engine.config import Home, LimitSettings, Settings, read_settings
from engine.errors import ConfigurationError


@pytest.mark.parametrize(
    ("option", "environment", "uid", "expected"),
    [
        ("/a", {"HOLDFAST_HOME": "/b"}, 0, "/a"),
        (None, {"HOLDFAST_HOME": "/b", "XDG_DATA_HOME": "/c"}, 1000, "/b"),
        (None, {"XDG_DATA_HOME": "/c", "HOME": "/d"}, 0, "/var/lib/holdfast"),
        (None, {"XDG_DATA_HOME": "/c", "HOME": "/d"}, 1000, "/c/holdfast"),
        (None, {"XDG_DATA_HOME": "relative", "HOME": "/d"}, 1000, "/d/.local/share/holdfast"),
        (None, {"HOLDFAST_HOME": "", "HOME": "/d"}, 1000, "/d/.local/share/holdfast"),
    ],
    ids=["option", "environment", "root", "data home", "relative", "fall-back"],
)
def test_the_home_is_found_in_the_order_that_is_promised(
    option: str | None, environment: dict[str, str], uid: int, expected: str
) -> None:
    """Two homes by mistake are two catalogs, each with half of the backups."""
    assert Home.locate(option, environment, uid).directory == Path(expected)


def test_no_home_at_all_is_one_sentence() -> None:
    """A cron job without HOME gets told what to set."""
    with pytest.raises(ConfigurationError, match="there is no place for holdfast's home"):
        Home.locate(None, {}, 1000)


def test_a_home_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """The key of all secrets lies in it."""
    home = Home(tmp_path / "above" / "home")
    home.ensure()
    home.ensure()
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (home.directory, home.cache, home.logs)]
    assert modes == [0o700] * 3


def test_a_home_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    """A typing error gets no traceback."""
    (tmp_path / "home").touch()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Home(tmp_path / "home").ensure()


def test_without_a_file_all_is_as_it_comes(tmp_path: Path) -> None:
    """Nobody has to write one."""
    assert read_settings(tmp_path / "config.toml") == Settings()


def test_what_is_set_is_read(tmp_path: Path) -> None:
    """Limits protect the hosts that people work on."""
    path = tmp_path / "config.toml"
    path.write_text(
        '[limits]\nhost_jobs = 3\nupload_kib_s = 0\n[limits.hosts]\nweb1 = 1\n[vault]\nkey = "systemd:k"\n[logs]\nfiles = 2\n'
    )
    settings = read_settings(path)
    assert settings.limits == LimitSettings(host_jobs=3, hosts={"web1": 1})
    assert (settings.vault.key, settings.logs.files) == ("systemd:k", 2)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[limit]\njobs = 1\n", "line 1: there is no setting limit", "did you mean limits?"),
        (
            "# c\n[vault]\n[limits]\n\nhost_job = 2\n",
            "line 5: there is no setting limits.host_job",
            "did you mean limits.host_jobs?",
        ),
        ("limits.xyzzy = 2\n", "line 1: there is no setting limits.xyzzy", "there are: jobs, host_jobs"),
        ("[limits]\njobs = 0\n", "line 2: limits.jobs is a whole number, at least 1", None),
        ("[limits]\njobs = true\n", "line 2: limits.jobs is a whole number, at least 1", None),
        ("[limits]\nupload_kib_s = -1\n", "line 2: limits.upload_kib_s is a whole number, at least 0", None),
        ("[vault]\nkey = 1\n", "line 2: vault.key is a text", None),
        ("[limits]\nhosts = 1\n", "line 2: limits.hosts is a table of names and whole numbers", None),
        ('[limits.hosts]\nweb1 = 1\n"db" = "x"\n', "line 3: limits.hosts.db is a whole number", None),
        ("limits = 1\n", "line 1: limits is a table", None),
        ("[limits\n", "is no TOML: .*line 1", None),
        ("\x00", "is no TOML", None),
    ],
)
def test_a_mistake_is_shown_with_file_and_line(
    tmp_path: Path, text: str, message: str, hint: str | None
) -> None:
    """A setting that is silently ignored is worse than none."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_settings(path)
    assert str(path) in caught.value.message
    assert (hint or "") in (caught.value.hint or "")


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    """A binary file by mistake."""
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read: it is no UTF-8"):
        read_settings(path)


def test_when_a_condition_is_one_is_set_by_the_administrator(tmp_path: Path) -> None:
    """What is too long for one is usual for another."""
    path = tmp_path / "config.toml"
    path.write_text("[alerts]\nunproven_days = 90\nquiet_minutes = 0\n", encoding="ascii")
    found = read_settings(path).alerts
    assert (found.unproven_days, found.quiet_minutes, found.kit_days) == (90, 0, 365)
    path.write_text("[alerts]\nunproven_dyas = 90\n", encoding="ascii")
    with pytest.raises(ConfigurationError) as caught:
        read_settings(path)
    assert caught.value.hint == "did you mean alerts.unproven_days?"
