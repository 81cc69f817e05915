"""Runs inside the box before anything else does: tries to get out, and prints in which ways it could.

A program of its own (`python -I -S trial.py SECRET TREE PORT`). SECRET is a file of the house, TREE what the box shows
without letting it be changed, PORT a server on the loopback of the machine. The standard library only.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable

WRITTEN = "trial.out"
ALLOWED = {"PATH", "LANG", "PWD", "LC_CTYPE", "HOME", "TMPDIR", "PYTEST_DISABLE_PLUGIN_AUTOLOAD"}


def reads(path: str) -> bool:
    """Whether a file can be read."""
    with open(path, "rb") as file:
        return bool(file.read(1))


def writes(folder: str) -> bool:
    """Whether a file can be made in a folder."""
    with open(os.path.join(folder, WRITTEN), "w") as file:
        file.write("out")
    return True


def reaches(family: int, address: tuple[str, int]) -> bool:
    """Whether something answers at an address, or could be on the way to it."""
    with socket.socket(family) as own:
        own.settimeout(1)
        own.connect(address)
    return True


def main(secret: str, tree: str, port: str) -> None:
    """Print the ways that are open, as JSON."""
    ways: dict[str, Callable[[], bool]] = {
        "reads a file of the house": lambda: reads(secret),
        "reads /etc/passwd": lambda: reads("/etc/passwd"),
        # Never open by what is seen here: a box may have a folder of that name of its own. It is looked at outside.
        "writes beside a file of the house": lambda: not writes(os.path.dirname(secret)),
        "writes into the tree": lambda: writes(tree),
        "writes to /": lambda: writes("/"),
        "reaches the machine's loopback": lambda: reaches(socket.AF_INET, ("127.0.0.1", int(port))),
        "reaches the network": lambda: reaches(socket.AF_INET, ("192.0.2.1", 9)),
        "has an environment": lambda: bool(set(os.environ) - ALLOWED),
        "sees processes of the machine": lambda: len([n for n in os.listdir("/proc") if n.isdigit()]) > 8,
    }
    open_ = []
    for name, way in ways.items():
        try:
            if way():
                open_.append(name)
        except OSError:
            continue  # shut, as it should be
    print(json.dumps(open_))  # noqa: T201 - this is what it is for


if __name__ == "__main__":
    main(*sys.argv[1:])
