"""A run's copy: edits stay in it, commits hold them, pushes go to the named branch; git obeys nothing in the tree."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgewright import ToolRefusal
from edgewright.contracts.errors import CommandFailed, PathRefused, ToolInvalid
from edgewright.examples.coding_assistant import git as git_module
from edgewright.examples.coding_assistant.git import Git
from edgewright.examples.coding_assistant.repositories import DATA, Workspaces
from edgewright.examples.coding_assistant.sandbox import Sandbox
from edgewright.examples.coding_assistant.workspace import Workspace

TARIFF = "parcels/tariff.py"
OUTSIDE = [
    "/etc/passwd",
    "../state.json",
    "parcels/../../state.json",
    ".git/hooks/pre-commit",
    "parcels/.git/config",
    ".gitattributes",
    "./parcels/tariff.py",
    "parcels//tariff.py",
    "parcels\\tariff.py",
    "",
    "parcels",
]


def mended(space: Workspace, key: str = "k1") -> None:
    """The first bug, mended."""
    space.edit(key, TARIFF, "        if grams < limit:\n", "        if grams <= limit:\n")


# -- paths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_outside_is_read_edited_created_or_discarded(space: Workspace, path: str) -> None:
    before, state = space.digest(), (space.folder / "state.json").read_text()
    for work in (
        lambda: space.read(path),
        lambda: space.edit("k", path, "a", "b"),
        lambda: space.create(path, "x"),
        lambda: space.discard(path),
    ):
        with pytest.raises(ToolRefusal):
            work()
    assert (space.digest(), (space.folder / "state.json").read_text()) == (before, state)
    assert sorted(p.name for p in space.tree.iterdir()) == ["README.md", "parcels", "pyproject.toml", "tests"]


def test_a_link_out_of_the_tree_is_not_followed(space: Workspace, tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text("hunter2")
    (space.tree / "file.py").symlink_to(tmp_path / "secret.py")
    (space.tree / "folder").symlink_to(tmp_path)
    for path in ("file.py", "folder/secret.py"):
        for work in (lambda p=path: space.read(p), lambda p=path: space.edit("k", p, "hunter2", "x")):
            with pytest.raises(PathRefused, match="link"):
                work()
    with pytest.raises(PathRefused):
        space.create("folder/new.py", "x")
    assert space.search("hunter2") == []
    assert not {"file.py", "folder/secret.py"} & set(space.files())
    assert (tmp_path / "secret.py").read_text() == "hunter2"
    assert not (tmp_path / "new.py").exists()


# -- editing -----------------------------------------------------------------------------------------------------------


def test_a_passage_is_replaced_where_it_stands_once(space: Workspace) -> None:
    assert space.edit("k1", TARIFF, "grams < limit", "grams <= limit") == {"path": TARIFF, "line": 10}
    assert "if grams <= limit:" in space.read(TARIFF)


@pytest.mark.parametrize(("old", "times"), [("return", 3), ("nowhere", 0)])
def test_a_passage_that_does_not_stand_there_once_is_refused(space: Workspace, old: str, times: int) -> None:
    with pytest.raises(ToolRefusal, match=f"stands {times} times"):
        space.edit("k1", TARIFF, old, "x")


def test_an_edit_is_made_once_per_key(space: Workspace) -> None:
    for _ in range(2):
        assert space.edit("k1", TARIFF, "HEAVY = 2495", "HEAVY = 2495  # HEAVY = 2495")["line"] == 4
    assert space.read(TARIFF).count("# HEAVY") == 1


def test_a_new_file_never_replaces_another(space: Workspace) -> None:
    for _ in range(2):
        assert space.create("tests/test_new.py", "x = 1\n")["bytes"] == 6
    with pytest.raises(ToolRefusal, match="edit it"):
        space.create("tests/test_new.py", "x = 2\n")
    with pytest.raises(ToolRefusal, match="same name"):
        space.create("tests/TEST_NEW.py", "x = 2\n")


def test_discarding_puts_back_what_was_there_and_removes_what_was_not(space: Workspace) -> None:
    before = space.digest()
    mended(space)
    space.create("tests/test_new.py", "x = 1\n")
    assert space.discard(TARIFF)["now"] == "as it was"
    assert space.discard("tests/test_new.py")["now"] == "gone"
    assert space.digest() == before


def test_a_file_that_would_grow_too_large_stays_as_it_is(space: Workspace) -> None:
    with pytest.raises(PathRefused, match="larger"):
        space.edit("k1", TARIFF, "HEAVY = 2495", "x" * 70_000)
    assert "HEAVY = 2495" in space.read(TARIFF)


# -- git ---------------------------------------------------------------------------------------------------------------


def test_the_origin_is_the_same_on_every_machine(spaces: Workspaces, tmp_path: Path, in_the_open: Sandbox) -> None:
    assert spaces.branches() == Workspaces(tmp_path / "other", in_the_open).branches()
    assert list(spaces.branches()) == ["main"]
    written = {p.relative_to(DATA / "repository").as_posix() for p in (DATA / "repository").rglob("*.txt")}
    assert set(spaces.of("run-1").files()) == {name.removesuffix(".txt") for name in written}


def test_runs_do_not_see_each_other(spaces: Workspaces) -> None:
    one, other = spaces.of("run-1"), spaces.of("run-2")
    mended(one)
    assert "grams < limit" in other.read(TARIFF)
    assert spaces.of("run-1") is one


def test_a_commit_holds_what_was_changed_and_is_made_once_per_key(space: Workspace) -> None:
    mended(space)
    first = space.commit("run/k2", "Mend it")
    assert first["files"] == [TARIFF]
    assert space.commit("run/k2", "Mend it, in other words") == first
    with pytest.raises(ToolRefusal, match="nothing is changed"):
        space.commit("run/k", "Another")
    assert space.git("rev-list", "--count", "origin/main..HEAD").strip() == "1"


def test_a_push_goes_to_its_branch_and_writes_nothing_over(spaces: Workspaces) -> None:
    one, other = spaces.of("run-1"), spaces.of("run-2")
    with pytest.raises(ToolRefusal, match="nothing is committed"):
        one.push("fix/a")
    mended(one)
    made = one.commit("k2", "Mend it")["commit"]
    assert one.push("fix/a") == one.push("fix/a") == {"branch": "fix/a", "commit": made}
    other.edit("k1", TARIFF, "min(", "max(")
    other.commit("k2", "Mend something else")
    with pytest.raises(ToolRefusal, match="not taken"):
        other.push("fix/a")
    assert spaces.branches()["fix/a"] == made


def test_git_takes_no_settings_hooks_or_helpers_from_the_tree_or_the_machine(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    helper = tmp_path / "helper"
    helper.write_text(f"#!/bin/sh\necho > {mark}\ncat\n")
    helper.chmod(0o755)
    config = f'[core]\n\tfsmonitor = {helper}\n\thooksPath = {tmp_path}\n[filter "x"]\n\tclean = {helper}\n'
    (tmp_path / ".gitconfig").write_text(config)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    # No tool can write these; code in the open could.
    (space.tree / ".git" / "hooks").mkdir(parents=True)
    (space.tree / ".git" / "config").write_text(config)
    (space.tree / ".git" / "hooks" / "pre-commit").symlink_to(helper)
    (space.tree / ".gitattributes").write_text("* filter=x\n")
    (tmp_path / "pre-commit").symlink_to(helper)
    mended(space)
    assert TARIFF in space.commit("k2", "Mend it")["files"]
    space.push("fix/a")
    assert not mark.exists()


def test_without_git_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "PATH", str(tmp_path))
    with pytest.raises(ToolInvalid, match="git is not installed"):
        Git.at(tmp_path)


def test_an_error_of_git_names_the_command(space: Workspace) -> None:
    with pytest.raises(CommandFailed, match="git show: it ended with 128"):
        space.git("show", "nonesuch")


# -- how the tests stand -----------------------------------------------------------------------------------------------


async def test_a_gain_counts_for_the_tree_that_was_tested_and_no_other(spaces: Workspaces) -> None:
    space = spaces.of("run-1")
    assert space.standing() == {"tested": False, "gained": 0, "lost": 0}
    await space.test(spaces.sandbox)
    assert space.standing() == {"tested": True, "gained": 0, "lost": 0}
    mended(space)
    assert space.standing()["tested"] is False
    await space.test(spaces.sandbox)
    assert space.standing() == {"tested": True, "gained": 1, "lost": 0}
    space.edit("k3", TARIFF, "return cents", "return cents + 1")
    await space.test(spaces.sandbox)
    assert space.standing() == {"tested": True, "gained": 0, "lost": 1}


async def test_without_a_run_of_the_tree_as_it_was_nothing_counts_as_a_gain(spaces: Workspaces) -> None:
    space = spaces.of("run-1")
    mended(space)
    await space.test(spaces.sandbox)
    assert space.standing() == {"tested": False, "gained": 0, "lost": 0}


async def test_what_is_known_of_a_run_holds_in_another_process(spaces: Workspaces, in_the_open: Sandbox) -> None:
    space = spaces.of("run-1")
    await space.test(spaces.sandbox)
    mended(space)
    await space.test(spaces.sandbox)
    again = Workspaces(spaces.folder, in_the_open).of("run-1")
    assert again.standing() == {"tested": True, "gained": 1, "lost": 0}
    assert again.tree == space.tree
