"""The desktop: logs in, shows sway with a terminal; a picture of the screen proves it. Needs the production kernel (graphics)."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from rastos.installer.vm import Hardware, booted
from tests.boot.conftest import Rastos, environment
from tests.conftest import ROOT, unmet

SETTLE = 25.0  # seconds an emulated machine takes to draw what is there


@pytest.mark.long
def test_a_picture_shows_a_terminal_in_sway(rastos: Rastos, tmp_path: Path) -> None:
    known: list[dict[str, Any]] = json.loads(rastos("kernel", "list", "--json"))
    if not any(item["name"] == "linux-rastos-production" for item in known):
        unmet("kernel production: `rastos kernel build --profile production`")
    docs = (ROOT / "docs/desktop.md").read_text()
    login = re.findall(r"```toml\n(\[\[files\]\].*?)```", docs, re.DOTALL)[0]  # as the page says it
    profile = tmp_path / "desk.toml"
    profile.write_text(
        f'inherits = "desktop"\n\n[[users]]\nname = "me"\ngroups = ["video", "render", "input"]\n\n{login}'
    )
    image = tmp_path / "desk.qcow2"
    rastos("image", "create", "--profile", profile, "--output", image)
    cache = Path(environment()["RASTOS_CACHE"])
    hardware = Hardware(screen=True, name="desk")
    with booted(image, cache=cache, way="direct", memory=2048, hardware=hardware) as machine:
        machine.wait_agent(600)
        machine.wait_until_succeeds("pgrep -x foot", 600)
        time.sleep(SETTLE)
        picture = machine.screenshot(tmp_path / "desk.png").read_bytes()
        tree = machine.succeed("runuser -u me -- sh -c 'SWAYSOCK=$(ls /run/user/*/sway-ipc.*) swaymsg -t get_tree'")
        assert '"app_id": "foot"' in tree
        assert machine.execute("pgrep -x swaynag").status != 0, "sway finds no fault in its configuration"
        machine.power_off(240)
    # a screen of one colour, or of text mode alone, packs into far less
    assert picture.startswith(b"\x89PNG") and len(picture) > 6000
