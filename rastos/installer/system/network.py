"""Addresses: systemd.network(5) files, one for each interface of the profile, DHCP on the other wired ones."""

from __future__ import annotations

import re
from pathlib import Path

from ..profile import ImageProfile, Interface
from .writing import link, write

FOLDER = "etc/systemd/network"
DHCP = """\
# Written by rastos: addresses by DHCP on every wired interface that has no file of its own.
[Match]
Name=en* eth*

[Network]
DHCP=yes
"""


def write_network(tree: Path, profile: ImageProfile) -> None:
    """Files that sort before the general one, so that an interface takes its own."""
    network = profile.network
    if network.dhcp:
        write(tree, f"{FOLDER}/80-rastos-dhcp.network", DHCP)
    for number, interface in enumerate(network.interfaces):
        name = f"{20 + number:02d}-{re.sub('[^A-Za-z0-9]+', '-', interface.label).strip('-') or 'interface'}"
        vlans = [item.match for item in network.interfaces if item.vlan is not None and item.parent == interface.match]
        if interface.vlan is not None:
            text = f"[NetDev]\nName={interface.match}\nKind=vlan\n\n[VLAN]\nId={interface.vlan}\n"
            write(tree, f"{FOLDER}/{name}.netdev", text)
        write(tree, f"{FOLDER}/{name}.network", _network(interface, vlans))
    if (tree / "usr/lib/systemd/systemd-resolved").exists():
        link(tree, "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")


def _network(item: Interface, vlans: list[str]) -> str:
    rows = ["[Match]", f"MACAddress={item.mac}" if item.mac else f"Name={item.match}"]
    if item.mac and item.match:
        rows.append(f"Name={item.match}")
    if item.mtu:
        rows += ["", "[Link]", f"MTUBytes={item.mtu}"]
    rows += ["", "[Network]", f"DHCP={item.dhcp}"]
    for key, values in (
        ("Address", item.addresses),
        ("Gateway", item.gateway),
        ("DNS", item.dns),
        ("Domains", item.domains),
        ("VLAN", vlans),
    ):
        rows += [f"{key}={value}" for value in values]
    if not item.addresses and item.dhcp == "no":
        rows += ["LinkLocalAddressing=no"]  # it only carries VLANs
    return "# From the image profile.\n" + "\n".join(rows) + "\n"
