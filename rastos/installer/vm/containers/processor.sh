bundle processor 'while :; do :; done' '"resources": {"cpu": {"quota": 10000, "period": 100000}}'
start processor
stat=$groups/rastos-processor/cpu.stat
before=$(counted $stat usage_usec) began=$(date +%s%N)
sleep 3
used=$(($(counted $stat usage_usec) - before)) passed=$((($(date +%s%N) - began) / 1000))
at_least $stat nr_throttled 5 || fail "not throttled: $(tr '\n' ' ' <$stat)"
[ $((used * 100)) -le $((passed * 25)) ] || fail "it used $used of $passed us, 10 % were allowed"
echo "$((used * 100 / passed)) % used where 10 % were allowed, throttled $(counted $stat nr_throttled) times"
