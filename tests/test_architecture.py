"""The rules of the house that no linter knows. Import rules are kept by import-linter (make check runs it)."""

from __future__ import annotations

import ast
import gc
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.servers.tools import PROJECT

CODE_FOLDERS = ("engine", "tui", "tests")
MODULES = sorted(path for folder in CODE_FOLDERS for path in (PROJECT / folder).rglob("*.py"))
LONGEST_FILE_LINES = 500
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
HEAVY_LIBRARIES = {
    "textual",
    "rich",
    "asyncssh",
    "aiohttp",
    "aioboto3",
    "apprise",
    "requests",
    "botocore",
    "hypothesis",
    "pytest",
    "reportlab",
    "opendal",
    "tomlkit",
}
"""What costs a tenth of a second or more to import: loaded on use, never at the start."""


def _module_name(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts)


def _tracked(*folders: str) -> list[str]:
    """The files that git keeps, whoever owns the clone."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", *folders]
    names = subprocess.run(command, check=True, capture_output=True, cwd=PROJECT).stdout.decode().split("\0")
    return [name for name in names if name and (PROJECT / name).is_file()]


def _is_door(path: Path) -> bool:
    """Whether every start of the program may load this module: verbs, the service, and what the families show of themselves."""
    inner = path.relative_to(PROJECT).parts
    if inner[:3] == ("engine", "cli", "demo") and path.stem != "__init__":
        return False  # the story is loaded when it is told
    return inner[0] == "engine" and (
        inner[1] in ("cli", "model") or path.stem in ("service", "base", "registry", "worker", "__main__")
    )


@pytest.mark.parametrize("path", MODULES, ids=_module_name)
def test_a_module_says_what_it_is(path: Path) -> None:
    """A newcomer reads the first line of a file to know whether to read on."""
    gc.disable()  # a collection that logs a traceback parses too, which CPython 3.11 cannot do in the midst of this (gh-106905)
    try:
        tree = ast.parse(path.read_bytes())
    finally:
        gc.enable()
    assert ast.get_docstring(tree), f"{path} has no docstring"


def test_a_file_is_one_idea() -> None:
    """A file of more than 500 lines is two ideas."""
    lengths = {_module_name(path): len(path.read_bytes().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE_LINES} == {}


def test_no_module_is_a_junk_room() -> None:
    """A module named for nothing becomes everyone's neighbour."""
    assert [
        str(path) for path in MODULES if path.stem in VAGUE_NAMES or path.parent.name in VAGUE_NAMES
    ] == []


def test_the_start_loads_nothing_heavy() -> None:
    """A script pays for what the command line imports, at each call."""
    doors = [_module_name(path).removesuffix(".__init__") for path in MODULES if _is_door(path)]
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", program, *doors], check=True, capture_output=True, text=True, cwd=PROJECT
    )
    assert HEAVY_LIBRARIES & {name.partition(".")[0] for name in loaded.stdout.split()} == set()


@pytest.mark.parametrize("family", ["storages", "sources", "hosts", "notifications"])
def test_every_member_is_kept_from_its_siblings(family: str) -> None:
    """A member that the import rules do not name could lean on a sibling, and break with it."""
    members: Mapping[str, str] = importlib.import_module(f"engine.{family}.registry").MEMBERS
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
    (named,) = (contract["modules"] for contract in contracts if contract["id"] == family)
    modules = [target.partition(":")[0] for target in members.values()]
    assert [
        module for module in modules if not any(f"{module}.".startswith(f"{name}.") for name in named)
    ] == []


def test_no_file_knows_where_it_was_written() -> None:
    """A path of one machine in the code works on that machine only."""
    # A clone in a folder such as /app would find its name in innocent texts.
    place = PROJECT if len(PROJECT.parts) > 2 else PROJECT / ".venv"
    here = re.compile(re.escape(str(place).encode()) + rb"\b")
    assert [name for name in _tracked() if here.search((PROJECT / name).read_bytes())] == []


def test_the_lock_names_versions_and_no_place() -> None:
    """The same versions come from whichever registry a machine uses."""
    lines = (PROJECT / "requirements-dev.lock").read_text(encoding="utf-8").splitlines()
    assert [
        line
        for line in lines
        if not line.startswith("#") and not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)
    ] == []


def test_every_dependency_has_a_lower_bound() -> None:
    """Without one, an old version that is installed already is taken, and fails later."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["console"],
        *project["optional-dependencies"]["opendal"],
        *project["optional-dependencies"]["s3"],
    ]
    assert [line for line in wanted if ">=" not in line] == []


@pytest.mark.slow
def test_the_wheel_holds_all_that_the_program_reads(tmp_path: Path) -> None:
    """SQL and themes that are left out of the wheel are missed only on a user's machine."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        check=True,
        capture_output=True,
        cwd=PROJECT,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    for_people = {name for name in _tracked("tui") if name.endswith((".md", ".svg"))}
    assert set(_tracked("engine", "tui", "themes")) - packed - for_people == set()
