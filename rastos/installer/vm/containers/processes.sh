bundle processes 'i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done; sleep 60' '"resources": {"pids": {"limit": 8}}'
start processes
until_true 30 at_least $groups/rastos-processes/pids.events max 1
[ "$(wc -l <$groups/rastos-processes/cgroup.procs)" -le 8 ] || fail "more than 8 processes"
echo "the 9th process was refused: $(tail -n 1 $place/processes/log)"
