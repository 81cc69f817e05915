"""What the documents show runs: README and docs code blocks, and the notebook."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.edge_picture import PICTURE, drawn

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
EXPECTED = re.compile(r"^print\(.*\)  # (.+)$", re.M)


def blocks() -> list[tuple[str, str]]:
    return [(f"{p.name}:{i}", b) for p in PAGES for i, b in enumerate(BLOCK.findall(p.read_text("utf-8")))]


def executed(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(("name", "code"), blocks(), ids=[name for name, _ in blocks()])
def test_a_code_block_runs_and_prints_what_it_says(name: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(code, "utf-8")
    done = executed(["block.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == EXPECTED.findall(code)


def test_the_readme_has_an_example() -> None:
    assert any(name.startswith("README.md") for name, _ in blocks())


def test_the_picture_of_an_edge_is_what_the_graph_draws() -> None:
    assert PICTURE.read_text("utf-8") == drawn(), "draw it anew: python -m support.edge_picture, in tests/"


def test_links_of_documents_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "AGENTS.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_runs_from_top_to_bottom(notebook: Path, tmp_path: Path) -> None:
    wanted = ["--to", "notebook", "--execute", "--output-dir", str(tmp_path), str(notebook)]
    done = executed(["-m", "jupyter", "nbconvert", *wanted], tmp_path)
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / notebook.name).read_text("utf-8"))["cells"]
    shown = [o for c in cells for o in c.get("outputs", ()) if "text/html" in o.get("data", {})]
    assert len(shown) >= 6


def test_notebooks_are_kept_without_outputs() -> None:
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
            assert not cell.get("outputs"), f"{notebook.name}: clear its outputs before committing"
