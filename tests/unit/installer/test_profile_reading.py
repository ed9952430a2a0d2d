"""Reading image profiles: every fault with its line and a next step, nothing hidden behind the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.installer import load_image_profile, public_key_fault, read_image_profile
from rastos.installer.profile.places import Places

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAY2F7qeAtPkToy5ejxFBEJoQkoraS+XFRbVMmgcfUfd me@example.org"
USER = '[[users]]\nname = "me"\n'
FILE = '[[files]]\npath = "/etc/motd"\n'


def faults(tmp_path: Path, text: str) -> list[UserError]:
    place = tmp_path / "bad.toml"
    place.write_text(text)
    return list(read_image_profile(str(place), [tmp_path]).faults)


@pytest.mark.parametrize(
    ("text", "what", "line", "step"),
    [
        ('locale = "de DE"', "no name of a locale", 1, "de_DE.UTF-8"),
        ('timezone = "../../etc/passwd"', "no name of a time zone", 1, "Europe/Berlin"),
        ('keymap = "de latin1"', "no name of a keymap", 1, "de-latin1"),
        ('host-keys = "firstboot"', "unknown host-keys 'firstboot'", 1, '"first-boot" or "none"'),
        ('uki = "yes"', "expected true or false", 1, "uki = true"),
        ('[[user]]\nname = "me"', "unknown key 'user'", 1, "'users'"),
        (f"{USER}uid = -1", "expected a whole number", 3, "without quotes"),
        (f'{USER}shel = "/bin/sh"', "unknown key 'users.shel'", 3, "'shell'"),
        (f'{USER}password = "hunter2"', "password is not a password hash", 3, "openssl passwd -6"),
        (f'{USER}sudo = "maybe"', "unknown sudo 'maybe'", 3, "true, false or"),
        (f'{USER}home = "/home/../etc"', "is no path", 3, "without .."),
        (f'{USER}groups = ["a b"]', "'a b' is no group's name", 3, "/etc/group"),
        (f'{USER}ssh-keys = [\n  "{KEY}",\n  "{KEY[:60]}",\n]', "its end is missing", 5, ".pub"),
        ('[[users]]\nname = "daemon"', "the user name 'daemon' is taken by the system", 2, "another"),
        ('[[users]]\nname = "root"', "'root' is taken", 2, "root-password"),
        (f"{USER}{USER}", "users has 'me' twice", 3, "another name"),
        (f'{USER}uid = 1000\n[[users]]\nname = "you"\nuid = 1000', "uid 1000 is me's already", 6, "another"),
        ("[[users]]\nuid = 3", "lacks name", 1, "name = "),
        ('[[groups]]\nname = "Crew"', "'Crew' is no group's name", 1, "lower-case"),
        ('enable = ["a b"]', "'a b' is no name of a unit", 1, "ssh.service"),
        ('enable = ["x"]\nmask = ["x.service"]', "x.service is in enable and in mask", 2, "take it out"),
        ('[sysctl]\n"rm -rf" = 1', "'rm -rf' is no kernel setting", 2, "net.ipv4.ip_forward"),
        ("[sysctl]\nvm.swappiness = true", "expected a text or a whole number", 2, "swappiness"),
        ('[[network.interfaces]]\nmatch = "eth0"\naddresses = ["192.0.2.5"]', "lacks the length", 3, "/24"),
        ('[[network.interfaces]]\nmatch = "eth0"\naddresses = ["192.0.2.500/24"]', "is no address", 3, "/24"),
        ('[[network.interfaces]]\nmatch = "eth0"', "'eth0' gets no address", 1, "dhcp = true"),
        ('[[network.interfaces]]\nmac = "52:54:00"\ndhcp = true', "no hardware address", 2, "52:54:00:12:34:56"),
        ('[[network.interfaces]]\nmatch = "v1"\ndhcp = true\nvlan = 7\nparent = "eth0"', "no interface here", 4, ""),
        ('[[network.interfaces]]\ndhcp = true', "lacks match or mac", 1, "match = "),
        ('[[files]]\npath = "/etc/../usr/x"\ncontent = ""', "leads elsewhere", 2, "/etc/motd"),
        ('[[files]]\npath = "etc/motd"\ncontent = ""', "is no path of a file", 2, "/etc/motd"),
        ('[[files]]\npath = "/proc/sys/x"\ncontent = ""', "/proc is made at boot", 2, "/srv"),
        ('[[files]]\npath = "/etc/shadow"\ncontent = ""', "not written by [[files]]", 2, "[[users]]"),
        (FILE, "'/etc/motd' has no content", 1, "content, source, template"),
        (f'{FILE}content = "a"\nsource = "b"', "has content and source", 1, "one of"),
        (f'{FILE}source = "/etc/shadow"', "leads out of the profile's folder", 3, "below"),
        (f'{FILE}source = "../secret"', "leads out of the profile's folder", 3, "below"),
        (f'{FILE}source = "gone"', "there is no file 'gone'", 3, "below"),
        (f'{FILE}content = ""\nmode = "rwx"', "expected permissions", 4, '"0644"'),
        (f'{FILE}content = ""\nowner = "a:b"', "no name of owner", 4, "number"),
        ('[[first-boot]]\nname = "A b"\nrun = "true"', "no name of a step", 1, "lower-case"),
        ('packages = ["-curl"]', "takes out 'curl', which nothing can", 1, "leave it out"),
        ('format = "vdmk"', "unknown format 'vdmk'", 1, "'vmdk'"),
        ('format = "raw"\ncompress = true', "compression can't be chosen for format raw", 2, "qcow2"),
        ("[disk]\nluks = true\nraid1 = true", "an encrypted mirror", 1, "choose luks or raid1"),
        ('[disk]\nswap = "4K"', "a swap file that small", 2, '"8M"'),
        ('[[disk.data]]\nlabel = "d"\nmount = "/usr"\nsize = "1G"', "mounted on '/usr'", 1, "below /srv"),
        ("[disk]\nlusk = true", "unknown key 'disk.lusk'", 2, "'luks'"),
        ('inherits = "nobody"', "there is no image profile 'nobody'", 1, "known profiles"),
    ],
)  # fmt: skip
def test_a_fault_has_its_line_and_a_step(tmp_path: Path, text: str, what: str, line: int, step: str) -> None:
    try:
        found = faults(tmp_path, text)
    except UserError as error:
        found = [error]
    assert len(found) == 1, [error.what for error in found]
    assert what in found[0].what
    assert found[0].on == f"{tmp_path / 'bad.toml'}:{line}"
    assert step in found[0].next_step


def test_nothing_hides_behind_the_first_fault(tmp_path: Path) -> None:
    text = 'hostname = "-x"\nsize = "big"\nfoo = 1\n[[users]]\nname = "UP"\n'
    assert len(faults(tmp_path, text)) == 4
    with pytest.raises(UserError) as caught:
        load_image_profile(str(tmp_path / "bad.toml"), [])
    assert caught.value.detail.count("also ") == 3


def test_a_private_key_is_refused_and_not_shown(tmp_path: Path) -> None:
    secret = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
    for text in (f'ssh-keys = ["""\n{secret}"""]', f'ssh-keys = """{secret}"""'):
        (found,) = faults(tmp_path, text)
        assert "this is a private key" in found.what and "b3Blbn" not in f"{found.what}{found.next_step}{found.detail}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (KEY, ""),
        (f'restrict,command="echo a b" {KEY}', ""),
        (KEY.replace("ssh-ed25519", "ssh-rsa"), "says ssh-rsa"),
        (KEY.replace("AAAAC3", "AAAA=3"), "not a public SSH key"),
        (KEY.split()[1], "not a public SSH key"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "nothing in it"),
    ],
)
def test_public_keys(text: str, fault: str) -> None:
    assert fault in public_key_fault(text) and bool(fault) == bool(public_key_fault(text))


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "folder/innocent").symlink_to(tmp_path / "secret")
    (found,) = faults(tmp_path / "folder", f'{FILE}source = "innocent"')
    assert "link out of the profile's folder" in found.what


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{hostname} {town} {{literal}}", ""),
        ("{hostnam}", "names {hostnam}"),
        ("{hostname.__class__}", "names {hostname.__class__}"),
        ("{hostname!r}", "names {hostname!r}"),
        ("{", "not closed"),
    ],
)
def test_templates(tmp_path: Path, template: str, fault: str) -> None:
    (tmp_path / "t").write_text(template)
    found = faults(tmp_path, f'{FILE}template = "t"\n[values]\ntown = "Ulm"\n')
    assert [fault in error.what for error in found] == ([True] if fault else [])


def test_values_are_found_in_the_text() -> None:
    text = (
        'a = 1\nlist = [\n  "x", # [\n  "y",\n]\n[[users]]\nname = "a"\nd = """\nb = 3\n"""\n'
        '[[users]]\nname = "b"\n[network]\ndhcp = true\n[[network.interfaces]]\nmatch = "en*"\n'
    )
    places = Places(text)
    wanted = {("a",): 1, ("list", "y"): 4, ("users", 0, "d"): 8, ("users", 1): 11, ("users", 1, "name"): 12}
    wanted |= {("network", "dhcp"): 14, ("network", "interfaces", 0, "match"): 16}
    assert {path: places.line(path) for path in wanted} == wanted
    assert ("b",) not in places.found, "what stands in a string is no key"
