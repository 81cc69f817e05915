"""Hostile tests are really run: in isolation each attack fails, and in the open the same attack succeeds."""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from edgewright import ToolRefusal
from edgewright.contracts.errors import ToolInvalid
from edgewright.examples.coding_assistant import sandbox as module
from edgewright.examples.coding_assistant.repositories import Workspaces
from edgewright.examples.coding_assistant.sandbox import Sandbox, Told

CANARY = "hunter2-of-the-house"


def tree_of(folder: Path, code: str, *, facts: Mapping[str, object] | None = None) -> Path:
    """A tree with one test file; `facts` are names that the code may use."""
    tree = folder / "tree"
    tree.mkdir()
    given = "".join(f"{name} = {value!r}\n" for name, value in (facts or {}).items())
    (tree / "test_hostile.py").write_text(f"import os\n{given}{textwrap.dedent(code)}", encoding="utf-8")
    return tree


ATTACKS = {
    "write by an absolute path": "open(HOUSE + '/out', 'w').write('x')",
    "write by ..": "open(TREE + '/../house/out', 'w').write('x')",
    "write through a link": "os.symlink(HOUSE, 'link'); open('link/out', 'w').write('x')",
    "plant a hook": "open(GIT + '/hooks/post-commit', 'w').write('x')",
    "plant a hook in the tree": "os.makedirs(TREE + '/.git/hooks'); open(TREE + '/.git/hooks/a', 'w').write('x')",
    "change the source": "open(TREE + '/test_hostile.py', 'a').write('x')",
    "read the ledger's key": "assert open(HOUSE + '/ledger.key').read() == KEY",
    "read the key through a link": "os.symlink(HOUSE, 'link'); assert open('link/ledger.key').read() == KEY",
    "read /etc/passwd": "assert open('/etc/passwd').read()",
    "read the environment of the parent": "assert KEY in open(f'/proc/{PARENT}/environ').read()",
    "reach the parent": "os.kill(PARENT, 0)",
    "reach the loopback": "import socket; socket.create_connection(('127.0.0.1', PORT), 2)",
    "reach an abstract socket": "import socket; socket.socket(socket.AF_UNIX).connect(chr(0) + NAME)",
    "reach a socket in the file system": "import socket; socket.socket(socket.AF_UNIX).connect(HOUSE + '/socket')",
}


@contextmanager
def surroundings(folder: Path) -> Iterator[dict[str, object]]:
    """What the attacks are aimed at: a house with a key, a git folder, sockets that answer, a process with a secret."""
    house, git = folder / "house", folder / "git"
    house.mkdir()
    (git / "hooks").mkdir(parents=True)
    (house / "ledger.key").write_text(CANARY)
    name = f"edgewright-{os.getpid()}-{folder.name}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as plain,
        subprocess.Popen(
            [sys.executable, "-c", "import sys; print('on', flush=True); sys.stdin.read()"],
            env={"SECRET": CANARY},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as parent,
    ):
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdout.readline()
        abstract.bind("\0" + name)
        here = os.open(house, os.O_RDONLY)
        plain.bind(f"/proc/self/fd/{here}/socket")  # a path of any length
        os.close(here)
        abstract.listen()
        plain.listen()
        try:
            port = tcp.getsockname()[1]
            found = {"HOUSE": str(house), "GIT": str(git), "KEY": CANARY, "PARENT": parent.pid, "PORT": port}
            yield {**found, "NAME": name, "TREE": str(folder / "tree")}
        finally:
            parent.stdin.close()


async def attacked(sandbox: Sandbox, folder: Path) -> tuple[Told, set[str]]:
    """Run all attacks, each as a test of its own. Returns what was told, and the attacks that got through."""
    names = list(ATTACKS)
    code = "".join(
        f"\ndef test_{i}(tmp_path, monkeypatch):\n    monkeypatch.chdir(tmp_path)\n    {attack}\n"
        for i, attack in enumerate(ATTACKS.values())
    )
    with surroundings(folder) as facts:
        told = await sandbox.test(tree_of(folder, code, facts=facts))
    assert told["told"], told["output"]
    assert len(told["passed"]) + len(told["failed"]) == len(names)
    return told, {names[int(test.rpartition("_")[2])] for test in told["passed"]}


async def test_no_attack_gets_out_of_an_isolation(apart: Sandbox, tmp_path: Path) -> None:
    told, through = await attacked(apart, tmp_path)
    assert through == set()
    assert told["isolation"] == apart.isolation
    assert CANARY not in told["output"].replace(f"KEY = {CANARY!r}", "")
    assert sorted(p.name for p in (tmp_path / "house").iterdir()) == ["ledger.key", "socket"]
    assert list((tmp_path / "git").rglob("*")) == [tmp_path / "git" / "hooks"]
    assert [p.name for p in (tmp_path / "tree").iterdir()] == ["test_hostile.py"]


async def test_in_the_open_the_same_attacks_get_through(in_the_open: Sandbox, tmp_path: Path) -> None:
    # So each of them is an attack, and fails in isolation for no other reason. The one that is left out needs rights
    # that are given up in the open, too, where it is root who runs the tests.
    told, through = await attacked(in_the_open, tmp_path)
    assert set(ATTACKS) - through <= {"read the environment of the parent"}, told["output"]
    assert told["isolation"] == "none"


async def test_the_network_outside_cannot_be_reached(apart: Sandbox, tmp_path: Path) -> None:
    code = """
        import errno, socket
        def test_out():
            for family, address in ((socket.AF_INET, ("192.0.2.1", 80)), (socket.AF_INET6, ("2001:db8::1", 80))):
                with socket.socket(family) as own:
                    own.settimeout(2)
                    try:
                        own.connect(address)
                    except OSError as error:
                        assert error.errno == errno.ENETUNREACH or error.errno == errno.EADDRNOTAVAIL, error
                    else:
                        assert False, "reached"
            assert [name for _, name in socket.if_nameindex()] == ["lo"]
    """
    told = await apart.test(tree_of(tmp_path, code))
    assert told["failed"] == [], told["output"]
    assert told["passed"]


async def test_no_variable_of_the_house_is_seen(
    apart: Sandbox, in_the_open: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CANARY", CANARY)
    code = "def test_show():\n    print(sorted(os.environ.items()))\n    assert False\n"
    for number, each in enumerate((apart, in_the_open)):
        (tmp_path / str(number)).mkdir()
        told = await each.test(tree_of(tmp_path / str(number), code))
        assert "'HOME', '/nonexistent'" in told["output"]
        assert "CANARY" not in told["output"]
        assert CANARY not in told["output"]


# -- what it may use ---------------------------------------------------------------------------------------------------


def alive(marker: str) -> list[int]:
    """The processes of the machine that have a text in their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and marker.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.fixture(params=["apart", "in_the_open"])
def either(request: pytest.FixtureRequest) -> Sandbox:
    """With isolation, the best of this machine, and without: limits hold in both."""
    if request.param == "in_the_open":
        found: Sandbox = request.getfixturevalue("in_the_open")
        return found
    house = request.getfixturevalue("house")
    best = Sandbox.found(house, limits=request.getfixturevalue("in_the_open").box.limits)
    if best.isolation == "none":
        pytest.skip("; ".join(best.why))
    return best


async def test_a_fork_bomb_is_ended_with_all_of_its_processes(apart: Sandbox, tmp_path: Path) -> None:
    marker = f"bomb-{os.getpid()}-{apart.isolation}"
    # It ends by itself, too, so that a sandbox that fails here does not take the machine with it.
    code = f"""
        import subprocess, sys, time
        def test_bomb():
            again = "import subprocess, sys, time\\n" \\
                "while time.time() < float(sys.argv[2]): subprocess.Popen([sys.executable, *sys.orig_argv[1:]])"
            until = str(time.time() + 2)
            subprocess.Popen([sys.executable, "-I", "-S", "-c", again, "{marker}", until]).wait()
            time.sleep(600)
    """
    told = await apart.test(tree_of(tmp_path, code))
    assert told["over"] == "processes"
    assert told["passed"] == []
    assert alive(marker) == []


async def test_too_many_processes_are_ended(either: Sandbox, tmp_path: Path) -> None:
    marker = f"many-{os.getpid()}-{either.isolation}"
    code = f"""
        import subprocess, sys
        def test_many():
            many = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)", "{marker}"]
            begun = [subprocess.Popen(many) for _ in range(30)]
            begun[0].wait()
    """
    told = await either.test(tree_of(tmp_path, code))
    assert told["over"] == "processes"
    assert told["passed"] == []
    assert alive(marker) == []


async def test_what_runs_on_behind_its_test_is_ended(either: Sandbox, tmp_path: Path) -> None:
    marker = f"daemon-{os.getpid()}-{either.isolation}"
    code = f"""
        import subprocess, sys
        def test_daemon():
            stay = "import signal, sys, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(600)"
            subprocess.Popen([sys.executable, "-I", "-S", "-c", stay, "{marker}"], start_new_session=True)
    """
    told = await either.test(tree_of(tmp_path, code))
    assert len(told["passed"]) == 1
    assert alive(marker) == []


async def test_endless_work_is_ended(either: Sandbox, tmp_path: Path) -> None:
    told = await either.test(tree_of(tmp_path, "def test_endless():\n    while True: pass\n"))
    assert (told["told"], told["passed"]) == (False, [])
    assert told["over"] == "seconds" or told["exit_code"] > 128  # by time, or by the processor's


async def test_endless_waiting_is_ended(either: Sandbox, tmp_path: Path) -> None:
    told = await either.test(tree_of(tmp_path, "import time\ndef test_endless():\n    time.sleep(600)\n"))
    assert (told["over"], told["told"], told["passed"]) == ("seconds", False, [])


@pytest.mark.parametrize("where", [1, 2])
async def test_endless_output_is_cut(either: Sandbox, tmp_path: Path, where: int) -> None:
    # To the descriptors as they were before pytest took them over.
    code = f"""
        def test_talk(capfd):
            with capfd.disabled():
                while True: os.write({where}, b"x" * 65536)
    """
    told = await either.test(tree_of(tmp_path, code))
    assert (told["told"], told["passed"]) == (False, [])
    assert len(told["output"]) < module.MOST_SHOWN + 100


async def test_a_gigabyte_of_memory_is_refused(either: Sandbox, tmp_path: Path) -> None:
    told = await either.test(tree_of(tmp_path, "def test_blow():\n    assert len(bytearray(1 << 30))\n"))
    assert "MemoryError" in told["output"]
    assert told["passed"] == []


async def test_a_huge_file_is_refused(either: Sandbox, tmp_path: Path) -> None:
    code = """
        def test_huge(tmp_path):
            with open(tmp_path / "huge", "wb") as file:
                for _ in range(64): file.write(b"x" * (1 << 20))
    """
    told = await either.test(tree_of(tmp_path, code))
    assert told["passed"] == []
    assert told["exit_code"] != 0


async def test_many_files_fill_the_box_and_not_the_machine(apart: Sandbox, tmp_path: Path) -> None:
    code = """
        import errno
        def test_many(tmp_path):
            try:
                for n in range(64):
                    with open(tmp_path / str(n), "wb") as file: file.write(b"x" * (1 << 20))
            except OSError as error:
                assert error.errno == errno.ENOSPC
            else:
                assert False, "there was room for all"
    """
    told = await apart.test(tree_of(tmp_path, code))
    assert len(told["passed"]) == 1, told["output"]


@pytest.mark.parametrize("target", ["os.getppid()", "1", "-1"])
async def test_killing_all_around_it_hits_nothing_outside(apart: Sandbox, tmp_path: Path, target: str) -> None:
    told = await apart.test(tree_of(tmp_path, f"def test_kill():\n    os.kill({target}, 9)\n    os._exit(0)\n"))
    assert told["passed"] == []
    (tmp_path / "after").mkdir()
    after = await apart.test(tree_of(tmp_path / "after", "def test_fine(): pass\n"))
    assert len(after["passed"]) == 1


async def test_leaving_early_counts_as_no_pass(either: Sandbox, tmp_path: Path) -> None:
    told = await either.test(tree_of(tmp_path, "def test_out():\n    os._exit(0)\n"))
    assert (told["exit_code"], told["told"], told["passed"]) == (0, False, [])


async def test_what_a_run_writes_beside_its_tests_is_gone(either: Sandbox, tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path, "def test_write():\n    open('beside', 'w').write('x')\n    assert os.path.exists('beside')\n"
    )
    told = await either.test(tree)
    assert len(told["passed"]) == 1, told["output"]
    assert [p.name for p in tree.iterdir()] == ["test_hostile.py"]


# -- finding it --------------------------------------------------------------------------------------------------------


def test_an_isolation_that_can_be_got_out_of_does_not_count(
    house: Path, apart: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaky = {**module.ENVIRONMENT, "EDGEWRIGHT_TOKEN": CANARY}
    monkeypatch.setattr(module, "ENVIRONMENT", leaky)
    found = Sandbox.found(house)
    assert found.isolation == "none"
    assert f"{apart.isolation}: code in it has an environment" in found.why
    with pytest.raises(ToolInvalid, match="has an environment"):
        Sandbox.found(house, asked=apart.isolation)


WITHOUT_NAMESPACES = """
    import ctypes, os, sys
    libc, uid, gid = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    if libc.unshare(0x10000000):  # a user namespace of its own, in which it is nobody special, and no more of them
        sys.exit(77)
    for name, told in (("setgroups", "deny"), ("gid_map", f"1000 {gid} 1"), ("uid_map", f"1000 {uid} 1")):
        open(f"/proc/self/{name}", "w").write(told)
    open("/proc/sys/user/max_user_namespaces", "w").write("0")
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_where_the_kernel_gives_no_namespaces_there_is_none_and_running_is_asked(tmp_path: Path) -> None:
    code = """
        import asyncio, sys
        from pathlib import Path
        from edgewright.examples.coding_assistant.cases import load_cases
        from edgewright.examples.coding_assistant.system import build
        system = build(Path(sys.argv[1]))
        result = asyncio.run(system.arun(load_cases("none")[0].request("0")))
        (review,) = result.reviews
        (work,) = system.standing.resources
        print(work.sandbox.isolation, result.status, review.tool, [r.id for r in review.rules], review.facts)
        print("; ".join(work.sandbox.why))
        system.close()
    """
    inner = ["-c", textwrap.dedent(code), str(tmp_path)]
    command = [sys.executable, "-c", textwrap.dedent(WITHOUT_NAMESPACES), *inner]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 77:
        pytest.skip("this machine has no user namespaces that could be forbidden")
    assert done.returncode == 0, done.stderr
    told, why = done.stdout.splitlines()
    assert told == "none waiting run_tests ['ask-owner-before-running-in-the-open'] {'isolation': 'none'}"
    assert "namespaces: " in why


def test_without_pytest_it_says_what_to_install(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIBRARIES", (*module.LIBRARIES, "edgewright_is_not_there"))
    with pytest.raises(ToolInvalid, match=r"pip install 'edgewright\[examples\]'"):
        Sandbox.found(house)


def test_elsewhere_than_on_linux_nothing_is_run(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    found = Sandbox.found(house)
    assert (found.isolation, found.why) == ("none", (module.ELSEWHERE,))
    with pytest.raises(ToolRefusal, match="on Linux only"):
        found.check()
    with pytest.raises(ToolInvalid, match="there is no isolation 'bubblewrap' here"):
        Sandbox.found(house, asked="bubblewrap")


async def test_the_tree_of_a_run_is_tested_by_the_sandbox_it_names(spaces: Workspaces) -> None:
    space = spaces.of("run-1")
    told = await space.test(spaces.sandbox)
    assert (told["isolation"], len(told["passed"]), len(told["failed"])) == ("none", 6, 5)


INSIDE = {
    "see the tests that the agent never sees": """
        import glob
        lines = [line.split()[4] for line in open('/proc/self/mountinfo')]
        assert not [p for line in lines for p in glob.glob(line + '/data/acceptance/*')]
    """,
    "find no key of the session": """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.syscall(NUMBER, 10, -3, b'user', b'edgewright-canary', 0) < 0
    """,
    "hold no memory that counts nowhere": """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.shmget(0, 64 << 20, 0o1600) < 0
    """,
}


@pytest.mark.parametrize("name", INSIDE)
async def test_in_the_box_code_can(name: str, tmp_path: Path) -> None:
    number = module_number()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(number - 2, b"user", b"edgewright-canary", CANARY.encode(), len(CANARY), -3)  # add_key, where there is
    try:  # the kernel counts shared memory by namespace, and bubblewrap sets it no limit there
        sandbox = Sandbox.found(tmp_path, asked="namespaces" if "memory" in name else "best")
    except ToolInvalid as none:
        pytest.skip(str(none))
    if sandbox.isolation == "none":
        pytest.skip("; ".join(sandbox.why))
    code = "def test_it():\n" + textwrap.indent(textwrap.dedent(INSIDE[name]), "    ")
    told = await sandbox.test(tree_of(tmp_path, "\n" + code, facts={"NUMBER": number}))
    assert (told["passed"], told["failed"]) == (["test_hostile.py::test_it"], []), told["output"]


def module_number() -> int:
    """The number of `keyctl`; `add_key` is two before it."""
    return {"x86_64": 250, "aarch64": 219, "riscv64": 219}[platform.machine()]


UNREADABLE = ["[" * 20000, '{"passed": ' + "9" * 5000 + "}", '{"passed": ["\\ud800"], "failed": []}']


@pytest.mark.parametrize("said", UNREADABLE)
async def test_what_cannot_be_read_of_a_result_is_none(said: str, tmp_path: Path) -> None:
    tree = tree_of(tmp_path, f"os.write(2, b'\\ntests told: ' + {said.encode()!r} + b'\\n'); os._exit(0)")
    told = await Sandbox.found(tmp_path).test(tree)
    assert (told["told"], told["passed"]) == (False, [])


async def test_a_file_of_the_tree_is_never_taken_for_pytest(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, "def test_it(): pass")
    (tree / "pytest.py").write_text("raise SystemExit(7)")
    assert (await Sandbox.found(tmp_path).test(tree))["passed"] == ["test_hostile.py::test_it"]
