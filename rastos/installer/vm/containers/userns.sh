spaces=', {"type": "user"}'
bundle userns 'id -u; cat /proc/self/uid_map; sleep 60' '"uidMappings": [{"containerID": 0, "hostID": 200000, "size": 65536}],
 "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 65536}]'
start userns
until_true 20 grep -q 200000 $place/userns/log
[ "$(head -n 1 $place/userns/log)" = 0 ] || fail "inside it is $(head -n 1 $place/userns/log)"
pid="$(crun --cgroup-manager=cgroupfs state rastos-userns | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')"
owner="$(sed -n 's/^Uid:.\([0-9]*\).*/\1/p' "/proc/$pid/status")"
[ "$owner" = 200000 ] || fail "outside it is $owner"
echo "user 0 inside is $owner outside"
