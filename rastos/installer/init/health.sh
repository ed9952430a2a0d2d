#!/bin/sh
# Whether this boot went well. Called by three units:
#   health record     early: this boot of this deployment began
#   health check      after multi-user.target: failed units, default route, the checks in health.d; boot-complete.target needs it
#   health deadline   long after: a boot that never came to its check counts as failed
#
# Each writes one line to /var/lib/rastos/boots, read by `rastos snapshot status`. A failed boot that still counts its tries
# (systemd-boot(7)) reboots, so that the loader comes to the deployment before; a deployment that was good already stays up.
#
# /etc/rastos/health.conf (shell syntax): DEFAULT_ROUTE=yes demands one; ON_FAILURE=stay never reboots; CHECK_SECONDS=60.

LOG=/var/lib/rastos/boots
KEEP=400
COUNTER=/sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
DEFAULT_ROUTE=no
ON_FAILURE=reboot
CHECK_SECONDS=60
[ -r /etc/rastos/health.conf ] && . /etc/rastos/health.conf

word() { # NAME: its value on the kernel's command line
	for item in $(cat /proc/cmdline); do
		case $item in "$1="*) value=${item#*=} ;; esac
	done
	echo "${value:-}"
}

say() { # EVENT [FAILED…]: one line, durable before anything else happens
	event=$1
	shift
	mkdir -p "${LOG%/*}"
	if [ "$(wc -l <"$LOG" 2>/dev/null || echo 0)" -ge $KEEP ]; then
		tail -n $((KEEP / 2)) "$LOG" >"$LOG.new" && mv "$LOG.new" "$LOG"
	fi
	counted=no
	[ -e "$COUNTER" ] && counted=yes
	printf '{"time": "%s", "boot": "%s", "deployment": %d, "snapshot": %d, "counted": "%s", "event": "%s", "failed": "%s"}\n' \
		"$(date -u +%Y-%m-%dT%H:%M:%S+00:00)" "$(cat /proc/sys/kernel/random/boot_id)" \
		"$(word rastos.deployment)" "$(word rastos.snapshot)" "$counted" "$event" "$*" >>"$LOG"
	sync "$LOG"
}

again() { # after a failure: the loader decides what starts
	echo "failed: $*"
	if [ -e "$COUNTER" ] && [ "$ON_FAILURE" != stay ]; then
		echo "rastos: this deployment failed its checks ($*); restarting" >/dev/console
		systemctl --no-block reboot
	fi
	exit 1
}

plain() { # names without anything that could break a line of JSON
	tr -c 'A-Za-z0-9@._:\n-' '_'
}

check() {
	failed=
	# a first-boot step that failed is not run again: neither another boot nor the deployment before would mend it
	for unit in $(systemctl list-units --failed --plain --no-legend 2>/dev/null | cut -d ' ' -f 1 |
		grep -vx rastos-first-boot.service | plain); do
		failed="$failed unit:$unit"
	done
	if [ "$DEFAULT_ROUTE" = yes ] && [ -z "$(ip -4 route show default; ip -6 route show default)" ]; then
		failed="$failed default-route"
	fi
	for folder in /usr/lib/rastos/health.d /etc/rastos/health.d; do
		for program in "$folder"/*; do
			[ -f "$program" ] && [ -x "$program" ] || continue
			name=check:$(basename "$program" | plain)
			timeout "$CHECK_SECONDS" "$program" </dev/null || failed="$failed $name"
		done
	done
	if [ -n "$failed" ]; then
		# shellcheck disable=SC2086 # words are names
		say failed ${failed# }
		again "${failed# }"
	fi
	say good
}

case ${1:-} in
record) say started ;;
check) check ;;
deadline)
	systemctl is-active --quiet rastos-health.service && exit 0
	say failed deadline
	again deadline
	;;
*)
	echo "usage: $0 record|check|deadline" >&2
	exit 2
	;;
esac
