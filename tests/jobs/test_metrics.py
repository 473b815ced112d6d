"""metrics: the figures of a real home, as Prometheus reads them, and rules that know them."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.cli.metrics import replace_file
from engine.errors import StorageError, UsageError
from engine.export import prometheus
from engine.model.requests import DrillRequest
from engine.model.schedules import Schedule
from tests.jobs.test_verbs import Program, program
from tests.jobs.world import World, open_world
from tests.servers.promtool import require_promtool

__all__ = ["program"]
pytestmark = pytest.mark.slow

Figures = dict[tuple[str, tuple[str, ...]], float]


async def _figures(world: World) -> Figures:
    text = prometheus.text(await world.engine.metrics()).decode()
    return {
        (sample.name.removeprefix("holdfast_"), tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_figures_say_what_the_catalog_knows_and_all_rules_know_the_figures(tmp_path: Path) -> None:
    """A source that was never backed up is there, too: else nobody would miss it. And a storage that is gone is seen to be."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"content")
    async with open_world(tmp_path / "world") as world:
        await world.add_storages("near", "far")
        await world.add_files("tree", tmp_path / "tree")
        await world.add_files("idle", tmp_path / "tree")
        await world.engine.add_schedule(Schedule("nightly", rhythm="daily", sources=("tree",)))
        await world.engine.add_schedule(Schedule("halted", rhythm="daily", sources=("tree",)))
        await world.engine.pause_schedule("halted", "new disks")
        backup = (await world.backup("tree", to=("near", "far"))).backups[0]
        drill = await world.engine.drill(DrillRequest("tree"))
        shutil.rmtree(world.place("far"))
        with pytest.raises(StorageError):
            await world.engine.test_storage("far")
        await world.engine.metrics(is_measuring=True)
        found = await _figures(world)
        names = {family.name for family in (await world.engine.metrics()).families}
        text = prometheus.text(await world.engine.metrics())
    assert found["backup_newest_timestamp_seconds", ("tree",)] == pytest.approx(
        backup.started_at.timestamp(), abs=1e-6
    )
    assert found["backup_size_bytes", ("tree",)] == 7
    assert found["backup_copies", ("tree",)] == 2
    assert found["backup_last_status", ("tree", "completed")] == 1
    assert drill.status == "passed"
    assert found["source_proven_timestamp_seconds", ("tree", "drilled")] > backup.started_at.timestamp()
    assert (found["source_risks", ("tree",)], found["source_risks", ("idle",)], found["risks", ()]) == (
        0,
        1,
        1,
    )
    assert ("backup_age_seconds", ("idle",)) not in found
    assert (found["storage_reachable", ("near",)], found["storage_reachable", ("far",)]) == (1, 0)
    assert found["schedule_next_start_timestamp_seconds", ("nightly",)] > backup.started_at.timestamp()
    assert ("schedule_next_start_timestamp_seconds", ("halted",)) not in found
    assert (found["schedule_paused", ("nightly",)], found["schedule_paused", ("halted",)]) == (0, 1)
    assert found["concerns", ("overdue", "risk")] == 1
    assert found["storage_used_bytes", ("near",)] > 0
    assert ("storage_used_bytes", ("far",)) not in found
    assert found["jobs_ended_total", ("backup", "completed")] == 1
    used = set(re.findall(r"holdfast_\w+", prometheus.rules().decode()))
    assert used <= names
    promtool = require_promtool()
    for words, said in ((("metrics",), text), (("rules", "/dev/stdin"), prometheus.rules())):
        done = subprocess.run([promtool, "check", *words], input=said, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), done.stdout + done.stderr


def test_a_textfile_is_replaced_whole_and_readable(tmp_path: Path) -> None:
    """node_exporter reads it at any instant, as another user."""
    path = tmp_path / "holdfast.prom"
    path.write_bytes(b"old")
    replace_file(path, b"new\n")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new\n", 0o644)
    with pytest.raises(UsageError, match="cannot be written"):
        replace_file(tmp_path / "nowhere" / "holdfast.prom", b"")
    assert [each.name for each in tmp_path.iterdir()] == ["holdfast.prom"]


def test_the_verb_prints_text_json_and_rules(program: Program, tmp_path: Path) -> None:
    """For a scrape, for a script, and for the configuration of Prometheus."""
    assert b'holdfast_storage_info{storage="near",kind="local"} 1\n' in program.run("metrics")
    path = tmp_path / "holdfast.prom"
    families = program.json("metrics", "--textfile", str(path))["families"]
    assert {"holdfast_risks"} < {each["name"] for each in families}
    assert path.read_bytes().startswith(b"# HELP holdfast_build_info")
    assert program.run("metrics", "--rules") == prometheus.rules()
