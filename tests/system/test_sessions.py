"""Sessions with real programs and the real package engine: what they can reach, how they end, what survives a crash."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rastos.cli.app import run as rastos
from rastos.errors import BusyError, UserError
from rastos.package import Change
from rastos.progress import Progress
from rastos.snapshot import (
    Intent,
    change_packages,
    create_session,
    discard_session,
    kept_sessions,
    open_session,
    plan_packages,
    run_in_session,
    shell_in_session,
)
from tests.conftest import ROOT
from tests.system.session_workshop import Workshop, command_line, prepared, shop, text
from tests.system.storehouse import leftovers, mounted_store

__all__ = ["prepared", "shop"]

REACHING = (
    "echo 1 > /proc/sys/vm/drop_caches",
    "echo h > /proc/sysrq-trigger",
    "touch /sys/kernel/x",
    "mknod /etc/disk b 8 0",
    "mount -t tmpfs none /home",
)
CHILD = """
import sys
from pathlib import Path
from rastos.host import faults
from tests.system.session_workshop import Workshop
from tests.system.storehouse import mounted_store
from tests.system.test_sessions import change
with mounted_store(Path(sys.argv[1])) as store:
    faults.arm(sys.argv[2])
    change(Workshop(Path(sys.argv[1])), store)
"""


def change(shop: Workshop, store) -> None:  # type: ignore[no-untyped-def]
    """A package change in the kept session."""
    with open_session(store, "mine") as session:
        source = shop.source
        plan = plan_packages(session.tree, source, Change(("tool",)), Progress())
        change_packages(session, source, plan, Progress(), intent=Intent(("tool",)))


def test_a_command_changes_the_copy_and_nothing_else(shop: Workshop) -> None:
    with mounted_store(shop.base) as store:
        with create_session(store, 0, "test") as session:
            assert run_in_session(session, ["sh", "-c", "echo new > /etc/new; [ -d /proc/1 ] && [ -c /dev/null ]"]) == 0
            for attempt in REACHING:
                assert run_in_session(session, ["sh", "-c", f"( {attempt} ) 2> /dev/null"]) != 0, attempt
            only_lo = (
                "while read name rest; do case $name in lo:|Inter*|face*) ;; *) exit 1 ;; esac; done < /proc/net/dev"
            )
            assert run_in_session(session, ["sh", "-c", only_lo]) == 0
            assert run_in_session(session, ["sh", "-c", "exit 7"]) == 7
            made = session.commit("changed", replace_base=True)
        assert text(store, made.id, "etc/new") == "new\n" and text(store, 0, "etc/new") == ""
        assert made.intent.commands[0][0] == "sh" and (made.name, store.snapshot(0).name) == ("base", "")
        assert not (store.tree(made.id) / "etc/disk").exists() and os.listdir(store.tree(made.id) / "home") == []
        assert leftovers(store) == []


def test_a_kept_session_is_gone_on_with_and_committed(shop: Workshop) -> None:
    with mounted_store(shop.base) as store:
        with create_session(store, 0, "test", keep="mine") as session:
            run_in_session(session, ["sh", "-c", "echo one > /etc/one"])
            with pytest.raises(BusyError), open_session(store, "mine"):
                pass
        with pytest.raises(UserError, match="already"), create_session(store, 0, "test", keep="mine"):
            pass
    with mounted_store(shop.base) as store:
        (record,) = kept_sessions(store)
        assert (record.name, record.base, len(record.intent.commands)) == ("mine", 0, 1)
        with open_session(store, "mine") as session:
            assert shell_in_session(session, b"echo two > /etc/two\nexit 3\n") == 3
            made = session.commit("both")
        assert (text(store, made.id, "etc/one"), text(store, made.id, "etc/two")) == ("one\n", "two\n")
        assert made.intent.files and len(made.intent.commands) == 1
        assert kept_sessions(store) == () and leftovers(store) == []
        with pytest.raises(UserError, match="no session"):
            discard_session(store, "mine")


def test_a_package_change_that_fails_leaves_a_kept_session_as_it_was(shop: Workshop) -> None:
    with mounted_store(shop.base) as store:
        with create_session(store, 0, "test", keep="mine") as session:
            (session.tree / "usr/share").mkdir(parents=True, exist_ok=True)
            (session.tree / "usr/share/tool").write_text("in the way")
        with pytest.raises(UserError):
            change(shop, store)
        (record,) = kept_sessions(store)
        tree = store.top / "sessions" / record.key / "tree"
        assert record.intent == Intent() and record.doing == ""
        assert (tree / "usr/share/tool").read_text() == "in the way" and not (tree / "usr/share/lib").exists()
        assert sorted(os.listdir(tree.parent)) == ["lock", "session.json", "tree"]
        (tree / "usr/share/tool").unlink()
        change(shop, store)
        assert (tree / "usr/share/lib").exists()
        assert list((shop.base / "cache/journal").iterdir()) == []


def _package_steps() -> list[str]:
    found = re.findall(r'faults\.reached\("([a-z-]+)"\)', (ROOT / "rastos/package/transaction.py").read_text())
    assert len(found) >= 4
    return [*found, "session.marked", "session.worked"]


@pytest.mark.parametrize("step", _package_steps())
def test_killed_in_a_package_change_a_kept_session_is_as_before(shop: Workshop, step: str) -> None:
    with mounted_store(shop.base) as store, create_session(store, 0, "test", keep="mine") as session:
        run_in_session(session, ["sh", "-c", "echo one > /etc/one"])
    words = [sys.executable, "-c", CHILD, shop.base, f"{step}=kill"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with mounted_store(shop.base) as store:
        (record,) = kept_sessions(store)
        tree = store.top / "sessions" / record.key / "tree"
        assert record.doing == "" and record.intent.install == () and len(record.intent.commands) == 1
        assert (tree / "etc/one").exists() and not (tree / "usr/share/lib").exists()
        change(shop, store)
        with open_session(store, "mine") as session:
            made = session.commit("done")
        assert made.delta.added == ("lib", "tool") and made.intent.install == ("tool",)
        assert leftovers(store) == []


def test_the_command_line(shop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str, status: int = 0, stdin: bytes | None = None) -> str:
        monkeypatch.setattr(sys, "argv", ["rastos", "snapshot", *words])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        assert rastos(["snapshot", *words]) == status
        shown = capsys.readouterr()
        return shown.out if status == 0 else shown.err

    with command_line(shop, monkeypatch):
        plan = json.loads(said("install", "base", "tool", "--dry-run", "--json"))
        assert [item["name"] for item in plan["packages"]["install"]] == ["lib", "tool"]
        assert json.loads(said("install", "base", "tool", "--replace", "--json"))["delta"]["added"] == ["lib", "tool"]
        assert "has all of that" in said("install", "base", "tool", status=1)
        assert "discarded" in said("run", "base", "--", "sh", "-c", "exit 3", status=1)
        assert said("session", "list", "--json") == "[]\n"
        assert "kept as session failed-1" in said(
            "run", "base", "--on-failure", "keep", "--", "sh", "-c", "echo x > /etc/x; exit 3", status=1
        )
        assert "failed-1" in said("session", "list")
        assert "snapshot 2, child of 1" in said("session", "commit", "failed-1", "--name", "saved")
        assert "snapshot 3" in said("run", "1", "--on-failure", "commit", "--", "sh", "-c", "exit 3")
        assert "--then" in said("shell", "1", status=2, stdin=b"true\n")
        made = json.loads(said("shell", "1", "--then", "commit", "--json", stdin=b"echo typed > /etc/typed\n"))
        assert made["intent"]["files"]
        assert "session tuning" in said("run", "1", "--keep", "tuning", "--install", "extra")
        assert "+extra sh" in said("session", "run", "tuning", "--", "sh", "-c", "true")
        assert "session tuning" in said("session", "enter", "tuning", stdin=b"true\n")
        assert "discarded session tuning" in said("session", "discard", "tuning")
        results = json.loads(said("remove", "base", "lib", "tool", "--tree", "--json"))
        assert [item["snapshot"] for item in results] == [1, 2, 3, 4]
        assert "no session" in said("session", "commit", "tuning", status=1)
        assert said("run", "base", "--tree", "--name", "x", "--", "true", status=2)


def test_a_shell_on_a_terminal(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    with command_line(shop, monkeypatch):
        child, terminal = pty.fork()
        if child == 0:
            sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "rw"[n > 0], closefd=False) for n in range(3))
            os._exit(rastos(["snapshot", "shell", "base", "--name", "typed"]))
        conversation = (
            ("# ", "tty; sleep 50 &\n"),
            ("/dev/pts/0", "echo ready-$((20+2))\n"),
            ("ready-22", "sleep 50\n"),
            (None, "\x03"),
            (None, "echo after-$((20+3)); echo typed > /etc/typed; exit 2\n"),
            ("after-23", ""),
            ("keep]:", "commit\n"),
            ("snapshot 1", ""),
        )
        for wanted, answer in conversation:
            _expect(terminal, wanted)
            os.write(terminal, answer.encode())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.close(terminal)
    with mounted_store(shop.base) as store:
        assert text(store, store.snapshot("typed").id, "etc/typed") == "typed\n"
        assert leftovers(store) == []


def _expect(terminal: int, wanted: str | None) -> None:
    if wanted is None:
        time.sleep(0.5)
        return
    seen, deadline = "", time.monotonic() + 60
    while wanted not in seen:
        assert time.monotonic() < deadline, f"waiting for {wanted!r}, saw {seen!r}"
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 4096).decode(errors="replace")


def test_a_shell_dies_with_us_and_leaves_nothing(shop: Workshop, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.system.storehouse import mounted_store\n"
        "from rastos.snapshot import create_session, run_in_session\n"
        "with mounted_store(Path(sys.argv[1])) as store, create_session(store, 0, 'test', keep='mine') as session:\n"
        "    run_in_session(session, ['sleep', '4242'], on_line=print)\n"
    )
    started = subprocess.Popen([sys.executable, "-c", code, shop.base], cwd=ROOT)
    deadline = time.monotonic() + 60
    while not _sleeping() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _sleeping()
    started.kill()
    started.wait()
    while _sleeping() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _sleeping()
    with mounted_store(shop.base) as store:
        (record,) = kept_sessions(store)
        assert record.doing == "run sleep 4242"
        (store.top / "sessions" / record.key / "session.json").write_text("{")
    with mounted_store(shop.base) as store:  # damaged by hand: it stays until somebody says otherwise
        discard_session(store, record.key)
        assert leftovers(store) == [] and len(store.snapshots()) == 1


def _sleeping() -> bool:
    for place in Path("/proc").iterdir():
        try:
            if place.name.isdigit() and (place / "cmdline").read_bytes() == b"sleep\x004242\0":
                return True
        except OSError:
            continue
    return False
