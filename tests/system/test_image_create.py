"""Creating images from a few packages made here: what comes out, what is reused, and what a failure leaves."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rastos.errors import BusyError, HostError, RastosError, UserError
from rastos.host import faults, mounted, run
from rastos.installer import (
    Image,
    ImagePlan,
    ImageProfile,
    create_image,
    inspect_image,
    load_image_profile,
    open_image,
    plan_image,
)
from rastos.installer.profile import User
from rastos.package import Channel, LocalRepository, PackageMetadata, Plan, load_manifest, open_channels, write_package
from rastos.progress import Progress
from tests.conftest import ROOT, need

RELEASE = "6.1-tiny"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAY2F7qeAtPkToy5ejxFBEJoQkoraS+XFRbVMmgcfUfd me@example.org"
# stands in for systemctl, useradd, groupadd and the like: writes down how it was called, and adds the user or the group
PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
int main(int argc, char **argv) {
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	FILE *log = fopen("/usr/share/calls", "a");
	for (int i = 0; i < argc; i++) fprintf(log, "%s ", i ? argv[i] : name);
	fprintf(log, "\n");
	fclose(log);
	if (strcmp(name, "groupadd") == 0) {
		FILE *f = fopen("/etc/group", "a");
		fprintf(f, "%s:x:%s:\n", argv[argc - 1], argc > 2 ? argv[2] : "1000");
		fclose(f);
	}
	if (strcmp(name, "useradd") == 0) {
		char home[200];
		const char *uid = "1000";
		snprintf(home, sizeof home, "/home/%s", argv[argc - 1]);
		for (int i = 1; i < argc; i++) {
			if (strcmp(argv[i], "--uid") == 0) uid = argv[i + 1];
			if (strcmp(argv[i], "--home-dir") == 0) snprintf(home, sizeof home, "%s", argv[i + 1]);
		}
		FILE *f = fopen("/etc/passwd", "a");
		fprintf(f, "%s:x:%s:%s::%s:/bin/bash\n", argv[argc - 1], uid, uid, home);
		fclose(f);
		f = fopen("/etc/shadow", "a");
		fprintf(f, "%s:!:1::::::\n", argv[argc - 1]);
		fclose(f);
		mkdir(home, 0700);
	}
	return 0;
}
"""
SYSTEM = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "etc/shadow": "root:*:1::::::\n",
    "etc/group": "root:x:0:\nsudo:x:27:\n",
    "etc/ssh/ssh_host_rsa_key": "the key of whoever made the package\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "usr/bin/ssh-keygen": "",
    "bin/bash": "",
    "usr/share/zoneinfo/Europe/Berlin": "TZif",
    "usr/share/zoneinfo/UTC": "TZif",
    "usr/share/i18n/SUPPORTED": "de_DE.UTF-8 UTF-8\nde_AT.UTF-8 UTF-8\n",
    "usr/lib/systemd/system/example.service": "[Service]\n",
    "var/lib/shipped": "state\n",
}


@dataclass
class Workshop:
    """Packages, caches and output of one test module, and the verbs."""

    base: Path

    @property
    def repository(self) -> LocalRepository:
        return LocalRepository(self.base / "repository")

    @property
    def channels(self) -> list[Channel]:
        return open_channels(load_manifest(self.base / "packages.toml"), cache=self.cache, repository=self.repository)

    @property
    def cache(self) -> Path:
        return self.base / "cache"

    def package(self, name: str, files: dict[str, str | Path], version: str = "1-1", **fields: object) -> None:
        tree = self.base / "trees" / name
        shutil.rmtree(tree, ignore_errors=True)
        for path, content in files.items():
            place = tree / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copy(content, place)
            else:
                place.write_text(content)
        metadata = PackageMetadata(name, version, **fields)  # type: ignore[arg-type]
        self.repository.add(write_package(metadata, tree, self.base / "built"))

    def plan(self, output: Path, **changes: object) -> ImagePlan:
        basis = ImageProfile("tiny", sets=("tiny",), kernel="tiny", size=512 << 20, esp=40 << 20)
        return plan_image(
            replace(basis, **changes),  # type: ignore[arg-type]
            load_manifest(self.base / "packages.toml"),
            self.channels,
            self.repository,
            output=output,
            cache=self.cache,
            progress=Progress(),
        )

    def create(self, output: Path, **changes: object) -> Image:
        return create_image(self.plan(output, **changes), self.channels, cache=self.cache, progress=Progress())

    def leftovers(self) -> list[str]:
        loops = run(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"]).stdout.splitlines()
        found = [line for line in loops if str(self.base) in line]
        return found + [str(path) for path in (self.cache / "images").glob(".*")]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    need("sfdisk", "mkfs.vfat", "mkfs.btrfs", "qemu-img", "qemu-storage-daemon", "mcopy", "gcc", "depmod")
    base = tmp_path_factory.mktemp("shop")
    made = Workshop(base)
    (base / "program.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-Os", "-static", "-o", base / "program", base / "program.c"], check=True)
    programs = {f"usr/bin/{name}": base / "program" for name in ("systemctl", "useradd", "locale-gen")}
    made.package("system", {**SYSTEM, **programs})
    modules = f"usr/lib/modules/{RELEASE}"
    files: dict[str, str | Path] = {f"{modules}/{name}": name for name in ("vmlinuz", "pkgbase")}
    files |= {f"{modules}/modules.{name}": "" for name in ("order", "builtin")}
    made.package("linux-rastos-tiny", {**files, f"{modules}/kernel/.keep": ""}, version="6.1-1")
    (base / "packages.toml").write_text(
        f'[channels.rastos-local]\nkind = "local"\nserver = "{made.repository.directory}"\n'
        '[sets.tiny]\npackages = ["system"]\n'
    )
    return made


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out/tiny.qcow2"


@contextmanager
def fault(specification: str) -> Iterator[None]:
    faults.arm(specification)
    try:
        yield
    finally:
        faults.disarm()


@pytest.mark.parametrize("kind", ["qcow2", "raw"])
def test_what_comes_out(shop: Workshop, output: Path, kind: str) -> None:
    me = User("me", "$6$salt$hash", ("sudo",), (KEY,))
    made = shop.create(
        output,
        format=kind,
        hostname="box.example.org",
        timezone="Europe/Berlin",
        locale="de_DE.UTF-8",
        root_password="$6$s$h",
        ssh_keys=(KEY,),
        users=(me,),
        enable=("example.service",),
    )
    assert made.path == output and not made.cached and shop.leftovers() == []
    assert os.listdir(output.parent) in ([output.name, f".{output.name}.lock"], [f".{output.name}.lock", output.name])
    found = inspect_image(output)
    assert (found.format, found.size) == (kind, 512 << 20)
    assert [snapshot.id for snapshot in found.snapshots] == [0]
    assert [(item.number, item.snapshot) for item in found.deployments] == [(1, 0)]
    assert [(entry.name, entry.state, entry.tries_left) for entry in found.entries] == [("rastos-1+3.conf", "new", 3)]
    assert found.snapshots[0].kernel == RELEASE and found.snapshots[0].packages == 3
    assert found.made["key"] == made.key and "system 1-1" in found.made["packages"]
    with open_image(output, writable=False, purpose="test") as image:
        tree, esp = image.top / "snapshots/0/tree", image.esp
        etc = image.top / "deployments/1/etc"
        with pytest.raises(OSError, match="Read-only"):
            (tree / "usr/x").touch()
        assert (etc / "hostname").read_text() == "box.example.org\n"
        assert os.readlink(etc / "localtime") == "/usr/share/zoneinfo/Europe/Berlin"
        assert (etc / "machine-id").read_bytes() == b"" and list((etc / "ssh").glob("ssh_host_*")) == []
        assert (etc / "locale.conf").read_text() == "LANG=de_DE.UTF-8\n"
        assert (etc / "locale.gen").read_text() == "de_DE.UTF-8 UTF-8\n"
        assert f"PARTUUID={found.partitions[0].uuid} /efi vfat" in (etc / "fstab").read_text()
        shadow = dict(row.split(":")[:2] for row in (etc / "shadow").read_text().splitlines())
        assert shadow == {"root": "$6$s$h", "me": "$6$salt$hash"}
        for home, owner in (("state/root", 0), ("state/home/me", 1000)):
            keys = image.top / home / ".ssh/authorized_keys"
            assert keys.read_text() == KEY + "\n"
            assert (keys.stat().st_mode & 0o777, keys.stat().st_uid) == (0o600, owner)
            assert (keys.parent.stat().st_mode & 0o777, keys.parent.stat().st_uid) == (0o700, owner)
        assert (image.top / "state/var/lib/shipped").read_text() == "state\n"
        calls = (tree / "usr/share/calls").read_text()
        assert "locale-gen \n" in calls
        assert "useradd --create-home --shell /bin/bash --groups sudo me" in calls
        assert "systemctl enable example.service systemd-networkd.service" in calls
        assert esp.read("/EFI/BOOT/BOOTX64.EFI") == esp.read("/EFI/systemd/systemd-bootx64.efi")
        assert b"timeout" in esp.read("/loader/loader.conf")
        entry = esp.read("/loader/entries/rastos-1+3.conf").decode()
        assert f"root=PARTUUID={found.partitions[1].uuid}" in entry and "console=ttyS0" in entry
        init = (tree / "usr/lib/rastos/init").read_bytes()
        assert init[:4] == b"\x7fELF" and b"/lib64/ld-linux" not in init, "PID 1 must need no library"
        assert {"efi", "proc", "sys", "dev", "run", "tmp", "var", "home", "root", "srv"} <= set(os.listdir(tree))


def test_root_is_locked_unless_a_password_is_given(shop: Workshop, output: Path) -> None:
    shop.create(output)
    with open_image(output, writable=False, purpose="test") as image:
        assert (image.top / "deployments/1/etc/shadow").read_text().startswith("root:!*:")


def test_same_inputs_come_from_the_cache(shop: Workshop, output: Path) -> None:
    first = shop.create(output, hostname="cached")
    content = output.read_bytes()
    second = output.with_name("second.qcow2")
    assert shop.plan(second, hostname="cached").cached
    started = time.monotonic()
    again = shop.create(second, hostname="cached")
    assert again.cached and again.key == first.key and time.monotonic() - started < 5
    assert second.read_bytes() == content


def test_every_input_changes_the_key(shop: Workshop, output: Path) -> None:
    keys = {shop.plan(output).key}
    for changes in ({"hostname": "other"}, {"size": 600 << 20}, {"cmdline": "quiet"}, {"ssh_keys": (KEY,)}):
        keys.add(shop.plan(output, **changes).key)
    files = {path: text for path, text in SYSTEM.items()} | {"usr/share/new": "same version, other content"}
    programs = {f"usr/bin/{name}": shop.base / "program" for name in ("systemctl", "useradd", "locale-gen")}
    shop.package("system", {**files, **programs})
    keys.add(shop.plan(output).key)
    shop.package("system", {**SYSTEM, **programs})
    assert len(keys) == 6 and shop.plan(output).key in keys


@pytest.mark.parametrize(
    ("changes", "what", "step"),
    [
        ({"kernel": "nope"}, "the kernel 'nope' is not built", "rastos kernel build --profile nope"),
        ({"sets": ("tyni",)}, "no package set 'tyni'", "tiny"),
        ({"packages": ("systme",)}, "systme", "system"),
        ({"size": 100 << 20}, "leaves 58 MiB for the root", "--size"),
        ({"esp": 1 << 20}, "ESP of 1 MiB is too small", "32M"),
        ({"timezone": "Europe/Nowhere"}, "unknown time zone", "Europe/Berlin"),
        ({"locale": "de_DE.UTF8"}, "no locale 'de_DE.UTF8'", "did you mean 'de_DE.UTF-8'"),
        ({"users": (User("me", groups=("wheel",)),)}, "wheel", "leave it out"),
    ],
)
def test_bad_input(shop: Workshop, output: Path, changes: dict[str, object], what: str, step: str) -> None:
    with pytest.raises(UserError) as caught:
        shop.create(output, **changes)
    error = caught.value
    assert what in f"{error.what} {error.detail}" and step in f"{error.next_step} {error.detail}"
    assert not output.exists() and shop.leftovers() == []


def test_a_disk_too_small_says_how_much_is_needed(
    shop: Workshop, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plan, "installed_size", property(lambda plan: 1 << 30))
    with pytest.raises(UserError, match="need 1024 MiB, the root has 470 MiB") as caught:
        shop.plan(output)
    size = re.search(r"--size (\d+)M at least", caught.value.next_step)
    assert size and shop.plan(output, size=int(size[1]) << 20).layout.root.size > 1 << 30


@pytest.mark.parametrize(
    "step", ["snapshot.moved=enospc", "snapshot.committed=error", "deploy.kernel=eio", "deploy.committed=error"]
)
def test_a_failure_leaves_the_old_image_and_nothing_else(shop: Workshop, output: Path, step: str) -> None:
    shop.create(output, hostname="before")
    before, cached = output.read_bytes(), sorted((shop.cache / "images").iterdir())
    with fault(step), pytest.raises((RastosError, OSError)):
        shop.create(output, hostname=f"fails-{step.partition('=')[0].replace('.', '-')}")
    assert output.read_bytes() == before
    assert sorted((shop.cache / "images").iterdir()) == cached
    assert shop.leftovers() == []


def test_a_full_output_disk(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    with mounted("tmpfs", tmp_path / "small", "tmpfs", ("size=1m",)) as small:
        with pytest.raises(OSError, match="No space left"):
            shop.create(small / "tiny.raw", format="raw")
        assert [path.name for path in small.iterdir()] == [".tiny.raw.lock"]


def test_a_small_cache_disk_is_told_before_anything_is_done(shop: Workshop, output: Path) -> None:
    plan = shop.plan(output, hostname="never-made")
    (output.parent / "cache").mkdir(parents=True)
    with mounted("tmpfs", output.parent / "cache", "tmpfs", ("size=20m",)) as small:
        with pytest.raises(HostError, match="MiB are needed") as caught:
            create_image(plan, shop.channels, cache=small, progress=Progress())
        assert "RASTOS_CACHE" in caught.value.next_step
        assert list((small / "images").iterdir()) == []


def test_an_image_in_use_is_not_replaced(shop: Workshop, output: Path) -> None:
    shop.create(output, hostname="used")
    before = output.stat().st_ino
    with open_image(output, writable=True, purpose="the holder"), pytest.raises(BusyError) as caught:
        shop.create(output, hostname="other-one")
    assert "the holder" in caught.value.holder and output.stat().st_ino == before
    argv = ["qemu-system-x86_64", "-S", "-display", "none", "-nodefaults", "-m", "64", "-hda", str(output)]
    with subprocess.Popen(argv) as machine:  # one that rastos did not start
        try:
            time.sleep(1.5)
            with pytest.raises(BusyError, match="in use"):
                shop.create(output, hostname="other-one")
        finally:
            machine.kill()
    assert output.stat().st_ino == before


CHILD = """
import sys
from pathlib import Path
from tests.system.test_image_create import Workshop
Workshop(Path(sys.argv[1])).create(Path(sys.argv[2]), hostname="killed")
print("made", flush=True)
"""


@pytest.mark.parametrize("step", ["packages-installed", "session.opened", "snapshot.committed", "deploy.entry"])
def test_killed_on_the_way(shop: Workshop, output: Path, step: str) -> None:
    if step == "packages-installed":  # else they come from the cache
        shutil.rmtree(shop.cache / "stages", ignore_errors=True)
    code = f"from rastos.host import faults; faults.arm('{step}=kill')\n{CHILD}"
    done = subprocess.run([sys.executable, "-c", code, str(shop.base), str(output)], cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not output.exists()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and [line for line in shop.leftovers() if "/.create." not in line]:
        time.sleep(0.1)
    assert [line for line in shop.leftovers() if "/.create." not in line] == []
    shop.create(output, hostname="after-the-kill")  # and with that the dead one's work folder is gone
    assert shop.leftovers() == [] and inspect_image(output).snapshots


def test_the_cache_keeps_only_the_last_ones(shop: Workshop, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rastos.installer import kept_images

    monkeypatch.setattr(kept_images, "KEPT_IMAGES", 2)
    for name in ("one", "two", "three"):
        shop.create(output, hostname=name)
    assert [shop.plan(output, hostname=name).cached for name in ("one", "two", "three")] == [False, True, True]
    assert len(list((shop.cache / "images").glob("*.json"))) == 2


def test_shipped_profiles_name_what_the_manifest_has() -> None:
    manifest = load_manifest(ROOT / "packages.toml")
    for name in ("minimal", "server", "ci"):
        assert manifest.select(load_image_profile(name, [ROOT / "profiles"]).sets)
