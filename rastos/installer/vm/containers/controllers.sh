[ "$(stat -f -c %T $groups)" = cgroup2fs ] || fail "$groups is no cgroup v2"
for name in cpu cpuset io memory pids; do
	grep -qw "$name" $groups/cgroup.controllers || fail "no controller $name: $(cat $groups/cgroup.controllers)"
done
cat $groups/cgroup.controllers
