"""What is encrypted, and as what: told by the cipher run the other way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.installer.encryption import SECTOR, _encrypt, _written, read_passphrase


def test_each_sector_that_was_written_is_encrypted_with_its_number(tmp_path: Path) -> None:
    modules = pytest.importorskip("cryptography.hazmat.primitives.ciphers")
    key, origin = bytes(range(64)), 3 * SECTOR
    disk = tmp_path / "disk"
    plain = b"A" * SECTOR + bytes(SECTOR)  # a block of zeros that was written is content too
    with open(disk, "xb") as stream:
        os.truncate(stream.fileno(), 64 * SECTOR)
        os.pwrite(stream.fileno(), plain, origin + 8 * SECTOR)
        os.fsync(stream.fileno())
    with open(disk, "r+b") as stream:
        spans = list(_written(stream.fileno(), origin, 64 * SECTOR))
        assert all((start - origin) % SECTOR == 0 and (end - origin) % SECTOR == 0 for start, end in spans)
        assert any(start <= origin + 8 * SECTOR and origin + 10 * SECTOR <= end for start, end in spans)
        for start, end in spans:
            _encrypt(stream.fileno(), start, end, origin, key)
    found = disk.read_bytes()[origin + 8 * SECTOR : origin + 10 * SECTOR]
    algorithm = modules.algorithms.AES(key)
    for number in (0, 1):
        tweak = ((8 + number) * SECTOR // 512).to_bytes(16, "little")
        back = modules.Cipher(algorithm, modules.modes.XTS(tweak)).decryptor()
        sector = slice(number * SECTOR, (number + 1) * SECTOR)
        assert found[sector] != plain[sector]
        assert back.update(found[sector]) == plain[sector]


@pytest.mark.parametrize("text", [b"", b"\n", b"two\nlines\n", b"x" * 501])
def test_what_can_not_be_typed_is_no_passphrase(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "passphrase").write_bytes(text)
    with pytest.raises(UserError, match="one line"):
        read_passphrase(tmp_path / "passphrase")


def test_the_end_of_the_line_is_not_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_bytes(b" with spaces \r\n")
    assert read_passphrase(tmp_path / "passphrase") == b" with spaces "
