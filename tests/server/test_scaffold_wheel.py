"""Projects from an installed wheel, in an empty folder: their two commands, and LangGraph's own server over them.

The wheel is made once, from a copy of the tree, and installed into a fresh environment that takes its dependencies
from this one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from edgewright.server.scaffold import TOPOLOGIES, Topology

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
NOT_PACKED = {"__pycache__", "build", "dist", "edgewright.egg-info", "typings", "tests", "bench", "notebooks"}
"""What stands at the top of the tree and in no wheel, beside what is hidden."""
REQUEST = {"order": "R-1001", "email": "ann@example.com", "text": "The cup arrived broken. It cost 12.00."}
SECONDS = 60


def done(command: list[str | Path], folder: Path, **environment: str) -> str:
    """What a command printed; it has to end well."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("EDGEWRIGHT_", "PYTEST_", "PYTHONPATH"))}
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree. A copy is built: what a build leaves behind must not stand here."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "tree").mkdir()
    packed = [p for p in ROOT.iterdir() if p.name not in NOT_PACKED and not p.name.startswith(".")]
    for part in packed:
        copy = shutil.copytree if part.is_dir() else shutil.copy
        copy(part, folder / "tree" / part.name)
    done([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, folder / "tree"], folder)
    [made] = folder.glob("edgewright-*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, and beside it the packages that it needs."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    done(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel],
        folder,
        PIP_DISABLE_PIP_VERSION_CHECK="1",
    )
    here = done([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip()
    (Path(here) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    found = done([python, "-c", "import edgewright; print(edgewright.__file__)"], folder)
    assert found.startswith(str(folder)), "it is the wheel that is tried, not this tree"
    return folder


@pytest.fixture
def project(environment: Path, wheel: Path, topology: Topology, tmp_path: Path) -> Path:
    """A new project, set up but for its dependencies, which are there."""
    name = f"desk_{topology}"
    done([environment / "bin" / "edgewright", "new", name, "--topology", topology], tmp_path)
    assert f'"edgewright @ {wheel.as_uri()}"' in (tmp_path / name / "pyproject.toml").read_text()
    (tmp_path / name / ".venv").symlink_to(environment)
    (environment / ".ready").touch()
    return tmp_path / name


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_two_commands_of_a_new_project_work_at_once(project: Path) -> None:
    shown = done(["make", "demo"], project, COLUMNS="160")
    for told in ("completed", "waiting", "ask-above-50", "answer with: edgewright run", "verified"):
        assert told in shown
    assert "6 passed" in done(["make", "test"], project)


@pytest.mark.skipif(
    find_spec("langgraph_api") is None and not os.environ.get("EDGEWRIGHT_REQUIRE_STUDIO"),
    reason="langgraph-api is not installed: the extra `studio`",
)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_langgraph_dev_opens_a_new_project_and_runs_it(project: Path) -> None:
    with langgraph_dev(project) as url:
        assert called(f"{url}/ok")["ok"] is True
        assert [a["graph_id"] for a in called(f"{url}/assistants/search", {})] == [project.name]
        told = asked(url, project.name, REQUEST)
        assert told["response"]["paid_cents"] == 1200
        waiting = asked(url, project.name, REQUEST | {"text": "The parcel never came. It cost 80.00."})
        [interrupt] = waiting["__interrupt__"]
        assert [rule["id"] for rule in interrupt["value"]["rules"]] == ["ask-above-50"]


def asked(url: str, graph: str, request: dict[str, str]) -> Any:
    thread = called(f"{url}/threads", {})["thread_id"]
    return called(f"{url}/threads/{thread}/runs/wait", {"assistant_id": graph, "input": {"request": request}})


def called(url: str, body: Any = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.load(answer)


@contextmanager
def langgraph_dev(project: Path) -> Iterator[str]:
    """LangGraph's development server over a project, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = project / ".venv" / "bin" / "python"
    command = [str(python), "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--port", str(port)]
    with (project / "dev.log").open("w") as log:
        server = subprocess.Popen(command, cwd=project, stdout=log, stderr=log, start_new_session=True)
    try:
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
        while not _answers(url):
            assert server.poll() is None, (project / "dev.log").read_text()
            assert time.monotonic() < until, (project / "dev.log").read_text()
            time.sleep(0.2)  # until it listens; nothing tells us when
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=SECONDS)


def _answers(url: str) -> bool:
    try:
        called(f"{url}/ok")
    except OSError:
        return False
    return True
