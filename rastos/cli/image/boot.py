"""`rastos image boot`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.options import chosen_image, image_option, secure_boot_machine_option


@click.command()
@click.argument("command", nargs=-1, metavar="[-- COMMAND...]", type=click.UNPROCESSED)
@click.option(
    "--uefi/--direct", default=True, help="Boot by firmware and boot loader (default), or the kernel directly."
)
@click.option("--persist", is_flag=True, help="Write to the image; without it everything is thrown away.")
@click.option("--ssh", is_flag=True, help="Wait until it is up and log in as root by SSH.")
@click.option("--memory", default=1024, show_default=True, metavar="MIB", type=click.IntRange(min=128))
@click.option("--cpus", type=click.IntRange(min=1), help="Processors (default: 2 with KVM, 1 emulated).")
@click.option("--timeout", default=240.0, show_default=True, metavar="SECONDS", help="How long to wait for the system.")
@secure_boot_machine_option
@image_option
@click.pass_context
def boot(
    ctx: click.Context,
    command: tuple[str, ...],
    uefi: bool,
    persist: bool,
    ssh: bool,
    memory: int,
    cpus: int | None,
    timeout: float,
    secure_boot_cert: Path | None,
    image: Path | None,
) -> None:
    """Run an image in QEMU: the console (Ctrl-] leaves), a root shell by SSH, or one command.

    Example: rastos image boot --persist -- systemctl --failed
    """
    from rastos.host import run, working_directory
    from rastos.installer.vm import booted, pass_through

    if secure_boot_cert and not uefi:
        raise click.UsageError("--direct starts no firmware that could check a signature.")
    app: Application = ctx.obj
    path = chosen_image(image, app.config.output)
    cache = app.config.cache
    way = "uefi" if uefi else "direct"
    with working_directory(cache / "vm", "key") as place:
        key = place / "key"
        if ssh:
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], what="make a throw-away SSH key")
        public = key.with_suffix(".pub").read_text().strip() if ssh else ""
        with booted(
            path,
            cache=cache,
            way=way,
            persist=persist,
            memory=memory,
            cpus=cpus,
            ssh_key=public,
            secure_boot_cert=secure_boot_cert,
        ) as machine:
            if not command and not ssh:
                kept = "writes to the image" if persist else "everything is thrown away"
                app.out.say(f"{path}: {way} boot, {kept}; Ctrl-] leaves, SSH on 127.0.0.1:{machine.spec.ssh_port}")
                pass_through(machine.spec.console, lambda: not machine.gone())
                if persist and not machine.gone() and machine.agent.ping():
                    app.out.say("shutting it down, so that nothing written is lost")
                    machine.power_off(max(60.0, timeout / 3))
                return
            with app.progress.step(f"Boot by {way}"):
                machine.wait_agent(timeout)
                machine.execute("systemctl is-system-running --wait", timeout)
            status = _shell(app, key, machine.spec.ssh_port) if ssh else 0
            if command:
                # one word is a shell command line, several are a vector
                answer = machine.execute(command[0] if len(command) == 1 else shlex.join(command), timeout)
                if answer.stdout.rstrip():
                    app.out.print(answer.stdout.rstrip())
                if answer.stderr.rstrip():
                    app.out.say(answer.stderr.rstrip())
                # as a shell says it: 128 and the signal's number
                status = answer.status if answer.status >= 0 else 128 - answer.status
            machine.power_off(max(60.0, timeout / 3))
    ctx.exit(status)


def _shell(app: Application, key: Path, port: int) -> int:
    """A person's shell by SSH; its status."""
    from rastos.host import converse

    options = ["StrictHostKeyChecking=no", f"UserKnownHostsFile={key}.hosts", "LogLevel=ERROR"]
    words = [word for option in options for word in ("-o", option)]
    return converse(["ssh", "-i", key, "-p", str(port), *words, "root@127.0.0.1"], check=False)
