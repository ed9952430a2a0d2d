"""`rastos image boot`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli.app import Application
from rastos.cli.options import chosen_image, image_option, secure_boot_machine_option

if TYPE_CHECKING:
    from rastos.installer.vm import Hardware, Machine, RunningMachine


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A machine to boot, as the options say it."""

    image: Path
    way: str
    persist: bool
    memory: int
    cpus: int | None
    timeout: float
    hardware: Hardware
    name: str
    web_port: int | None = None  # None: no web console; 0: any port
    secure_boot_cert: Path | None = None


@click.command()
@click.argument("command", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
@click.option("--uefi", "way", flag_value="uefi", default=True, help="Boot by firmware and boot loader (default).")
@click.option("--direct", "way", flag_value="direct", help="Boot the kernel directly.")
@click.option("--bios", "way", flag_value="bios", help="Boot by a BIOS; the image has to have a loader for it.")
@click.option("--persist", is_flag=True, help="Write to the image; without it everything is thrown away.")
@click.option("--ssh", is_flag=True, help="Wait until it is up and log in as root by SSH.")
@click.option("--graphics", is_flag=True, help="Show its screen: in a window, or by VNC on the loopback.")
@click.option("--web", is_flag=True, help="Console and screen in a browser, on 127.0.0.1, by an address with a token.")
@click.option("--port", type=click.IntRange(min=1, max=65535), help="With --web: the port (default: any free one).")
@click.option("--memory", default=1024, show_default=True, metavar="MIB", type=click.IntRange(min=128))
@click.option("--cpus", type=click.IntRange(min=1), help="Processors (default: 2 with KVM, 1 emulated).")
@click.option("--forward", "forwards", multiple=True, metavar="HOST:GUEST", help="A port of 127.0.0.1 leads into it.")
@click.option("--share", "shares", multiple=True, metavar="DIR[:TAG[:rw]]", help="A folder, at /run/share/TAG in it.")
@click.option("--disk", "disks", multiple=True, metavar="FILE|SIZE", help="A further disk; by size: an empty one.")
@click.option("--tpm", is_flag=True, help="With a TPM 2.0 of its own (swtpm).")
@click.option("--network", default="", metavar="NAME", help="On a private network with other machines.")
@click.option("--name", default="", metavar="NAME", help="What it is called (default: as the image).")
@click.option("--detach", is_flag=True, help="Leave it running; `rastos image vm` works with it.")
@click.option("--timeout", default=240.0, show_default=True, metavar="SECONDS", help="How long to wait for the system.")
@secure_boot_machine_option
@image_option
@click.pass_context
def boot(
    ctx: click.Context,
    command: tuple[str, ...],
    way: str,
    persist: bool,
    ssh: bool,
    graphics: bool,
    web: bool,
    port: int | None,
    memory: int,
    cpus: int | None,
    forwards: tuple[str, ...],
    shares: tuple[str, ...],
    disks: tuple[str, ...],
    tpm: bool,
    network: str,
    name: str,
    detach: bool,
    timeout: float,
    secure_boot_cert: Path | None,
    image: Path | None,
) -> None:
    """Run an image in QEMU: the console (Ctrl-] leaves), a root shell by SSH, one command, or in the background.

    Example: rastos image boot --persist -- systemctl --failed
    """
    from rastos.installer.vm import Hardware, machine_name, parse_disk, parse_forward, parse_share

    if secure_boot_cert and way != "uefi":
        raise click.UsageError(f"--{way} starts no firmware that could check a signature.")
    if port and not web:
        raise click.UsageError("--port is the web console's; add --web.")
    app: Application = ctx.obj
    if detach and (command or ssh):
        raise click.UsageError("--detach leaves it running: use `rastos image vm exec` for commands.")
    display, environment = _display() if graphics else ("none", ())
    wanted = _Wanted(
        image=chosen_image(image, app.config.output),
        way=way,
        persist=persist,
        memory=memory,
        cpus=cpus,
        timeout=timeout,
        name=machine_name(name) if name else "",
        web_port=(port or 0) if web else None,
        secure_boot_cert=secure_boot_cert,
        hardware=Hardware(
            forwards=tuple(parse_forward(text) for text in forwards),
            shares=tuple(parse_share(text) for text in shares),
            disks=tuple(parse_disk(text) for text in disks),
            tpm=tpm,
            screen=True,
            display=display,
            environment=environment,
            web=web,
            network=network and machine_name(network, "network"),
        ),
    )
    if detach:
        _detach(app, wanted)
        return
    ctx.exit(_talk(app, wanted, command, ssh))


def _display() -> tuple[str, tuple[tuple[str, str], ...]]:
    """A window where there is a desktop and QEMU can open one, else VNC; and the variables it needs."""
    import os

    from rastos.installer.vm import displays

    names = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR")
    environment = tuple((name, os.environ[name]) for name in names if os.environ.get(name))
    if any(name in ("DISPLAY", "WAYLAND_DISPLAY") for name, _ in environment):
        for name in ("gtk", "sdl"):
            if name in displays():
                return name, environment
    return "vnc", ()


def _run(
    app: Application, wanted: _Wanted, ssh_key: str, use: Callable[[Machine, RunningMachine], int], pause: bool = False
) -> int:
    """Boot it under a free name, listed as long as it runs; what `use` gives."""
    from contextlib import ExitStack
    from dataclasses import replace

    from rastos.installer.vm import booted, named, registered, served_console, source_of

    folder = app.config.state / "vm"
    stem = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in wanted.image.stem)[:40]
    cache = app.config.cache
    with named(folder, wanted.name or stem.lstrip("._-") or "machine", exact=bool(wanted.name)) as name:
        hardware = replace(wanted.hardware, name=name)
        with booted(
            wanted.image,
            cache=cache,
            way=wanted.way,
            persist=wanted.persist,
            memory=wanted.memory,
            cpus=wanted.cpus,
            ssh_key=ssh_key,
            hardware=hardware,
            secure_boot_cert=wanted.secure_boot_cert,
            keep_log=cache / "vm" / f"{name}.log",
        ) as machine:
            machine.evidence = cache / "vm"
            with ExitStack() as stack:
                web, network = "", hardware.network
                if wanted.web_port is not None:
                    web = stack.enter_context(served_console(source_of(machine), wanted.web_port))
                known = registered(folder, machine, wanted.image, way=wanted.way, network=network, web=web)
                return use(machine, stack.enter_context(known))


def _talk(app: Application, wanted: _Wanted, command: tuple[str, ...], ssh: bool) -> int:
    """The console, a shell or a command; the exit status."""
    from rastos.cli.image.guest_words import show_answer
    from rastos.host import run, working_directory

    with working_directory(app.config.cache / "vm", "key") as place:
        key = place / "key"
        if ssh:
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], what="make a throw-away SSH key")

        def use(machine: Machine, record: RunningMachine) -> int:
            if record.vnc is not None:
                app.out.say(f"its screen: VNC on 127.0.0.1:{5900 + record.vnc} (display :{record.vnc})")
            if record.web:
                app.out.say(f"console and screen: {record.web}")
            if not command and not ssh and record.web:
                _in_browser(app, wanted, machine, record)
                return 0
            if not command and not ssh:
                _console(app, wanted, machine, record)
                return 0
            with app.progress.step(f"Boot by {wanted.way}"):
                machine.wait_agent(wanted.timeout)
                machine.wait_running(wanted.timeout)
                machine.mount_shares()
            status = _shell(key, record.ssh_port) if ssh else 0
            if command:
                # one word is a shell command line, several are a vector
                line = command[0] if len(command) == 1 else shlex.join(command)
                status = show_answer(app, machine.execute(line, wanted.timeout))
            machine.power_off(max(60.0, wanted.timeout / 3))
            return status

        return _run(app, wanted, key.with_suffix(".pub").read_text().strip() if ssh else "", use)


def _console(app: Application, wanted: _Wanted, machine: Machine, record: RunningMachine) -> None:
    """A person at the console, until they leave it or the machine ends."""
    import threading

    from rastos.errors import RastosError
    from rastos.installer.vm import pass_through

    app.out.say(f"{_greeting(wanted, record)}; Ctrl-] leaves")
    failures: list[RastosError] = []

    def share() -> None:
        try:
            machine.wait_agent(wanted.timeout)
            machine.mount_shares()
        except RastosError as error:
            failures.append(error)
        finally:
            machine.agent.close()

    thread = threading.Thread(target=share, daemon=True)
    if wanted.hardware.shares:
        thread.start()
    pass_through(machine.spec.console, lambda: not machine.gone())
    for error in failures:
        app.out.say(f"the shares are not mounted: {error}\n{error.detail}")
    _keep_what_is_written(app, wanted, machine)


def _greeting(wanted: _Wanted, record: RunningMachine) -> str:
    kept = "writes to the image" if wanted.persist else "everything is thrown away"
    return f"{record.name}: {record.image}, {wanted.way} boot, {kept}, SSH on 127.0.0.1:{record.ssh_port}"


def _keep_what_is_written(app: Application, wanted: _Wanted, machine: Machine) -> None:
    if wanted.persist and not machine.gone() and machine.agent.ping():
        app.out.say("shutting it down, so that nothing written is lost")
        machine.power_off(max(60.0, wanted.timeout / 3))


def _in_browser(app: Application, wanted: _Wanted, machine: Machine, record: RunningMachine) -> None:
    """A person in a browser, until Ctrl-C here or the machine's end."""
    import time

    from rastos.errors import RastosError

    app.out.say(f"{_greeting(wanted, record)}; Ctrl-C ends it")
    try:
        if wanted.hardware.shares:
            try:
                machine.wait_agent(wanted.timeout)
                machine.mount_shares()
            except RastosError as error:
                app.out.say(f"the shares are not mounted: {error}\n{error.detail}")
            finally:
                machine.agent.close()
        while machine.process.poll() is None:
            time.sleep(0.2)
    except KeyboardInterrupt:
        _keep_what_is_written(app, wanted, machine)


def _shell(key: Path, port: int) -> int:
    """A person's shell by SSH; its status."""
    from rastos.host import converse

    options = ["StrictHostKeyChecking=no", f"UserKnownHostsFile={key}.hosts", "LogLevel=ERROR"]
    words = [word for option in options for word in ("-o", option)]
    return converse(["ssh", "-i", key, "-p", str(port), *words, "root@127.0.0.1"], check=False)


def _detach(app: Application, wanted: _Wanted) -> None:
    """Start a supervisor that goes on without us, and say how the machine is reached."""
    import json

    from rastos.errors import ExternalError
    from rastos.host import detached

    log = app.config.cache / "vm" / f"supervisor-{wanted.name or wanted.image.stem}.log"
    said = detached(lambda ready: _supervise(app, wanted, ready), log)
    told: dict[str, Any] = (
        json.loads(said) if said else {"what": "the machine's supervisor ended", "on": str(log), "detail": ""}
    )
    if "what" in told:
        step = told.get("next_step", "read its log")
        raise ExternalError(told["what"], on=told["on"], next_step=step, tail=told["detail"])
    app.out.print(told["name"])
    reach = f"SSH on 127.0.0.1:{told['ssh_port']}" + (
        f", {told['address']} on {told['network']}" if told["network"] else ""
    )
    if told["vnc"] is not None:
        reach += f", VNC on 127.0.0.1:{5900 + told['vnc']}"
    if told["web"]:
        reach += f", console and screen: {told['web']}"
    app.out.say(f"{told['name']} runs ({wanted.way} boot), {reach}")
    app.out.say(f"next: rastos image vm exec {told['name']} -- uptime; rastos image vm stop {told['name']}")


def _supervise(app: Application, wanted: _Wanted, ready: Callable[[bytes], None]) -> int:
    """What the supervisor does: start it, tell how it is reached, wait for its end. SIGTERM: power it off."""
    import json
    import signal
    import time
    from dataclasses import asdict

    from rastos.errors import RastosError

    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))

    def use(machine: Machine, record: RunningMachine) -> int:
        ready(json.dumps(asdict(record), default=str).encode())
        if machine.spec.fitted.shares:
            try:
                machine.wait_agent(wanted.timeout)
                machine.mount_shares()
            except RastosError as error:
                app.out.say(f"the shares are not mounted: {error}\n{error.detail}")
        machine.agent.close()  # it is for those who ask by `image vm`
        while machine.process.poll() is None:
            if asked:
                machine.power_off(30.0)
            time.sleep(0.2)
        return 0

    try:
        return _run(app, wanted, "", use)
    except RastosError as error:
        app.out.say(f"{error}\n{error.detail}")
        told = {"what": error.what, "on": error.on, "next_step": error.next_step, "detail": error.detail}
        ready(json.dumps(told).encode())
        return 1
