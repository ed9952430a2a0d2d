"""Unified kernel images: what other tools see in them, and deploys that boot by them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.errors import IntegrityError
from rastos.kernel import UKI_STUB, UkiParts, make_uki, plan_initramfs, read_secure_boot_key, read_uki
from rastos.progress import Progress
from rastos.snapshot import MtoolsEsp, Store, boot_files, create_session, deploy, plan_deploy
from rastos.snapshot.bootentry import ENTRIES, parse_entry
from tests.conftest import need, unmet
from tests.system.storehouse import ESP_SIZE, fill, leftovers, make_files, mounted_store

STUB = Path("/") / UKI_STUB


@pytest.fixture(autouse=True)
def _stub() -> None:
    need("objdump", "objcopy", "sbsign", "openssl")
    if not STUB.is_file():
        unmet("install systemd-boot-efi: it has systemd's boot stub")


@pytest.fixture
def parts(tmp_path: Path) -> UkiParts:
    (tmp_path / "vmlinuz").write_bytes(b"MZ kernel" * 1000)
    (tmp_path / "initramfs").write_bytes(b"0707 initramfs" * 333)
    return UkiParts(STUB, tmp_path / "vmlinuz", tmp_path / "initramfs", "root=x ro", "ID=rastos\n", "6.1-test")


def test_other_tools_see_its_sections(parts: UkiParts, tmp_path: Path) -> None:
    made = tmp_path / "made.efi"
    made.write_bytes(make_uki(parts))
    assert made.read_bytes() == make_uki(parts), "same parts, same bytes"
    listed = subprocess.run(["objdump", "-h", made], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in listed.splitlines() if line.strip()[:1].isdigit()]
    assert [row[1] for row in rows][-5:] == [".osrel", ".cmdline", ".uname", ".initrd", ".linux"]
    spans = sorted((int(row[3], 16), int(row[3], 16) + int(row[2], 16)) for row in rows)
    assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:], strict=False)), (
        "no two overlap in memory"
    )
    for name, content in parts.sections():
        subprocess.run(
            ["objcopy", "-O", "binary", "--dump-section", f"{name}={tmp_path / 'out'}", made, "/dev/null"], check=True
        )
        assert (tmp_path / "out").read_bytes().rstrip(b"\0") == content
        assert read_uki(made.read_bytes())[name] == content
    # what the stub holds is there as it was
    assert read_uki(made.read_bytes())[".text"] == read_uki(STUB.read_bytes())[".text"]


def test_what_is_no_stub_is_refused(parts: UkiParts, tmp_path: Path) -> None:
    for number, content in enumerate((b"", b"MZ", b"\x7fELF" * 400, STUB.read_bytes()[:900], make_uki(parts))):
        other = tmp_path / str(number)
        other.write_bytes(content)
        with pytest.raises(IntegrityError):
            make_uki(UkiParts(other, parts.kernel, None, "", "", ""))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    need("mkfs.btrfs", "mkfs.vfat", "mcopy")
    make_files(tmp_path)
    with mounted_store(tmp_path, fresh=True) as plain:
        yield plain
        assert leftovers(plain) == []


def test_a_deploy_boots_by_one_file_that_can_be_signed(store: Store, tmp_path: Path) -> None:
    with create_session(store, None, "test") as session:
        fill(session.tree)
        session.commit("without the stub")
    with pytest.raises(IntegrityError, match="has no boot stub"):
        plan_deploy(store, 0, unified=True)
    deploy(store, plan_deploy(store, 0), Progress())
    assert not boot_files(store).unified
    with create_session(store, 0, "test") as session:
        (session.tree / UKI_STUB).parent.mkdir(parents=True)
        (session.tree / UKI_STUB).write_bytes(STUB.read_bytes())
        session.commit('with it; a "quoted" $description')
    words = "req -new -x509 -newkey rsa:2048 -nodes -subj /CN=test -days 2 -keyout".split()
    subprocess.run(["openssl", *words, tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    pair = read_secure_boot_key(tmp_path / "key", tmp_path / "cert")
    for number, key, unified in ((2, None, True), (3, pair, None)):
        deploy(store, plan_deploy(store, 1, unified=unified), Progress(), secure_boot=key)
        files = boot_files(store)
        assert files.unified and files.deployment == number and f"rastos.deployment={number}" in files.options.split()
        (tmp_path / "uki").write_bytes(store.esp.read(files.kernel_esp_path))
        verified = subprocess.run(["sbverify", "--cert", tmp_path / "cert", tmp_path / "uki"], capture_output=True)
        assert (verified.returncode == 0) == (key is not None)
        found = read_uki((tmp_path / "uki").read_bytes())
        assert found[".cmdline"].decode() == files.options
        assert found[".linux"] == (store.tree(1) / "usr/lib/modules/6.1-test/vmlinuz").read_bytes()
        plan = plan_initramfs(store.tree(1), "6.1-test")
        assert plan is not None and found[".initrd"]
        assert found[".osrel"].decode().splitlines()[1].count('"') == 2
    # what an entry names stays, nothing else does
    deploy(store, plan_deploy(store, 1), Progress())
    texts = [parse_entry(store.esp.read(f"{ENTRIES}/{item.name}").decode()) for item in store.entries()]
    assert ["efi" in values for values in texts] == [False, True, True, True], "once asked for, always"
    named = {values[key].split("/")[2] for values in texts for key in ("linux", "initrd", "efi") if key in values}
    assert named == set(store.esp.list("/rastos"))
    deploy(store, plan_deploy(store, 1, unified=False), Progress())
    assert not boot_files(store).unified and not plan_deploy(store, 1).unified
    assert isinstance(store.esp, MtoolsEsp) and store.esp.size() == ESP_SIZE
