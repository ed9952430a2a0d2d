"""What container runtimes need: every test of the container community's checker (moby, contrib/check-config.sh), and more.

`moby` rules are the script's: what it calls generally necessary is an error, optional features are warnings, what serves one
driver or an old kernel a note. `rastos` rules are what today's podman, netavark and kubelets use besides. Its tests of zfs look
for a device and programs, not for the kernel's configuration; they aren't here.
"""

from __future__ import annotations

from .judge import Rule, Severity, table


def _group(name: str, severity: Severity, *rows: tuple[str, ...]) -> tuple[Rule, ...]:
    """Rows of (reason, symbols in a row, further expectations as `terms` writes them); "rastos: " before a reason says whose."""
    found: list[Rule] = []
    for reason, names, *more in rows:
        source = "rastos" if reason.startswith("rastos: ") else "moby"
        found += table(name, [(source, reason.removeprefix("rastos: "), *names.split(), *more)], severity=severity)
    return tuple(found)


NECESSARY = _group(
    "necessary",
    "error",
    ("a container is made of namespaces", "NAMESPACES NET_NS PID_NS IPC_NS UTS_NS"),
    ("limits and accounting of containers are control groups", "CGROUPS CGROUP_SCHED"),
    ("rastos: the controllers of cgroup v2 that runtimes set", "MEMCG CPUSETS BLK_CGROUP CGROUP_PIDS CFS_BANDWIDTH"),
    ("runtimes keep session keys apart", "KEYS"),
    ("containers reach each other over a bridge", "VETH BRIDGE BRIDGE_NETFILTER"),
    (
        "packets of containers are filtered and translated",
        "IP_NF_FILTER IP_NF_MANGLE IP_NF_TARGET_MASQUERADE IP_NF_RAW IP_NF_NAT NF_NAT"
        " IP6_NF_FILTER IP6_NF_MANGLE IP6_NF_TARGET_MASQUERADE IP6_NF_RAW IP6_NF_NAT",
    ),
    (
        "rules for published ports and services match by it",
        "NETFILTER_XT_MATCH_ADDRTYPE NETFILTER_XT_MATCH_CONNTRACK NETFILTER_XT_MATCH_IPVS NETFILTER_XT_MARK",
    ),
    ("/dev/mqueue of containers", "POSIX_MQUEUE"),
    ("/dev/pts of containers", "", "DEVPTS_MULTIPLE_INSTANCES; until 4.8"),
    ("addresses are translated", "", "NF_NAT_IPV4; until 5.2", "NF_NAT_NEEDED; until 5.3"),
    ("cgroup v2 decides about devices by BPF", "", "CGROUP_BPF; since 4.15"),
    ("layers of images need one storage driver at least", "", "OVERLAY_FS | BTRFS_FS & BTRFS_FS_POSIX_ACL"),
)
OPTIONAL = _group(
    "optional",
    "warning",
    ("containers without root", "USER_NS"),
    ("system calls of containers are filtered", "SECCOMP SECCOMP_FILTER"),
    ("swap of containers is limited", "", "MEMCG_SWAP; until 6.1", "MEMCG_SWAP_ENABLED; until 5.9"),
    ("memory of the kernel is counted", "", "MEMCG_KMEM; until 4.6", "RESOURCE_COUNTERS; until 3.19"),
    ("a page at a known address helps attackers", "LEGACY_VSYSCALL_NATIVE=n"),
    ("disk bandwidth is limited", "BLK_DEV_THROTTLING", "IOSCHED_CFQ; until 5.0", "CFQ_GROUP_IOSCHED; until 5.0"),
    ("processor time is shared by container", "FAIR_GROUP_SCHED"),
    ("perf by container", "CGROUP_PERF"),
    ("packets are marked by container", "NET_CLS_CGROUP", "CGROUP_NET_PRIO | NETPRIO_CGROUP"),
    ("published ports are redirected", "IP_NF_TARGET_REDIRECT"),
    ("services over several backends", "IP_VS IP_VS_NFCT IP_VS_PROTO_TCP IP_VS_PROTO_UDP IP_VS_RR"),
    ("rastos: mandatory access control confines containers", "", "SECURITY_SELINUX | SECURITY_APPARMOR"),
    ("rastos: pressure is measured, systemd-oomd and kubelets read it", "PSI"),
    (
        "rastos: netavark and kube-proxy write rules for nftables",
        "NF_TABLES NFT_CT NFT_MASQ NFT_NAT NFT_FIB_INET NFT_REJECT NFT_LOG NFT_LIMIT NFT_COMPAT",
    ),
    ("rastos: rootless containers mount with FUSE and use TUN", "FUSE_FS TUN"),
)
DRIVERS = (
    *_group(
        "network drivers",
        "warning",
        ("overlay: networks over several hosts", "VXLAN BRIDGE_VLAN_FILTERING"),
        ("ipvlan: addresses of their own on the wire", "IPVLAN"),
        ("macvlan: addresses of their own on the wire", "MACVLAN DUMMY"),
    ),
    *_group(
        "network drivers",
        "note",
        (
            "overlay, encrypted",
            "CRYPTO CRYPTO_AEAD CRYPTO_GCM CRYPTO_SEQIV CRYPTO_GHASH XFRM XFRM_USER XFRM_ALGO INET_ESP"
            " NETFILTER_XT_MATCH_BPF",
            "INET_XFRM_MODE_TRANSPORT; until 5.4",
        ),
        ("clients of old protocols in containers", "NF_NAT_FTP NF_CONNTRACK_FTP NF_NAT_TFTP NF_CONNTRACK_TFTP"),
    ),
    *_group(
        "storage drivers",
        "warning",
        ("overlay", "OVERLAY_FS"),
        ("btrfs, and this system's root", "BTRFS_FS BTRFS_FS_POSIX_ACL"),
    ),
    *_group(
        "storage drivers",
        "note",
        ("overlay on ext4", "EXT4_FS EXT4_FS_POSIX_ACL EXT4_FS_SECURITY"),
        (
            "overlay on ext3",
            "",
            "EXT4_USE_FOR_EXT2 | EXT3_FS & EXT3_FS_XATTR & EXT3_FS_POSIX_ACL & EXT3_FS_SECURITY",
        ),
    ),
)
OLD = _group(
    "old runtimes",
    "note",
    ("cgroup v1 has controllers of its own", "CGROUP_FREEZER CGROUP_DEVICE CGROUP_CPUACCT CGROUP_HUGETLB"),
    ("containers with glibc before 2.14 call a page at a known address", "LEGACY_VSYSCALL_NONE=n"),
    ("moby asks for both security modules", "SECURITY_SELINUX SECURITY_APPARMOR"),
)
RUNNING = _group(
    "running",
    "error",
    ("cgroup v2 offers it to containers", "cgroup:cpu cgroup:cpuset cgroup:io cgroup:memory cgroup:pids"),
    ("each container takes a session key", "", "sysctl:kernel.keys.root_maxkeys>10000"),
)
CONTAINERS: tuple[Rule, ...] = (*NECESSARY, *OPTIONAL, *DRIVERS, *OLD, *RUNNING)
