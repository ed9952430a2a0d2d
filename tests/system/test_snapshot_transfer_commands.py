"""send, receive, export, import, verify and repair as commands, between two image files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rastos.host import attached, mounted
from rastos.installer import open_image
from rastos.installer.filesystem import make_esp, make_root
from rastos.installer.partition import plan_layout, write_layout
from rastos.snapshot import MtoolsEsp, Store, create_session
from rastos.snapshot.subvolume import set_read_only
from tests.conftest import ROOT, need
from tests.system.storehouse import child, fill


def _image(place: Path, *, filled: bool) -> Path:
    layout = plan_layout(512 << 20, 40 << 20, seed=place.name)
    with open(place, "xb") as stream:
        stream.truncate(layout.size)
    write_layout(place, layout)
    make_esp(place, layout.esp, volume_id="12345678")
    top = place.with_suffix(".top")
    top.mkdir()
    with attached(place, offset=layout.root.start, size=layout.root.size) as device:
        make_root(device)
        with mounted(device, top, "btrfs"):
            esp = MtoolsEsp(place, layout.esp.start, layout.esp.size)
            store = Store.initialise(top, esp, root_partuuid=layout.root.uuid, cmdline="")
            if filled:
                with create_session(store, None, "test") as session:
                    fill(session.tree)
                    desc = session.tree / "usr/lib/sysimage/pacman/local/base-1.0-1/desc"
                    desc.write_text("%NAME%\nbase\n\n%VERSION%\n1.0-1\n")
                    session.commit("first", name="stable")
                child(store, 0, "second", {"etc/app.conf": "two\n"})
    return place


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    need("sfdisk", "mkfs.vfat", "mkfs.btrfs", "qemu-img", "mcopy", "btrfs")
    for name in ("CACHE", "STATE"):
        monkeypatch.setenv(f"RASTOS_{name}", str(tmp_path / name.lower()))
    return _image(tmp_path / "one.raw", filled=True), _image(tmp_path / "two.raw", filled=False)


def rastos(*words: object, status: int = 0, stdin: bytes | None = None) -> bytes:
    argv = [sys.executable, "-m", "rastos", "snapshot", *map(str, words)]
    done = subprocess.run(argv, capture_output=True, input=stdin, cwd=ROOT)
    assert done.returncode == status, done.stderr.decode()
    return done.stdout if status == 0 else done.stderr + done.stdout


def _snapshots(image: Path) -> list[tuple[int, str, int | None]]:
    found = json.loads(rastos("list", "--image", image, "--json"))
    return [(item["id"], item["description"], item["parent"]) for item in found]


def test_through_a_pipe_and_a_file(images: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = images
    stream = rastos("send", "stable", "--image", one)
    refused = rastos("receive", "-", "--image", two, stdin=stream, status=1).decode()
    assert "is not signed" in refused and "--unsigned" in refused
    assert b"received snapshot 0" in rastos("receive", "-", "--unsigned", "--image", two, stdin=stream)
    (tmp_path / "have").write_bytes(rastos("receive", "--have", "--image", two))
    plan = json.loads(rastos("send", "0", "1", "--have", tmp_path / "have", "--image", one, "--dry-run", "--json"))
    assert plan["there"] == [0] and [(item["snapshot"], item["base"]) for item in plan["items"]] == [(1, 0)]
    rastos("send", "1", "--have", tmp_path / "have", "--image", one, "-o", tmp_path / "x.rsnap")
    assert (tmp_path / "x.rsnap").stat().st_size < 3000
    (tmp_path / "cut.rsnap").write_bytes((tmp_path / "x.rsnap").read_bytes()[:-40])
    assert b"chunks of it are kept" in rastos("receive", tmp_path / "cut.rsnap", "--unsigned", "--image", two, status=1)
    assert json.loads(rastos("receive", "--have", "--image", two))["unfinished"]
    assert b"forgot 1" in rastos("receive", "--forget", "--image", two)
    made = json.loads(rastos("receive", tmp_path / "x.rsnap", "--unsigned", "--image", two, "--json"))
    assert made[0]["new"] and made[0]["snapshot"]["parent"] == 0
    assert _snapshots(two) == [(0, "first", None), (1, "second", 0)]
    assert b"was here already" in rastos("receive", tmp_path / "x.rsnap", "--unsigned", "--image", two)


def test_to_another_image_and_over_ssh(
    images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = images
    assert b"sent snapshot 0 (whole)" in rastos("send", "0", "--to", two, "--image", one)
    # a stand-in for ssh: what it is told to run there, it runs here
    (tmp_path / "bin").mkdir()
    script = f'#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\necho "$2" >> {tmp_path}/hosts\n'
    script += f'cd {ROOT} && PATH={tmp_path}/bin:$PATH exec sh -c "$3"\n'
    (tmp_path / "bin/ssh").write_text(script)
    settings = " ".join(f"{name}={os.environ[name]}" for name in ("RASTOS_CACHE", "RASTOS_STATE"))
    (tmp_path / "bin/rastos").write_text(f'#!/bin/sh\nexport {settings}\nexec {sys.executable} -m rastos "$@"\n')
    for name in ("ssh", "rastos"):
        (tmp_path / "bin" / name).chmod(0o755)
    code = f"import sys, rastos.host; r = sys.modules['rastos.host.run']; r.PATH = '{tmp_path}/bin:' + r.PATH\n"
    code += "from rastos.cli.app import run; sys.exit(run(sys.argv[1:]))"
    url = f"ssh://me@host{two}"
    argv = [sys.executable, "-c", code, "snapshot", "send", "0", "1", "--to", url, "--image", one, "--json"]
    done = subprocess.run(argv, capture_output=True, cwd=ROOT)
    assert done.returncode == 1 and b"is not signed" in done.stderr, done.stderr
    done = subprocess.run([*argv, "--unsigned"], capture_output=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["there"] == [0] and told["received"][0]["snapshot"]["description"] == "second"
    assert set((tmp_path / "hosts").read_text().split()) == {"me@host"}
    assert _snapshots(two) == [(0, "first", None), (1, "second", 0)]


def test_archives_verify_and_repair(images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = images
    rastos("export", "1", "--oci", tmp_path / "oci", "--image", one)
    rastos("export", "1", "--tar", tmp_path / "x.tar.zst", "--image", one)
    assert b"imported snapshot 0: second" in rastos("import", tmp_path / "oci", "--image", two)
    rastos("import", tmp_path / "x.tar.zst", "--name", "web", "--image", two)
    assert [item[1] for item in _snapshots(two)] == ["second", "imported from x.tar.zst"]
    monkeypatch.setenv("RASTOS_MANIFESTS", "always")
    rastos("create", "1", "--image", two)
    digests = [
        item["digest"] for item in json.loads(rastos("verify", "0", "1", "2", "--record", "--json", "--image", two))
    ]
    assert len(digests) == 3 and len(set(digests)) == 1
    assert b"is sound: nothing wrote" in rastos("verify", "--quick", "--image", two)
    with open_image(two, writable=True, purpose="test") as opened:
        store = Store.open(opened.top, opened.esp, writable=True)
        set_read_only(store.tree(1), False)
        (store.tree(1) / "etc/app.conf").write_text("bad\n")
        set_read_only(store.tree(1), True)
    found = rastos("verify", "--all", "--image", two, status=1).decode()
    assert "snapshot 1 is damaged: 1 paths" in found and "changed /etc/app.conf (content)" in found
    assert "snapshot 0 is sound" in found
    assert b"would mend 1 paths" in rastos("repair", "1", "--dry-run", "--image", two)
    assert b"mended 1 paths of snapshot 1" in rastos("repair", "1", "--from", "0", "--image", two)
    assert b"is sound" in rastos("verify", "1", "--image", two)


def test_wrong_usage(tmp_path: Path) -> None:
    assert b"Choose one" in rastos("send", "0", "-o", "x", "--to", "y", status=2)
    assert b"Choose one" in rastos("export", "0", status=2)
    assert b"JSON can't" in rastos("send", "0", "--json", status=2)
    assert b"alone" in rastos("repair", "0", "--from", __file__, "--from", "cache", status=2)
    assert b"names no machine" in rastos("send", "0", "--to", "ssh://-x", status=1)
