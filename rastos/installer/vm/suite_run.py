"""Running a file of checks: its machines are started, every check is looked at, what failed leaves evidence."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from rastos.progress import Progress

from .checks import Check, TestReport
from .driver import Machine
from .suite import Suite, failure
from .together import all_at_once, ended_cleanly, introduce, machines_started, wait_up


def run_suite(
    suite: Suite, *, image: Path | None, cache: Path, progress: Progress, timeout: float = 240.0
) -> TestReport:
    """Boot the machines, look, power off. `timeout` in seconds for one machine to come up.

    Where a check fails, console, journal and screenshot of every machine are kept; the report names them.
    """
    evidence = cache / "vm" / "failed" / suite.path.stem
    shutil.rmtree(evidence, ignore_errors=True)
    ways = {item.name: item.way for item in suite.machines}
    checks: list[Check] = []
    logs: tuple[Path, ...] = ()

    def note(name: str, machine: str, began: float, seen: str, passed: bool) -> None:
        seconds = round(time.monotonic() - began, 2)
        checks.append(Check(name, ways[machine], passed, seen, seconds, machine))

    with machines_started(suite.machines, image=image, cache=cache, evidence=evidence) as machines:
        boots = []
        with progress.step(f"Boot {len(machines)} {'machine' if len(machines) == 1 else 'machines'}") as step:
            began, seen = time.monotonic(), {}

            def up(machine: Machine) -> None:
                seen[machine.name] = wait_up(machine, timeout)

            for machine, broke in zip(machines.values(), all_at_once(list(machines.values()), up), strict=True):
                note("boots", machine.name, began, failure(broke) if broke else seen[machine.name], broke is None)
                if broke is None:
                    boots.append((machine.name, round(time.monotonic() - machine.started, 1)))
            step.outcome = ", ".join(f"{name} {words}" for name, words in seen.items())
        if len(boots) == len(machines):
            with progress.step("Check", total=len(suite.checks), unit="checks") as step:
                introduce(suite.machines, machines)
                for done, item in enumerate(suite.checks, 1):
                    began = time.monotonic()
                    try:
                        words, passed = item.look(machines), True
                    except (KeyboardInterrupt, SystemExit):
                        raise
                    except BaseException as error:  # a user's function may raise anything
                        words, passed = failure(error), False
                    note(item.name, item.machine, began, words, passed)
                    step.advance(done, item.name)
        if not all(item.passed for item in checks):
            for machine in machines.values():
                logs += machine.keep_evidence(evidence / machine.name)
        else:
            with progress.step("Power off"):
                running = [item for item in machines.values() if item.process.poll() is None]
                began = time.monotonic()
                for machine, broke in zip(running, ended_cleanly(running), strict=True):
                    note("powers off cleanly", machine.name, began, failure(broke) if broke else "", broke is None)
                    if broke:
                        logs += machine.keep_evidence(evidence / machine.name)
    kept = evidence if logs else None
    return TestReport(suite.path, tuple(checks), tuple(boots), logs, kept)
