# DRIVER says which storage driver. Every call of podman takes seconds where the guest is emulated: few are made
make_root $place/root
call() {
	podman --root "$place/podman-$DRIVER" --runroot "/run/rastos-podman-$DRIVER" --storage-driver "$DRIVER" "$@" \
		2>$place/words || fail "podman $1: $(tail -n 3 $place/words)"
}
clean() { call rm -f -t 0 one >/dev/null 2>&1 || true; }
trap clean EXIT
tar -C $place/root -c . | call import -q - local/tiny:1 >/dev/null
call run -d --name one --memory 64m --pids-limit 20 --cpus 0.5 local/tiny:1 sh -c 'echo written > /tmp/x; sleep 600' >/dev/null
facts="$(call inspect -f '{{.NetworkSettings.IPAddress}} {{.State.Pid}} {{.GraphDriver.Name}}' one)"
address="${facts%% *}" pid="${facts#* }" pid="${pid% *}"
# limit FILE NONE: what the nearest group above the container's process sets. crun makes one below podman's scope
limit() {
	at="$groups$(sed -n 's/^0:://p' "/proc/$pid/cgroup")"
	while [ "$(cat "$at/$1")" = "$2" ] && [ -e "$at/../$1" ]; do at="${at%/*}"; done
	cat "$at/$1"
}
seen="$(limit memory.max max) $(limit pids.max max) $(limit cpu.max 'max 100000')"
[ "$seen" = "67108864 20 50000 100000" ] || fail "its limits are $seen"
[ "${facts##* }" = "$DRIVER" ] || fail "its driver is ${facts##* }"
[ -n "$address" ] || fail "it has no address"
ping -c 1 -W 10 "$address" >/dev/null || fail "$address doesn't answer"
iptables -t nat -S | grep -q '10\.88\.' || fail "its network isn't masqueraded"
until_true 10 grep -q written "/proc/$pid/root/tmp/x"
if [ "$DRIVER" = btrfs ]; then
	btrfs subvolume list / | grep -q "podman-btrfs/btrfs/subvolumes/" || fail "no subvolume was made"
else
	grep -q "^overlay .*podman-overlay/overlay/" /proc/mounts || fail "no overlay is mounted"
fi
echo "image imported, container with limits runs on $DRIVER and answers on $address"
