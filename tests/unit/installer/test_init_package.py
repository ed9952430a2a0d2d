"""rastos-init without a compiler: from what is installed, as on a live medium."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import zstandard

from rastos.errors import HostError
from rastos.installer import init_package, initprogram
from rastos.package import LocalRepository


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system whose programs are known, and no gcc."""
    programs = tmp_path / "usr/lib/rastos"
    programs.mkdir(parents=True)
    for name in initprogram.SOURCES:
        (programs / name).write_text(f"the program {name}")
    monkeypatch.setattr(initprogram, "find_program", lambda name: None)
    monkeypatch.setattr(initprogram, "HERE", programs)
    monkeypatch.setattr(initprogram, "DATABASE", tmp_path / "database")
    return tmp_path


def test_it_is_the_package_that_is_installed(here: Path) -> None:
    entry = here / "database/local/rastos-init-9.1234-1"
    entry.mkdir(parents=True)
    (entry / "desc").write_text("%NAME%\nrastos-init\n\n%VERSION%\n9.1234-1\n\n%ARCH%\nx86_64\n\n")
    repository = LocalRepository(here / "repository")
    assert init_package(repository, here / "cache") == "rastos-init"
    found = repository.find("rastos-init")
    assert found is not None and found.version == "9.1234-1"
    package = next((here / "repository").glob("rastos-init-9.1234-1*.zst"))
    with (
        open(package, "rb") as stream,
        tarfile.open(fileobj=zstandard.ZstdDecompressor().stream_reader(stream), mode="r|") as files,
    ):
        content = {
            item.name: (item.mode, (files.extractfile(item) or stream).read(30)) for item in files if item.isfile()
        }
    assert content["usr/lib/rastos/init"] == (0o755, b"the program init")
    assert "usr/lib/systemd/system/rastos-health.service" in content


def test_where_it_is_not_installed_a_compiler_is_asked_for(here: Path) -> None:
    with pytest.raises(HostError, match="no compiler") as caught:
        init_package(LocalRepository(here / "repository"), here / "cache")
    assert "gcc" in caught.value.next_step
