"""Sandboxes of each isolation that the machine has, and a workspace of the written repository."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
from edgewright.contracts.errors import ToolInvalid
from edgewright.examples.coding_assistant.repositories import Workspaces
from edgewright.examples.coding_assistant.sandbox import Sandbox
from edgewright.examples.coding_assistant.workspace import Workspace
from edgewright.tools.connectors.isolation import Isolation, Limits

SMALL = Limits(
    seconds=6.0,
    cpu_seconds=3,
    memory_bytes=256 * 1024 * 1024,
    files_bytes=4 * 1024 * 1024,
    processes=12,
    max_output=16 * 1024,
)


@cache
def _found(isolation: Isolation, house: Path) -> Sandbox | str:
    try:
        return Sandbox.found(house, asked=isolation, limits=SMALL)
    except ToolInvalid as error:
        return str(error)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of which nothing may be seen from inside."""
    return tmp_path_factory.mktemp("house")


@pytest.fixture(params=["bubblewrap", "namespaces"])
def apart(request: pytest.FixtureRequest, house: Path) -> Sandbox:
    """Each sandbox that keeps code apart."""
    found = _found(request.param, house)
    if isinstance(found, str):
        if request.param == "bubblewrap" and {"CI", "EDGEWRIGHT_NEEDS_BUBBLEWRAP"} <= set(os.environ):
            pytest.fail(found)
        pytest.skip(found)
    return found


@pytest.fixture
def in_the_open(house: Path) -> Sandbox:
    """A sandbox without isolation, by declaration: what an attack can do where nothing stops it."""
    found = _found("none", house)
    assert isinstance(found, Sandbox)
    return found


@pytest.fixture
def spaces(tmp_path: Path, in_the_open: Sandbox) -> Workspaces:
    """The repositories in a folder of their own; the sandbox is not used where tests are not run."""
    return Workspaces(tmp_path / "spaces", in_the_open)


@pytest.fixture
def space(spaces: Workspaces) -> Workspace:
    """The clone of one run."""
    return spaces.of("run-1")
