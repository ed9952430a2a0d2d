#!/bin/sh
# Runs the first-boot steps of the image profile, in order, each once in the life of this machine. Records in RECORDS:
#   NAME       one line for each thing that happened to it: began, done, failed, interrupted
#   NAME.log   what it said
# A step that failed or was cut off by a power cut is not run again by itself, and those after it wait: nobody knows how far
# it came. This unit then fails at every boot, so that it is seen. Again: rm RECORDS/NAME; systemctl restart rastos-first-boot

STEPS=/usr/lib/rastos/first-boot
RECORDS=/var/lib/rastos/first-boot

note() { # WORDS…: one line of the record, durable before anything else happens
	echo "$* $(date -u +%Y-%m-%dT%H:%M:%SZ)" >>"$record"
	sync "$record" "$RECORDS"
}

give_up() { # WORDS…: what happened to it
	{
		echo "rastos: first-boot step $name $*"
		[ -s "$record.log" ] && tail -n 5 "$record.log"
		echo "rastos: all it said is in $record.log; again: rm $record; systemctl restart rastos-first-boot"
	} | tee /dev/console >&2 2>/dev/null
	exit 1
}

umask 077
mkdir -p "$RECORDS"
for step in "$STEPS"/[0-9]*; do
	[ -x "$step" ] || continue
	name=${step##*/}
	name=${name#*-}
	record=$RECORDS/$name
	if [ -e "$record" ]; then
		last=$(tail -n 1 "$record")
		case $last in
		done*) continue ;;
		began* | "")
			note interrupted
			give_up "was cut off; it is not run again by itself"
			;;
		*) give_up "has not been done: $last" ;;
		esac
	fi
	note began
	echo "rastos: first-boot step $name"
	(cd / && umask 022 && exec "$step") </dev/null >"$record.log" 2>&1
	status=$?
	if [ "$status" -ne 0 ]; then
		note "failed $status"
		give_up "failed with status $status"
	fi
	note "done"
done
exit 0
