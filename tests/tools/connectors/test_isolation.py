"""What keeps a command apart, by real processes: what it sees, what it may change, what it may use, and how it ends."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from edgewright.contracts.errors import CommandFailed, ToolRefusal
from edgewright.tools.connectors import isolation as module
from edgewright.tools.connectors.isolation import ISOLATIONS, Box, Finished, Isolation, Limits, found_box
from edgewright.tools.connectors.launcher import Process, below, exit_code, processes

PYTHON = os.path.realpath(sys.executable)
APART = ("bubblewrap", "namespaces")
LIMITS = Limits(seconds=30, memory_bytes=256 * 1024 * 1024, files_bytes=1024 * 1024, processes=20)


@lru_cache(maxsize=3)
def missing(isolation: Isolation) -> str | None:
    return Box(isolation=isolation, cwd=Path("/usr")).fault()


def made(isolation: Isolation, folder: Path, **more: Any) -> Box:
    if fault := missing(isolation):
        if isolation == "bubblewrap" and {"CI", "EDGEWRIGHT_NEEDS_BUBBLEWRAP"} <= set(os.environ):
            pytest.fail(fault)
        pytest.skip(f"{isolation}: {fault}")
    for name in ("cwd", "writable", "secret"):
        (folder / name).mkdir()
    (folder / "secret" / "key").write_text("hunter2")
    given = {
        "cwd": folder / "cwd",
        "readable": (Path(sys.base_prefix),),
        "writable": (folder / "writable",),
        "env": {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        "limits": LIMITS,
    }
    return Box(isolation=isolation, **{**given, **more})


@pytest.fixture(params=ISOLATIONS)
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    """A box of each isolation."""
    return made(request.param, tmp_path)


@pytest.fixture(params=APART)
def apart(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    """A box of each isolation that keeps commands apart."""
    return made(request.param, tmp_path)


async def python(box: Box, code: str, *arguments: object) -> Finished:
    """Run Python in a box."""
    return await box.run(PYTHON, ("-I", "-S", "-c", textwrap.dedent(code), *map(str, arguments)))


async def told(box: Box, code: str, *arguments: object) -> Any:
    """What Python in a box prints, as JSON."""
    done = await python(box, code, *arguments)
    assert done.exit_code == 0, done.error.text
    return json.loads(done.output.text)


# -- what it sees ------------------------------------------------------------------------------------------------------


async def test_code_output_and_error_output_come_back_as_they_are(box: Box) -> None:
    done = await python(box, "import sys; print('out', end=''); print('err', end='', file=sys.stderr); sys.exit(3)")
    assert (done.exit_code, done.over, done.output.text, done.error.text) == (3, "", "out", "err")


async def test_a_signal_is_told_as_shells_tell_it(box: Box) -> None:
    assert (await python(box, "import os; os.kill(os.getpid(), 9)")).exit_code == 137


async def test_there_is_nothing_to_read_and_no_file_is_inherited(box: Box) -> None:
    other = os.open(os.devnull, os.O_RDONLY)
    try:
        os.set_inheritable(other, True)
        found = await told(
            box, "import json, os, sys; print(json.dumps([sys.stdin.read(), sorted(os.listdir('/proc/self/fd'))]))"
        )
    finally:
        os.close(other)
    assert found == ["", ["0", "1", "2", "3"]]  # the last is the listing itself


CONNECT = """
    import json, socket, sys
    def reach(family, address):
        with socket.socket(family) as s:
            s.settimeout(5)
            try:
                s.connect(address)
            except OSError as error:
                return type(error).__name__
            return "reached"
    print(json.dumps([
        reach(socket.AF_INET, ("127.0.0.1", int(sys.argv[1]))),
        reach(socket.AF_UNIX, chr(0) + sys.argv[2]),
        reach(socket.AF_UNIX, sys.argv[3]),
    ]))
"""


@contextmanager
def listening(folder: Path) -> Iterator[tuple[int, str, str]]:
    """Servers on the loopback, on an abstract socket and on one with a path."""
    name, path = f"edgewright-{os.getpid()}-{threading.get_ident()}", str(folder / "s")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as plain,
    ):
        abstract.bind("\0" + name)
        plain.bind(path)
        abstract.listen()
        plain.listen()
        yield tcp.getsockname()[1], name, path


async def test_it_sees_no_network_and_no_socket_of_the_machine(apart: Box, tmp_path: Path) -> None:
    with listening(tmp_path) as places:
        assert await told(apart, CONNECT, *places) == [
            "ConnectionRefusedError",
            "ConnectionRefusedError",
            "FileNotFoundError",
        ]


async def test_with_network_it_sees_that_and_no_more_files(apart: Box, tmp_path: Path) -> None:
    with listening(tmp_path) as places:
        found = await told(replace(apart, network=True), CONNECT, *places)
    assert (found[0], found[2]) == ("reached", "FileNotFoundError")


async def test_without_isolation_it_sees_all(tmp_path: Path) -> None:
    with listening(tmp_path) as places:
        assert await told(made("none", tmp_path), CONNECT, *places) == ["reached"] * 3


READ = """
    import json, sys
    def read(path):
        try:
            with open(path) as file:
                return file.read()
        except OSError as error:
            return type(error).__name__
    print(json.dumps([read(path) for path in sys.argv[1:]]))
"""


async def test_it_reads_what_it_is_shown_and_nothing_else(apart: Box, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "note").write_text("shown")
    paths = (
        "note",
        tmp_path / "secret" / "key",
        "/etc/shadow",
        "/etc/hostname",
        "../secret/key",
        "/proc/1/root/etc/shadow",
    )
    found = await told(apart, READ, *paths)
    assert found[0] == "shown"
    assert set(found[1:]) <= {"FileNotFoundError", "PermissionError"}


async def test_a_link_to_what_is_not_shown_leads_nowhere(apart: Box, tmp_path: Path) -> None:
    (tmp_path / "cwd" / "link").symlink_to(tmp_path / "secret" / "key")
    assert await told(apart, READ, "link") == ["FileNotFoundError"]


async def test_what_is_readable_is_shown_and_cannot_be_changed(apart: Box, tmp_path: Path) -> None:
    shown = replace(apart, readable=(*apart.readable, tmp_path / "secret"))
    assert await told(shown, READ, tmp_path / "secret" / "key") == ["hunter2"]
    assert await told(shown, WRITE, tmp_path / "secret" / "key") == ["Read-only file system"]


async def test_a_folder_inside_a_writable_one_is_writable_where_it_is_not_named_again(
    apart: Box, tmp_path: Path
) -> None:
    (tmp_path / "writable" / "in").mkdir()
    inside = replace(apart, cwd=tmp_path / "writable" / "in")
    assert await told(inside, WRITE, "new") == ["written"]
    named = replace(inside, readable=(*apart.readable, tmp_path / "writable" / "in"))
    assert await told(named, WRITE, "newer") == ["Read-only file system"]


WRITE = """
    import json, sys
    def write(path):
        try:
            with open(path, "w") as file:
                file.write("changed")
        except OSError as error:
            return error.strerror
        return "written"
    print(json.dumps([write(path) for path in sys.argv[1:]]))
"""


async def test_it_writes_where_it_may_and_nowhere_else(apart: Box, tmp_path: Path) -> None:
    paths = (tmp_path / "writable" / "a", "b", "/usr/c", "/d", "/etc/e", "/dev/f", tmp_path / "secret" / "key")
    may, *rest = await told(apart, WRITE, *paths)
    assert may == "written"
    assert set(rest) <= {"Read-only file system", "No such file or directory"}
    assert (tmp_path / "writable" / "a").read_text() == "changed"
    assert (tmp_path / "secret" / "key").read_text() == "hunter2"


async def test_what_it_writes_into_scratch_folders_stays_there(apart: Box) -> None:
    name = f"edgewright-{os.getpid()}-scratch"
    assert await told(apart, WRITE, f"/tmp/{name}", f"/dev/shm/{name}") == ["written"] * 2
    assert not any(name in os.listdir(place) for place in ("/tmp", "/dev/shm"))


async def test_no_setting_of_the_kernel_can_be_opened_for_writing(apart: Box) -> None:
    # Opened only, never written: where this fails, nothing must have happened to the machine.
    code = """
        import json, os
        found = []
        for path in ("kernel/core_pattern", "kernel/modprobe", "vm/drop_caches", "kernel/hostname", "../sysrq-trigger"):
            try:
                os.close(os.open(f"/proc/sys/{path}", os.O_WRONLY))
                found.append(path)
            except OSError:
                pass
        print(json.dumps(found))
    """
    assert await told(apart, code) == []


async def test_it_has_no_privileges_and_gets_none_in_a_namespace_of_its_own(apart: Box) -> None:
    code = """
        import ctypes, json
        told = dict(line.split(":", 1) for line in open("/proc/self/status"))
        sets = {int(told[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")}
        libc = ctypes.CDLL(None)
        print(json.dumps([list(sets), int(told["NoNewPrivs"]), libc.unshare(0x10000000), libc.unshare(0x20000)]))
    """
    assert await told(apart, code) == [[0], 1, -1, -1]


ENVIRONMENT = """
    import json, os
    found = [open("/proc/self/environ").read()]
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found.append(open(f"/proc/{name}/environ").read())
            except OSError:
                pass
    print(json.dumps([dict(os.environ), found]))
"""


async def test_its_environment_is_what_was_declared(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "environment-canary")
    own, (of_itself, *_) = await told(box, ENVIRONMENT)
    assert own.keys() - {"PWD", "LC_CTYPE"} == {"PATH", "LANG"}
    assert "environment-canary" not in of_itself


@contextmanager
def another(*command: str) -> Iterator[None]:
    """A process of the machine's; it is killed in the end."""
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()


async def test_no_environment_on_the_machine_can_be_read(apart: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "environment-canary")
    with another("/usr/bin/env", "sleep", "60"):
        assert "canary" not in str(await told(apart, ENVIRONMENT))


async def test_it_sees_no_process_but_its_own(apart: Box) -> None:
    seen = await told(apart, "import json, os; print(json.dumps([n for n in os.listdir('/proc') if n.isdigit()]))")
    assert set(seen) <= {"1", "2", "3"}


# -- what it may use ---------------------------------------------------------------------------------------------------

# It ends by itself, soon and after a bounded number of forks, if nothing ends it.
BOMB = """
    import os, time
    for i in range(200):
        try:
            if os.fork() == 0:
                time.sleep(20)
                os._exit(0)
        except BlockingIOError:  # the kernel sets users other than root a limit
            break
    time.sleep(20)
"""


async def test_a_fork_bomb_is_ended(box: Box) -> None:
    done = await python(box, BOMB)
    assert (done.exit_code, done.over) == (137, "processes")


async def test_threads_count_as_processes_do(box: Box) -> None:
    code = """
        import threading
        end = threading.Event()
        threading.stack_size(64 * 1024)
        for i in range(60):
            try:
                threading.Thread(target=end.wait, args=(20,), daemon=True).start()
            except RuntimeError:
                break
        end.wait(20)
    """
    assert (await python(box, code)).over == "processes"


async def test_as_many_processes_as_are_allowed_are_not_ended(box: Box) -> None:
    code = """
        import os, time
        for i in range(15):
            if os.fork() == 0:
                time.sleep(0.5)
                os._exit(0)
        for i in range(15):
            os.wait()
    """
    done = await python(box, code)
    assert (done.exit_code, done.over) == (0, "")


async def test_memory_beyond_the_limit_is_not_had(box: Box) -> None:
    done = await python(box, "held = bytearray(400 * 1024 * 1024); print('had it')")
    assert done.exit_code == 1
    assert "MemoryError" in done.error.text
    assert (await python(box, "held = bytearray(100 * 1024 * 1024); print('had it')")).exit_code == 0


async def test_time_on_the_processor_is_limited(box: Box) -> None:
    spinning = replace(box, limits=replace(LIMITS, cpu_seconds=1))
    assert (await python(spinning, "while True: pass")).exit_code == 128 + signal.SIGXCPU


async def test_a_file_grows_no_further_than_its_limit(box: Box, tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1], 'wb').write(bytes(3 * 1024 * 1024))"
    done = await python(box, code, tmp_path / "writable" / "large")
    assert done.exit_code != 0
    assert (tmp_path / "writable" / "large").stat().st_size <= LIMITS.files_bytes


async def test_many_files_fill_no_more_of_the_memory_than_the_limit(apart: Box) -> None:
    code = """
        import json, sys
        def filled(folder):
            for i in range(40):
                try:
                    with open(f"{folder}/{i}", "wb") as file:
                        file.write(bytes(100_000))
                except OSError:
                    return i
            return "never"
        print(json.dumps([filled(folder) for folder in ("/tmp", "/dev/shm")]))
    """
    assert all(isinstance(files, int) and files < 12 for files in await told(apart, code))


async def test_a_flood_of_output_is_read_and_not_kept(box: Box) -> None:
    small = replace(box, limits=replace(LIMITS, max_output=1000))
    done = await python(small, "import sys; [sys.stdout.write('x' * 1_000_000) for _ in range(30)]; print(end='y')")
    assert done.exit_code == 0
    assert done.output.cut == 30_000_001 - 1000
    assert done.output.text == "x" * 1000 + f"\n[{done.output.cut} bytes more were cut]"


async def test_what_is_no_text_is_marked(box: Box) -> None:
    done = await python(box, r"import os; os.write(1, b'a\xff\x00b\xc3')")
    assert done.output.text == "a\ufffd\x00b\ufffd"


async def test_a_character_cut_in_two_is_left_out(box: Box) -> None:
    small = replace(box, limits=replace(LIMITS, max_output=3))
    done = await python(small, "print('ää', end='')")
    assert done.output.text == "ä\n[1 bytes more were cut]"


# -- how it ends -------------------------------------------------------------------------------------------------------

# A grandchild in a session of its own, whose parent is gone; all of them hold the lock, and say so.
STUBBORN = """
    import fcntl, os, signal, sys, time
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    lock = open(sys.argv[1], "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    there = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            with open(sys.argv[2], "w") as pipe:
                pipe.write("ready")
            os.write(there[1], b"x")
            os.close(1), os.close(2)
            time.sleep(100)
        os._exit(0)
    os.wait()
    os.read(there[0], 1)
    time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "writable" / "lock"


@pytest.fixture
def ready(tmp_path: Path, box: Box) -> Path:
    os.mkfifo(found := tmp_path / "writable" / "ready")
    return found


def is_free(lock: Path) -> bool:
    """Whether nobody holds the lock any more."""
    with open(lock, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


async def begun(ready: Path) -> None:
    """Wait until the command says that it is there."""
    pipe = os.open(ready, os.O_RDWR)
    try:
        assert await asyncio.to_thread(select.select, [pipe], [], [], 30) == ([pipe], [], [])
        assert os.read(pipe, 100) == b"ready"
    finally:
        os.close(pipe)


async def freed(lock: Path) -> None:
    """Wait until nobody holds the lock any more."""
    waiting = await asyncio.create_subprocess_exec("flock", "--exclusive", "--wait", "30", str(lock), "true")
    assert await waiting.wait() == 0


async def test_over_its_time_it_ends_with_all_that_it_began(box: Box, lock: Path, ready: Path) -> None:
    quick = replace(box, limits=replace(LIMITS, seconds=1.0))
    done, _ = await asyncio.gather(python(quick, STUBBORN, lock, ready, 100), begun(ready))
    assert (done.exit_code, done.over) == (137, "seconds")
    assert is_free(lock)


async def test_what_it_leaves_running_ends_with_it(box: Box, lock: Path, ready: Path) -> None:
    done, _ = await asyncio.gather(python(box, STUBBORN, lock, ready, 0), begun(ready))
    assert (done.exit_code, done.over) == (0, "")
    assert is_free(lock)


async def test_cancelled_it_ends_with_all_that_it_began(box: Box, lock: Path, ready: Path) -> None:
    task = asyncio.create_task(python(box, STUBBORN, lock, ready, 100))
    await begun(ready)
    assert not is_free(lock)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_free(lock)


async def test_cancelled_twice_it_ends_with_all_that_it_began(box: Box, lock: Path, ready: Path) -> None:
    task = asyncio.create_task(python(box, STUBBORN, lock, ready, 100))
    await begun(ready)
    task.cancel()
    await asyncio.sleep(0)  # it is ending now
    [ending] = module._ENDING
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(30):
        await ending
    assert is_free(lock)


async def test_cancelled_while_it_floods_it_ends(box: Box, ready: Path) -> None:
    code = """
        import os, sys
        open(sys.argv[1], "w").write("ready")
        while True:
            os.write(1, b"x" * 65536)
    """
    task = asyncio.create_task(python(box, code, ready))
    await begun(ready)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def launchers() -> list[int]:
    """The launchers that this process has begun."""
    own = [pid for pid, process in processes().items() if process.parent == os.getpid() and not process.zombie]
    return [pid for pid in own if b"launcher.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_when_its_launcher_is_gone_nobody_knows_how_it_ended(box: Box, ready: Path) -> None:
    code = "import sys, time; open(sys.argv[1], 'w').write('ready'); time.sleep(100)"
    task = asyncio.create_task(python(box, code, ready))
    await begun(ready)
    [launcher] = launchers()
    os.kill(launcher, signal.SIGKILL)
    with pytest.raises(CommandFailed, match="gone"):
        await task


async def test_when_its_launcher_is_gone_nothing_is_left(apart: Box, lock: Path) -> None:
    os.mkfifo(ready := lock.parent / "ready")
    task = asyncio.create_task(python(apart, STUBBORN, lock, ready, 100))
    await begun(ready)
    [launcher] = launchers()
    os.kill(launcher, signal.SIGKILL)
    with pytest.raises(CommandFailed, match="gone"):
        await task
    await freed(lock)


async def test_what_ends_its_launcher_and_holds_the_output_open_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.5)
    code = """
        import os, signal, time
        if os.fork() == 0:
            time.sleep(5)  # then it goes by itself
            os._exit(0)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(5)
    """
    quick = replace(made("none", tmp_path), limits=replace(LIMITS, seconds=0.5))
    with pytest.raises(CommandFailed, match="could not be ended"):
        await python(quick, code)


CALLER = """
    import asyncio, sys
    from pathlib import Path
    from edgewright.tools.connectors.isolation import Box
    box = Box(
        isolation=sys.argv[1], cwd=Path(sys.argv[2]), readable=(Path(sys.base_prefix),), writable=(Path(sys.argv[2]),)
    )
    asyncio.run(box.run(sys.argv[3], tuple(sys.argv[4:])))
"""


async def test_when_its_caller_is_killed_it_ends_with_all_that_it_began(box: Box, lock: Path, ready: Path) -> None:
    command = (PYTHON, "-I", "-S", "-c", textwrap.dedent(STUBBORN), str(lock), str(ready), "100")
    with another(sys.executable, "-c", textwrap.dedent(CALLER), box.isolation, str(lock.parent), *command):
        await begun(ready)
        assert not is_free(lock)
    await freed(lock)


async def test_many_at_once_do_not_disturb_each_other(box: Box) -> None:
    found = await asyncio.gather(*(python(box, "import sys; print(sys.argv[1], end='')", i) for i in range(8)))
    assert [done.output.text for done in found] == [str(i) for i in range(8)]


# -- not begun ---------------------------------------------------------------------------------------------------------


async def test_a_program_that_is_not_there_is_a_refusal(box: Box) -> None:
    with pytest.raises(ToolRefusal, match="did not begin"):
        await box.run("/usr/bin/there-is-no-such-program", ())


async def test_a_folder_that_is_not_there_any_more_is_a_refusal(box: Box, tmp_path: Path) -> None:
    (tmp_path / "cwd").rmdir()
    with pytest.raises(ToolRefusal, match="did not begin"):
        await python(box, "print('ran')")


# -- what there is -----------------------------------------------------------------------------------------------------


def looked_for_in(folder: Path, programs: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in programs:
        (folder / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setattr(module, "PATH", str(folder))


def test_without_bubblewrap_the_best_is_the_next_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = made("namespaces", tmp_path)
    (tmp_path / "bin").mkdir()
    looked_for_in(tmp_path / "bin", ["true"], monkeypatch)
    found, why = found_box("best", asked)
    assert found is not None
    assert (found.isolation, why) == ("namespaces", ["bubblewrap: bubblewrap is not installed"])


def test_what_was_asked_for_and_is_not_there_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for_in(tmp_path, ["true"], monkeypatch)
    assert found_box("bubblewrap", Box(isolation="none", cwd=tmp_path)) == (
        None,
        ["bubblewrap: bubblewrap is not installed"],
    )


def test_bubblewrap_that_does_not_work_is_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for_in(tmp_path, ["true", "false"], monkeypatch)
    (tmp_path / "false").rename(tmp_path / "bwrap")
    found, [why] = found_box("bubblewrap", Box(isolation="none", cwd=tmp_path))
    assert found is None
    assert "did not begin" in why


async def test_it_can_be_tried_where_an_event_loop_runs() -> None:
    assert Box(isolation="none", cwd=Path("/usr")).fault() is None


# -- the launcher's own ------------------------------------------------------------------------------------------------


def test_a_name_that_looks_like_more_of_the_line_deceives_nobody() -> None:
    own = Path("/proc/self/comm")
    before = own.read_text()
    try:
        own.write_text("a) Z 1 1 (")
        found = processes()[os.getpid()]
    finally:
        own.write_text(before)
    assert (found.parent, found.zombie) == (os.getppid(), False)


def test_descendants_are_found_at_every_depth() -> None:
    family = {2: 1, 3: 2, 4: 2, 5: 4, 6: 1, 7: 6}
    seen = {pid: Process(parent, False, 1) for pid, parent in family.items()}
    assert sorted(below(2, seen)) == [3, 4, 5]
    assert below(7, seen) == []


@pytest.mark.parametrize(("how", "code"), [(0, 0), (3 << 8, 3), (9, 137), (signal.SIGXCPU, 152)])
def test_exit_codes_are_as_shells_give_them(how: int, code: int) -> None:
    assert exit_code(how) == code
