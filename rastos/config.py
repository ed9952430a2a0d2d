"""Configuration: defaults < /etc/rastos/*.toml < the project's rastos.toml < environment RASTOS_* < options.

Pure: mappings and file texts in, a frozen value out; every value keeps its origin (`rastos config show`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rastos.errors import UserError

PACKAGED = Path(__file__).parent


def _setting(help_text: str, env: str) -> Any:
    return field(metadata={"help": help_text, "env": env})


@dataclass(frozen=True, slots=True)
class Config:
    """Where things lie and how much of the machine may be used; one field, one row of the reference."""

    cache: Path = _setting("content-addressed cache: sources, converted packages, built images", "RASTOS_CACHE")
    state: Path = _setting("what must not be lost: the local package repository, locks, journals", "RASTOS_STATE")
    output: Path = _setting("where images are written", "RASTOS_OUTPUT")
    profiles: Path = _setting("folder with kernel/ and image/ profiles", "RASTOS_PROFILES")
    manifest: Path = _setting("the declared packages", "RASTOS_MANIFEST")
    jobs: int = _setting("parallel jobs for builds", "RASTOS_JOBS")
    kernel_mirror: str = _setting("where kernel.org's releases are fetched from", "RASTOS_KERNEL_MIRROR")
    kept_trees: int = _setting("old trees kept beside a btrfs folder for undo", "RASTOS_KEPT_TREES")
    retention: str = _setting("which snapshots `rastos snapshot prune` keeps", "RASTOS_RETENTION")
    manifests: str = _setting("a manifest for every new snapshot: always or never", "RASTOS_MANIFESTS")
    signing_key: str = _setting("fingerprint of the key that signs snapshots sent and manifests", "RASTOS_SIGNING_KEY")
    signing_home: str = _setting("the GnuPG folder that key is in (empty: your own)", "RASTOS_SIGNING_HOME")
    trusted_keys: str = _setting(
        "keyring whose signatures on snapshots count (empty: keys/snapshots.gpg in the state folder)",
        "RASTOS_TRUSTED_KEYS",
    )
    luks_passphrase_file: str = _setting(
        "file with the passphrase of encrypted images (empty: it is asked for)", "RASTOS_LUKS_PASSPHRASE_FILE"
    )
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def repository(self) -> Path:
        """The local package repository."""
        return self.state / "repository"

    @property
    def snapshot_keyring(self) -> Path:
        """The keyring whose signatures on snapshots count; it may not be there."""
        return Path(self.trusted_keys).expanduser() if self.trusted_keys else self.state / "keys" / "snapshots.gpg"

    @property
    def profile_folders(self) -> tuple[Path, ...]:
        """Profile folders, the project's own first, then those that came with rastos."""
        folders = (self.profiles, PACKAGED / "profiles", PACKAGED.parent / "profiles")
        return tuple(dict.fromkeys(folder.resolve() for folder in folders if folder.is_dir()))


NAMES = tuple(item.name for item in fields(Config) if item.name != "origins")

_TEXTS = (
    "kernel_mirror",
    "luks_passphrase_file",
    "manifests",
    "retention",
    "signing_key",
    "signing_home",
    "trusted_keys",
)
# settings that are numbers: the least one, and what it counts
_LEAST = {"jobs": 1, "kept_trees": 0}
_MEANING = {"jobs": "the number of parallel jobs", "kept_trees": "the number of old trees to keep"}


def defaults(*, root: bool, home: Path, project: Path, cores: int) -> dict[str, object]:
    """The built-in values for root and for other users (XDG base directories)."""
    return {
        "cache": Path("/var/cache/rastos") if root else home / ".cache/rastos",
        "state": Path("/var/lib/rastos") if root else home / ".local/state/rastos",
        "output": project / "images",
        "profiles": project / "profiles",
        "manifest": project / "packages.toml",
        "jobs": cores,
        "kernel_mirror": "https://cdn.kernel.org/pub/linux/kernel",
        "kept_trees": 5,
        "retention": "",
        "manifests": "never",
        "signing_key": "",
        "signing_home": "",
        "trusted_keys": "",
        "luks_passphrase_file": "",
    }


def load(
    base: Mapping[str, object],
    files: list[Path],
    environment: Mapping[str, str],
    options: Mapping[str, object],
    *,
    project: Path,
) -> Config:
    """Merge the layers; `files` in rising priority. Relative paths count from the project folder.

    Raises UserError for unknown keys (with the nearest known one) and values of the wrong type.
    """
    values = dict(base)
    origins = dict.fromkeys(values, "default")
    for path in files:
        for key, value in _read(path).items():
            if key not in NAMES:
                raise UserError(f"unknown setting '{key}'", on=path, next_step=_nearest(key))
            values[key], origins[key] = value, str(path)
    for item in fields(Config):
        name = str(item.metadata.get("env", ""))
        if environment.get(name):
            values[item.name], origins[item.name] = environment[name], f"environment {name}"
    for key, value in options.items():
        if value is not None:
            values[key], origins[key] = value, "option"
    numbers = {key: _number(key, values[key], least, origins[key]) for key, least in _LEAST.items()}
    names = [key for key in NAMES if key not in _LEAST and key not in _TEXTS]
    if values["manifests"] not in ("always", "never"):
        raise UserError(
            f"manifests is '{values['manifests']}'", on=origins["manifests"], next_step="set it to always or never"
        )
    merged: dict[str, Any] = {key: str(values[key]) for key in _TEXTS}
    merged |= {key: (project / Path(str(values[key])).expanduser()).absolute() for key in names}
    return Config(
        **merged,
        jobs=numbers["jobs"],
        kept_trees=numbers["kept_trees"],
        origins=origins,
    )


def _number(key: str, value: object, least: int, origin: str) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = least - 1
    if number < least:
        raise UserError(
            f"{key} is '{value}', expected a whole number from {least}",
            on=origin,
            next_step=f"set it to {_MEANING[key]}, for example 2",
        )
    return number


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"malformed TOML: {error}", on=path, next_step="correct the line named") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the configuration: {error}", on=path, next_step="check the file") from error


def _nearest(key: str) -> str:
    import difflib

    near = difflib.get_close_matches(key, NAMES, n=1)
    known = ", ".join(NAMES)
    return f"did you mean '{near[0]}'?" if near else f"known settings: {known}"
