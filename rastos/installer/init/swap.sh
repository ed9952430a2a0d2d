#!/bin/sh
# The swap file of a rastos disk: on a subvolume of its own, which no snapshot holds. Called by rastos-swap.service.
set -eu
place=/run/rastos/swap

case $1 in
start)
	mkdir -p "$place"
	# /etc is mounted by the node's real name; "/" may be called /dev/root
	device=$(findmnt -no SOURCE --nofsroot /etc)
	mountpoint -q "$place" || mount -t btrfs -o subvol=state/swap "$device" "$place"
	swapon "$place/swapfile"
	;;
stop)
	swapoff "$place/swapfile"
	umount "$place"
	;;
esac
