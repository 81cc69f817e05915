"""`edgewright new`: a folder with a project that runs at once, made of the texts in `scaffolding/`.

`base/` has every file of a project. What differs by topology stands in one page for each, in sections, and what some of
them share in `shared.txt`. In a text, `@@name@@` stands for a section, or for what is known of the project.
"""

from __future__ import annotations

import json as json_
import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent
from typing import Annotated, Literal, get_args

import typer
from rich.console import Console

from ..contracts.errors import ProjectExists, ProjectInvalid

Topology = Literal["solo", "pipeline", "supervisor", "planning", "swarm", "nested"]
TOPOLOGIES: tuple[Topology, ...] = get_args(Topology)
HERE = Path()
_TAKEN = {"edgewright", "tests", "requests"}
_TEMPLATES = "scaffolding"
_PLACE = re.compile(r"@@(\w+)@@")
_LINE = re.compile(r"^( *)@@(\w+)@@\n", re.M)
_SECTION = re.compile(r"^=== (\w+)\n", re.M)


def register(app: typer.Typer) -> None:
    """Mount the command on the program."""
    app.command("new")(new_command)


def new_command(
    name: Annotated[str, typer.Argument(help="Its name: of the folder, the package and the system.")],
    topology: Annotated[Topology, typer.Option(help="How its agents work together; `edgewright advise` helps.")],
    into: Annotated[Path, typer.Option(help="The folder that it is made in.")] = HERE,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a project that runs at once, offline: agents, contracts, a tool, a policy, tests. Overwrites nothing."""
    made = rendered(name, topology, requirement=requirement())
    folder = written(made, into / name)
    if json:
        facts = {"project": name, "topology": topology, "folder": str(folder), "files": sorted(made)}
        sys.stdout.write(json_.dumps(facts, indent=2) + "\n")
        return
    out = Console(highlight=False)
    out.print(f"made {folder}: {len(made)} files", markup=False)
    out.print(f"  cd {folder}\n  make demo\n  make test", markup=False)


# -- what is written: texts only --------------------------------------------------------------------------------------


def rendered(name: str, topology: Topology, *, requirement: str) -> dict[str, str]:
    """Every file of a project, by its path in it.

    Args:
        requirement: how the project names this package among its dependencies.

    Raises:
        ProjectInvalid: the name can be none of a package, or means another one already.
    """
    if faults := _faults_of_name(name):
        raise ProjectInvalid(name=name, faults=faults)
    here = files(__package__) / _TEMPLATES
    values = {
        **_sections((here / "shared.txt").read_text("utf-8")),
        **_sections((here / f"{topology}.txt").read_text("utf-8")),
        "project": name,
        "requirement": requirement,
    }
    return {_path(at, name): _filled(text, values) for at, text in _texts(here / "base", "").items()}


def _faults_of_name(name: str) -> list[str]:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        like = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        return [
            "a project's name is lower case letters, digits and underscores, begins with a letter, and has at most 63"
            + (f"; {like[:63]!r}, say" if like else "")
        ]
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return [f"{name!r} is a word of Python; take another name"]
    if name in sys.stdlib_module_names or name in _TAKEN or find_spec(name) is not None:
        return [f"{name!r} is the name of a package that is there already; take another name"]
    return []


def _sections(page: str) -> dict[str, str]:
    _, *parts = _SECTION.split(page)
    return {name: text.removesuffix("\n") for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _texts(folder: Traversable, above: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found |= _texts(entry, f"{above}{entry.name}/")
        elif entry.name.endswith(".txt"):
            found[above + entry.name.removesuffix(".txt")] = entry.read_text("utf-8")
    return found


def _path(template: str, name: str) -> str:
    return re.sub("^package/", f"{name}/", ".gitignore" if template == "gitignore" else template)


def _filled(text: str, values: Mapping[str, str]) -> str:
    """A text with every place filled; a line that is a place and nothing else goes where its section is empty."""

    def line(found: re.Match[str]) -> str:
        section = values[found[2]]
        return indent(_filled(section + "\n", values), found[1]) if section else ""

    return _PLACE.sub(lambda found: _filled(values[found[1]], values), _LINE.sub(line, text))


# -- where it is written ----------------------------------------------------------------------------------------------


def written(made: Mapping[str, str], folder: Path) -> Path:
    """Write a project: all of it, or nothing.

    Raises:
        ProjectExists: there is something at that place already.
        ProjectInvalid: there is no folder to make it in.
        OSError: it cannot be written.
    """
    if os.path.lexists(folder):
        fault = "there is something of that name already; take another name, or another folder with --into"
        raise ProjectExists(name=str(folder), faults=[fault])
    if not folder.parent.is_dir():
        raise ProjectInvalid(name=str(folder.parent), faults=["there is no such folder to make a project in"])
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for path, text in made.items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            (beside / path).write_text(text, "utf-8")
        beside.chmod(0o777 & ~_umask())
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return folder


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def requirement() -> str:
    """This package as a dependency of a project."""
    try:
        return requirement_of(distribution("edgewright"))
    except PackageNotFoundError:
        return "edgewright"


def requirement_of(here: Distribution) -> str:
    """An installed package as a dependency: from where it was installed, or its release where that was a registry."""
    said = json_.loads(here.read_text("direct_url.json") or "{}")
    if vcs := said.get("vcs_info"):
        return f"{here.name} @ {vcs['vcs']}+{said['url']}@{vcs['commit_id']}"
    if url := said.get("url"):
        return f"{here.name} @ {url}"
    major, minor, *_ = here.version.split(".")
    return f"{here.name}>={here.version},<{f'0.{int(minor) + 1}' if major == '0' else int(major) + 1}"
