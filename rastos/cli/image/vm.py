"""`rastos image vm`: the machines that run now."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from rastos.cli.app import Application
from rastos.cli.lazy import LazyGroup
from rastos.cli.options import json_option

# command: (module, attribute, one line of help)
COMMANDS = {
    "list": ("vm", "list_machines", "The machines that run, and how each is reached."),
    "stop": ("vm", "stop", "End machines cleanly; --force where that fails."),
    "console": ("vm", "console", "The console of one, or what it said so far."),
    "screenshot": ("vm", "screenshot", "What its screen shows, as PNG."),
    "qmp": ("vm", "qmp", "One command of QEMU's monitor, its answer as JSON."),
    "exec": ("vm", "execute", "Run a command in one, over the guest agent."),
}


@click.group(cls=LazyGroup, table=COMMANDS, package="rastos.cli.image")
def vm() -> None:
    """Machines that run: list, stop, console, screenshot, monitor commands, commands in the guest."""


@click.command()
@json_option
@click.pass_obj
def list_machines(app: Application, as_json: bool) -> None:
    """The machines `rastos image boot` runs now, in the foreground or detached."""
    from rastos.errors import BusyError, RastosError
    from rastos.installer.vm import connected, running_machines

    found = running_machines(app.config.state / "vm")
    states = {}
    for item in found:
        try:
            with connected(item, wait=0.5) as machine:
                states[item.name] = str(machine.monitor.execute("query-status", 5.0)["status"])
        except BusyError:
            states[item.name] = "busy with a command"
        except RastosError:
            states[item.name] = "no answer"
    if as_json:
        from dataclasses import asdict

        app.out.json([{**asdict(item), "state": states[item.name]} for item in found])
        return
    rows = []
    for item in found:
        ports = [f"{host}→{guest}" for _, host, guest in item.forwards]
        network = f"{item.network} {item.address}" if item.network else ""
        reach = f"ssh {item.ssh_port} {' '.join(ports)}".strip()
        rows.append([item.name, states[item.name], item.image.name, item.way, f"{item.memory} MiB", reach, network])
    app.out.table("Machines", ["name", "state", "image", "boot", "memory", "ports", "network"], rows)


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--all", "every", is_flag=True, help="All that run.")
@click.option("--force", is_flag=True, help="End it hard where it does not power off in time.")
@click.option("--timeout", default=60.0, show_default=True, metavar="SECONDS", help="How long a power-off may take.")
@click.option("--dry-run", is_flag=True, help="Only say which.")
@click.pass_obj
def stop(app: Application, names: tuple[str, ...], every: bool, force: bool, timeout: float, dry_run: bool) -> None:
    """Power machines off: over the guest agent, else by the power button. Without a name: the only one.

    Example: rastos image vm stop --all --force --timeout 20
    """
    from rastos.installer.vm import running_machine, running_machines, stop_machine

    folder = app.config.state / "vm"
    chosen: list[Any] = (
        list(running_machines(folder)) if every else [running_machine(folder, name) for name in names or (None,)]
    )
    for item in chosen:
        if dry_run:
            app.out.print(f"{item.name}: would be powered off")
            continue
        app.out.print(f"{item.name}: {stop_machine(folder, item, timeout=timeout, force=force)}")


@click.command()
@click.argument("name", required=False)
@click.option("--log", "only_log", is_flag=True, help="Print what it said so far, and go.")
@click.pass_obj
def console(app: Application, name: str | None, only_log: bool) -> None:
    """The serial console of a machine that was detached (Ctrl-] leaves; the machine goes on).

    Example: rastos image vm console web --log
    """
    from rastos.host import locked
    from rastos.installer.vm import console_text, pass_through, running_machine

    item = running_machine(app.config.state / "vm", name)
    if only_log:
        app.out.print(console_text(item.runtime))
        return
    with locked(item.runtime / "console.lock", f"the console of {item.name}"):
        app.out.say(f"{item.name}: Ctrl-] leaves, the machine goes on")
        pass_through(item.console, lambda: Path(f"/proc/{item.pid}").exists())


@click.command()
@click.argument("name", required=False)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to (default: NAME.png).")
@click.pass_obj
def screenshot(app: Application, name: str | None, output: Path | None) -> None:
    """What a machine's screen shows now, as PNG.

    Example: rastos image vm screenshot web --output web.png
    """
    from rastos.installer.vm import connected, running_machine

    item = running_machine(app.config.state / "vm", name)
    with connected(item) as machine:
        app.out.print(str(machine.screenshot(output or Path(f"{item.name}.png"))))


@click.command()
@click.argument("name")
@click.argument("command")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE...]")
@click.option("--timeout", default=10.0, show_default=True, metavar="SECONDS", help="How long the answer may take.")
@click.pass_obj
def qmp(app: Application, name: str, command: str, arguments: tuple[str, ...], timeout: float) -> None:
    """Send one command to QEMU's monitor; values are JSON where they can be, else text (qemu-qmp-ref(7)).

    Example: rastos image vm qmp web query-status
    """
    from rastos.installer.vm import connected, running_machine

    values: dict[str, Any] = {}
    for word in arguments:
        key, sign, text = word.partition("=")
        if not sign or not key:
            raise click.UsageError(f"'{word}' is not KEY=VALUE.")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    with connected(running_machine(app.config.state / "vm", name)) as machine:
        app.out.json(machine.monitor.request(command, values, timeout))


@click.command("exec")
@click.argument("name")
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND...", type=click.UNPROCESSED)
@click.option("--timeout", default=240.0, show_default=True, metavar="SECONDS", help="For the agent, then the command.")
@click.pass_context
def execute(ctx: click.Context, name: str, command: tuple[str, ...], timeout: float) -> None:
    """Run a command as root in a machine, over the guest agent; its exit status is ours. Waits until it is up.

    Example: rastos image vm exec web -- systemctl --failed
    """
    from rastos.cli.image.guest_words import show_answer
    from rastos.installer.vm import connected, running_machine

    app: Application = ctx.obj
    line = command[0] if len(command) == 1 else shlex.join(command)
    with connected(running_machine(app.config.state / "vm", name)) as machine:
        machine.wait_agent(timeout)
        answer = machine.execute(line, timeout)
    ctx.exit(show_answer(app, answer))
