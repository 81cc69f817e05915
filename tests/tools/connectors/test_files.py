"""Files below a folder: every way out is refused, also one that opens while a call is under way (threat 17)."""

from __future__ import annotations

import copy
import errno
import gc
import os
import pickle
import socket
import stat
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from edgewright.contracts.errors import CallDenied, FileFailed, PathRefused, ToolFailed, ToolInvalid, ToolRefusal
from edgewright.ledger.records import EffectDone, EffectFailed, EffectIntended, EffectRefused
from edgewright.tools.connectors import files_disk
from edgewright.tools.connectors.files import Files
from edgewright.tools.connectors.files_paths import MAX_DEPTH, MAX_NAME, folded, is_listed, parts_of, shown
from edgewright.tools.sealed import SealedTool
from hypothesis import example, given
from hypothesis import strategies as st
from support.systems import inside

SECRET = "what must not get out"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files, beside a secret."""
    (tmp_path / "secret.txt").write_text(SECRET)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.txt").write_text(SECRET)
    made = tmp_path / "root"
    (made / "notes" / "deep").mkdir(parents=True)
    (made / "a.txt").write_text("first\n")
    (made / "notes" / "b.md").write_text("# second ä")
    (made / "notes" / "deep" / "c.txt").write_text("third")
    (made / ".hidden").write_text("dot")
    return made


def refusal(work: Callable[[], Any]) -> str:
    """The rule by which some work is refused."""
    with pytest.raises(PathRefused) as caught:
        work()
    assert SECRET not in str(caught.value)
    return str(caught.value.facts["rule"])


def open_files() -> set[str]:
    """What this process holds open."""
    return set(os.listdir("/proc/self/fd"))


def every(root: Path, **options: Any) -> Files:
    """A connector that may do everything."""
    return Files(root=root, writable=True, deletable=True, **options)


def named(files: Files, name: str) -> SealedTool:
    """The tool of that name."""
    return {t.name: t for t in files.tools()}[name]


# -- what the tools do -----------------------------------------------------------------------------------------------


def test_a_folder_is_listed_in_order(root: Path) -> None:
    files = Files(root=root)
    assert files._list("") == {
        "path": "",
        "entries": [
            {"name": "a.txt", "kind": "file", "bytes": 6},
            {"name": "notes", "kind": "folder", "bytes": 0},
        ],
        "left_out": 1,
        "cut": "",
    }
    assert files._list(".")["entries"] == files._list("")["entries"]
    assert [e["name"] for e in files._list("notes")["entries"]] == ["b.md", "deep"]


def test_a_file_is_read_as_text(root: Path) -> None:
    found = Files(root=root)._read("notes/b.md")
    assert found == {"path": "notes/b.md", "text": "# second ä", "bytes": 11, "links": 1, "cut": ""}


def test_a_file_is_written_whole_and_in_its_place(root: Path) -> None:
    files = every(root)
    assert files._write("notes/new.txt", "ä\r\n") == {"path": "notes/new.txt", "bytes": 4, "replaced": False}
    assert (root / "notes/new.txt").read_bytes() == "ä\r\n".encode()
    assert files._write("notes/new.txt", "")["replaced"] is True
    assert (root / "notes/new.txt").read_bytes() == b""
    assert sorted(os.listdir(root / "notes")) == ["b.md", "deep", "new.txt"]


def test_a_file_that_is_written_over_keeps_who_may_use_it(root: Path) -> None:
    (root / "a.txt").chmod(0o4640)
    every(root)._write("a.txt", "x")
    assert stat.S_IMODE((root / "a.txt").stat().st_mode) == 0o640


def test_a_file_is_deleted(root: Path) -> None:
    assert every(root)._delete("notes/deep/c.txt") == {"path": "notes/deep/c.txt", "links": 0}
    assert not (root / "notes/deep/c.txt").exists()
    assert refusal(lambda: every(root)._delete("notes/deep/c.txt")) == "missing"


def test_writing_and_deleting_are_there_only_where_they_are_declared(root: Path) -> None:
    def names(**options: Any) -> list[str]:
        return [t.name for t in Files(name="docs", root=root, **options).tools()]

    assert names() == ["docs_list", "docs_read"]
    assert names(writable=True) == ["docs_list", "docs_read", "docs_write"]
    assert names(deletable=True) == ["docs_list", "docs_read", "docs_delete"]


def test_each_tool_declares_what_it_does(root: Path) -> None:
    specs = {t.name: t.spec for t in every(root, suffixes=(".txt",)).tools()}
    assert {n: (s.effect, s.idempotency, s.sink) for n, s in specs.items()} == {
        "files_list": ("read", "none", False),
        "files_read": ("read", "none", False),
        "files_write": ("write", "natural", True),
        "files_delete": ("irreversible", "none", True),
    }
    assert {(s.output, s.sensitivity) for s in specs.values()} == {("untrusted", "secret")}
    assert specs["files_write"].roles == {"path": "target", "text": "content"}
    assert all("Only files that end with .txt" in s.description for s in specs.values())


async def test_the_tools_run_through_the_gate(root: Path) -> None:
    files = every(root)
    write, read = named(files, "files_write"), named(files, "files_read")
    wrote = await inside(lambda: write.call({"path": "x.txt", "text": "y"}), write)
    assert [len(wrote.of(k)) for k in (EffectIntended, EffectDone)] == [1, 1]
    ran = await inside(lambda: read.call({"path": "x.txt"}), read)
    assert ran.value["text"] == "y"
    refused = await inside(lambda: write.call({"path": "../x.txt", "text": "y"}), write)
    assert isinstance(refused.error, ToolRefusal)
    assert len(refused.of(EffectRefused)) == 1
    wrong = await inside(lambda: write.call({"path": "x.txt", "text": 5}), write)
    assert isinstance(wrong.error, CallDenied)


# -- paths -----------------------------------------------------------------------------------------------------------

PATHS = {
    "the folder above": ("..", "parent"),
    "a file above": ("../secret.txt", "parent"),
    "up in the middle": ("notes/../../secret.txt", "parent"),
    "up and back in": ("notes/../a.txt", "parent"),
    "up at the end": ("notes/..", "parent"),
    "far up": ("../" * 10 + "etc/passwd", "parent"),
    "here in the middle": ("notes/./b.md", "parent"),
    "here at the beginning": ("./a.txt", "parent"),
    "absolute": ("/etc/passwd", "absolute"),
    "the root itself": ("/", "absolute"),
    "two slashes": ("//server/share", "absolute"),
    "an empty name": ("notes//b.md", "empty"),
    "a slash at the end": ("notes/", "empty"),
    "a backslash": ("notes\\b.md", "separator"),
    "up with backslashes": ("..\\secret.txt", "separator"),
    "a share of Windows": ("\\\\server\\share", "separator"),
    "a long path of Windows": ("\\\\?\\C:\\x", "separator"),
    "a drive": ("C:/Windows", "drive"),
    "a relative drive": ("c:a.txt", "drive"),
    "NUL": ("a.txt\0.png", "text"),
    "a newline": ("a\n.txt", "text"),
    "an escape": ("a\x1b[2J.txt", "text"),
    "DEL": ("a\x7f.txt", "text"),
    "a bidirectional override": ("a\u202etxt.exe", "text"),
    "a zero-width space": ("a\u200b.txt", "text"),
    "a byte order mark": ("\ufeffa.txt", "text"),
    "a soft hyphen": ("a\xad.txt", "text"),
    "half a letter": ("a\ud800.txt", "text"),
    "a separate accent": ("a\u0308.txt", "form"),
    "a Kelvin sign": ("\u212a.txt", "form"),
    "full-width dots": ("\uff0e\uff0e/secret.txt", "parent"),
    "a two dot leader": ("\u2025/secret.txt", "parent"),
    "a full-width slash": ("..\uff0fsecret.txt", "separator"),
    "a full-width backslash": ("..\uff3csecret.txt", "separator"),
    "a hidden file": (".hidden", "hidden"),
    "a hidden folder": ("notes/.git/config", "hidden"),
    "a hidden name in full width": ("\uff0ehidden", "hidden"),
    "a file that is being written": (".edgewright-00.txt", "hidden"),
    "a space at the end": ("a.txt ", "spaces"),
    "a space before": (" a.txt", "spaces"),
    "a dot at the end": ("a.txt.", "spaces"),
    "three dots": ("...", "spaces"),
    "a wide space at the end": ("a.txt\u3000", "spaces"),
    "a long name": ("x" * (MAX_NAME + 1), "long"),
    "a long name in bytes": ("ä" * 128, "long"),
    "a long path": ("/".join(["x" * 200] * 6), "long"),
    "a deep path": ("/".join(["x"] * (MAX_DEPTH + 1)), "deep"),
}


@pytest.mark.parametrize(("path", "rule"), PATHS.values(), ids=PATHS.keys())
def test_a_path_that_could_lead_out_or_mean_another_is_refused_by_every_tool(root: Path, path: str, rule: str) -> None:
    files = every(root)
    before = sorted(str(p) for p in root.parent.rglob("*"))
    for work in (files._list, files._read, files._delete, lambda p: files._write(p, "x")):
        assert refusal(partial(work, path)) == rule
    assert sorted(str(p) for p in root.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "path", ["a", "a.txt", "notes/b.md", "Größe.txt", "a b", "a-b_c.tar.gz", "12:30", "%2e%2e", "~", "日本"]
)
def test_an_ordinary_path_passes(path: str) -> None:
    assert "/".join(parts_of(path)) == path


def test_an_encoded_way_up_is_a_name_and_nothing_else(root: Path) -> None:
    assert refusal(lambda: Files(root=root)._read("%2e%2e/secret.txt")) == "missing"
    assert refusal(lambda: Files(root=root)._read("~")) == "missing"
    assert refusal(lambda: Files(root=root)._read("$HOME")) == "missing"


@given(st.text(max_size=40) | st.text(alphabet="./\\ a:\uff0e\uff0f\u2025~\0", max_size=20))
@example("")
@example(".")
def test_what_passes_is_one_spelling_of_names_that_stay_below(path: str) -> None:
    try:
        parts = parts_of(path, hidden=True)
    except PathRefused:
        return
    if path in ("", "."):
        assert parts == ()
        return
    assert "/".join(parts) == path
    assert os.path.normpath(path) == path
    assert not os.path.isabs(path)
    assert unicodedata.normalize("NFC", path) == path
    for form in ("NFC", "NFKC"):
        assert ".." not in unicodedata.normalize(form, path).replace("\\", "/").split("/")
    assert all(is_listed(part, hidden=True) for part in parts)


def test_a_message_shows_a_path_escaped_and_cut() -> None:
    assert shown("a\x1b[2J\u202e") == "'a\\\\u{1b}[2J\\\\u{202e}'"
    assert len(shown("x" * 100_000)) < 150
    assert "…" in shown("x" * 100_000)


def test_an_error_tells_nothing_of_this_machine(root: Path) -> None:
    files = every(root)
    for work in (lambda: files._read("nothing.txt"), lambda: files._list("nothing"), lambda: files._read("notes")):
        with pytest.raises(PathRefused) as caught:
            work()
        assert str(root) not in str(caught.value)
        assert caught.value.__cause__ is None
        assert pickle.loads(pickle.dumps(caught.value)).facts == caught.value.facts


# -- what stands there -----------------------------------------------------------------------------------------------


def test_links_are_never_followed(root: Path) -> None:
    files = every(root)
    outside = root.parent / "outside"
    (root / "link.txt").symlink_to(root.parent / "secret.txt")
    (root / "inner.txt").symlink_to(root / "a.txt")
    (root / "broken.txt").symlink_to(root.parent / "made.txt")
    (root / "folder").symlink_to(outside)
    (root / "notes" / "up").symlink_to("../..")
    (root / "loop").symlink_to("loop")
    for path in ("link.txt", "inner.txt", "broken.txt", "loop", "folder"):
        for work in (files._read, files._delete, lambda p: files._write(p, "x")):
            assert refusal(partial(work, path)) == "link"
    for path in ("folder/a.txt", "notes/up/secret.txt", "notes/up/root/a.txt", "loop/a.txt", "folder/made.txt"):
        for work in (files._read, files._delete, lambda p: files._write(p, "x")):
            assert refusal(partial(work, path)) == "link"
    assert refusal(lambda: files._list("folder")) == "link"
    assert refusal(lambda: files._list("notes/up")) == "link"
    assert [e["name"] for e in files._list("")["entries"]] == ["a.txt", "notes"]
    assert files._list("")["left_out"] == 6
    assert (root.parent / "secret.txt").read_text() == SECRET
    assert sorted(os.listdir(outside)) == ["a.txt"]
    assert not (root.parent / "made.txt").exists()


def test_what_is_no_file_is_refused_at_once(root: Path) -> None:
    files = every(root)
    os.mkfifo(root / "pipe.txt")
    listening = socket.socket(socket.AF_UNIX)
    here = os.open(root, os.O_RDONLY)
    try:
        listening.bind(f"/proc/self/fd/{here}/socket.txt")  # the whole path may be too long for a socket
    finally:
        os.close(here)
        listening.close()
    kinds = ["pipe.txt", "socket.txt", "notes"]
    if os.geteuid() == 0:
        os.mknod(root / "zero.txt", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        kinds.append("zero.txt")
    for path in kinds:
        for work in (files._read, files._delete, lambda p: files._write(p, "x")):
            assert refusal(partial(work, path)) == "kind"
    assert refusal(lambda: files._list("a.txt")) == "link"
    assert refusal(lambda: files._read("a.txt/b.txt")) == "link"
    assert refusal(lambda: files._read("")) == "kind"
    assert files._list("")["left_out"] == len(kinds)


def test_a_file_with_other_names_is_read_with_a_note_and_written_apart(root: Path) -> None:
    os.link(root.parent / "secret.txt", root / "same.txt")
    files = every(root)
    assert files._read("same.txt")["links"] == 2
    files._write("same.txt", "mine")
    assert (root.parent / "secret.txt").read_text() == SECRET
    os.link(root / "a.txt", root / "b.txt")
    assert files._delete("b.txt")["links"] == 1
    assert (root / "a.txt").exists()


def test_what_is_no_text_is_refused(root: Path) -> None:
    files = every(root)
    for body in (b"a\0b", b"\xff\xfeh\0i\0", b"\x80abc", b"\xed\xa0\x80", b"\x89PNG\r\n"):
        (root / "x.bin").write_bytes(body)
        assert refusal(lambda: files._read("x.bin")) == "binary"
    assert refusal(lambda: files._write("x.txt", "\ud800")) == "binary"
    assert not (root / "x.txt").exists()


def test_a_long_file_is_cut_between_letters_and_it_is_said(root: Path) -> None:
    (root / "long.txt").write_text("ä" * 10)
    assert Files(root=root, max_bytes=20)._read("long.txt")["cut"] == ""
    found = Files(root=root, max_bytes=5)._read("long.txt")
    assert (found["text"], found["bytes"], found["cut"]) == ("ää", 20, "the first 5 of 20 bytes are shown")
    (root / "long.txt").write_bytes(b"aaa\xff" + b"a" * 10)
    assert refusal(lambda: Files(root=root, max_bytes=5)._read("long.txt")) == "binary"


def test_a_huge_file_costs_no_more_than_its_limit(root: Path) -> None:
    import tracemalloc

    with open(root / "huge.txt", "wb") as file:
        file.write(b"x" * 2000)
        file.truncate(2**40)
    tracemalloc.start()
    try:
        assert Files(root=root, max_bytes=1000)._read("huge.txt")["bytes"] == 2**40
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_text_that_is_too_long_is_not_written(root: Path) -> None:
    files = every(root, max_bytes=4)
    assert refusal(lambda: files._write("x.txt", "ää!")) == "large"
    files._write("x.txt", "ää")
    assert os.listdir(root).count("x.txt") == 1


def test_of_a_large_folder_the_first_entries_are_listed_and_it_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(30):
        (root / "notes" / f"{i:02}.txt").write_text("")
    found = Files(root=root, max_entries=3)._list("notes")
    assert [e["name"] for e in found["entries"]] == ["00.txt", "01.txt", "02.txt"]
    assert found["cut"] == "the first 3 of 32 entries are shown"
    monkeypatch.setattr("edgewright.tools.connectors.files.MAX_SCANNED", 10)
    monkeypatch.setattr(files_disk, "MAX_SCANNED", 10)
    assert "more than 10 entries" in Files(root=root)._list("notes")["cut"]
    assert refusal(lambda: every(root)._write("notes/x.txt", "")) == "name"


def test_names_that_no_path_can_hold_are_left_out_of_a_list(root: Path) -> None:
    for name in (b"bad\xff.txt", b"new\nline.txt", "a\u0308.txt".encode(), b"space ", b"back\\slash"):
        (root / "notes" / os.fsdecode(name)).write_text("")
    found = Files(root=root)._list("notes")
    assert [e["name"] for e in found["entries"]] == ["b.md", "deep"]
    assert found["left_out"] == 5


def test_hidden_names_are_touched_where_that_is_declared(root: Path) -> None:
    files = every(root, hidden=True)
    assert files._read(".hidden")["text"] == "dot"
    assert [e["name"] for e in files._list("")["entries"]] == [".hidden", "a.txt", "notes"]
    assert refusal(lambda: files._read(".edgewright-0")) == "hidden"
    assert refusal(lambda: files._read("..")) == "parent"


def test_only_files_of_the_kinds_that_are_declared_exist_for_the_tools(root: Path) -> None:
    files = every(root, suffixes=(".txt",))
    assert files._read("a.txt")["text"] == "first\n"
    for work in (files._read, files._delete, lambda p: files._write(p, "x")):
        assert refusal(partial(work, "notes/b.md")) == "suffix"
    assert refusal(lambda: files._write("a.txt.sh", "x")) == "suffix"
    assert [e["name"] for e in files._list("notes")["entries"]] == ["deep"]
    assert files._write("UPPER.TXT", "x")["bytes"] == 1
    assert refusal(lambda: every(root, suffixes=())._read("a.txt")) == "suffix"


@pytest.mark.parametrize("name", ["A.txt", "a.TXT", "\uff41.txt", "A.TXT"])
def test_a_name_that_some_systems_take_for_one_that_is_there_is_not_written(root: Path, name: str) -> None:
    assert folded(name) == "a.txt"
    assert refusal(lambda: every(root)._write(name, "x")) == "name"
    assert (root / "a.txt").read_text() == "first\n"
    (root / "a.txt").unlink()
    every(root)._write(name, "x")


def test_a_folder_that_is_not_there_is_not_made(root: Path) -> None:
    assert refusal(lambda: every(root)._write("made/x.txt", "x")) == "missing"
    assert not (root / "made").exists()


# -- the system says no ----------------------------------------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, call: str, code: int, when: Callable[..., bool] = lambda *a: True) -> None:
    """Make a call of the system fail."""
    real = getattr(os, call)

    def fail(*args: Any, **kwargs: Any) -> Any:
        if when(*args):
            raise OSError(code, os.strerror(code), "/a/path/of/this/machine")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, fail)


@pytest.mark.parametrize(("call", "code"), [("write", errno.ENOSPC), ("fsync", errno.EIO), ("rename", errno.EACCES)])
async def test_a_file_that_could_not_be_written_is_as_it_was_and_that_is_no_refusal(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    files = every(root)
    failing(monkeypatch, call, code)
    with pytest.raises(FileFailed) as caught:
        files._write("a.txt", "second")
    monkeypatch.undo()
    assert "machine" not in str(caught.value)
    assert (root / "a.txt").read_text() == "first\n"
    assert sorted(os.listdir(root)) == [".hidden", "a.txt", "notes"]


async def test_a_write_of_which_the_disk_did_not_hear_is_unknown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "fsync", errno.EIO, lambda fd: stat.S_ISDIR(os.fstat(fd).st_mode))
    files = every(root)
    for name, asked in (("files_write", {"path": "a.txt", "text": "x"}), ("files_delete", {"path": "notes/b.md"})):
        used = named(files, name)
        ran = await inside(partial(used.call, asked), used)
        assert isinstance(ran.error, ToolFailed)
        assert [f.unknown for f in ran.of(EffectFailed)] == [True]


@pytest.mark.parametrize(
    ("code", "error"), [(errno.EACCES, PathRefused), (errno.EROFS, PathRefused), (errno.EIO, FileFailed)]
)
def test_only_an_error_that_says_that_nothing_was_deleted_is_a_refusal(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    files = every(root)
    failing(monkeypatch, "unlink", code)
    with pytest.raises(error):
        files._delete("a.txt")


def test_what_this_program_may_not_read_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(root=root)
    failing(monkeypatch, "open", errno.EACCES, lambda name, *_: name == "a.txt")
    assert refusal(lambda: files._read("a.txt")) == "permission"


# -- the folder that is held -----------------------------------------------------------------------------------------


def test_the_root_is_the_folder_that_was_opened_whatever_later_stands_at_its_path(root: Path) -> None:
    files = every(root)
    root.rename(root.parent / "moved")
    root.symlink_to(root.parent / "outside")
    assert files._read("a.txt")["text"] == "first\n"
    files._write("x.txt", "x")
    assert (root.parent / "moved" / "x.txt").exists()
    assert not (root.parent / "outside" / "x.txt").exists()


def test_the_root_is_closed_with_the_last_who_holds_it(root: Path) -> None:
    gc.collect()
    before = open_files()
    files = Files(root=root)
    copies = [copy.copy(files), copy.deepcopy(files)]
    tools = files.tools()
    assert len(open_files() - before) == 1
    del files
    gc.collect()
    assert copies[1]._read("a.txt")["text"] == "first\n"
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(copies[0])
    del copies
    gc.collect()
    assert len(open_files() - before) == 1  # the tools hold it
    del tools
    gc.collect()
    assert open_files() <= before


def test_no_call_leaves_anything_open(root: Path) -> None:
    files = every(root)
    (root / "link").symlink_to(root.parent)
    os.mkfifo(root / "pipe")
    gc.collect()
    before = open_files()
    for path in ("a.txt", "notes/b.md", "notes/deep/no.txt", "link/x", "pipe", "notes", "a.txt/x", "../x"):
        for work in (files._list, files._read, lambda p: files._write(p, "x"), files._delete):
            with suppress(PathRefused):
                work(path)
    assert open_files() == before


# -- swapped during a call -------------------------------------------------------------------------------------------


@contextmanager
def swapping(monkeypatch: pytest.MonkeyPatch, call: str, name: str, swap: Callable[[], None]) -> Iterator[list[str]]:
    """Swap something just before `os.<call>` is asked for `name`, once."""
    real, swapped = getattr(os, call), list[str]()

    def before(path: Any, *args: Any, **kwargs: Any) -> Any:
        if path == name and not swapped:
            swapped.append(name)
            swap()
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, before)
        yield swapped


def exchange(first: Path, second: Path) -> None:
    """Put a link to `second` where `first` was."""
    first.rename(first.with_name(f"{first.name}.was"))
    first.symlink_to(second)


@pytest.mark.parametrize("call", ["open", "stat"])
def test_a_file_swapped_for_a_link_just_before_it_is_used_is_not_followed(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    files = every(root)
    with swapping(monkeypatch, call, "a.txt", lambda: exchange(root / "a.txt", root.parent / "secret.txt")) as swapped:
        assert refusal(lambda: files._read("a.txt")) == "link"
    assert swapped


def test_a_folder_swapped_for_a_link_just_before_it_is_opened_is_not_followed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = every(root)
    for work in (files._read, files._delete, lambda p: files._write(p, "x")):
        swap = swapping(monkeypatch, "open", "notes", lambda: exchange(root / "notes", root.parent / "outside"))
        with swap as swapped:
            assert refusal(partial(work, "notes/a.txt")) == "link"
        assert swapped
        (root / "notes").unlink()
        (root / "notes.was").rename(root / "notes")
    assert (root.parent / "outside" / "a.txt").read_text() == SECRET


def test_a_folder_swapped_after_it_was_opened_stays_the_one_that_was_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = every(root)
    (root / "notes" / "a.txt").write_text("inside")
    with swapping(monkeypatch, "stat", "a.txt", lambda: exchange(root / "notes", root.parent / "outside")) as swapped:
        assert files._read("notes/a.txt")["text"] == "inside"
    assert swapped
    (root / "notes").unlink()
    (root / "notes.was").rename(root / "notes")
    with swapping(monkeypatch, "stat", "a.txt", lambda: exchange(root / "notes", root.parent / "outside")) as swapped:
        files._write("notes/a.txt", "mine")
    assert swapped
    assert (root / "notes.was" / "a.txt").read_text() == "mine"
    assert (root.parent / "outside" / "a.txt").read_text() == SECRET


def test_a_file_swapped_for_a_pipe_just_before_it_is_opened_blocks_nobody(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pipe() -> None:
        (root / "a.txt").unlink()
        os.mkfifo(root / "a.txt")

    files = Files(root=root)
    with swapping(monkeypatch, "open", "a.txt", pipe) as swapped:
        assert refusal(lambda: files._read("a.txt")) == "kind"
    assert swapped


def test_a_target_swapped_for_a_link_just_before_it_is_replaced_is_replaced_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def rename(*args: Any, **kwargs: Any) -> None:
        (root / "a.txt").unlink()
        (root / "a.txt").symlink_to(root.parent / "secret.txt")
        real(*args, **kwargs)

    files = every(root)
    monkeypatch.setattr(os, "rename", rename)
    files._write("a.txt", "mine")
    assert not (root / "a.txt").is_symlink()
    assert (root / "a.txt").read_text() == "mine"
    assert (root.parent / "secret.txt").read_text() == SECRET


def test_while_somebody_swaps_folders_for_links_nothing_from_outside_is_read_or_changed(root: Path) -> None:
    files = every(root)
    (root / "notes" / "a.txt").write_text("inside")
    outside = root.parent / "outside"
    before = sorted(os.listdir(outside))
    over = threading.Event()

    def swap() -> None:
        (root / "way").symlink_to(outside)
        while not over.is_set():
            # Both names, so that each is a folder and a link in turn.
            (root / "notes").rename(root / "kept")
            (root / "way").rename(root / "notes")
            (root / "notes").rename(root / "way")
            (root / "kept").rename(root / "notes")

    swapper = threading.Thread(target=swap, daemon=True)
    swapper.start()
    seen: dict[str, int] = {}
    try:
        for round_ in range(100_000):
            work = (
                lambda: files._read("notes/a.txt")["text"],
                lambda: files._write("notes/a.txt", "inside")["path"],
                lambda: [e["name"] for e in files._list("notes")["entries"]],
            )[round_ % 3]
            try:
                found = str(work())
            except PathRefused as refused:
                found = cast(str, refused.facts["rule"])
            assert SECRET not in found
            seen[found] = seen.get(found, 0) + 1
            if round_ >= 3000 and seen.get("inside") and seen.keys() & {"link", "missing"}:
                break
    finally:
        over.set()
        swapper.join(30)
    assert not swapper.is_alive()
    # Both happened: the folder was met, and the link or nothing was.
    assert seen.get("inside", 0) > 0
    assert seen.keys() & {"link", "missing"}
    assert sorted(os.listdir(outside)) == before
    assert (outside / "a.txt").read_text() == SECRET


def test_a_reader_sees_the_old_file_or_the_new_one_and_never_half_of_one(root: Path) -> None:
    files = every(root)
    texts = ["a" * 100_000, "b" * 100_000]
    files._write("x.txt", texts[0])
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            for text in texts:
                files._write("x.txt", text)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        assert {files._read("x.txt")["text"] for _ in range(300)} <= set(texts)
    finally:
        over.set()
        writer.join(30)
    assert not writer.is_alive()


# -- declarations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"name": "Bad"}, "its name is"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"max_entries": 0}, "max_entries"),
        ({"suffixes": ("txt",)}, "a suffix is"),
        ({"suffixes": ("/.txt",)}, "a suffix is"),
        ({"suffixes": ".txt"}, "a suffix is"),
        ({"output": "maybe"}, "output"),
        ({"sensitivity": "some"}, "sensitivity"),
        ({"root": Path("/")}, "whole file system"),
        ({"root": Path("/no/such/folder")}, "no folder that can be opened"),
        ({"root": Path("/etc/passwd")}, "no folder that can be opened"),
    ],
)
def test_a_connector_that_cannot_work_is_refused_with_the_reason(
    root: Path, options: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ToolInvalid) as caught:
        Files(**{"root": root, **options})
    assert fault in " | ".join(caught.value.faults)


def test_every_fault_is_told_at_once(root: Path) -> None:
    with pytest.raises(ToolInvalid) as caught:
        Files(root=root / "none", name="Bad", max_bytes=0)
    assert len(caught.value.faults) == 3
