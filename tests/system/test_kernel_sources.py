"""Sources, end to end on a tiny kernel tree: signed tarballs from a server that fails, git, folders, patches.

Real: gpg, xz, tar, git, patch, HTTP on loopback. Each refusal leaves nothing unpacked and the last good kernel usable.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rastos.errors import HostError, IntegrityError, RastosError, UserError
from rastos.kernel import (
    Patch,
    Source,
    build,
    built,
    find_source,
    list_sources,
    load_profile,
    open_source,
    plan_build,
    read_series,
    releases,
    trust_keys,
)
from rastos.package import LocalRepository
from rastos.progress import Progress
from tests.conftest import need
from tests.system.tiny_kernel import write_tiny_kernel


def shell(*words: str | Path, cwd: Path | None = None) -> str:
    return subprocess.run([*words], cwd=cwd, check=True, capture_output=True, text=True).stdout


@dataclass
class Keys:
    home: Path

    def sign(self, path: Path, user: str, to: Path) -> None:
        self.gpg("--local-user", user, "--output", to, "--detach-sign", path)

    def gpg(self, *words: str | Path) -> None:
        shell("gpg", "--homedir", self.home, "--batch", "--yes", "--quiet", "--passphrase", "", *words)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    need("gpg", "gpgv", "xz", "patch", "git")
    made = Keys(tmp_path_factory.mktemp("k"))
    made.home.chmod(0o700)
    for name in ("release", "stranger"):
        made.gpg("--quick-generate-key", name, "ed25519", "sign", "never")
        made.gpg("--output", made.home / f"{name}.gpg", "--export", name)
    yield made
    subprocess.run(["gpgconf", "--homedir", made.home, "--kill", "gpg-agent"], check=False)


@dataclass
class Mirror:
    """kernel.org's layout in a folder, and the server in front of it."""

    folder: Path
    address: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    break_off: int = 0

    @property
    def tarball(self) -> Path:
        return self.folder / "v6.x/linux-6.12.9.tar.xz"

    @property
    def sign(self) -> Path:
        return self.folder / "v6.x/linux-6.12.9.tar.sign"


@pytest.fixture
def mirror(tmp_path: Path, keys: Keys) -> Iterator[Mirror]:
    made = Mirror(tmp_path / "mirror")
    made.tarball.parent.mkdir(parents=True)
    write_tiny_kernel(tmp_path / "linux-6.12.9")
    (tmp_path / "linux-6.12.9/noise").write_bytes(b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 4)
    plain = made.tarball.with_suffix("")
    shell("tar", "-C", tmp_path, "-cf", plain, "linux-6.12.9")
    keys.sign(plain, "release", made.sign)
    shell("xz", plain)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            made.asked.append((self.path.rpartition("/")[2], asked))
            path = made.folder / self.path.lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            data = path.read_bytes()
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            end = made.break_off if made.break_off and path.suffix == ".xz" and not asked else len(data)
            self.wfile.write(data[start:end])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        made.address = f"http://127.0.0.1:{service.server_address[1]}"
        yield made
        service.shutdown()
        thread.join()


Opener = Callable[..., Source]


@pytest.fixture
def opened(tmp_path: Path, mirror: Mirror, keys: Keys) -> Opener:
    """Find and open kernel.org:6.12.9 on the mirror, with the release key trusted."""

    def do(wanted: str = "kernel.org:6.12.9", trusted: str = "release") -> Source:
        keyring = keys.home / f"{trusted}.gpg"
        source = find_source(wanted, tmp_path / "cache", mirror=mirror.address, keyring=keyring)
        return open_source(source, tmp_path / "cache", Progress())

    return do


def nothing_kept(tmp_path: Path) -> None:
    assert not list((tmp_path / "cache/sources").glob("*/source.json"))
    assert not list((tmp_path / "cache/sources").glob("*/tree"))
    work = tmp_path / "cache/work"
    assert not work.is_dir() or not list(work.iterdir())


def test_a_release_is_verified_unpacked_once_and_remembered(tmp_path: Path, mirror: Mirror, opened: Opener) -> None:
    source = opened()
    assert (source.version, source.kind) == ("6.12.9", "kernel.org")
    assert source.digest == hashlib.sha256(mirror.tarball.read_bytes()).hexdigest()
    assert (source.tree / "Makefile").is_file() and source.epoch
    count = len(mirror.asked)
    assert opened() == source
    assert len(mirror.asked) == count, "the second time nothing is asked"
    assert not list((tmp_path / "cache/downloads").iterdir())
    assert [item.title for item in list_sources(tmp_path / "cache") if item.kind == "kernel.org"] == ["linux-6.12.9"]


def test_without_a_key_nothing_is_used(tmp_path: Path, mirror: Mirror, keys: Keys) -> None:
    keyring = tmp_path / "state/keys/kernel.org.gpg"
    source = find_source("kernel.org:6.12.9", tmp_path / "cache", mirror=mirror.address, keyring=keyring)
    with pytest.raises(HostError) as caught:
        open_source(source, tmp_path / "cache", Progress())
    assert "rastos kernel trust" in caught.value.next_step
    assert not mirror.asked
    nothing_kept(tmp_path)
    # trusting a file of keys is what it takes; a second file adds to the first
    stranger = trust_keys(keys.home / "stranger.gpg", keyring)
    release = trust_keys(keys.home / "release.gpg", keyring)
    assert stranger != release and len(release[0][0]) == 40
    assert open_source(source, tmp_path / "cache", Progress()).version == "6.12.9"
    with pytest.raises(IntegrityError):
        trust_keys(mirror.tarball, keyring)


def changed(mirror: Mirror, keys: Keys) -> None:
    """Another tar under the old signature."""
    shell("xz", "-d", mirror.tarball)
    plain = mirror.tarball.with_suffix("")
    data = bytearray(plain.read_bytes())
    data[data.index(b"return 3")] = ord("R")
    plain.write_bytes(data)
    shell("xz", plain)


def strange(mirror: Mirror, keys: Keys) -> None:
    shell("xz", "-dk", mirror.tarball)
    keys.sign(mirror.tarball.with_suffix(""), "stranger", mirror.sign)


def truncated(mirror: Mirror, keys: Keys) -> None:
    mirror.tarball.write_bytes(mirror.tarball.read_bytes()[:-100])


def damaged(mirror: Mirror, keys: Keys) -> None:
    data = bytearray(mirror.tarball.read_bytes())
    data[len(data) // 2] ^= 255
    mirror.tarball.write_bytes(data)


def unsigned(mirror: Mirror, keys: Keys) -> None:
    mirror.sign.unlink()


@pytest.mark.parametrize("spoil", [changed, strange, truncated, damaged, unsigned])
def test_a_bad_release_is_refused_and_a_good_one_then_taken(
    tmp_path: Path, mirror: Mirror, keys: Keys, opened: Opener, spoil: Callable[[Mirror, Keys], None]
) -> None:
    good = mirror.tarball.read_bytes(), mirror.sign.read_bytes()
    spoil(mirror, keys)
    with pytest.raises(IntegrityError):
        opened()
    nothing_kept(tmp_path)
    mirror.tarball.write_bytes(good[0])
    mirror.sign.write_bytes(good[1])
    assert opened().version == "6.12.9"


def test_the_same_name_never_gives_other_content_unseen(
    tmp_path: Path, mirror: Mirror, keys: Keys, opened: Opener
) -> None:
    source = opened()
    shutil.rmtree(source.tree.parent)
    shell("xz", "-d", mirror.tarball)
    with mirror.tarball.with_suffix("").open("ab") as plain:
        plain.write(bytes(10240))
    keys.sign(mirror.tarball.with_suffix(""), "release", mirror.sign)  # even signed by the right key
    shell("xz", mirror.tarball.with_suffix(""))
    with pytest.raises(IntegrityError, match="SHA-256"):
        opened()
    nothing_kept(tmp_path)


def test_a_download_that_broke_off_goes_on(mirror: Mirror, opened: Opener) -> None:
    mirror.break_off = 5000
    assert opened().version == "6.12.9"
    assert ("linux-6.12.9.tar.xz", "bytes=5000-") in mirror.asked


def test_the_digest_in_an_address_is_enough(mirror: Mirror, tmp_path: Path) -> None:
    address = f"{mirror.address}/v6.x/linux-6.12.9.tar.xz"
    digest = hashlib.sha256(mirror.tarball.read_bytes()).hexdigest()
    with pytest.raises(IntegrityError):
        open_source(find_source(f"{address}#sha256={'0' * 64}", tmp_path / "cache"), tmp_path / "cache", Progress())
    nothing_kept(tmp_path)
    source = find_source(f"{address}#sha256={digest}", tmp_path / "cache")
    assert open_source(source, tmp_path / "cache", Progress()).version == "6.12.9"
    with pytest.raises(HostError):  # without it: a signature
        open_source(find_source(address, tmp_path / "cache2"), tmp_path / "cache2", Progress())


def test_what_a_mirror_has_and_has_not(tmp_path: Path, mirror: Mirror, opened: Opener) -> None:
    with pytest.raises(UserError) as caught:
        opened("kernel.org:6.12.10")
    assert "--remote" in caught.value.next_step
    for wrong in (
        "kernel.org:6.12-rc1",
        "kernel.org:../../x",
        "https://example.org/linux.zip",
        "https://a/b.tar#md5=1",
    ):
        with pytest.raises(UserError):
            opened(wrong)
    row = {"version": "6.12.9", "moniker": "longterm", "released": {"isodate": "2025-01-09"}, "source": "x"}
    hostile = {**row, "version": "6\x1b[2J"}
    (mirror.folder / "releases.json").write_text(json.dumps({"releases": [row, hostile]}))
    assert [item.version for item in releases(mirror.address, work=tmp_path / "work")] == ["6.12.9"]
    (mirror.folder / "releases.json").write_text('{"releases": 1}')
    with pytest.raises(IntegrityError):
        releases(mirror.address, work=tmp_path / "work")


def test_a_local_tarball_is_held_to_the_signature_beside_it(tmp_path: Path, mirror: Mirror, keys: Keys) -> None:
    def open_local(keyring: Path, cache: str) -> Source:
        source = find_source(str(mirror.tarball), tmp_path / cache, keyring=keyring)
        return open_source(source, tmp_path / cache, Progress())

    assert open_local(keys.home / "release.gpg", "one").version == "6.12.9"
    with pytest.raises(IntegrityError, match="not in the keyring"):
        open_local(keys.home / "stranger.gpg", "cache")
    nothing_kept(tmp_path)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with a tag v6.12.9 and a commit after it on main."""
    need("git")
    folder = write_tiny_kernel(tmp_path / "linux")
    for words in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "."),
        ("commit", "--quiet", "-m", "one"),
        ("tag", "-a", "-m", "v", "v6.12.9"),
    ):
        git(folder, *words)
    (folder / "src/f1.c").write_text("int f1(void) { return 100; }\n")
    git(folder, "commit", "--quiet", "-am", "two")
    return folder


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "safe.directory=*")
    return shell("git", *who, "-C", folder, *words).strip()


def test_one_ref_of_a_repository(tmp_path: Path, repository: Path) -> None:
    cache = tmp_path / "cache"
    commit, stamp = (
        git(repository, "rev-parse", "v6.12.9^{commit}"),
        git(repository, "show", "-s", "--format=%ct", "main~1"),
    )
    one = open_source(find_source(f"git:file://{repository}#v6.12.9", cache), cache, Progress())
    assert (one.digest, one.epoch, one.version) == (commit, int(stamp), "6.12.9")
    assert "return 1;" in (one.tree / "src/f1.c").read_text()
    assert not (one.tree / ".git").exists()
    for wanted, ref in ((str(repository), "v6.12.9"), (str(repository), "main~1"), (str(repository), commit)):
        assert find_source(wanted, cache, ref=ref).tree == one.tree
    two = open_source(find_source(f"git:{repository}#main", cache), cache, Progress())
    assert "return 100;" in (two.tree / "src/f1.c").read_text()
    assert not list((cache / "work").iterdir())


@pytest.mark.parametrize(
    "wanted", ["git:{0}#v9", "git:{0}#--upload-pack=x", "git:ext::sh -c x#v1", "git:/nowhere#v1", "git:-x#v1"]
)
def test_refs_and_repositories_that_are_not_there(tmp_path: Path, repository: Path, wanted: str) -> None:
    with pytest.raises(UserError):
        find_source(wanted.format(repository), tmp_path / "cache")
    with pytest.raises(HostError, match="could not read"):
        find_source("git:file:///nowhere/at/all#v1", tmp_path / "cache")


def test_hooks_and_filters_of_a_repository_do_not_run(tmp_path: Path, repository: Path) -> None:
    trap = tmp_path / "trap"
    (repository / ".gitattributes").write_text("*.c filter=evil\n")
    git(repository, "add", ".gitattributes")
    git(repository, "commit", "--quiet", "-m", "three")
    git(repository, "config", "filter.evil.smudge", f"touch {trap}")
    git(repository, "config", "uploadpack.packObjectsHook", f"touch {trap}")
    git(repository, "config", "core.fsmonitor", f"touch {trap}")
    open_source(find_source(f"git:{repository}#main", tmp_path / "cache"), tmp_path / "cache", Progress())
    find_source(str(repository), tmp_path / "cache")
    assert not trap.exists()


def test_a_dirty_work_tree_is_named_and_digested(tmp_path: Path, repository: Path) -> None:
    clean = find_source(str(repository), tmp_path / "cache")
    assert clean.title.endswith(f"(git {git(repository, 'rev-parse', '--short=12', 'HEAD')})")
    (repository / "src/f1.c").write_text("int f1(void) { return 7; }\n")
    dirty = find_source(str(repository), tmp_path / "cache")
    assert "dirty: 1 changed" in dirty.title and dirty.digest != clean.digest


@pytest.mark.parametrize("stale", [".config", "include/generated/x", "arch/x86/include/generated/x"])
def test_a_tree_with_build_output(tmp_path: Path, stale: str) -> None:
    tree = write_tiny_kernel(tmp_path / "linux")
    (tree / stale).parent.mkdir(parents=True, exist_ok=True)
    (tree / stale).write_text("")
    with pytest.raises(UserError) as caught:
        find_source(str(tree), tmp_path / "cache")
    assert "mrproper" in caught.value.next_step


def test_a_tree_of_another_architecture(tmp_path: Path) -> None:
    tree = write_tiny_kernel(tmp_path / "linux")
    (tree / "arch/arm64").mkdir(parents=True)
    with pytest.raises(UserError, match="another architecture"):
        find_source(str(tree), tmp_path / "cache")


DIFF = """\
--- a/src/f{n}.c
+++ b/src/f{n}.c
@@ -1 +1 @@
-int f{n}(void) {{ return {old}; }}
+int f{n}(void) {{ return {new}; }}
"""


def patches(tmp_path: Path, *texts: str) -> Path:
    folder = tmp_path / "patches"
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (folder / f"{number}.patch").write_text(text)
    (folder / "series").write_text("# in order\n" + "".join(f"{n}.patch -p1 # {n}\n" for n in range(len(texts))))
    return folder


@pytest.fixture(params=["folder", "tarball"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    write_tiny_kernel(tmp_path / "linux")
    if request.param == "folder":
        return str(tmp_path / "linux")
    shell("tar", "-C", tmp_path, "-cJf", tmp_path / "linux.tar.xz", "linux")
    return str(tmp_path / "linux.tar.xz")


def leaves(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def patched(base: str, tmp_path: Path, series: Path) -> Source:
    cache = tmp_path / "cache"
    return open_source(find_source(base, cache, patches=read_series(series)), cache, Progress())


def test_a_series_is_applied_to_a_copy(tmp_path: Path, base: str) -> None:
    cache = tmp_path / "cache"
    plain = open_source(find_source(base, cache), cache, Progress())
    before = leaves(plain.tree)
    new = "--- /dev/null\n+++ b/new/file\n@@ -0,0 +1 @@\n+hello\n"
    series = patches(tmp_path, DIFF.format(n=2, old=2, new=22), DIFF.format(n=2, old=22, new=222), new)
    made = patched(base, tmp_path, series)
    assert "return 222" in (made.tree / "src/f2.c").read_text()
    assert (made.tree / "new/file").read_text() == "hello\n"
    assert leaves(plain.tree) == before, "the source itself is as it was"
    assert made.digest != plain.digest and made.tree != plain.tree and made.version == plain.version
    assert patched(base, tmp_path, series) == made
    if plain.kind == "folder":  # whose owner may write into a file that no patch touched
        (plain.tree / "src/f1.c").write_text("int f1(void) { return 11; }\n")
        assert "return 1;" in (made.tree / "src/f1.c").read_text()
    assert not list((cache / "work").iterdir())
    other = patches(tmp_path, DIFF.format(n=2, old=2, new=23))
    assert patched(base, tmp_path, other).digest != made.digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DIFF.format(n=3, old=4, new=5), r"1\.patch doesn't apply: src/f3\.c, hunk 1 at line 1: its context"),
        (DIFF.format(n=9, old=4, new=5), r"doesn't have"),
        (DIFF.format(n=3, old=2, new=3), r"already"),
        ("@@ this is -1,0 no patch\n", r"1\.patch doesn't apply: it holds no patch"),
        (DIFF.format(n=3, old=3, new=5).replace("src/f3.c", "../../linux/src/f3.c"), r"1\.patch doesn't apply"),
        ("--- /dev/null\n+++ b/../../escaped\n@@ -0,0 +1 @@\n+x\n", r"1\.patch doesn't apply"),
        (
            "diff --git a/up b/up\nnew file mode 120000\n--- /dev/null\n+++ b/up\n@@ -0,0 +1 @@\n+/etc\n\\ No newline\n",
            "hostile|apply",
        ),
    ],
    ids=["context", "missing", "applied", "garbage", "upward", "new-upward", "link"],
)
def test_a_patch_that_does_not_apply(tmp_path: Path, base: str, text: str, words: str) -> None:
    series = patches(tmp_path, DIFF.format(n=0, old=0, new=10), text)
    with pytest.raises(RastosError, match=words) as caught:
        patched(base, tmp_path, series)
    assert isinstance(caught.value, UserError | IntegrityError)
    assert not list((tmp_path / "cache/sources").glob("*+*/tree"))
    assert not list((tmp_path / "cache/work").iterdir())
    assert not list(tmp_path.rglob("escaped"))
    assert not Path("/escaped").exists()
    assert "return 0;" in (tmp_path / "linux/src/f0.c").read_text()


def test_a_series_that_is_wrong(tmp_path: Path) -> None:
    folder = patches(tmp_path, DIFF.format(n=0, old=0, new=1))
    with (folder / "series").open("a") as series:
        series.write("missing.patch\n")
    with pytest.raises(UserError, match="series:3: there is no patch"):
        read_series(folder)
    (folder / "series").write_text("../outside.patch\n")
    with pytest.raises(RastosError):
        read_series(folder)
    (folder / "series").write_text("0.patch -R\n")
    with pytest.raises(UserError, match="series:1"):
        read_series(folder)


def test_patches_are_part_of_the_build_and_the_last_kernel_stays(tmp_path: Path) -> None:
    write_tiny_kernel(tmp_path / "linux")
    folder = tmp_path / "profiles/kernel/fragments"
    folder.mkdir(parents=True)
    (folder / "one.config").write_text("CONFIG_NET=y\n")
    repository = LocalRepository(tmp_path / "state/repository")

    def make(text: str, name: str = "one") -> str:
        (folder.parent / "tiny.toml").write_text('fragments = ["one"]\npatches = "../../patches"\n')
        patches(tmp_path, text)
        plan = plan_build(
            load_profile("tiny", [tmp_path / "profiles"]),
            source=str(tmp_path / "linux"),
            jobs=2,
            cache=tmp_path / "cache",
            repository=repository,
        )
        return build(plan, Progress()).key

    first = make(DIFF.format(n=0, old=0, new=10))
    assert make(DIFF.format(n=0, old=0, new=10)) == first
    with pytest.raises(UserError, match="doesn't apply"):
        make(DIFF.format(n=0, old=9, new=10))
    kept = built(tmp_path / "cache", repository)
    assert [item.key for item in kept] == [first]
    assert make(DIFF.format(n=0, old=0, new=20)) != first


def test_one_patch_as_an_option(tmp_path: Path) -> None:
    write_tiny_kernel(tmp_path / "linux")
    alone = patches(tmp_path, DIFF.format(n=0, old=0, new=10)) / "0.patch"
    cache = tmp_path / "cache"
    source = open_source(find_source(str(tmp_path / "linux"), cache, patches=[Patch(alone)]), cache, Progress())
    assert source.title.endswith("+ 1 patch")
