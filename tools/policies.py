"""Reading policy files."""

from __future__ import annotations

from pathlib import Path

from ..contracts.errors import PolicyInvalid
from ..contracts.policy import Policy


def load_policy(path: Path | str) -> Policy:
    """A policy from a `.cedar` file, or from all `.cedar` files of a folder, by name.

    Raises:
        PolicyInvalid: when there is none, or a file cannot be read as UTF-8.
    """
    path = Path(path)
    files = sorted(path.glob("*.cedar")) if path.is_dir() else [path]
    if not files or not all(f.is_file() for f in files):
        fault = (
            "there is no such file, or no .cedar file in the folder; write one: without a policy every call is denied"
        )
        raise PolicyInvalid(name=str(path), faults=[fault])
    try:
        return Policy(text="\n".join(f.read_text("utf-8") for f in files), name=path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyInvalid(name=str(path), faults=[f"cannot be read: {error}"]) from None
