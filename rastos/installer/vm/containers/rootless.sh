id rastos-user >/dev/null 2>&1 || useradd -m -d /var/lib/rastos-user rastos-user
user=$(id -u rastos-user)
install -d -o rastos-user -m 700 "/run/rastos-user"
make_root $place/root
call() {
	cd /var/lib/rastos-user && runuser -u rastos-user -- env XDG_RUNTIME_DIR=/run/rastos-user HOME=/var/lib/rastos-user \
		podman --cgroup-manager cgroupfs --storage-driver overlay --events-backend file "$@"
}
tar -C $place/root -c . | call import -q - local/tiny:1 >/dev/null
said="$(call run --rm --network slirp4netns --cgroups disabled local/tiny:1 sh -c 'id -u; cat /proc/self/uid_map')"
echo "$said" | head -n 1 | grep -qx 0 || fail "inside it is not root: $said"
echo "$said" | grep -Eq "^ *0 +$user +1$" || fail "user 0 is not $user outside: $said"
echo "$said" | grep -Eq '^ *1 +[0-9]+ +65536$' || fail "no further users: $said"
echo "user 0 inside is $user outside, 65536 more from /etc/subuid; network by slirp4netns"
