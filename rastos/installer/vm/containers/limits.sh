bundle limits 'sleep 60' '"resources": {"memory": {"limit": 67108864}, "pids": {"limit": 16},
 "cpu": {"quota": 20000, "period": 100000, "shares": 512}}'
start limits
seen="$(cd $groups/rastos-limits && cat memory.max pids.max cpu.max | tr '\n' ' ')"
[ "$seen" = "67108864 16 20000 100000 " ] || fail "memory.max pids.max cpu.max are $seen"
grep -q . $groups/rastos-limits/cgroup.procs || fail "nobody is in the group"
echo "memory.max, pids.max, cpu.max: $seen"
