"""An AUR for tests: its RPC over HTTP on this machine, and git repositories made with git."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from rastos.package.aur.recipe import parse_srcinfo

_RPC = {"depends": "Depends", "makedepends": "MakeDepends", "checkdepends": "CheckDepends", "provides": "Provides"}


@dataclass
class FakeAur:
    """`publish` puts recipes in; `address` is where it listens; `questions` are the paths asked for."""

    folder: Path
    address: str = ""
    packages: dict[str, dict[str, Any]] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)

    def publish(self, base: str, pkgbuild: str, *, srcinfo: str | None = None, **files: str) -> str:
        """Commit a recipe; its `.SRCINFO` is made by makepkg unless given. The commit."""
        place = self.folder / f"{base}.git"
        new = not place.exists()
        place.mkdir(parents=True, exist_ok=True)
        (place / "PKGBUILD").write_text(pkgbuild)
        for name, content in files.items():
            (place / name.replace("__", ".")).write_text(content)
        if srcinfo is None:
            srcinfo = self._srcinfo(place)
        (place / ".SRCINFO").write_text(srcinfo)
        words = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "init.defaultBranch=master"]
        for argv in ([["init", "-q"]] if new else []) + [["add", "-A"], ["commit", "-q", "-m", "published"]]:
            subprocess.run(["git", *words, *argv], cwd=place, check=True)
        subprocess.run(["git", "update-server-info"], cwd=place, check=True)
        try:
            self._announce(base, srcinfo)
        except Exception:  # what a hostile recipe says of itself is announced by the test
            pass
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=place, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def _srcinfo(self, place: Path) -> str:
        # makepkg refuses to be root, and nobody may enter the tests' own folder
        with tempfile.TemporaryDirectory() as other:
            copy = Path(other) / "recipe"
            shutil.copytree(place, copy, ignore=shutil.ignore_patterns(".git"))
            for path in (Path(other), copy, *copy.iterdir()):
                os.chown(path, 65534, 65534)
            argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "makepkg", "--printsrcinfo"]
            environment = {"PATH": "/usr/bin:/bin", "HOME": other}
            done = subprocess.run(argv, cwd=copy, check=True, capture_output=True, text=True, env=environment)
        return done.stdout

    def _announce(self, base: str, srcinfo: str) -> None:
        recipe = parse_srcinfo(srcinfo)
        for package in recipe.packages:
            texts = {
                "depends": package.depends,
                "makedepends": recipe.makedepends,
                "checkdepends": recipe.checkdepends,
                "provides": package.provides,
            }
            self.packages[package.name] = {
                "Name": package.name,
                "PackageBase": base,
                "Version": recipe.version,
                "Description": f"{package.name} for tests",
                "NumVotes": len(self.packages),
                **{_RPC[key]: list(values) for key, values in texts.items()},
            }

    def answer(self, path: str) -> dict[str, Any]:
        """What the RPC says."""
        split = urlsplit(path)
        query = parse_qs(split.query)
        if split.path.endswith("/info"):
            found = [self.packages[name] for name in query.get("arg[]", []) if name in self.packages]
        else:
            word = unquote(split.path.rsplit("/", 1)[1])
            by = query["by"][0]
            found = [item for item in self.packages.values() if _matches(item, word, by)]
        return {"version": 5, "type": "multiinfo", "resultcount": len(found), "results": found}


def _matches(item: dict[str, Any], word: str, by: str) -> bool:
    if by == "provides":
        return word in [text.split("=")[0] for text in (item["Name"], *item["Provides"])]
    return word in f"{item['Name']} {item['Description']}"


@contextmanager
def serving(folder: Path) -> Iterator[FakeAur]:
    """Serve it for the length of the block."""
    aur = FakeAur(folder)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words, directory=str(folder))

        def do_GET(self) -> None:
            aur.questions.append(self.path)
            if not self.path.startswith("/rpc/"):
                # git's plain HTTP asks for BASE.git/info/refs; the repositories have a work tree
                head, _, rest = self.path.partition(".git/")
                self.path = f"{head}.git/.git/{rest}"
                super().do_GET()
                return
            data = json.dumps(aur.answer(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words: Any) -> None:
            pass

    folder.mkdir(parents=True, exist_ok=True)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        aur.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield aur
        finally:
            server.shutdown()
            thread.join()
