"""The shell connector: which arguments reach a program, as what, and what policy and callers learn of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from edgewright.contracts.errors import CallDenied, CommandFailed, ToolFailed, ToolInvalid, ToolRefusal
from edgewright.ledger.records import CallJudged, EffectFailed, EffectIntended
from edgewright.tools.connectors import isolation as isolation_module
from edgewright.tools.connectors.isolation import ISOLATIONS
from edgewright.tools.connectors.shell import Allowed, Command, Shell
from edgewright.tools.sealed import SealedTool
from hypothesis import given
from hypothesis import strategies as st
from support.systems import PERMIT_ALL, inside, with_code

PYTHON = os.path.realpath(sys.executable)
ECHO = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
ANYTHING = re.compile(".*")


def command(code: str = ECHO, *allowed: Allowed, **more: Any) -> Command:
    """A Python program as a command."""
    given: dict[str, Any] = {"description": "Try it.", "effect": "read", "arguments": allowed, **more}
    return Command(path=PYTHON, before=("-I", "-S", "-c", code), **given)


def shell(folder: Path, *, tried: Command | None = None, **more: Any) -> Shell:
    """A shell of one command."""
    given: dict[str, Any] = {"readable": (Path(sys.base_prefix),), "cwd": folder, **more}
    return Shell(commands={"try": tried or command()}, **given)


def only(of: Shell) -> SealedTool:
    """Its one tool."""
    [found] = of.tools()
    return found


async def called(tool: SealedTool, *arguments: str) -> Any:
    """What a call through the gate returns."""
    ran = await inside(lambda: tool.call({"arguments": list(arguments)}), tool)
    if ran.error is not None:
        raise ran.error
    return ran.value


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("; touch pwned", "$(touch pwned)", "`touch pwned`", "| touch pwned", "&& touch pwned", "> pwned", "a b", "*"),
        *("$HOME", "${PATH}", "~", "'quoted'", '"quoted"', "\\", "!!", "#", "%s", "{a,b}", "ä", ""),
    ],
)
async def test_what_means_something_to_a_shell_reaches_the_program_as_text(tmp_path: Path, text: str) -> None:
    done = await called(only(shell(tmp_path, tried=command(ECHO, ANYTHING))), text)
    assert json.loads(done["stdout"])[0] == [text]
    assert os.listdir(tmp_path) == []


LIST = Command(
    path="ls",
    description="List.",
    arguments=(
        *("-l", "--all", "here"),
        re.compile(r"[a-z]+\.txt"),
        re.compile(r"--width=\d{1,3}"),
        ("--sort", re.compile("size|time")),
        ("-I", re.compile(".*")),
    ),
    most=4,
)


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["-l"], ["-l", "--all"], ["here"], ["a.txt", "b.txt"], ["--width=80"], ["--sort", "size", "-l"]),
        *(["-I", "x y"], ["-I", ""], ["-l"] * 4),
    ],
)
def test_what_is_on_the_list_passes(arguments: list[str]) -> None:
    assert LIST.fault_in(arguments) is None


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--"], ["-"], ["-a"], ["-la"], ["--al"], ["--all=x"], ["--ALL"], ["-l "], [" -l"], [""], ["there"]),
        *(["../a.txt"], ["a.txt\n"], ["a.txt\0"], ["-a.txt"], ["--width=１０"], ["--width=1000"], ["--width", "80"]),
        *(["--sort"], ["--sort", "name"], ["--sort", "-l"], ["--sort=size"], ["size"], ["-l", "--sort"]),
        *(["-I"], ["-I", "-l"], ["-I", "--"], ["-I", "a\u202eb"], ["\u200b-l"], ["-l\u00ad"], ["\ud800"], ["\x1b[0m"]),
        *(["−l"], ["–l"], ["-l"] * 5, ["a" * 5000 + ".txt"], ["a.txt\u2028"]),
    ],
)
def test_what_is_not_on_the_list_is_refused(arguments: list[str]) -> None:
    assert LIST.fault_in(arguments) is not None


def test_a_pattern_lets_no_option_through_unless_it_is_one() -> None:
    assert command(ECHO, ANYTHING).fault_in(["--exec=rm"]) is not None
    assert command(ECHO, re.compile("(-x|y)")).fault_in(["-x"]) is not None
    assert command(ECHO, re.compile("-(x|y)")).fault_in(["-x"]) is None


@given(st.lists(st.text() | st.sampled_from(["-l", "--all", "--sort", "size", "-I", "a.txt", "--width=1"]), max_size=6))
def test_every_argument_that_passes_is_on_the_list(arguments: list[str]) -> None:
    if LIST.fault_in(arguments) is not None:
        return
    assert len(arguments) <= 4
    taken = False  # by the option before it
    for argument in arguments:
        if argument.startswith("-"):
            assert not taken
            assert argument in ("-l", "--all", "--sort", "-I") or re.fullmatch(r"--width=[0-9]{1,3}", argument)
        taken = not taken and argument in ("--sort", "-I")
    assert not taken
    assert all(a.isprintable() for a in arguments)


async def test_refused_arguments_are_denied_before_anybody_is_asked_and_start_nothing(tmp_path: Path) -> None:
    tool = only(shell(tmp_path, tried=command("open('ran', 'w')", effect="irreversible"), writable=(tmp_path,)))
    ask = PERMIT_ALL + (
        '@id("ask") @obligation("ask") @approver("a") @reason("r") forbid(principal, action, resource) '
        'unless { context.approvals.contains("ask") };'
    )
    ran = await inside(lambda: tool.call({"arguments": ["--evil"]}), tool, policy=ask)
    assert isinstance(ran.error, CallDenied)
    assert "takes no arguments" in str(ran.error)
    assert not ran.of(EffectIntended)
    assert os.listdir(tmp_path) == []


async def test_arguments_that_are_no_list_of_texts_are_denied(tmp_path: Path) -> None:
    tool = only(shell(tmp_path, tried=command(ECHO, ANYTHING)))
    for wrong in ("-l", [1], [None], [["-l"]], {"0": "-l"}):
        ran = await inside(lambda given=wrong: tool.call({"arguments": given}), tool)  # type: ignore[misc]
        assert isinstance(ran.error, CallDenied)
        assert [j.rules for j in ran.of(CallJudged)] == [["arguments.schema"]]


# -- the program -------------------------------------------------------------------------------------------------------


async def test_a_program_is_found_once_and_never_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "true").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "true").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = Command(path="true", description="Do nothing.", effect="read")
    tool = only(Shell(commands={"try": found}, cwd=tmp_path))
    monkeypatch.setattr("edgewright.tools.connectors.shell.PATH", str(tmp_path))
    assert found.program in ("/usr/bin/true", "/bin/true")
    assert (await called(tool))["exit_code"] == 0


async def test_a_program_that_is_not_the_declared_one_any_more_is_not_started(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho first\n")
    program.chmod(0o755)
    pinned = Command(
        path=str(program),
        description="Say it.",
        effect="read",
        digest=f"sha256:{hashlib.sha256(program.read_bytes()).hexdigest()}",
    )
    tool = only(Shell(commands={"try": pinned}, cwd=tmp_path))
    assert (await called(tool))["stdout"] == "first\n"
    program.write_text("#!/bin/sh\necho second\n")
    with pytest.raises(ToolRefusal, match="its digest has changed"):
        await called(tool)
    with pytest.raises(ToolInvalid, match="another digest"):
        Shell(commands={"try": Command(path=str(program), description="Say it.", digest=pinned.digest)}, cwd=tmp_path)


async def test_the_environment_is_the_declared_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "environment-canary")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    made = shell(tmp_path, env={"TOKEN": "declared"})
    _, seen = json.loads((await called(only(made)))["stdout"])
    assert {k: v for k, v in seen.items() if k != "PWD"} == {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "TOKEN": "declared",
    }
    assert "declared" not in repr(made)
    assert "declared" not in only(made).description


# -- what is told ------------------------------------------------------------------------------------------------------


async def test_an_exit_code_is_data(tmp_path: Path) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(4)"
    tool = only(shell(tmp_path, tried=command(code, effect="irreversible")))
    done = await called(tool)
    assert {k: v for k, v in done.items() if k != "isolation"} == {
        "exit_code": 4,
        "over": "",
        "stdout": "out\n",
        "stderr": "err\n",
    }


async def test_what_only_reads_gives_back_what_it_had_written_when_its_time_was_over(tmp_path: Path) -> None:
    code = "import time; print('so far', flush=True); time.sleep(60)"
    done = await called(only(shell(tmp_path, tried=command(code), seconds=1.0)))
    assert (done["exit_code"], done["over"], done["stdout"]) == (137, "seconds", "so far\n")


@pytest.mark.parametrize("effect", ["write", "irreversible"])
async def test_of_what_changes_something_nobody_knows_how_far_it_came(tmp_path: Path, effect: str) -> None:
    tool = only(shell(tmp_path, tried=command("import time; time.sleep(60)", effect=effect), seconds=0.5))
    ran = await inside(lambda: tool.call({"arguments": []}), tool)
    assert isinstance(ran.error, ToolFailed)
    assert isinstance(ran.error.__cause__, CommandFailed)
    assert [failed.unknown for failed in ran.of(EffectFailed)] == [True]


async def test_a_command_that_did_not_begin_is_a_refusal(tmp_path: Path) -> None:
    (folder := tmp_path / "cwd").mkdir()
    tool = only(shell(folder, tried=command(effect="irreversible")))
    folder.rmdir()
    with pytest.raises(ToolRefusal, match="did not begin"):
        await called(tool)


async def test_output_is_cut_with_a_mark(tmp_path: Path) -> None:
    tool = only(shell(tmp_path, tried=command("print('x' * 100)"), max_output=10))
    assert (await called(tool))["stdout"] == "x" * 10 + "\n[91 bytes more were cut]"


async def test_a_cancelled_call_ends_its_command(tmp_path: Path) -> None:
    os.mkfifo(ready := tmp_path / "ready")
    code = "open('ready', 'w').write('ready'); import time; time.sleep(100)"
    tool = only(shell(tmp_path, tried=command(code), writable=(tmp_path,)))

    async def work() -> None:
        task = asyncio.create_task(tool.call({"arguments": []}))
        async with asyncio.timeout(30):
            assert await asyncio.to_thread(ready.read_text) == "ready"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert (await inside(work, tool)).error is None


def test_it_can_be_called_where_no_event_loop_runs(tmp_path: Path) -> None:
    tool = only(shell(tmp_path, tried=command("print('ran')")))
    found: list[Any] = []

    def function(_: dict[str, Any]) -> dict[str, str]:
        found.append(tool.invoke({"arguments": []}))
        return {"text": ""}

    with_code(function, tool).run({"text": "go"})
    assert json.loads(found[0])["stdout"] == "ran\n"


# -- isolation ---------------------------------------------------------------------------------------------------------


async def test_which_isolation_it_got_is_said_everywhere(tmp_path: Path) -> None:
    made = shell(tmp_path)
    tool = only(made)
    assert made.box.isolation in ISOLATIONS
    assert f"Isolation: {made.box.isolation}" in tool.description
    assert (await called(tool))["isolation"] == made.box.isolation


async def test_policy_reads_the_isolation(tmp_path: Path) -> None:
    apart = (
        '@id("apart") permit(principal, action == Action::"call:shell_try", resource) '
        'when { context.facts.isolation != "none" && !context.facts.network };'
    )
    tool = only(shell(tmp_path, isolation="none"))
    ran = await inside(lambda: tool.call({"arguments": []}), tool, policy=apart)
    assert isinstance(ran.error, CallDenied)
    made = shell(tmp_path)
    if made.box.isolation == "none":
        pytest.skip("this machine offers no isolation")
    tool = only(made)
    assert (await inside(lambda: tool.call({"arguments": []}), tool, policy=apart)).error is None


def test_an_isolation_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "true").symlink_to("/usr/bin/true")
    monkeypatch.setattr(isolation_module, "PATH", str(tmp_path / "bin"))
    with pytest.raises(ToolInvalid, match="bubblewrap is not installed"):
        shell(tmp_path, isolation="bubblewrap")


def test_the_digest_of_a_tool_says_what_it_runs_and_how(tmp_path: Path) -> None:
    plain = only(shell(tmp_path, isolation="none")).spec.digest
    others = [
        shell(tmp_path, isolation="none", tried=command("print(2)")),
        shell(tmp_path, isolation="none", tried=command(ECHO, "-l")),
        shell(tmp_path, isolation="none", tried=command(ECHO, "-l", most=3)),
        shell(tmp_path, isolation="none", tried=command(ECHO, re.compile("a"))),
        shell(tmp_path, isolation="none", tried=command(ECHO, re.compile("a", re.IGNORECASE))),
        shell(tmp_path, isolation="none", seconds=1.0),
        shell(tmp_path, isolation="none", max_output=5),
        shell(tmp_path, isolation="none", env={"A": "b"}),
        shell(tmp_path, isolation="none", readable=()),
        shell(Path("/usr"), isolation="none"),
    ]
    assert len({plain, *(only(other).spec.digest for other in others)}) == 1 + len(others)
    assert only(shell(tmp_path, isolation="none")).spec.digest == plain


# -- declarations ------------------------------------------------------------------------------------------------------


def test_what_is_not_declared_has_the_most_dangerous_value(tmp_path: Path) -> None:
    tool = only(Shell(commands={"try": Command(path="true", description="Do nothing.")}, cwd=tmp_path))
    spec = tool.spec
    assert (spec.effect, spec.output, spec.sensitivity, spec.sink) == ("irreversible", "untrusted", "secret", True)
    assert (spec.idempotency, dict(spec.roles)) == ("none", {"arguments": "target"})


def test_each_command_is_a_tool_under_the_chosen_name(tmp_path: Path) -> None:
    commands = {n: Command(path=n, description="Do it.", effect="read") for n in ("true", "ls")}
    assert [t.name for t in Shell(name="box", commands=commands, cwd=tmp_path).tools()] == ["box_true", "box_ls"]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"path": "no-such-program"}, "no program in"),
        ({"path": "./true"}, "no absolute path"),
        ({"path": "bin/true"}, "no absolute path"),
        ({"path": "/usr/bin/no-such-program"}, "No such file"),
        ({"path": "/usr/bin"}, "no file that can be executed"),
        ({"path": "/etc/passwd"}, "no file that can be executed"),
        ({"description": " "}, "no description"),
        ({"arguments": "-l"}, "are tuples"),
        ({"before": "log"}, "are tuples"),
        ({"before": ("a\n",)}, "cannot come before"),
        ({"arguments": (1,)}, "cannot be allowed"),
        ({"arguments": (re.compile(rb"a"),)}, "cannot be allowed"),
        ({"arguments": (("sort", re.compile("a")),)}, "an option begins with"),
        ({"arguments": ("-l", "-l")}, "twice"),
        ({"arguments": ("-l", ("-l", re.compile("a")))}, "twice"),
        ({"arguments": ("a\0",)}, "does not show"),
        ({"most": -1}, "most"),
        ({"digest": "sha1:abc"}, "digest"),
        ({"idempotency": "key"}, "is not offered"),
    ],
)
def test_a_command_that_cannot_be_right_is_refused(tmp_path: Path, given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ToolInvalid, match=fault):
        Shell(commands={"try": Command(**{"path": "true", "description": "Do it.", **given})}, cwd=tmp_path)


def test_a_program_that_anybody_may_change_is_refused(tmp_path: Path) -> None:
    (program := tmp_path / "program").write_text("#!/bin/sh\n")
    program.chmod(0o777)
    with pytest.raises(ToolInvalid, match="changed by anybody"):
        Shell(commands={"try": Command(path=str(program), description="Do it.")}, cwd=tmp_path)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"name": "My-Shell"}, "its name"),
        ({"commands": {}}, "no commands"),
        ({"commands": {"Ls": LIST}}, "lower case"),
        ({"isolation": "docker"}, "is none of"),
        ({"cwd": Path("relative")}, "no absolute path"),
        ({"cwd": Path("/no/such/folder")}, "no absolute path"),
        ({"cwd": Path("/etc/passwd")}, "no absolute path"),
        ({"cwd": Path("/")}, "more of the machine"),
        ({"readable": (Path("/proc"),)}, "more of the machine"),
        ({"writable": (Path("/dev"),)}, "more of the machine"),
        ({"writable": (Path("/usr/../sys/kernel"),)}, "more of the machine"),
        ({"env": {"A=B": ""}}, "cannot be set"),
        ({"env": {"A": "\0"}}, "cannot be set"),
        ({"seconds": 0}, "seconds 0"),
        ({"seconds": float("inf")}, "seconds inf"),
        ({"seconds": float("nan")}, "seconds nan"),
        ({"memory_bytes": 0.5}, "memory_bytes"),
        ({"processes": -1}, "processes"),
        ({"max_output": 0}, "max_output"),
    ],
)
def test_a_shell_that_cannot_be_right_is_refused(tmp_path: Path, given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ToolInvalid, match=fault):
        Shell(**{"commands": {"ls": LIST}, "cwd": tmp_path, **given}).tools()


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ToolInvalid) as caught:
        Shell(name="!", commands={"a": Command(path="nope", description="")}, cwd=Path("x"), seconds=-1)
    assert len(caught.value.faults) == 5
