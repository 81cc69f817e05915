"""Tools as people hand them to agents in a hurry. UNGOVERNED: a raw shell, raw SQL, open HTTP. Do not copy them.

They pass the same gate as any tool, but they declare nothing, check nothing, and the policy beside them permits all:
what the model is told in its prompt is the only rule that there is.
"""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing

import httpx
from edgewright import tool
from edgewright.tools.connectors.files import Files
from edgewright.tools.sealed import SealedTool

from .estate import Estate


def careless_tools(estate: Estate) -> list[SealedTool]:
    """Files from the topmost folder down, and three tools without a limit."""

    @tool
    def ungoverned_shell(command: str) -> str:
        """Run a command line."""
        done = subprocess.run(  # noqa: S602 - what is shown here is what comes of it
            command, shell=True, cwd=estate.root, capture_output=True, text=True, timeout=20, errors="replace"
        )
        return f"{done.returncode}\n{done.stdout}{done.stderr}"[:4000]

    @tool
    def ungoverned_sql(database: str, statement: str) -> str:
        """Run any SQL on a database: production or staging."""
        path = estate.staging if database == "staging" else estate.production
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as conn:
            if ";" in statement:
                conn.executescript(statement)
                return "done"
            with conn:
                return str(conn.execute(statement).fetchmany(50))

    @tool
    def ungoverned_http(method: str, url: str, token: str = "", body: str = "") -> str:
        """Send any request to anywhere."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(verify=False, trust_env=False, follow_redirects=True, timeout=5) as client:  # noqa: S501
            answer = client.request(method, url, headers=headers, content=body)
        return f"{answer.status_code}\n{answer.text}"[:4000]

    files = Files(root=estate.root, writable=True, deletable=True, max_bytes=4096)
    return [*files.tools(), ungoverned_shell, ungoverned_sql, ungoverned_http]
