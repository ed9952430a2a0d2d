"""How a command in a guest is shown, for all commands that run one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rastos.cli.app import Application
    from rastos.installer.vm import Answer


def show_answer(app: Application, answer: Answer) -> int:
    """Print both streams; the exit status, as a shell says it: 128 and the number for a signal."""
    if answer.stdout.rstrip():
        app.out.print(answer.stdout.rstrip())
    if answer.stderr.rstrip():
        app.out.say(answer.stderr.rstrip())
    return answer.status if answer.status >= 0 else 128 - answer.status
