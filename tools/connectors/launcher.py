"""Stands between the shell connector and a command: sets its limits, puts it into namespaces, watches it, ends it.

A program of its own (`python -I -S launcher.py FD`), with one thread, so that it can fork and still run Python: in the
process that serves agents, with its threads, what has to be done between fork and exec could not be done safely. It
reads a plan, one line of JSON, from standard input, which afterwards is its lifeline: when that closes, because the
call was cancelled or the process that made it is gone, the command ends. What happened is written to FD, as JSON
lines: `failed` where the command did not begin, else `ended` (which limit ended it, or null), `code` and `left`.

The standard library only, and Linux only: it runs without the package.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import platform
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

NEW = {"mount": 0x20000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000}
NOSUID, NODEV, NOEXEC, RECURSIVE, PRIVATE, DETACH = 2, 4, 8, 0x4000, 0x40000, 2
EMPTY_PATH, CLONE_TREE, SUBTREE, SOURCE_IS_FD = 0x1000, 1, 0x8000, 4
ATTR_READ_ONLY, ATTR_NOSUID = 1, 2
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
KEYCTL, JOIN_SESSION_KEYRING = {"x86_64": 250, "aarch64": 219, "riscv64": 219}, 1
DEATH_SIGNAL, BOUNDING_DROP, NO_NEW_PRIVILEGES, SUBREAPER, AMBIENT, AMBIENT_CLEAR = 1, 24, 38, 36, 47, 4
DEVICES = ("null", "zero", "full", "random", "urandom")
SLACK = 32
"""Processes of a user beyond those that were there and the command's: the house's own may grow meanwhile."""
TICK, LONGEST_END = 0.05, 10.0
AT_HERE = -100


class Process(NamedTuple):
    """A process as `/proc` tells of it."""

    parent: int
    zombie: bool
    threads: int


def processes() -> dict[int, Process]:
    """Every process that can be seen, by its id."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                told = file.read()
        except OSError:  # it is gone
            continue
        # The name of a program stands in brackets, and may hold brackets itself.
        rest = told.rpartition(b")")[2].split()
        found[int(name)] = Process(int(rest[1]), rest[0] == b"Z", int(rest[17]))
    return found


def below(ancestor: int, seen: Mapping[int, Process]) -> list[int]:
    """The descendants of a process."""
    children: dict[int, list[int]] = {}
    for pid, process in seen.items():
        children.setdefault(process.parent, []).append(pid)
    found, todo = list[int](), [ancestor]
    while todo:
        those = children.get(todo.pop(), [])
        found += those
        todo += those
    return found


# -- the kernel --------------------------------------------------------------------------------------------------------

LIBC = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> int:
    """The result of a call into the kernel. Raises OSError where it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, what: str, *arguments: Any) -> int:
    """A system call that the C library has no function for."""
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in (number, *arguments)]
    return checked(LIBC.syscall(*wide), what)


def unshare(*kinds: str) -> None:
    """Leave the namespaces of these kinds for new ones."""
    checked(LIBC.unshare(sum(NEW[kind] for kind in kinds)), f"unshare {', '.join(kinds)}")


def mount(kind: str, target: str, flags: int, options: str = "") -> None:
    """Mount a new file system."""
    made = LIBC.mount(kind.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    checked(made, f"mount {kind} on {target}")


def restrict(tree: int, path: str, attributes: int, *, whole: bool) -> None:
    """Set attributes of the mount at a path under a folder (no path: of the folder), or of it and all in it."""
    told, flags = struct.pack("QQQQ", attributes, 0, 0, 0), SUBTREE if whole else 0
    syscall(MOUNT_SETATTR, f"restrict {path}", tree, path.encode(), flags if path else flags | EMPTY_PATH, told, 32)


class Tree(NamedTuple):
    """A file or folder as it stood in the old root, to be shown at a place in the new one."""

    fd: int
    target: str
    is_folder: bool

    @classmethod
    def of(cls, target: str, source: str, writable: bool) -> Tree:
        """Take it up."""
        fd = syscall(OPEN_TREE, f"open {source}", AT_HERE, source.encode(), CLONE_TREE | SUBTREE | os.O_CLOEXEC)
        restrict(fd, "", ATTR_NOSUID | (0 if writable else ATTR_READ_ONLY), whole=True)
        return cls(fd, target, os.path.isdir(source))

    def put(self, root: str) -> None:
        """Show it."""
        place = root + self.target
        if self.is_folder:
            os.makedirs(place, exist_ok=True)
        elif not os.path.lexists(place):
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
        syscall(MOVE_MOUNT, f"mount {self.target}", self.fd, b"", AT_HERE, place.encode(), SOURCE_IS_FD)
        os.close(self.fd)


def without_privileges() -> None:
    """Give up every capability, for good."""
    LIBC.prctl(AMBIENT, AMBIENT_CLEAR, 0, 0, 0)
    capability = 0
    while LIBC.prctl(BOUNDING_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
    checked(LIBC.capset(header, none), "give up capabilities")
    checked(LIBC.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0), "refuse new privileges")


def without_keys() -> None:
    """Leave the session keyring for a new, empty one: no namespace keeps keys of the kernel apart."""
    number = KEYCTL.get(platform.machine())
    if number is None:
        raise OSError(f"it is not known how to leave the keyring on {platform.machine()}")
    try:
        syscall(number, "leave the session keyring", JOIN_SESSION_KEYRING, None)
    except OSError as error:
        if error.errno != errno.ENOSYS:  # a kernel without keys has none to keep apart
            raise


# -- namespaces --------------------------------------------------------------------------------------------------------


def enter(*, network: bool) -> None:
    """Enter new namespaces, except that of mounts; of processes, the next child is the first in its own."""
    uid, gid = os.geteuid(), os.getegid()
    unshare("user", "pid", "ipc", "uts", *(() if network else ("net",)))
    for name, told in (("setgroups", "deny"), ("gid_map", f"{gid} {gid} 1"), ("uid_map", f"{uid} {uid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(told)
    if not network:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:  # its own loopback, with nobody else on it
            fcntl.ioctl(own, 0x8914, struct.pack("16sH14x", b"lo", 1))


def new_root(plan: Mapping[str, Any]) -> None:
    """Leave the root for a new one that holds what the plan names, and nothing else."""
    number = PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(f"it is not known how to change the root on {platform.machine()}")
    unshare("mount")
    checked(LIBC.mount(b"none", b"/", None, ctypes.c_ulong(RECURSIVE | PRIVATE), None), "make the mounts private")
    # All is taken up before the new root covers a part of the old one.
    trees = [Tree.of(*bind) for bind in plan["binds"]] + [Tree.of(f"/dev/{n}", f"/dev/{n}", True) for n in DEVICES]
    root = "/proc"
    mount("tmpfs", root, NOSUID | NODEV, "size=1m,mode=755")
    for target in plan["scratch"]:  # before what is shown in them
        os.makedirs(root + target)
        mount("tmpfs", root + target, NOSUID | NODEV, f"size={plan['limits']['FSIZE']},mode=1777")
    for target, source in plan["links"]:
        os.symlink(source, root + target)
    for tree in trees:
        tree.put(root)
    os.mkdir(f"{root}/proc")
    mount("proc", f"{root}/proc", NOSUID | NODEV | NOEXEC)
    with open(f"{root}/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")  # of this namespace: nobody in it begins another one
    for name, most in (("shmall", plan["limits"]["FSIZE"] // os.sysconf("SC_PAGE_SIZE")), ("shmmni", 64)):
        with open(f"{root}/proc/sys/kernel/{name}", "w") as file:
            file.write(str(most))  # of this namespace: what is attached nowhere counts in no process's memory
    # Settings of the kernel stand in there, and root stays the owner of them in any namespace.
    restrict(AT_HERE, f"{root}/proc", ATTR_READ_ONLY, whole=True)
    restrict(AT_HERE, root, ATTR_READ_ONLY, whole=False)
    os.chdir(root)
    syscall(number, "change the root", b".", b".")
    checked(LIBC.umount2(b".", DETACH), "leave the old root")
    os.chdir("/")


# -- the command -------------------------------------------------------------------------------------------------------


def limit(limits: Mapping[str, int]) -> None:
    """Set the resource limits of this process, and of all that it begins."""
    for name, value in limits.items():
        which = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(which)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # A second more before the end that cannot be caught, so that the code tells which limit it was.
        last = least + 1 if name == "CPU" and hard == resource.RLIM_INFINITY else least
        resource.setrlimit(which, (least, last))


def become(plan: Mapping[str, Any]) -> NoReturn:
    """Turn into the command."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    limit(plan["limits"])
    if plan["mode"] != "bubblewrap":  # which changes folder and gives up privileges by itself
        os.chdir(plan["cwd"])
        if plan["mode"] == "none":
            without_privileges()
        checked(LIBC.prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "ask to die with the launcher")
    command = [*plan["wrapper"], *plan["command"]]
    os.execve(command[0], command, plan["env"])  # noqa: S606 - no shell is the point


def first(plan: Mapping[str, Any], status: int) -> NoReturn:
    """Be the first process of the namespaces: when it ends, the kernel ends all others in them."""
    checked(LIBC.prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "ask to die with the launcher")
    new_root(plan)
    without_privileges()
    command = os.fork()
    if not command:
        begin(plan, status, inside=True)
    os.close(status)
    while True:
        pid, how = os.wait()
        if pid == command:
            os._exit(exit_code(how))


def begin(plan: Mapping[str, Any], status: int, *, inside: bool) -> NoReturn:
    """In a child: become the command. Whatever goes wrong before that is told."""
    try:
        os.setsid()
        if plan["mode"] == "namespaces" and not inside:
            first(plan, status)
        become(plan)
    except BaseException as error:  # noqa: BLE001 - a child that is not the command must go, whatever happened
        tell(status, failed=f"{type(error).__name__}: {error}")
        os._exit(127)


def exit_code(how: int) -> int:
    """A status as shells give it: 128 and the number of the signal that ended a process."""
    code = os.waitstatus_to_exitcode(how)
    return code if code >= 0 else 128 - code


# -- watching ----------------------------------------------------------------------------------------------------------


def watch(child: int, plan: Mapping[str, Any]) -> str | None:
    """Wait until the command has ended, without reaping it, or has to be ended. Returns the limit it went over."""
    own, until = os.getpid(), time.monotonic() + plan["seconds"]
    ended, poll = os.pidfd_open(child), select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(0, select.POLLIN)
    pause = TICK
    while True:
        ready = {fd for fd, _ in poll.poll(max(0, min(pause, until - time.monotonic())) * 1000)}
        if ended in ready:
            return None
        if 0 in ready:
            return "stopped"
        began = time.monotonic()
        if began >= until:
            return "seconds"
        seen = processes()
        found = below(own, seen)
        if sum(seen[pid].threads for pid in found) - plan["overhead"] > plan["processes"]:
            return "processes"
        for pid in found:  # orphans come to the launcher
            if pid != child and seen[pid].zombie and seen[pid].parent == own:
                os.waitpid(pid, os.WNOHANG)
        # Never more than a small part of the time, however many processes the machine has.
        pause = max(TICK, 20 * (time.monotonic() - began))


def end(child: int) -> bool:
    """End the command and everything that it began. Returns whether anything is left.

    Only own children are ended, and the group of the command, whose id stays taken until the command is reaped: no id
    can stand for another process meanwhile. What loses its parent becomes a child of the launcher, until none is left.
    """
    own, until = os.getpid(), time.monotonic() + LONGEST_END
    while time.monotonic() < until:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        seen = processes()
        mine = [pid for pid, process in seen.items() if process.parent == own]
        for pid in mine:
            os.kill(pid, signal.SIGKILL)
            if pid != child:
                os.waitpid(pid, os.WNOHANG)
        if mine == [child] and seen[child].zombie:
            return False
        time.sleep(0.005)
    return True


def tell(status: int, **facts: Any) -> None:
    """Tell who began the launcher."""
    os.write(status, json.dumps(facts).encode() + b"\n")


def read_plan() -> Any:
    """The plan: one line of standard input."""
    told = b""
    while not told.endswith(b"\n"):
        more = os.read(0, 65536)
        if not more:
            sys.exit("there is no plan")
        told += more
    return json.loads(told)


def main(status: int) -> None:
    """Run one command."""
    os.set_inheritable(status, False)
    plan = read_plan()
    try:
        checked(LIBC.prctl(SUBREAPER, 1, 0, 0, 0), "take in orphans")
        if os.geteuid() == 0:
            os.setgroups([])
        if os.getuid():  # the kernel sets root no such limit
            plan["limits"]["NPROC"] = SLACK + plan["processes"] + threads_of(os.getuid())
        if plan["mode"] != "none":
            without_keys()
        if plan["mode"] == "namespaces":
            enter(network=plan["network"])
        if plan["mode"] == "bubblewrap":
            os.set_inheritable(status, True)
        child = os.fork()
    except OSError as error:
        tell(status, failed=str(error))
        return
    if not child:
        begin(plan, status, inside=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the lifeline says when to end
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    ended = watch(child, plan)
    left = end(child)
    code = None if left else exit_code(os.waitpid(child, 0)[1])
    tell(status, ended=ended, code=code, left=left)


def threads_of(user: int) -> int:
    """How many threads a user runs now."""
    found = 0
    for pid, process in processes().items():
        with suppress(OSError):  # it is gone
            found += process.threads if os.stat(f"/proc/{pid}").st_uid == user else 0
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]))
