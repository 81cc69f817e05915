"""Where a package of the example is missing: the system is built and drawn, and a run says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHILD = """
import asyncio, sys
from importlib.abc import MetaPathFinder
from pathlib import Path

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("bokeh_sampledata", "matplotlib", "talib"):
            raise ModuleNotFoundError(name)
        return None

sys.meta_path.insert(0, Missing())
from edgewright.contracts.errors import ProjectInvalid
from edgewright.examples.investment_analysis import showcase
from edgewright.examples.investment_analysis.system import build

system = build(Path(sys.argv[1]))
assert "desk" in system.graph.get_graph().nodes
for play in (system.arun({"ticker": "AAPL", "as_of": "2009-09-30"}), showcase.showcase(system)):
    try:
        asyncio.run(play)
    except ProjectInvalid as error:
        print(error)
system.close()
"""


def test_without_its_packages_it_is_built_and_a_run_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 2, done.stdout
    for line in said:
        assert "it needs bokeh_sampledata, matplotlib, talib: pip install edgewright[examples]" in line
