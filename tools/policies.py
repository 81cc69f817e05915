"""Reading policy files, those of the user and those that the package brings."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ..contracts.errors import PolicyInvalid
from ..contracts.policy import Policy

STARTERS = ("permit", "read_only", "flow", "strict", "production")


def load_policy(path: Path | str) -> Policy:
    """A policy from a `.cedar` file, or from all `.cedar` files of a folder, by name.

    Raises:
        PolicyInvalid: when there is none, or a file cannot be read as UTF-8.
    """
    path = Path(path)
    found = sorted(path.glob("*.cedar")) if path.is_dir() else [path]
    if not found or not all(f.is_file() for f in found):
        fault = (
            "there is no such file, or no .cedar file in the folder; write one: without a policy every call is denied"
        )
        raise PolicyInvalid(name=str(path), faults=[fault])
    try:
        return Policy(text="\n".join(f.read_text("utf-8") for f in found), name=path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyInvalid(name=str(path), faults=[f"cannot be read: {error}"]) from None


def starter(*names: str) -> Policy:
    """Rules to begin with, by name; add your own: `starter("permit", "flow") + load_policy("policy.cedar")`.

    - `permit`: every call that no other rule forbids.
    - `read_only`: reading only, through no sink.
    - `flow`: asks where other people's words decide who or what is acted on, and before something personal leaves.
    - `strict`: beside `flow`, asks about what can be undone, too, where nothing that the user said leads to it.
    - `production`: asks before what cannot be undone, in production, and denies it within a minute of another.

    Raises:
        PolicyInvalid: there is no such starter, or none was named.
    """
    unknown = [n for n in names if n not in STARTERS]
    if not names or unknown:
        faults = [f"{n!r} is none of {', '.join(STARTERS)}" for n in unknown] or ["names none"]
        raise PolicyInvalid(name="starter", faults=faults)
    folder = files("edgewright.tools") / "starters"
    texts = [(folder / f"{name}.cedar").read_text("utf-8") for name in dict.fromkeys(names)]
    return Policy(text="\n".join(texts), name="+".join(names))
