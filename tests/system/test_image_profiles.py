"""`rastos image check`, `init`, `profiles` and `show`, as a user runs them, on packages made here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rastos.installer import ProfileFinding, check_image_profile
from rastos.package import load_manifest
from rastos.progress import Progress
from tests.conftest import ROOT
from tests.system.test_image_create import KEY, Workshop
from tests.system.test_image_create import shop as shop  # the fixture

TINY = 'sets = ["tiny"]\nkernel = "tiny"\nsize = "512M"\nesp = "40M"\n'


class Project:
    """A folder with profiles, and the command line in it."""

    def __init__(self, shop: Workshop, folder: Path) -> None:
        self.shop = shop
        self.folder = folder
        self.environment = {
            **os.environ,
            "RASTOS_STATE": str(shop.base),
            "RASTOS_CACHE": str(shop.cache),
            "RASTOS_MANIFEST": str(shop.base / "packages.toml"),
            "RASTOS_PROFILES": str(folder),
            "HOME": str(folder),
        }

    def profile(self, name: str, text: str) -> str:
        (self.folder / "image").mkdir(exist_ok=True)
        (self.folder / f"image/{name}.toml").write_text(text)
        return name

    def run(self, *words: str | Path, status: int = 0, stdin: str = "") -> str:
        argv = [sys.executable, "-m", "rastos", "image", *map(str, words)]
        done = subprocess.run(argv, cwd=ROOT, env=self.environment, input=stdin, capture_output=True, text=True)
        assert done.returncode == status, f"{argv[3:]}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if status else "")

    def findings(self, name: str, passed: bool = True) -> list[ProfileFinding]:
        """What `check` finds; it is the same function, without the start of a program."""
        channels, folders = self.shop.channels, [self.folder, ROOT / "profiles"]
        manifest = load_manifest(self.shop.base / "packages.toml")
        report = check_image_profile(
            name, folders, manifest, channels, self.shop.repository, cache=self.shop.cache, progress=Progress()
        )
        assert report.passed == passed, report
        return list(report.findings)


@pytest.fixture
def project(shop: Workshop, tmp_path: Path) -> Project:
    return Project(shop, tmp_path)


def test_a_good_profile_passes(project: Project) -> None:
    project.profile("base", f'{TINY}root-password = "$6$s$h"\n')
    project.profile("good", 'inherits = "base"\nenable = ["example"]\ntimezone = "Europe/Berlin"\n')
    assert project.findings("good") == []
    assert "✓ good: 3 packages" in project.run("check", "good")
    project.profile("bad", f"{TINY}foo = 1\n")
    report = json.loads(project.run("check", "bad", "good", "--json", status=1).partition("\n]")[0] + "\n]")
    assert [item["passed"] for item in report] == [False, True] and report[0]["findings"][0]["on"].endswith(
        "bad.toml:5"
    )


@pytest.mark.parametrize(
    ("more", "what", "step", "line"),
    [
        ('timezone = "Europe/Berln"', "unknown time zone 'Europe/Berln'", "'Europe/Berlin'", 6),
        ('locale = "de_DE.UTF8"', "there is no locale 'de_DE.UTF8'", "'de_DE.UTF-8'", 6),
        ('keymap = "de"', "there is no keymap 'de'", "console-setup", 6),
        ('enable = ["exampel"]', "no unit 'exampel.service' to enable", "'example.service'", 6),
        ('packages = ["systme"]', "systme", "", 0),
        ('[[users]]\nname = "me"\nsudo = true', "sudo, which no package brings", '"sudo"', 8),
    ],
)  # fmt: skip
def test_what_create_would_refuse(project: Project, more: str, what: str, step: str, line: int) -> None:
    text = f'{TINY}root-password = "$6$s$h"\n{more}\n'
    project.profile("bad", text)
    errors = [item for item in project.findings("bad", False) if item.level == "error"]
    assert len(errors) == 1 and what in errors[0].what and step in errors[0].next_step, errors
    if line:
        assert errors[0].on.endswith(f"bad.toml:{line}")


def test_a_disk_that_is_too_small(project: Project) -> None:
    project.profile("small", TINY.replace("512M", "100M") + 'root-password = "$6$s$h"\n')
    (found,) = project.findings("small", False)
    assert "leaves" in found.what and found.next_step == 'write size = "256M" or more'
    assert found.on.endswith("small.toml:3")


def test_every_fault_of_the_file_is_listed(project: Project) -> None:
    project.profile("bad", f'{TINY}hostname = "-"\nfoo = 1\n[[users]]\nname = "me"\npassword = "hunter2"\n')
    found = project.findings("bad", False)
    assert len(found) == 3 and not [item for item in found if "hunter2" in str(item)]
    assert "openssl passwd -6" in found[-1].next_step or "openssl passwd -6" in str(found)


def test_warnings(project: Project) -> None:
    project.profile("open", f'{TINY}[[users]]\nname = "me"\nssh-keys = ["{KEY}"]\npassword = "$1$a$b"\n')
    project.profile("shut", TINY)
    assert [item.what for item in project.findings("open")] == [
        "me's password hash is easily broken",
        "there are SSH keys, and no package brings an SSH server",
    ]
    assert [item.what for item in project.findings("shut")] == ["nobody can log in"]
    locked = 'root-password = "$6$s$h"\n'
    project.profile("unbuilt", TINY.replace('kernel = "tiny"', 'kernel = "production"') + locked)
    (found,) = project.findings("unbuilt")
    assert found.level == "warning" and "rastos kernel build --profile production" in found.next_step
    project.profile("nokernel", TINY.replace('kernel = "tiny"', 'kernel = "prodution"') + locked)
    (found,) = project.findings("nokernel", False)
    assert "there is no kernel 'prodution'" in found.what and "'production'" in found.next_step


def test_a_broken_profile_hides_no_other(project: Project) -> None:
    project.profile("good", TINY)
    project.profile("bad", "x = [")
    listed = {item["name"]: item for item in json.loads(project.run("profiles", "--json"))}
    assert listed["good"]["size"] == 512 << 20 and "malformed TOML" in listed["bad"]["error"]
    assert "broken: " in project.run("profiles") and "server" in listed


def test_show_says_where_and_keeps_secrets(project: Project) -> None:
    project.profile("base", f'{TINY}root-password = "$6$s$verysecret"\n')
    project.profile("mine", 'inherits = "base"\nhostname = "mine"\n[[files]]\npath = "/etc/x"\ncontent = "c"\n')
    for text in (project.run("show", "mine"), project.run("show", "mine", "--json")):
        assert "base.toml:3" in text and "mine.toml:2" in text and "verysecret" not in text and "/etc/x" in text


def init(project: Project, *words: str | Path, status: int = 0, stdin: str = "") -> str:
    return project.run("init", *words, "--inherits", "tiny", "--yes", status=status, stdin=stdin)


def test_init_writes_what_check_accepts(project: Project) -> None:
    project.profile("tiny", TINY)
    key = project.folder / "key.pub"
    key.write_text(f"{KEY}\n")
    words = ("--hostname", "web1", "--timezone", "Europe/Berlin", "--user", "me", "--comment", 'Me "M" Myself')
    init(project, *words, "--ssh-key", key, "--password", "-", stdin="hunter2\n")
    place = project.folder / "image/web1.toml"
    text = place.read_text()
    assert "hunter2" not in text and "$6$" in text and text.startswith("# Written by")
    assert place.stat().st_mode & 0o777 == 0o600
    assert {item.level for item in project.findings("web1")} == {"warning"}, "no SSH server, nothing worse"
    shown = json.loads(project.run("show", "web1", "--json"))
    assert shown["users"][0]["comment"] == 'Me "M" Myself' and shown["users"][0]["ssh_keys"] == [KEY]
    again = init(project, "--hostname", "web1", status=1)
    assert "there is a file already" in again and place.read_text() == text


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--timezone", "Europe/Berln"), "Europe/Berlin"),
        (("--hostname", "-x"), "no host name"),
        (("--user", "daemon"), "taken by the system"),
        (("--user", "Me!"), "no user name"),
        (("--size", "many"), "expected a size"),
        (("--address", "192.0.2.5"), "prefix"),
        (("--locale", "xx_YY.UTF-8"), "no locale"),
        (("--root-password", "-"), "the password is empty"),
        (("--ssh-key", "PRIVATE"), "private key"),
    ],
)
def test_init_refuses(project: Project, words: tuple[str, ...], what: str) -> None:
    project.profile("tiny", TINY)
    secret = project.folder / "id"
    secret.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    said = init(project, *(str(secret) if word == "PRIVATE" else word for word in words), status=1)
    assert what in said
    assert [path.name for path in (project.folder / "image").iterdir()] == ["tiny.toml"]


def test_init_asks_nobody_in_a_pipe(project: Project) -> None:
    assert "--yes" in project.run("init", status=1)


def test_init_asks_on_a_terminal(project: Project) -> None:
    """Every question in order; a wrong answer is asked for again, and an SSH key of the home is offered."""
    import pty
    import select

    project.profile("tiny", TINY)
    (project.folder / ".ssh").mkdir()
    (project.folder / ".ssh/id.pub").write_text(KEY)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.environ.update(project.environment)
        os.execv(sys.executable, [sys.executable, "-m", "rastos", "image", "init"])
    seen = b""
    for question, answer in (
        ("which profile", "tiny"),
        ("Name of the machine", "asked"),
        ("Time zone", "Mars/Olympus"),
        ("Time zone", "Europe/Berlin"),
        ("Language", ""),
        ("Keyboard", ""),
        ("Size of the disk", "600M"),
        ("Address", ""),
        ("Log in as", "me"),
        ("May ssh-ed25519", "y"),
        ("Password of me", "hunter2"),
        ("Again", "hunter3"),
        ("Password of me", "hunter2"),
        ("Again", "hunter2"),
        ("sudo", "no"),
        ("Password of root", ""),
    ):
        part = b""
        while question.encode() not in part:
            assert select.select([terminal], [], [], 60)[0], (seen + part).decode()
            part += os.read(terminal, 4096)
        seen += part
        os.write(terminal, f"{answer}\n".encode())
    try:
        while chunk := os.read(terminal, 4096):
            seen += chunk
    except OSError:
        pass  # the other end is closed
    assert os.waitpid(pid, 0)[1] == 0, seen.decode()
    assert b"hunter2" not in seen and b"Mars/Olympus" in seen
    text = (project.folder / "image/asked.toml").read_text()
    assert KEY in text and "600M" in text and "hunter2" not in text
