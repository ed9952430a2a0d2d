# the largest process of the container is killed, and only that: the shell reports its death
bundle memory 'tail /dev/zero; echo ended with $?; sleep 60' \
	'"resources": {"memory": {"limit": 33554432, "swap": 33554432}}, "devices": [
 {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 438}]'
start memory
until_true 60 at_least $groups/rastos-memory/memory.events oom_kill 1
until_true 20 grep -qx 'ended with 137' $place/memory/log
[ "$(crun --cgroup-manager=cgroupfs list -q | grep -c '^rastos-memory$')" = 1 ] || fail "the container is gone"
peak="$(cat $groups/rastos-memory/memory.peak)"
[ "$peak" -le 33554432 ] || fail "it had $peak bytes"
echo "oom_kill $(counted $groups/rastos-memory/memory.events oom_kill), at most $peak bytes of 33554432"
