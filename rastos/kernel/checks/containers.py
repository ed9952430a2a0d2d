"""What container runtimes need: after the container community's own checker (moby, contrib/check-config.sh)."""

from __future__ import annotations

from .judge import Rule, Severity


def _group(severity: Severity, reason: str, names: str, *, unless: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    return tuple(Rule(tuple(name.split("|")), "set", reason, severity, unless) for name in names.split())


CONTAINERS: tuple[Rule, ...] = (
    *_group("error", "a container is made of namespaces", "NAMESPACES NET_NS PID_NS IPC_NS UTS_NS"),
    *_group(
        "error",
        "limits and accounting of containers are control groups",
        "CGROUPS CGROUP_CPUACCT CGROUP_DEVICE CGROUP_FREEZER CGROUP_SCHED CPUSETS MEMCG",
    ),
    *_group("error", "runtimes keep session keys apart", "KEYS"),
    *_group("error", "containers reach each other over a bridge", "VETH BRIDGE BRIDGE_NETFILTER"),
    *_group(
        "error",
        "packets are filtered and translated for them",
        "NF_TABLES|IP_NF_FILTER NFT_MASQ|IP_NF_TARGET_MASQUERADE NFT_NAT|IP_NF_NAT NF_NAT NFT_CT|NETFILTER_XT_MATCH_CONNTRACK",
    ),
    *_group("error", "iptables-nft and published ports match by address type", "NFT_FIB|NETFILTER_XT_MATCH_ADDRTYPE"),
    *_group("error", "/dev/mqueue of containers", "POSIX_MQUEUE"),
    *_group("error", "cgroup v2 decides about devices by BPF", "CGROUP_BPF"),
    *_group("error", "system calls of containers are filtered", "SECCOMP SECCOMP_FILTER"),
    *_group("error", "layers of images are laid over each other", "OVERLAY_FS"),
    *_group("warning", "containers without root", "USER_NS"),
    *_group("warning", "number of processes is limited", "CGROUP_PIDS"),
    *_group("warning", "disk bandwidth is limited", "BLK_CGROUP BLK_DEV_THROTTLING"),
    *_group("warning", "processor time is limited", "CFS_BANDWIDTH FAIR_GROUP_SCHED"),
    *_group("warning", "pressure is measured, systemd-oomd and kubelets read it", "PSI"),
    *_group("warning", "nftables sets and rules of netavark and kube-proxy", "NFT_REJECT NFT_LOG NFT_LIMIT NFT_COMPAT"),
    *_group("warning", "services over several backends", "IP_VS IP_VS_NFCT IP_VS_PROTO_TCP IP_VS_PROTO_UDP IP_VS_RR"),
    *_group("warning", "networks over several hosts", "VXLAN BRIDGE_VLAN_FILTERING"),
    *_group("warning", "containers with an own address on the wire", "MACVLAN IPVLAN DUMMY"),
    *_group("warning", "storage driver btrfs, and this system's root", "BTRFS_FS BTRFS_FS_POSIX_ACL"),
    *_group("warning", "rootless containers mount with FUSE and use TUN", "FUSE_FS TUN"),
    *_group("note", "huge pages are limited", "CGROUP_HUGETLB"),
    *_group("note", "perf by container", "CGROUP_PERF"),
    *_group("note", "encrypted overlay networks", "XFRM XFRM_USER XFRM_ALGO INET_ESP CRYPTO_GCM"),
    *_group("note", "mandatory access control", "SECURITY_APPARMOR|SECURITY_SELINUX"),
    *_group("note", "helpers for old protocols", "NF_CONNTRACK_FTP NF_NAT_FTP NF_CONNTRACK_TFTP NF_NAT_TFTP"),
)
