"""An encrypted root: LUKS2 by cryptsetup(8), made where no device mapper is needed, opened where there is one.

The file system is made first, in the clear, behind the room for the header. Encrypting writes the header and turns every
block that holds something into cipher text, in place: what was never written stays a hole, so an image stays small.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from rastos.errors import HostError, UserError
from rastos.host import in_memory, require_programs, run

from .partition import Partition

HEADER = 16 << 20  # bytes before the data: what cryptsetup takes by default
SECTOR = 4096  # bytes of one unit of encryption
MAGIC = b"LUKS\xba\xbe\0\2"
KEY_BYTES = 64  # AES-256 in XTS: two keys
# RFC 9106, 4: 64 MiB where memory is short. Fixed, so that what this machine can do does not decide how long others take
DERIVATION = (
    "--pbkdf",
    "argon2id",
    "--pbkdf-force-iterations",
    "4",
    "--pbkdf-memory",
    "65536",
    "--pbkdf-parallel",
    "4",
)
MAPPED = Path("/dev/mapper")
_CHUNK = 4 << 20
# the file with the passphrase of the images that this run opens; None: cryptsetup asks
PASSPHRASE_FILE: ContextVar[Path | None] = ContextVar("PASSPHRASE_FILE", default=None)


def use_passphrase_file(path: Path) -> None:
    """Take the passphrase of encrypted images from this file, from now on."""
    PASSPHRASE_FILE.set(path)


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file, without the end of its line. Raises UserError: none there, or an empty one."""
    try:
        found = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read the passphrase: {error.strerror}", on=path, next_step="check --luks-passphrase-file"
        ) from error
    found = found.removesuffix(b"\n").removesuffix(b"\r")
    if not found or len(found) > 500 or b"\n" in found:
        raise UserError(
            "a passphrase is one line of 1 to 500 bytes", on=path, next_step="write it so; somebody has to type it"
        )
    return found


def is_encrypted(disk: Path, start: int) -> bool:
    """Whether a LUKS2 volume begins at byte `start`."""
    with open(disk, "rb") as stream:
        stream.seek(start)
        return stream.read(len(MAGIC)) == MAGIC


def encrypt_root(disk: Path, root: Partition, uuid: str, passphrase: bytes, work: Path) -> None:
    """Encrypt the file system that lies HEADER bytes into the partition of a raw disk file, and write the header.

    The volume key is random, and in memory only. Raises HostError without the library that encrypts.
    """
    require_programs("cryptsetup")
    key = secrets.token_bytes(KEY_BYTES)
    header = work / "luks-header"
    with in_memory("luks") as place, open(header, "xb") as stream:
        os.truncate(stream.fileno(), HEADER + SECTOR)
        (place / "volume-key").write_bytes(key)
        (place / "passphrase").write_bytes(passphrase)
        words: list[str | Path] = ["cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--uuid", uuid]
        words += ["--cipher", "aes-xts-plain64", "--key-size", str(KEY_BYTES * 8), "--sector-size", str(SECTOR)]
        words += ["--volume-key-file", place / "volume-key", "--key-file", place / "passphrase", *DERIVATION, header]
        run(words, what="make the LUKS2 header")
    with open(disk, "r+b") as target:
        for start, end in _written(target.fileno(), root.start + HEADER, root.start + root.size):
            _encrypt(target.fileno(), start, end, root.start + HEADER, key)
        with open(header, "rb") as source:
            target.seek(root.start)
            target.write(source.read(HEADER))
        target.flush()
        os.fsync(target.fileno())
    header.unlink()


def _written(file: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Parts of a file that hold something, in whole sectors (lseek(2), SEEK_DATA)."""
    at = start
    while at < end:
        try:
            first = max(os.lseek(file, at, os.SEEK_DATA), start)
        except OSError:  # ENXIO: nothing more
            return
        if first >= end:
            return
        at = min(os.lseek(file, first, os.SEEK_HOLE), end)
        first -= (first - start) % SECTOR
        at = min(at + -(at - start) % SECTOR, end - (end - start) % SECTOR)
        if first < at:
            yield first, at


def _encrypt(file: int, start: int, end: int, origin: int, key: bytes) -> None:
    """AES-XTS, the number of the 512-byte sector as tweak (dm-crypt, plain64: 64 bits, little-endian)."""
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError as error:
        raise HostError(
            "the Python library cryptography is missing, which encrypts an image's root",
            next_step="install it: pip install 'rastos[luks]', or pip install cryptography",
        ) from error
    algorithm = algorithms.AES(key)
    for at in range(start, end, _CHUNK):
        plain = os.pread(file, min(_CHUNK, end - at), at)
        made = bytearray()
        for offset in range(0, len(plain), SECTOR):
            tweak = ((at - origin + offset) // 512).to_bytes(16, "little")
            encryptor = Cipher(algorithm, modes.XTS(tweak)).encryptor()
            made += encryptor.update(plain[offset : offset + SECTOR])
        os.pwrite(file, made, at)


@contextmanager
def unlocked(device: Path, *, on: Path, read_only: bool) -> Iterator[Path]:
    """Open the volume on a block device, by PASSPHRASE_FILE; without one cryptsetup asks on the terminal.

    Raises UserError (wrong passphrase, nobody to ask), HostError (this kernel has no device mapper).
    """
    from rastos.host import converse

    require_programs("cryptsetup")
    passphrase = PASSPHRASE_FILE.get()
    if not Path("/sys/class/misc/device-mapper").exists():
        raise HostError(
            "the image's root is encrypted, and this kernel has no device mapper to open it with",
            on=on,
            next_step="use a kernel with dm-crypt (modprobe dm-crypt), or work inside: `rastos image boot`",
        )
    name = f"rastos-{os.getpid()}-{secrets.token_hex(4)}"
    words: list[str | Path] = ["cryptsetup", "open", "--type", "luks2", "--tries", "3"]
    words += ["--readonly"] if read_only else []
    if passphrase is None:
        if not os.isatty(0):
            raise UserError(
                "the image's root is encrypted",
                on=on,
                next_step="name the passphrase's file: RASTOS_LUKS_PASSPHRASE_FILE",
            )
        status = converse([*words, device, name], check=False)
    else:
        # from standard input, whole: the end of the line is not part of it
        done = run([*words, "--key-file", "-", device, name], stdin=read_passphrase(passphrase), check=False)
        status = done.status
    if status != 0:
        raise UserError(
            "that passphrase does not open the image's root" if status == 2 else "the image's root can't be opened",
            on=on,
            next_step="check the passphrase; `cryptsetup luksDump` shows the key slots",
        )
    # removed with its last user, which a killed command is not any more: our own handle, and then the mount
    held = os.open(MAPPED / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        run(["cryptsetup", "close", "--deferred", name], what="have the encrypted root closed in the end")
        yield MAPPED / name
    finally:
        os.close(held)
