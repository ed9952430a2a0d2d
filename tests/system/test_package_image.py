"""Package changes of an image: a snapshot made and deployed, recorded in the image, and undone by a deploy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.cli.app import Application
from rastos.cli.package.changing import changed_tree_of
from rastos.errors import HostError
from rastos.host import faults
from rastos.installer import open_image
from rastos.package import Change, plan_change
from rastos.progress import Progress
from rastos.snapshot import Store
from tests.conftest import ROOT
from tests.system.storehouse import flaws, leftovers
from tests.system.test_image_create import Workshop, shop

__all__ = ["shop"]
pytest.importorskip("pyalpm")

CHILD = """
import sys
from pathlib import Path
from rastos.cli import app
from tests.system.test_package_image import Workshop, change
app._arm_faults()
change(Workshop(Path(sys.argv[1])), Path(sys.argv[2]), *sys.argv[3:])
"""


@pytest.fixture
def image(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An image that boots snapshot 0, and two more packages to be had."""
    monkeypatch.setenv("RASTOS_CACHE", str(shop.cache))
    monkeypatch.setenv("RASTOS_STATE", str(shop.base / "state"))
    monkeypatch.chdir(shop.base)
    for name in ("extra", "more"):
        shop.package(name, {f"usr/share/{name}/file": name})
    made = shop.create(tmp_path / "image.raw")
    yield made.path
    faults.disarm()
    assert shop.leftovers() == []


def change(shop: Workshop, image: Path, *names: str, no_deploy: bool = False, dry_run: bool = False) -> None:
    app = Application()
    with changed_tree_of(app, None, image, command="test", dry_run=dry_run, no_deploy=no_deploy) as changing:
        plan = plan_change(changing.target, shop.channels, Change(names), Progress())
        if not dry_run:
            changing.apply(shop.channels, plan)


def rastos(image: Path, *words: str) -> str:
    command = [sys.executable, "-m", "rastos", "package", *words, "--image", str(image)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def history(image: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(rastos(image, "history", "--json"))
    return found


def boots(image: Path) -> tuple[int, set[str]]:
    """The snapshot that boots next and its packages, after a look that it can."""
    with open_image(image, writable=False, purpose="test") as opened:
        store = Store.open(opened.top, opened.esp, writable=False)
        current = store.current()
        assert current is not None
        tree = store.tree(current.snapshot)
        return current.snapshot, {path.parent.name for path in tree.glob("usr/share/*/file")}


def test_install_undo_redo(shop: Workshop, image: Path) -> None:
    first, _ = boots(image)
    change(shop, image, "extra", dry_run=True)
    assert history(image) == []
    change(shop, image, "extra")
    second, there = boots(image)
    assert second != first and there == {"extra"}
    change(shop, image, "extra")
    assert len(history(image)) == 1, "nothing to do is no change"
    change(shop, image, "more", no_deploy=True)
    assert boots(image) == (second, {"extra"})
    entries = history(image)
    assert [(item["base"], item["snapshot"], item["result"]) for item in entries] == [
        (first, second, "done"),
        (second, second + 1, "done"),
    ]
    assert (entries[0]["deployment"], entries[1]["deployment"]) == (2, None)
    with open_image(image, writable=False, purpose="test") as opened:
        assert Store.open(opened.top, opened.esp, writable=False).snapshot(second).description == "+extra"
        assert (opened.top / "state/var/log/rastos/packages.jsonl").is_file()

    found = json.loads(rastos(image, "undo", "1", "--dry-run", "--json"))
    assert found["way"] == "deploy" and [item["name"] for item in found["packages"]] == ["extra"]
    assert "− extra 1-1" in rastos(image, "undo", "1")
    assert boots(image) == (first, set())
    rastos(image, "undo")
    assert boots(image) == (second, {"extra"})
    assert [item["undoes"] for item in history(image)] == [None, None, 1, 3]
    assert f"{first} → {second}" in rastos(image, "history")


def test_a_failure_leaves_no_snapshot(shop: Workshop, image: Path) -> None:
    before = boots(image)
    faults.arm("packages-installed=error")
    with pytest.raises(HostError, match="injected"):
        change(shop, image, "extra")
    faults.disarm()
    assert boots(image) == before
    entry = history(image)[0]
    assert (entry["result"], entry["snapshot"]) == ("failed", None) and "injected" in str(entry["error"])


@pytest.mark.parametrize(
    ("step", "made", "deployed"),
    [
        ("packages-installed", False, False),
        ("snapshot.described", False, False),
        ("snapshot.committed", True, False),
        ("deploy.entry", True, False),
        ("deploy.committed", True, True),
    ],
)
def test_killed(shop: Workshop, image: Path, step: str, made: bool, deployed: bool) -> None:
    before = boots(image)
    command = [sys.executable, "-c", CHILD, str(shop.base), str(image), "extra"]
    environment = {**os.environ, "RASTOS_FAULT": f"{step}=kill", "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment).returncode == -signal.SIGKILL
    assert (boots(image) != before) == deployed
    assert history(image)[0]["result"] == "interrupted"
    with open_image(image, writable=True, purpose="test") as opened:
        store = Store.open(opened.top, opened.esp, writable=True)
        assert flaws(store) == [] and leftovers(store) == []
        assert (len(store.snapshots()) == 2) == made
    change(shop, image, "more")
    assert history(image)[0]["result"] == ("done" if deployed else "interrupted")
    assert boots(image)[1] == ({"extra", "more"} if deployed else {"more"})
    rastos(image, "undo", "1")
    assert boots(image) == before
