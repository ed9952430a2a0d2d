"""Every command of `rastos snapshot` that changes a store, as a user types it, with what has to be there before."""

from __future__ import annotations

from dataclasses import dataclass, field

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verb:
    """`words` after `rastos snapshot`; `before`: commands that are run first. FOLDER: a folder for files.

    `keeps_session`: stopped half-way it leaves a session on purpose, to go on with.
    """

    words: Words
    before: tuple[Words, ...] = ()
    keeps_session: bool = field(default=False)


_KEPT: Words = ("run", "2", "--keep", "mine", "--", "/usr/bin/work")
_STREAM: Words = ("send", "3", "--unsigned", "-o", "FOLDER/stream")
_DELETED: Words = ("delete", "4")

VERBS = {
    "create": Verb(("create", "2", "-d", "made")),
    "branch": Verb(("branch", "2", "side")),
    "clone": Verb(("clone", "2")),
    "clone-tree": Verb(("clone-tree", "2")),
    "reparent": Verb(("reparent", "3", "--root")),
    "describe": Verb(("describe", "2", "described", "--name", "named")),
    "tag": Verb(("tag", "2", "+stable")),
    "pin": Verb(("pin", "2")),
    "unpin": Verb(("unpin", "2"), before=(("pin", "2"),)),
    "run": Verb(("run", "2", "--", "/usr/bin/work")),
    "run --keep": Verb(_KEPT, keeps_session=True),
    "run --tree": Verb(("run", "2", "--tree", "--", "/usr/bin/work"), keeps_session=True),
    "session commit": Verb(("session", "commit", "mine"), before=(_KEPT,), keeps_session=True),
    "session discard": Verb(("session", "discard", "mine"), before=(_KEPT,), keeps_session=True),
    "session run": Verb(("session", "run", "mine", "--", "/usr/bin/work"), before=(_KEPT,), keeps_session=True),
    "rebase": Verb(("rebase", "3", "--onto", "1", "--files"), keeps_session=True),
    "sync": Verb(("sync", "5", "--from", "2", "--files"), before=(("create", "2"),), keeps_session=True),
    "deploy": Verb(("deploy", "4")),
    "rollback": Verb(("rollback", "1", "--etc", "old")),
    "cancel": Verb(("cancel",)),
    "keep": Verb(("keep",)),
    "etc push": Verb(("etc", "push", "app.conf")),
    "etc restore": Verb(("etc", "restore", "app.conf", "--from", "1")),
    "delete": Verb(("delete", "2")),
    "prune": Verb(("prune", "--keep", "last=1")),
    "receive": Verb(("receive", "FOLDER/stream", "--unsigned"), before=(_STREAM,)),
    "import": Verb(("import", "FOLDER/tree.tar"), before=(("export", "3", "--tar", "FOLDER/tree.tar"),)),
    "verify --record": Verb(("verify", "3", "--record", "--unsigned")),
    "doctor --fix": Verb(("doctor", "--fix")),
}
# they go the same way through the same steps
SAME_AS = {
    "install": "run: packages are a step of the same session (tests/system/test_sessions.py)",
    "remove": "run: packages are a step of the same session (tests/system/test_sessions.py)",
    "upgrade": "run: packages are a step of the same session (tests/system/test_sessions.py)",
    "new": "run: a session on an empty tree (tests/system/test_sessions.py)",
    "shell": "run: the program is a shell (tests/system/test_sessions.py)",
    "session enter": "session run: the program is a shell",
    "etc resolve": "etc push: one change of files of /etc (tests/system/test_snapshot_faults.py, etc)",
    "repair": "needs a damaged snapshot (tests/system/test_snapshot_verify.py)",
}
READING = {
    "list", "tree", "show", "diff", "log", "pending", "session list", "etc diff", "etc status", "send", "export", "state", "status"
}  # fmt: skip
