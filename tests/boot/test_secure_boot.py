"""Secure Boot in a machine whose firmware knows one key: what that key signed starts, nothing else does."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import ExternalError
from rastos.installer import open_image
from rastos.installer.bootloader import install_bootloader
from rastos.installer.vm import MachineSpec, booted
from rastos.installer.vm.secureboot import FIRMWARE, find_secure_firmware
from rastos.kernel import SecureBootKey, read_secure_boot_key
from rastos.progress import Progress
from rastos.snapshot import Store, deploy, plan_deploy
from tests.boot.conftest import Rastos, environment
from tests.conftest import need, unmet

CACHE = Path(environment()["RASTOS_CACHE"])
SECONDS = 120.0


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SecureBootKey:
    need("openssl", "sbsign", "sbverify")
    if not any(Path(code).is_file() for code, _ in FIRMWARE):
        unmet("install ovmf: firmware with Secure Boot")
    try:
        import virt.firmware.varstore.edk2  # noqa: F401
    except ImportError:
        unmet("pip install virt-firmware")
    place = tmp_path_factory.mktemp("keys")
    words = "req -new -x509 -newkey rsa:2048 -nodes -subj /CN=boot-test -days 2 -keyout".split()
    subprocess.run(["openssl", *words, place / "key", "-out", place / "cert"], check=True, capture_output=True)
    return read_secure_boot_key(place / "key", place / "cert")


@pytest.fixture(scope="module")
def signed(ci_image: Path, key: SecureBootKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ci image with a signed loader, and a signed unified kernel image as its next deployment."""
    place = tmp_path_factory.mktemp("signed") / "signed.qcow2"
    shutil.copyfile(ci_image, place)
    with open_image(place, writable=True, purpose="sign it") as opened:
        install_bootloader(opened.esp, Path("/"), key)
        store = Store.open(opened.top, opened.esp, writable=True)
        deploy(store, plan_deploy(store, 0, unified=True), Progress(), secure_boot=key)
    return place


def test_what_is_signed_starts_and_what_is_not_is_refused(signed: Path, key: SecureBootKey, tmp_path: Path) -> None:
    with booted(signed, cache=CACHE, way="uefi", secure_boot_cert=key.certificate) as machine:
        machine.wait_console("secureboot: Secure boot enabled", SECONDS)
        machine.crash()
    unsigned = tmp_path / "unsigned.qcow2"
    shutil.copyfile(signed, unsigned)
    with open_image(unsigned, writable=True, purpose="deploy without a signature") as opened:
        store = Store.open(opened.top, opened.esp, writable=True)
        deploy(store, plan_deploy(store, 0), Progress())
    with (
        booted(unsigned, cache=CACHE, way="uefi", secure_boot_cert=key.certificate) as machine,
        pytest.raises(ExternalError, match="refused what the disk starts") as caught,
    ):
        machine.wait_console("Linux version", SECONDS)
    # the loader is signed and runs: it is the kernel that is refused
    assert "rastos.efi: Access Denied" in caught.value.tail


@pytest.mark.long
def test_a_loader_without_a_signature_is_refused_by_the_firmware(ci_image: Path, key: SecureBootKey) -> None:
    with (
        booted(ci_image, cache=CACHE, way="uefi", secure_boot_cert=key.certificate) as machine,
        pytest.raises(ExternalError, match="refused") as caught,
    ):
        machine.wait_agent(SECONDS)
    assert "failed to load" in caught.value.tail


@pytest.mark.long
def test_image_test_says_that_secure_boot_is_on(rastos: Rastos, signed: Path, key: SecureBootKey) -> None:
    words = ("image", "test", "--uefi", "--image", signed, "--secure-boot-cert", key.certificate, "--json")
    report = json.loads(rastos(*words))
    checks = {check["name"]: check["passed"] for check in report["checks"]}
    assert report["passed"] and checks["Secure Boot is on"]


@pytest.mark.long
def test_the_loader_enrols_the_keys_in_a_machine_in_setup_mode(
    rastos: Rastos, signed: Path, key: SecureBootKey, tmp_path: Path
) -> None:
    need("cert-to-efi-sig-list", "sign-efi-sig-list")
    disk = tmp_path / "enrol.qcow2"
    shutil.copyfile(signed, disk)
    pair = ("--secure-boot-key", key.key, "--secure-boot-cert", key.certificate)
    planned = json.loads(rastos("image", "secure-boot", *pair, "--automatic", "--image", disk, "--dry-run", "--json"))
    assert planned["mode"] == "force"
    with open_image(disk, writable=False, purpose="look") as opened:
        assert not any(opened.esp.exists(path) for path in planned["files"])
    rastos("image", "secure-boot", *pair, "--automatic", "--image", disk)
    with booted(disk, cache=CACHE, way="uefi", change=_in_setup_mode) as machine:
        machine.wait_console("Enrolling secure boot keys", SECONDS)
        machine.wait_console("secureboot: Secure boot enabled", SECONDS)
        machine.crash()


def test_keys_that_the_loader_was_not_signed_with_are_not_put_there(
    rastos: Rastos, ci_image: Path, key: SecureBootKey
) -> None:
    need("cert-to-efi-sig-list", "sign-efi-sig-list")
    pair = ("--secure-boot-key", key.key, "--secure-boot-cert", key.certificate)
    said = rastos("image", "secure-boot", *pair, "--image", ci_image, "--dry-run", status=1)
    assert "is not signed by that key" in said


def _in_setup_mode(spec: MachineSpec) -> MachineSpec:
    """Firmware with Secure Boot in which nothing is enrolled yet."""
    code, variables = find_secure_firmware()
    shutil.copyfile(variables, spec.runtime / "variables.fd")
    return replace(spec, firmware=(code, spec.runtime / "variables.fd"), secure=True)
