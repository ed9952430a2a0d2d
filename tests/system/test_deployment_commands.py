"""The commands that deploy, take back, keep, and look after /etc and state, as they are typed, on a real btrfs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.snapshot import Store
from rastos.snapshot.bootentry import ENTRIES
from tests.commands import Typed, typing_at
from tests.system.storehouse import child, first_snapshot, furnished


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with furnished(tmp_path) as opened:
        first_snapshot(opened)
        yield opened


@pytest.fixture
def typed(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    return typing_at(store, tmp_path, monkeypatch, capfd)


def test_deployed_taken_back_tried_and_kept(typed: Typed, store: Store) -> None:
    assert "deployment 1 boots next: snapshot 0" in typed("deploy")
    store.esp.rename(f"{ENTRIES}/rastos-1+3.conf", f"{ENTRIES}/rastos-1.conf")
    child(store, 0, "second", {})
    before = store.esp.list(ENTRIES)
    plan = typed("deploy", "--try", "--dry-run", "--json")
    assert (plan["snapshot"], plan["tries"], plan["trial"]) == (1, 1, True)
    assert store.esp.list(ENTRIES) == before, "a dry run changes nothing"
    typed("deploy", "--tries", "2")
    found = typed("pending", "--json")
    assert (found["next"]["number"], found["fallback"]["number"], found["good"]["number"]) == (2, 1, 1)
    assert [(item["deployment"], item["tries"]) for item in found["pending"]] == [(2, 2)]
    assert "would cancel deployment 2" in typed("cancel", "--dry-run")
    assert "cancelled deployment 2; deployment 1" in typed("cancel")
    assert "nothing is pending" in typed("cancel", status=1)
    typed("deploy", "1", "--try")
    store.esp.rename(f"{ENTRIES}/rastos-3+1.conf", f"{ENTRIES}/rastos-3+0-1.conf")
    assert "tried     deployment 3" in typed("pending")
    assert "kept deployment 3" in typed("keep", "3")
    store.esp.rename(f"{ENTRIES}/rastos-3.conf", f"{ENTRIES}/rastos-3+0-3.conf")
    assert "bad       snapshot 1" in typed("pending")
    assert typed("deploy", "--json", "--dry-run")["snapshot"] == 0, "the newest was found bad"
    assert typed("rollback", "1", "--dry-run", "--json")["bad"]


def test_etc_is_looked_at_settled_and_brought_back(typed: Typed, store: Store) -> None:
    typed("deploy")
    etc = store.deployment_path(1) / "etc"
    (etc / "app.conf").write_text("mine\n")
    child(store, 0, "second", {"etc/app.conf": "theirs\n"})
    plan = typed("deploy", "--dry-run", "--json")
    assert [item["path"] for item in plan["merge"]["conflicts"]] == ["app.conf"]
    assert "mine" not in json.dumps(plan), "contents are nobody's business there"
    typed("deploy")
    assert "! /etc/app.conf" in typed("etc", "status")
    assert typed("etc", "status", "--json")["conflicts"][0]["beside"] == "app.conf.rastos-new"
    assert "-theirs\n+mine" in typed("etc", "diff", "/etc/app.conf")
    assert "would be: /etc/app.conf" in typed("etc", "resolve", "app.conf", "--take", "theirs", "--dry-run")
    typed("etc", "resolve", "app.conf", "--take", "theirs")
    assert typed("etc", "diff") == "no difference\n"
    typed("etc", "restore", "app.conf", "--from", "1")
    assert (store.deployment_path(2) / "etc/app.conf").read_text() == "mine\n"
    assert typed("etc", "push", "hostname", "--json")["deployments"] == [1]
    assert "no open conflict" in typed("etc", "resolve", "app.conf", "--take", "ours", status=1)
    assert "PATH=ours" in typed("deploy", "--decide", "app.conf", status=2)


def test_the_state_contract_is_shown(typed: Typed, store: Store) -> None:
    text = '[paths]\n"var/lib/own" = "per-snapshot"\n[stamps.db]\nversion = "9"\n'
    child(store, 0, "second", {"usr/lib/rastos/state.d/db.toml": text})
    typed("deploy", "1")
    shown = typed("state", "1")
    assert "/var/lib/own  per-snapshot: snapshots/1/state/var%2Flib%2Fown" in shown
    assert "db  version 9, not written yet" in shown
    assert typed("state", "0", "--json")["paths"] == []
