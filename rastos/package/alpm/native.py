"""What pyalpm doesn't expose of the libalpm it has loaded: hook folders, overwrite patterns, event texts, questions.

Through ctypes on that same library. pyalpm's Handle has libalpm's handle right behind the head of a Python object; that is
looked at before anything is called, and where it isn't so (another build, another version) nothing is touched.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# alpm.h, enum _alpm_event_type_t, as 13 (pacman 6.0) counts; later versions count the same. 12 has other numbers and
# callbacks without context, and the binding doesn't build with it
_KNOWN_MAJORS = range(13, 17)
_OPERATION_START, _OPERATION_DONE = 11, 12
_KINDS = {17: "script", 26: "optional", 32: "pacnew", 33: "pacsave", 36: "hook"}


class NativeError(Exception):
    """This libalpm can't be used beside the binding; the text says why."""


@dataclass(frozen=True)
class Event:
    """An event with its texts: kind is operation, operation done, script, optional, pacnew, pacsave, hook."""

    kind: str
    package: str = ""
    text: str = ""
    description: str = ""


class _Operation(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("operation", ctypes.c_int), ("old", ctypes.c_void_p), ("new", ctypes.c_void_p)]


class _Optional(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("package", ctypes.c_void_p), ("dependency", ctypes.c_void_p)]


class _Line(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("line", ctypes.c_char_p)]


class _Pacnew(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("from_noupgrade", ctypes.c_int),
        ("old", ctypes.c_void_p),
        ("new", ctypes.c_void_p),
        ("file", ctypes.c_char_p),
    ]


class _Pacsave(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("old", ctypes.c_void_p), ("file", ctypes.c_char_p)]


class _Hook(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("name", ctypes.c_char_p), ("description", ctypes.c_char_p)]


class _Question(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("answer", ctypes.c_int)]


QUESTIONS = {
    1: "install a package that shall be ignored",
    2: "replace a package",
    4: "remove a package that conflicts",
    8: "delete a corrupted file",
    16: "leave out packages that can't be resolved",
    32: "choose a provider",
    64: "import a key",
}


class Native:
    """libalpm behind a pyalpm Handle. Raises NativeError where the two can't be shown to be the same."""

    def __init__(self, handle: Any) -> None:
        # PyDLL keeps the interpreter locked: libalpm calls the binding's Python callbacks (its log) from in there
        self.library = ctypes.PyDLL(str(_loaded_library()))
        self._check_version()
        address = ctypes.c_void_p.from_address(id(handle) + object.__basicsize__).value
        self.handle = ctypes.c_void_p(address)
        if not address or type(handle).__basicsize__ < object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p):
            raise NativeError("the binding's handle is laid out in another way")
        if not _readable(address):
            raise NativeError("the binding's handle doesn't point at libalpm's")
        for name in ("root", "dbpath"):
            said = self._text(f"alpm_option_get_{name}")(self.handle)
            if said is None or os.fsdecode(said) != getattr(handle, name):
                raise NativeError("the binding's handle isn't libalpm's")
        self.callbacks: list[object] = []  # as long as libalpm may call them

    def add_hook_folders(self, folders: Iterable[str]) -> None:
        """Folders of hooks beside libalpm's own; a later one's files take the place of an earlier one's."""
        for folder in folders:
            self._call("alpm_option_add_hookdir", folder.rstrip("/").encode() + b"/")

    def add_overwrite(self, patterns: Iterable[str]) -> None:
        """Patterns of files that may be overwritten."""
        for pattern in patterns:
            self._call("alpm_option_add_overwrite_file", os.fsencode(pattern))

    def on_events(self, take: Callable[[Event], None]) -> None:
        """Hand events that carry something on."""

        def called(pointer: int) -> None:
            event = self._event(pointer)
            if event is not None:
                take(event)

        self._callback("alpm_option_set_eventcb", called)

    def on_questions(self, take: Callable[[str], None]) -> None:
        """Answer every question with no; `take` hears which it was."""

        def called(pointer: int) -> None:
            question = _Question.from_address(pointer)
            question.answer = 0
            take(QUESTIONS.get(question.type, f"question {question.type}"))

        self._callback("alpm_option_set_questioncb", called)

    def _event(self, pointer: int) -> Event | None:
        number = ctypes.c_int.from_address(pointer).value
        if number in (_OPERATION_START, _OPERATION_DONE):
            operation = _Operation.from_address(pointer)
            kind = "operation" if number == _OPERATION_START else "operation done"
            return Event(kind, self._name(operation.new or operation.old))
        kind = _KINDS.get(number, "")
        if kind == "script":
            return Event(kind, text=_decoded(_Line.from_address(pointer).line).rstrip("\n"))
        if kind == "optional":
            found = _Optional.from_address(pointer)
            return Event(kind, self._name(found.package), self._dependency(found.dependency))
        if kind == "pacnew":
            new = _Pacnew.from_address(pointer)
            return Event(kind, self._name(new.new or new.old), _decoded(new.file) + ".pacnew")
        if kind == "pacsave":
            saved = _Pacsave.from_address(pointer)
            return Event(kind, self._name(saved.old), _decoded(saved.file) + ".pacsave")
        if kind == "hook":
            hook = _Hook.from_address(pointer)
            return Event(kind, text=_decoded(hook.name), description=_decoded(hook.description))
        return None

    def _name(self, package: int | None) -> str:
        return _decoded(self._text("alpm_pkg_get_name")(ctypes.c_void_p(package))) if package else ""

    def _dependency(self, dependency: int | None) -> str:
        if not dependency:
            return ""
        compute = self.library.alpm_dep_compute_string
        compute.restype, compute.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        made = compute(dependency)
        if not made:
            return ""
        text = ctypes.string_at(made).decode("utf-8", "replace")
        free = ctypes.CDLL(None).free
        free.argtypes = [ctypes.c_void_p]
        free(made)
        return text

    def _callback(self, setter: str, called: Callable[[int], None]) -> None:
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
        made = kind(lambda context, pointer: called(pointer))
        function = getattr(self.library, setter)
        function.argtypes = [ctypes.c_void_p, kind, ctypes.c_void_p]
        if function(self.handle, made, None) != 0:
            raise NativeError(f"{setter} refuses")
        self.callbacks.append(made)

    def _call(self, name: str, value: bytes) -> None:
        function = getattr(self.library, name)
        function.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        if function(self.handle, value) != 0:
            raise NativeError(f"{name} refuses {value!r}")

    def _text(self, name: str) -> Any:
        function = getattr(self.library, name)
        function.restype, function.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
        return function

    def _check_version(self) -> None:
        version = self.library.alpm_version
        version.restype, version.argtypes = ctypes.c_char_p, []
        text = _decoded(version())
        major = int(text.split(".")[0]) if text.split(".")[0].isdigit() else 0
        if major not in _KNOWN_MAJORS:
            raise NativeError(f"libalpm {text} is not known to this rastos")


def _loaded_library() -> Path:
    """The libalpm that is in this process already."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        path = line.split(None, 5)[-1]
        if Path(path).name.startswith("libalpm.so"):
            return Path(path)
    raise NativeError("the binding has no shared libalpm")


def _readable(address: int) -> bool:
    """Whether an address is in memory that may be read; following a wrong one would end the process."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        span, rights = line.split()[:2]
        start, _, end = span.partition("-")
        if int(start, 16) <= address < int(end, 16):
            return rights.startswith("rw")
    return False


def _decoded(text: bytes | None) -> str:
    return (text or b"").decode("utf-8", "surrogateescape")
