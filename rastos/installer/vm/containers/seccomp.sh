bundle allowed 'mkdir /tmp/a && echo made'
[ "$(finish allowed)" = made ] || fail "without a filter: $(finish allowed)"
bundle filtered 'mkdir /tmp/a || cat /proc/self/status' '"seccomp": {"defaultAction": "SCMP_ACT_ALLOW",
 "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}'
said="$(finish filtered)"
echo "$said" | grep -q 'Operation not permitted' || fail "mkdir was not refused: $said"
echo "$said" | grep -q '^Seccomp:.2' || fail "no filter is on: $said"
echo "mkdir works without and is refused with a filter (mode 2)"
