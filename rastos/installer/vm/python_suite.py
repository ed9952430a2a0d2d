"""Checks written in Python: functions named `test_…`, their parameters the machines they want."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from rastos.errors import UserError

from .suite import MachineRequest, Machines, Suite, SuiteCheck


def load_python(path: Path) -> Suite:
    """Import a file; `MACHINES` lists its machines (one named `machine` where it is missing). UserError names the line."""
    module = _imported(path)
    wanted = getattr(module, "MACHINES", (MachineRequest(),))
    if not isinstance(wanted, (list, tuple)) or not all(isinstance(item, MachineRequest) for item in wanted):
        step = 'write MACHINES = [machine("web"), machine("client")], from rastos.testing'
        raise UserError("MACHINES is no list of machines", on=path, next_step=step)
    names = [item.name for item in wanted]
    if len(set(names)) != len(names) or not names:
        raise UserError("MACHINES names none, or one twice", on=path, next_step="give each machine its own name")
    checks = []
    for name, function in vars(module).items():
        if name.startswith("test_") and inspect.isfunction(function) and function.__module__ == module.__name__:
            checks.append(_check(path, name, function, names))
    if not checks:
        raise UserError("there is nothing to check", on=path, next_step="write a function: def test_…(machine):")
    return Suite(path, tuple(wanted), tuple(checks))


def _imported(path: Path) -> ModuleType:
    name = f"rastos_checks_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(
            f"it is not Python: {error.msg}", on=f"{path}:{error.lineno}", next_step="correct it"
        ) from error
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = f"{path}:{lines[-1]}" if lines else path
        what = f"the checks can't be imported: {type(error).__name__}: {error}"
        raise UserError(what, on=place, next_step="correct the line named") from error
    finally:
        sys.path.remove(str(path.parent))
        del sys.modules[name]
    return module


def _check(path: Path, name: str, function: Any, names: list[str]) -> SuiteCheck:
    wanted = list(inspect.signature(function).parameters)
    for parameter in wanted:
        if parameter not in (*names, "machines"):
            step = f"known: {', '.join(names)}, machines"
            place = f"{path}:{function.__code__.co_firstlineno}"
            raise UserError(f"{name} wants '{parameter}', which is no machine", on=place, next_step=step)

    def look(machines: Machines) -> str:
        try:
            said = function(**{word: machines if word == "machines" else machines[word] for word in wanted})
        except AssertionError as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise AssertionError(f"{error or frame.line} ({Path(frame.filename).name}:{frame.lineno})") from error
        return said if isinstance(said, str) else ""

    about = next((word for word in wanted if word in names), names[0])
    return SuiteCheck((function.__doc__ or name).strip().splitlines()[0], about, look)
