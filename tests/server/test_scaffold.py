"""`edgewright new`: projects that run at once, under names that can be, over nothing that is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import edgewright
import pytest
from edgewright.contracts.errors import ProjectExists, ProjectInvalid
from edgewright.server import cli
from edgewright.server.scaffold import TOPOLOGIES, Topology, rendered, requirement_of, written

Run = Callable[..., tuple[int, str, str]]
TYPINGS = Path(edgewright.__file__).parent / "typings"
FILES = {
    *(".gitignore", "Makefile", "README.md", "langgraph.json", "pyproject.toml"),
    *("requests/large.json", "requests/small.json", "tests/test_system.py"),
    *(f"made/{name}.py" for name in ("__init__", "agents", "contracts", "graph", "model", "system", "tools")),
    "made/policy.cedar",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])  # a command puts its project there

    def invoke(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["edgewright", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), shown.out, shown.err

    return invoke


def made_in(folder: Path, topology: Topology, name: str) -> Path:
    return written(rendered(name, topology, requirement="edgewright"), folder / name)


# -- what it makes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_project_is_whole_and_its_readme_one_screen(topology: Topology) -> None:
    made = rendered("made", topology, requirement="edgewright>=0.1")
    assert set(made) == FILES
    assert not [path for path, text in made.items() if "@@" in text or not text.endswith("\n")]
    assert len(made["README.md"].splitlines()) <= 45
    assert json.loads(made["langgraph.json"])["graphs"] == {"made": "made.graph:graph"}
    assert '"edgewright>=0.1"' in made["pyproject.toml"]
    policy = made["made/policy.cedar"]
    assert policy.count('@obligation("ask")') == 1
    assert made["made/contracts.py"].count("Sensitive(") == 1
    assert made["made/tools.py"].count("@tool(") == 1


@pytest.mark.parametrize("name", ["a", "a" * 63])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_what_is_made_is_as_a_linter_wants_it(topology: Topology, name: str, tmp_path: Path) -> None:
    folder = made_in(tmp_path, topology, name)
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_made_has_strict_types(tmp_path: Path) -> None:
    for topology in TOPOLOGIES:
        folder = made_in(tmp_path, topology, f"made_{topology}")
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"), "."],
            cwd=folder,
            env={**os.environ, "MYPYPATH": str(TYPINGS)},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_new_project_runs_offline_and_asks_before_much_is_paid(run: Run, tmp_path: Path, topology: Topology) -> None:
    name = f"made_here_{topology}"
    code, out, _ = run("new", name, "--topology", topology, "--json")
    assert (code, json.loads(out)["folder"]) == (0, name)
    small, large = (f"@{name}/requests/{size}.json" for size in ("small", "large"))
    code, out, _ = run("run", name, small, "--project", name, "--json")
    told = json.loads(out)
    assert (code, told["status"], told["output"]["paid_cents"]) == (0, "completed", 1200)
    code, out, _ = run("run", name, large, "--project", name, "--json")
    waiting = json.loads(out)
    assert (code, waiting["status"]) == (0, "waiting")
    answers = [part for r in waiting["reviews"] for part in ("--answer", f"{r['id']}=approve:the carrier lost it")]
    code, out, _ = run("run", name, "--thread", waiting["thread"], *answers, "--project", name, "--json")
    assert (code, json.loads(out)["output"]["paid_cents"]) == (0, 8000)
    code, _, _ = run("graph", name, "--project", name, "--png", "drawn.png")
    assert (code, (tmp_path / "drawn.png").read_bytes()[:4]) == (0, b"\x89PNG")


def test_it_says_what_to_type_next(run: Run) -> None:
    code, out, _ = run("new", "made", "--topology", "solo")
    assert code == 0
    for told in ("cd made", "make demo", "make test"):
        assert told in out


# -- names and places -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Claims-Desk", "'claims_desk', say"),
        ("2claims", "'claims', say"),
        ("", "begins with a letter"),
        ("../claims", "'claims', say"),
        ("claims desk", "'claims_desk', say"),
        ("größe", "letters, digits"),
        ("a" * 64, "at most 63"),
        ("class", "a word of Python"),
        ("match", "a word of Python"),
        ("json", "there already"),
        ("edgewright", "there already"),
        ("langgraph", "there already"),
        ("tests", "there already"),
    ],
)
def test_a_name_that_can_be_none_is_refused_and_nothing_is_written(
    run: Run, tmp_path: Path, name: str, said: str
) -> None:
    code, _, err = run("new", "--topology", "solo", "--", name)
    assert (code, "ProjectInvalid" in err, said in " ".join(err.split())) == (2, True, True)
    assert list(tmp_path.iterdir()) == []


def _folder(place: Path) -> None:
    place.mkdir()


def _file(place: Path) -> None:
    place.write_text("mine")


def _link_to_nothing(place: Path) -> None:
    place.symlink_to(place.with_name("gone"))


@pytest.mark.parametrize("there", [_folder, _file, _link_to_nothing])
def test_what_is_there_is_never_written_over(run: Run, tmp_path: Path, there: Callable[[Path], None]) -> None:
    there(tmp_path / "made")
    before = (tmp_path / "made").lstat()
    code, out, _ = run("new", "made", "--topology", "solo", "--json")
    assert (code, json.loads(out)["error"]) == (2, "ProjectExists")
    assert (tmp_path / "made").lstat() == before
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_a_folder_to_make_it_in_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match="no such folder"):
        written({"a": "b"}, tmp_path / "nowhere" / "made")


def test_what_cannot_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="a"):
        written({"a": "a file", "a/b": "and a folder"}, tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_another_project_of_that_name_is_told_by_its_place(tmp_path: Path) -> None:
    made_in(tmp_path, "solo", "made")
    with pytest.raises(ProjectExists) as raised:
        made_in(tmp_path, "swarm", "made")
    assert raised.value.facts["name"] == str(tmp_path / "made")


# -- the dependency ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "direct", "wanted"),
    [
        ("0.1.0", None, "edgewright>=0.1.0,<0.2"),
        ("2.3.1", None, "edgewright>=2.3.1,<3"),
        ("0.1.0", {"url": "file:///a/e-0.1.0.whl", "archive_info": {}}, "edgewright @ file:///a/e-0.1.0.whl"),
        ("0.1.0", {"url": "file:///a/e", "dir_info": {"editable": True}}, "edgewright @ file:///a/e"),
        (
            "0.1.0",
            {"url": "https://git.test/e", "vcs_info": {"vcs": "git", "commit_id": "4f2"}},
            "edgewright @ git+https://git.test/e@4f2",
        ),
    ],
)
def test_a_project_depends_on_what_made_it(
    tmp_path: Path, version: str, direct: dict[str, Any] | None, wanted: str
) -> None:
    installed = tmp_path / "edgewright.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: edgewright\nVersion: {version}\n")
    if direct is not None:
        (installed / "direct_url.json").write_text(json.dumps(direct))
    assert requirement_of(Distribution.at(installed)) == wanted
