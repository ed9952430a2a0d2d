"""`rastos image init`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rastos.cli.app import Application
from rastos.cli.image.credentials import password_hash, public_key
from rastos.cli.options import dry_run_option

# option, answers' field, question, what is offered where nothing is known
_ASKED = (
    ("inherits", "Build on which profile", "server"),
    ("hostname", "Name of the machine", ""),
    ("timezone", "Time zone", ""),
    ("locale", "Language and formats", "C.UTF-8"),
    ("keymap", "Keyboard of the console (none: the kernel's own, us)", "none"),
    ("size", "Size of the disk", ""),
    ("address", "Address with its prefix (dhcp: ask the network)", "dhcp"),
    ("gateway", "Default route", ""),
    ("user", "Log in as (none: nobody but root)", "none"),
)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--inherits", metavar="PROFILE", help="The profile to build on.")
@click.option("--hostname", metavar="NAME", help="The machine's name.")
@click.option("--timezone", metavar="ZONE", help="Such as Europe/Berlin (default: this host's).")
@click.option("--locale", metavar="NAME", help="Language and formats.")
@click.option("--keymap", metavar="NAME", help="The console's keyboard, or none.")
@click.option("--size", metavar="SIZE", help="Size of the disk, such as 8G.")
@click.option("--kernel", metavar="NAME", help="Kernel profile, package or distro, instead of the inherited one.")
@click.option("--package", "packages", multiple=True, metavar="NAME", help="A further package; may be repeated.")
@click.option("--address", metavar="ADDRESS/LENGTH", help="A fixed address of the wired interface, or dhcp.")
@click.option("--gateway", metavar="ADDRESS", help="Its default route.")
@click.option("--dns", multiple=True, metavar="ADDRESS", help="A name server; may be repeated.")
@click.option("--user", metavar="NAME", help="Who works there, or none.")
@click.option("--comment", default="", metavar="TEXT", help="That user's full name.")
@click.option("--password", metavar="TEXT", help="That user's password; '-' asks, a hash is taken as it is.")
@click.option("--sudo", type=click.Choice(["yes", "no", "no-password"]), help="Whether that user may become root.")
@click.option(
    "--ssh-key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key file for that user, or for root where there is none; may be repeated.",
)
@click.option("--root-password", metavar="TEXT", help="Root's password; without one root is locked.")
@click.option("--yes", is_flag=True, help="Ask nothing: what is not given keeps its default.")
@dry_run_option
@click.pass_obj
def init(app: Application, /, file: Path | None, yes: bool, dry_run: bool, **given: Any) -> None:
    """Ask what a machine is to be and write its profile, commented. Passwords are kept as hashes only.

    Example: rastos image init --inherits server --hostname web1 --user me --ssh-key ~/.ssh/id_ed25519.pub --yes
    """
    from rastos.errors import UserError
    from rastos.host import write_atomic
    from rastos.installer import kind_of, written_profile
    from rastos.package import load_manifest

    asks = not yes
    if asks and not app.out.interactive:
        raise UserError(
            "nobody can be asked here: this is no terminal",
            next_step="give the answers as options, and --yes for the rest",
        )
    if file is not None and file.exists():
        raise _there(file)
    answers = _Interview(app, given, asks).answers()
    place = (file or app.config.profiles / "image" / f"{answers.hostname.partition('.')[0]}.toml").absolute()
    if place.suffix != ".toml":
        raise click.UsageError(f"{place.name}: the name of a profile ends in .toml")
    if place.exists():
        raise _there(place)
    text, _ = written_profile(answers, place, app.config.profile_folders, kind_of(load_manifest(app.config.manifest)))
    if dry_run:
        app.out.raw(text)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, text, mode=0o600)  # hashes of passwords are for nobody else
    app.out.print(f"written: {place}")
    name = str(place) if file else place.stem
    app.out.say(f"next: rastos image check {name} && rastos image create --profile {name}")


def _there(place: Path) -> Exception:
    from rastos.errors import UserError

    return UserError("there is a file already", on=place, next_step="name another, or edit that one")


class _Interview:
    """Answers from options, then from questions, then the defaults."""

    def __init__(self, app: Application, given: dict[str, Any], asks: bool) -> None:
        self.app = app
        self.given = given
        self.asks = asks
        self.folders = app.config.profile_folders

    def answers(self) -> Any:
        from rastos.installer import Answers, host_time_zone, load_image_profile

        said: dict[str, Any] = {key: self.given[key] or "" for key in ("kernel", "comment")}
        for key, question, default in _ASKED:
            if key == "gateway" and not said["address"]:
                continue
            if key == "hostname":
                default = load_image_profile(said["inherits"], self.folders).hostname
            elif key == "timezone":
                default = host_time_zone()
            elif key == "size":
                size = load_image_profile(said["inherits"], self.folders).size
                default = f"{size >> 20}M" if size % (1 << 30) else f"{size >> 30}G"
            value = self.one(key, question, default)
            said[key] = "" if value in ("none", "dhcp") else value
        said["packages"] = tuple(self.given["packages"])
        said["dns"] = tuple(self.checked("dns", text) for text in self.given["dns"])
        keys = self.keys(said["user"] or "root")
        said["password"] = said["sudo"] = ""
        if said["user"]:
            said["password"] = self.password("password", f"Password of {said['user']} (empty: none)")
            said["sudo"] = self.given["sudo"] or self.sudo(said)
        said["root_password"] = self.password("root_password", "Password of root (empty: locked)")
        said["ssh_keys" if said["user"] else "root_ssh_keys"] = keys
        return Answers(**said)

    def one(self, key: str, question: str, default: str) -> str:
        given = self.given.get(key)
        if given is not None:
            return self.checked(key, str(given))
        if not self.asks:
            return self.checked(key, default) if default else ""
        return str(click.prompt(question, default=default, err=True, value_proc=self.proved(key)))

    def proved(self, key: str) -> Callable[[str], str]:
        def prove(text: str) -> str:
            if fault := self.fault(key, text.strip()):
                raise click.UsageError(fault)  # click says it and asks again
            return text.strip()

        return prove

    def fault(self, key: str, text: str) -> str:
        from rastos.installer import answer_fault

        free = {"keymap": "none", "user": "none", "address": "dhcp", "gateway": ""}
        return "" if free.get(key) == text else answer_fault(key, text, self.folders)

    def checked(self, key: str, text: str) -> str:
        from rastos.errors import UserError

        if fault := self.fault(key, text):
            what, _, step = fault.partition("; ")
            raise UserError(what, on=f"--{key}", next_step=step or "give another")
        return text

    def password(self, key: str, question: str) -> str:
        given = self.given[key]
        if given:
            return password_hash(given, question)
        if not self.asks:
            return ""
        while text := self.hidden(question):
            if self.hidden("Again") == text:
                return password_hash(text, question)
            click.echo("Error: the two are not the same", err=True)
        return ""

    def hidden(self, question: str) -> str:
        return str(click.prompt(question, default="", hide_input=True, show_default=False, err=True))

    def sudo(self, said: dict[str, Any]) -> str:
        if not self.asks:
            return "no"
        choices = click.Choice(["yes", "no", "no-password"])
        default = "yes" if said["password"] else "no-password"
        return str(click.prompt("May become root (sudo)", type=choices, default=default, err=True))

    def keys(self, who: str) -> tuple[str, ...]:
        from rastos.installer import host_public_keys

        named = tuple(public_key(path) for path in self.given["keys"])
        if named or not self.asks:
            return named
        found = []
        for text in host_public_keys(Path.home() / ".ssh"):
            words = text.split()
            label = " ".join((words[0], f"…{words[1][-8:]}", *words[2:]))
            if click.confirm(f"May {label} log in as {who}", default=True, err=True):
                found.append(text)
        return tuple(found)
