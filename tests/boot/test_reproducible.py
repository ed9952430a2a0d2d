"""A real image twice: a Debian system with its maintainer scripts, built at two times with two caches, is one image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.boot.conftest import Rastos


@pytest.mark.long
def test_the_ci_image_comes_out_the_same_twice(rastos: Rastos, ci_kernel: dict[str, Any], tmp_path: Path) -> None:
    image = tmp_path / "ci.qcow2"
    said = rastos("image", "create", "--profile", "ci", "--output", image, "--verify-reproducible", "--json")
    found = json.loads(said)["reproduction"]
    assert found["tree_digests"][0] == found["tree_digests"][1]
    assert found["table"] and found["esp"] and found["paths"] == [] and found["times"] == []
    bills = {rastos("image", "sbom", image, "--format", kind) for kind in ("spdx", "spdx")}
    assert len(bills) == 1 and len(json.loads(bills.pop())["packages"]) > 160
