#!/bin/sh
# The installer's shell, on a live medium: what can be done here, the disks, then root's shell.
cat <<'END'

  rastOS, from its installation medium. Nothing on your disks is touched until you say so.

    rastos install --list                     the disks
    rastos install /dev/DISK --dry-run        what would happen
    rastos install /dev/DISK --hostname NAME --root-password -

  An installation by itself: journalctl -fu rastos-unattended

END
rastos install --list
echo
exec /bin/bash --login
