"""systemd takes the units that are written, whatever the paths are, and finds that they keep the service from what it does not need."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from engine.units import TICK, TIMER, WORKER, UnitOptions, tick_units, worker_units
from tests.servers.tools import missing

MOST_EXPOSURE = 3.2
"""Of 10, by `systemd-analyze security`; what it calls OK begins below 5."""

PLAIN = UnitOptions(("/bin/true",), "/var/lib/holdfast", writable=("/srv/backups",))
ODD = UnitOptions(
    ("/bin/true",),
    '/srv/50% "of" $HOME; all',
    writable=("/srv/back\\ups \u00fc",),
    vault_key="/etc/the key%s",
)


def _analyze(*words: str) -> str:
    try:
        ran = subprocess.run(
            ["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        missing("the package systemd has systemd-analyze")
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def _write(folder: Path, texts: dict[str, str]) -> list[str]:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [str(folder / name) for name in texts]


@pytest.mark.slow
@pytest.mark.parametrize("options", [PLAIN, ODD], ids=["plain", "odd"])
def test_systemd_takes_every_unit(options: UnitOptions, tmp_path: Path) -> None:
    """A unit with a mistake is found when the machine starts, at night."""
    texts = {**worker_units(options), **tick_units(options)}
    assert set(texts) == {WORKER, TICK, TIMER}
    _analyze("verify", "--man=no", *_write(tmp_path, texts))


@pytest.mark.slow
def test_the_service_can_do_little_besides_its_work(tmp_path: Path) -> None:
    """Who takes over a backup program must not have taken over the machine."""
    paths = _write(tmp_path, {**worker_units(PLAIN), TICK: tick_units(PLAIN)[TICK]})
    for path in paths:
        told = _analyze("security", "--offline=true", "--no-pager", path)
        found = re.search(r"exposure level for \S+: ([\d.]+)", told)
        assert found is not None
        assert float(found[1]) <= MOST_EXPOSURE, told


def test_a_home_in_the_temporary_folder_can_be_written() -> None:
    """A folder of its own in place of /tmp would hide it."""
    text = worker_units(UnitOptions(("/bin/true",), "/tmp/home"))[WORKER]  # noqa: S108
    assert "PrivateTmp" not in text
    assert "ReadWritePaths=-/tmp/home -/tmp -/var/tmp\n" in text
    assert "PrivateTmp=yes" in worker_units(PLAIN)[WORKER]


def test_a_person_s_own_manager_is_asked_for_what_it_can_do() -> None:
    """It mounts nothing, and starts no unit that asks for it."""
    text = worker_units(UnitOptions(("/bin/true",), "/home/ann/h", is_user=True))[WORKER]
    assert "WantedBy=default.target" in text
    assert not any(each in text for each in ("Protect", "Private", "ReadWritePaths", "CapabilityBoundingSet"))


def test_what_a_timer_starts_is_the_worker_itself() -> None:
    """One that a tick left behind would lose the vault's key with the unit that it came from, in the middle of its jobs."""
    text = tick_units(ODD)[TICK]
    assert text.splitlines()[7:11] == [
        "Type=exec",
        'ExecStart=/bin/true --home "/srv/50%% \\"of\\" $$HOME; all" worker --once',
        "KillMode=mixed",
        "TimeoutStopSec=105",
    ]
    assert "LoadCredential=holdfast-vault-key:" in text


def test_the_vault_s_key_is_handed_over_by_systemd() -> None:
    """Then the home holds sealed secrets only."""
    text = worker_units(ODD)[WORKER]
    assert "LoadCredential=holdfast-vault-key:/etc/the key%%s\n" in text
    assert 'ExecStart=/bin/true --home "/srv/50%% \\"of\\" $$HOME; all" worker\n' in text
