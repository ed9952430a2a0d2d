#!/bin/sh
# Process 1 of the machine that works for a user without root. Its root is the host's, read-only by 9p; everything written
# goes to the scratch disk laid over it, except what is handed over. When this ends, the machine does (panic=-1).
set -e
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir /run/scratch /run/top
# nothing here has to survive a power cut: no copies on write, no waiting for the disk
mount -t btrfs -o noatime,nodatacow /dev/vda /run/scratch
mkdir /run/scratch/upper /run/scratch/work
# metacopy: a new time on a package in the cache must not copy the package
mount -t overlay -o lowerdir=/,upperdir=/run/scratch/upper,workdir=/run/scratch/work,metacopy=on,volatile root /run/top
mount -t proc proc /run/top/proc
mount -t sysfs sysfs /run/top/sys
mount -t devtmpfs dev /run/top/dev
mkdir -p /run/top/dev/pts /run/top/dev/shm
mount -t devpts -o mode=0620,ptmxmode=0666 devpts /run/top/dev/pts
mount -t tmpfs -o mode=1777 tmpfs /run/top/dev/shm
[ -e /run/top/dev/fd ] || ln -s /proc/self/fd /run/top/dev/fd
mount -t tmpfs -o mode=0755 tmpfs /run/top/run
mkdir -p /run/top/run/lock /run/top/run/home /run/top/run/handover
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288 handover /run/top/run/handover
chroot /run/top /bin/sh /run/handover/start
