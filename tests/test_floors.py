"""The house stands: each floor rests on those below it, and the front door opens."""

from __future__ import annotations

import ast
import importlib
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import edgewright
import pytest

ROOT = Path(edgewright.__file__).resolve().parent
FLOORS = ["contracts", "ledger", "tools", "agents", "graphs", "server"]
MAX_LINES = 400
# Lists that are worth having on one page: every error, every record type. They grow by an entry at a time.
LISTS = {"contracts/errors.py": 1250, "ledger/records.py": 950}
NOT_OURS = {"typings", "build", "dist", "node_modules", "edgewright.egg-info"}
# `edgewright demo` runs the example; nothing else of the floors knows that there is one.
DEMO = "server/demo.py"
IO = {
    *("aiosqlite", "asyncio", "fcntl", "ftplib", "glob", "http", "httpx", "io", "logging", "mmap", "multiprocessing"),
    *("os", "pathlib", "random", "requests", "secrets", "select", "selectors", "shutil", "signal", "smtplib", "socket"),
    *("sqlite3", "sqlite_utils", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid"),
}
CALLS = {"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint"}


@cache
def sources() -> list[Path]:
    tops = [p for p in ROOT.iterdir() if p.is_dir() and p.name not in NOT_OURS and not p.name.startswith(".")]
    return sorted([*ROOT.glob("*.py"), *(p for top in tops for p in top.rglob("*.py"))])


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def of_floor(floor: str) -> list[Path]:
    return [p for p in sources() if p.relative_to(ROOT).parts[0] == floor]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file names in an import, wherever in it, as an absolute name with its line."""
    package = ["edgewright", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *(node.module.split(".") if node.module else [])])
            # `from .. import tools` names a floor in the list of names.
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_from_itself_and_those_below_it(floor: str) -> None:
    allowed = set(FLOORS[: FLOORS.index(floor) + 1])
    files = of_floor(floor)
    assert files
    wrong = [
        f"{short(path)}:{line} imports {name}"
        for path in files
        for line, name in imports(path)
        if name.split(".")[0] == "edgewright"
        and (name.split(".")[1:2] or [""])[0] not in (allowed | {"examples"} if short(path) == DEMO else allowed)
    ]
    assert wrong == []


def test_code_of_the_floors_imports_its_own_relatively() -> None:
    wrong = [
        f"{short(path)}:{node.lineno}"
        for floor in FLOORS
        for path in of_floor(floor)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "edgewright"
    ]
    assert wrong == []


def test_contracts_do_no_input_or_output() -> None:
    wrong = []
    for path in of_floor("contracts"):
        wrong += [f"{short(path)}:{line} imports {name}" for line, name in imports(path) if name.split(".")[0] in IO]
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
                wrong.append(f"{short(path)}:{node.lineno} calls {node.func.id}")
            if isinstance(node, ast.AsyncFunctionDef):
                wrong.append(f"{short(path)}:{node.lineno} is async")
    assert wrong == []


def test_nobody_but_the_tests_imports_the_tests() -> None:
    wrong = [
        f"{short(path)}:{line} imports {name}"
        for path in sources()
        if path.relative_to(ROOT).parts[0] not in ("tests", "bench")
        for line, name in imports(path)
        if name.split(".")[0] in ("tests", "support", "pytest", "hypothesis")
    ]
    assert wrong == []


def test_the_root_holds_no_module_but_the_front_door() -> None:
    assert sorted(p.name for p in ROOT.glob("*.py") if p.name != "__main__.py") == ["__init__.py"]
    assert not (ROOT / "__main__.py").exists() or (ROOT / "server").is_dir()


@pytest.mark.parametrize("path", sources(), ids=short)
def test_a_file_has_one_subject(path: Path) -> None:
    most = LISTS.get(path.relative_to(ROOT).as_posix(), MAX_LINES)
    assert len(path.read_text("utf-8").splitlines()) <= most or path.relative_to(ROOT).parts[0] in ("tests", "bench")


def test_the_front_door_is_exactly_what_can_be_imported() -> None:
    assert len(edgewright.__all__) == len(set(edgewright.__all__))
    door = tree(ROOT / "__init__.py")
    named = {
        alias.asname or alias.name for node in door.body if isinstance(node, ast.ImportFrom) for alias in node.names
    } - {"annotations"}
    assert named == set(edgewright.__all__)
    for name in edgewright.__all__:
        assert getattr(edgewright, name) is not None
    public = {
        name
        for name in vars(edgewright)
        if not name.startswith("_") and not isinstance(getattr(edgewright, name), type(ast))
    }
    assert public == set(edgewright.__all__)


def test_everything_of_the_front_door_says_what_it_is() -> None:
    assert [name for name in edgewright.__all__ if not (getattr(edgewright, name).__doc__ or "").strip()] == []


def test_the_list_of_packages_names_every_folder_of_code() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    listed = project["tool"]["setuptools"]["packages"]
    folders = {p.parent.relative_to(ROOT) for p in sources() if p.name == "__init__.py"}
    folders = {f for f in folders if f.parts[:1] not in (("tests",), ("bench",))}
    assert sorted(listed) == sorted(".".join(["edgewright", *f.parts]) for f in folders)
    for floor in FLOORS:
        bare = {p.parent for p in of_floor(floor)} - {p.parent for p in of_floor(floor) if p.name == "__init__.py"}
        assert bare == set(), "a folder of code without __init__.py is not packaged"
    assert (ROOT / "py.typed").exists()


@pytest.mark.parametrize("floor", FLOORS[:-1])
def test_every_module_of_a_floor_can_be_imported_alone(floor: str) -> None:
    for path in of_floor(floor):
        parts = path.relative_to(ROOT).with_suffix("").parts
        importlib.import_module(".".join(["edgewright", *(p for p in parts if p != "__init__")]))
