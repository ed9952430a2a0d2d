# What the container checks share; sourced before each of them in the guest, as root.
set -eu
export LC_ALL=C PATH=/usr/sbin:/usr/bin
place=/var/tmp/rastos-containers
groups=/sys/fs/cgroup

# fail WORDS: end with a reason
fail() {
	echo "$*" >&2
	exit 1
}

# until_true SECONDS COMMAND...: repeat it until it succeeds
until_true() {
	end=$(($(date +%s) + $1))
	shift
	until "$@" 2>/dev/null; do
		[ "$(date +%s)" -lt "$end" ] || fail "not in time: $*"
		sleep 0.2
	done
}

# make_root FOLDER: a root file system of a few programs and the libraries they load
make_root() {
	[ -e "$1/usr/bin/sh" ] && return 0
	for part in usr/bin usr/lib usr/lib64 proc sys dev etc tmp; do mkdir -p "$1/$part"; done
	for part in bin lib lib64; do ln -s "usr/$part" "$1/$part"; done
	for program in sh cat sleep tail mkdir id; do
		cp -L "/usr/bin/$program" "$1/usr/bin/$program"
		ldd "/usr/bin/$program" | grep -o '/[^ ]*' | while read -r library; do
			mkdir -p "$1/$(dirname "$library")"
			cp -nL "$library" "$1/$library"
		done
	done
	echo 'root:x:0:0:root:/:/bin/sh' >"$1/etc/passwd"
}

# bundle NAME COMMAND [MORE]: an OCI bundle that runs a shell command; MORE is JSON for its "linux" object
bundle() {
	make_root "$place/root"
	mkdir -p "$place/$1"
	cat >"$place/$1/config.json" <<END
{"ociVersion": "1.0.2", "root": {"path": "$place/root", "readonly": ${readonly:-true}},
 "process": {"terminal": false, "user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", "$2"], "cwd": "/",
  "env": ["PATH=/usr/bin"], "noNewPrivileges": true},
 "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=8m"]},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}],
 "linux": {"cgroupsPath": "/rastos-$1", "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"},
  {"type": "uts"}, {"type": "network"}${spaces:-}]${3:+, $3}}}
END
}

# start NAME: run a bundle in the background; its output is in $place/NAME/log
start() {
	crun --cgroup-manager=cgroupfs delete -f "rastos-$1" 2>/dev/null || true
	crun --cgroup-manager=cgroupfs run -d -b "$place/$1" "rastos-$1" >"$place/$1/log" 2>&1 ||
		fail "crun: $(cat "$place/$1/log")"
	trap 'crun --cgroup-manager=cgroupfs delete -f rastos-'"$1"' 2>/dev/null || true' EXIT
}

# finish NAME: run a bundle to its end, its output is ours
finish() {
	crun --cgroup-manager=cgroupfs run -b "$place/$1" "rastos-$1" 2>&1
}

# counted FILE KEY: a number in a file of lines "key number"
counted() {
	sed -n "s/^$2 //p" "$1"
}

# at_least FILE KEY NUMBER: whether it came to that
at_least() {
	[ "$(counted "$1" "$2")" -ge "$3" ]
}
