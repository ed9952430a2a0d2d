"""`rastos package repo`: added, signed and served by rastos, read, verified and searched by pacman."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rastos.package import LocalRepository, PackageMetadata, write_package
from rastos.package.repository import read_paths
from tests.conftest import need
from tests.system.misbehaving import Keys, agents


def make(base: Path, name: str, version: str = "1-1", **files: str) -> Path:
    tree = Path(tempfile.mkdtemp(dir=base))
    for path, content in (files or {f"usr/bin/{name}": name}).items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(content)
    return write_package(PackageMetadata(name, version), tree, base / "built")


def command(base: Path, *words: str | Path) -> tuple[list[str], dict[str, str]]:
    places = {"RASTOS_CACHE": str(base / "c"), "RASTOS_STATE": str(base / "state")}
    return [sys.executable, "-m", "rastos", "package", "repo", *map(str, words)], {**os.environ, **places}


def repo(base: Path, *words: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    argv, env = command(base, *words)
    done = subprocess.run(argv, env=env, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture
def keys() -> Iterator[Keys]:
    need("gpg", "gpg-agent", "gpgconf")
    with tempfile.TemporaryDirectory(prefix="k") as folder:
        found = Keys(Path(folder))
        yield found
        found.close()


@contextmanager
def served(base: Path, *words: str | Path) -> Iterator[str]:
    argv, env = command(base, "serve", "--port", "0", *words)
    with subprocess.Popen(
        argv,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as running:
        assert running.stdout is not None
        try:
            yield running.stdout.readline().strip()
            running.send_signal(signal.SIGINT)
            assert running.wait(10) == 0
        finally:
            running.kill()


def test_add_list_remove(tmp_path: Path) -> None:
    one, two = make(tmp_path, "one"), make(tmp_path, "two")
    assert "would add one 1-1" in repo(tmp_path, "add", "--dry-run", one).stdout
    assert json.loads(repo(tmp_path, "list", "--json").stdout)["packages"] == []
    repo(tmp_path, "add", one, two)
    newer = make(tmp_path, "one", "2-1")
    assert "added one 2-1 (there was 1-1)" in repo(tmp_path, "add", newer).stdout
    entries = json.loads(repo(tmp_path, "list", "--json").stdout)["packages"]
    assert [(item["name"], item["version"], item["signed"], item["there"]) for item in entries] == [
        ("one", "2-1", False, True),
        ("two", "1-1", False, True),
    ]
    folder = tmp_path / "state/repository"
    (folder / entries[1]["file"]).unlink()
    assert "is gone" in repo(tmp_path, "list").stdout
    assert "no package three" in repo(tmp_path, "remove", "one", "three", status=1).stderr
    assert "would remove two" in repo(tmp_path, "remove", "two", "--dry-run").stdout
    repo(tmp_path, "remove", "two")
    assert "one" in repo(tmp_path, "list").stdout and "two" not in repo(tmp_path, "list").stdout
    broken = tmp_path / "broken.pkg.tar.zst"
    broken.write_bytes(b"no package")
    assert "not a pacman package" in repo(tmp_path, "add", newer, broken, status=1).stderr


def test_another_folder_ours_or_repo_adds(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    repo(tmp_path, "add", "--repository", folder, make(tmp_path, "one"))
    assert (folder / "mine.db").is_symlink() and (folder / "mine.files").is_symlink()
    repo(tmp_path, "add", "--repository", folder, "--name", "second", make(tmp_path, "two"))
    assert "2 repositories here: mine, second" in repo(tmp_path, "list", "--repository", folder, status=1).stderr
    assert "cannot be named" in repo(tmp_path, "list", "--repository", folder, "--name", "a/b", status=1).stderr

    need("repo-add")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    package = theirs / make(tmp_path, "old").name
    package.write_bytes((tmp_path / "built" / package.name).read_bytes())
    subprocess.run(["repo-add", "-q", theirs / "they.db.tar.gz", package], check=True, capture_output=True)
    repo(tmp_path, "add", "--repository", theirs, make(tmp_path, "new"))
    entries = json.loads(repo(tmp_path, "list", "--repository", theirs, "--json").stdout)
    assert entries["name"] == "they" and [item["name"] for item in entries["packages"]] == ["new", "old"]


def test_signatures_stay_true(tmp_path: Path, keys: Keys) -> None:
    number = keys.key("builder")
    keys.close()
    repo(tmp_path, "add", make(tmp_path, "one"), make(tmp_path, "two"))
    folder = tmp_path / "state/repository"
    before = agents()
    assert "would sign 2 packages" in repo(tmp_path, "sign", "--dry-run", "--gnupg-home", keys.home).stdout
    assert not list(folder.glob("*.sig"))
    done = json.loads(repo(tmp_path, "sign", "--key", number, "--gnupg-home", keys.home, "--json").stdout)
    assert done["keys"] == [number] and done["signed"] == ["one", "two"]
    assert [line for line in agents() if str(keys.home) in line] == [], f"no agent stays ({before})"
    ring = keys.export(tmp_path / "ring.gpg", number)
    names = {path.name for path in folder.glob("*.sig")}
    assert {"rastos-local.db.sig", "rastos-local.files.sig", "rastos-local.db.tar.zst.sig"} < names and len(names) == 6
    for name in names:
        subprocess.run(["gpgv", "--keyring", ring, folder / name, folder / name[:-4]], check=True, capture_output=True)
    entries = json.loads(repo(tmp_path, "list", "--json").stdout)["packages"]
    assert all(item["signed"] for item in entries)
    # a change takes away the signatures that would be wrong, and only those
    repo(tmp_path, "add", make(tmp_path, "two", "1-1", **{"usr/bin/two": "changed"}))
    assert {path.name for path in folder.glob("*.sig")} == {f"{entries[0]['file']}.sig"}
    missing = repo(tmp_path, "sign", "--key", "0" * 40, "--gnupg-home", keys.home, status=1)
    assert "No secret key" in missing.stderr and not list(folder.glob(".*.part"))


def test_an_agent_that_ran_before_goes_on(tmp_path: Path, keys: Keys) -> None:
    keys.key("builder")
    subprocess.run(["gpg-connect-agent", "--homedir", keys.home, "/bye"], check=True, capture_output=True)
    repo(tmp_path, "add", make(tmp_path, "one"))
    repo(tmp_path, "sign", "--gnupg-home", keys.home)
    assert len([line for line in agents() if str(keys.home) in line]) == 1


def test_the_files_database(tmp_path: Path) -> None:
    need("repo-add", "pacman")
    package = make(tmp_path, "one", **{"usr/bin/one": "x", "usr/share/ö/file": "y", "etc/one.conf": "z"})
    folder = tmp_path / "repo"
    repository = LocalRepository(folder, "test")
    repository.add(package)
    (tmp_path / "ref").mkdir()
    subprocess.run(["repo-add", "-q", tmp_path / "ref/test.db.tar.gz", package], check=True, capture_output=True)
    theirs = read_paths(tmp_path / "ref/test.files.tar.gz")
    ours = read_paths(repository.files)
    assert {key: sorted(paths) for key, paths in theirs.items()} == {key: sorted(paths) for key, paths in ours.items()}
    first = repository.files.read_bytes()
    repository.add(make(tmp_path, "two"))
    repository.remove("two")
    assert repository.files.read_bytes() == first, "the same packages, the same bytes"
    repository.files.write_bytes(first[:40])
    repository.add(make(tmp_path, "two"))
    assert len(read_paths(repository.files)) == 2, "a damaged one is made again"


def test_pacman_verifies_and_installs_from_a_served_repository(tmp_path: Path, keys: Keys) -> None:
    need("pacman")
    number = keys.key("builder")
    repo(tmp_path, "add", make(tmp_path, "one"), make(tmp_path, "two"))
    repo(tmp_path, "sign", "--gnupg-home", keys.home)
    keys.gpg("--import-ownertrust", stdin=f"{number}:6:\n")
    keys.gpg("--check-trustdb")
    root = tmp_path / "root"
    (root / "var/lib/pacman").mkdir(parents=True)
    (tmp_path / "hooks").mkdir()
    with served(tmp_path) as url:
        configuration = tmp_path / "pacman.conf"
        configuration.write_text(
            f"[options]\nRootDir = {root}\nDBPath = {root}/var/lib/pacman\nGPGDir = {keys.home}\nHookDir = {tmp_path}/hooks\n"
            f"CacheDir = {tmp_path}/pkg\nArchitecture = auto\nSigLevel = Required\n[rastos-local]\nServer = {url}\n"
        )

        def pacman(*words: str) -> str:
            done = subprocess.run(
                ["pacman", "--config", configuration, "--noconfirm", *words], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        pacman("-Sy")
        pacman("-Sw", "one")
        pacman("-Fy")
        assert "rastos-local/two" in pacman("-F", "/usr/bin/two")
        assert (root / "var/lib/pacman/sync/rastos-local.db.sig").is_file()
        assert list((tmp_path / "pkg").glob("one-1-1-*.pkg.tar.zst"))


def test_the_server_gives_the_repository_and_nothing_else(tmp_path: Path) -> None:
    package = make(tmp_path, "one")
    repo(tmp_path, "add", package)
    folder = tmp_path / "state/repository"
    (tmp_path / "state/secret").write_text("secret")
    (folder / "out").symlink_to("../secret")
    (folder / "sub").mkdir()
    (folder / "sub/file").write_text("secret")
    os.mkfifo(folder / "fifo")
    content = package.read_bytes()
    with served(tmp_path) as url:
        host = url.removeprefix("http://")

        def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, http.client.HTTPMessage]:
            connection = http.client.HTTPConnection(host, timeout=5)
            connection.putrequest(method, path, skip_host=False)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            found = answer.status, answer.read(), answer.headers
            connection.close()
            return found

        status, body, headers = ask(f"/{package.name}")
        assert (status, body) == (200, content)
        assert ask(f"/{package.name}", Range="bytes=10-19")[:2] == (206, content[10:20])
        assert ask(f"/{package.name}", Range=f"bytes={len(content) - 5}-")[:2] == (206, content[-5:])
        assert ask(f"/{package.name}", Range=f"bytes={len(content)}-")[0] == 416
        assert ask(f"/{package.name}", "HEAD")[:2] == (200, b"")
        assert ask(f"/{package.name}", If_None_Match=headers["ETag"])[:2] == (304, b"")
        assert ask(f"/{package.name}", If_Modified_Since=headers["Last-Modified"])[:2] == (304, b"")
        assert ask("/rastos-local.db")[0] == 200, "a link to a file of the repository"
        for path in (
            "/", "/../secret", "/%2e%2e/secret", "/..%2fsecret", "//etc/passwd", "/%2fetc%2fpasswd", "/out", "/sub",
            "/sub/file", "/fifo", "/.lock", "/%00", "/none", "/rastos-local.db/",
        ):  # fmt: skip
            status, body, _ = ask(path)
            assert status == 404 and b"secret" not in body.replace(path.encode(), b""), path
        for method in ("PUT", "POST", "DELETE"):
            assert ask(f"/{package.name}", method)[0] == 501
        assert (folder / package.name).read_bytes() == content
        argv, env = command(tmp_path, "serve", "--port", host.rpartition(":")[2])
        busy = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=20)
        assert busy.returncode == 1 and "cannot listen" in busy.stderr
