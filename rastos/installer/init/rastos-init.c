/* rastos-init: the first program of a deployment, as PID 1, before systemd.
 *
 * The kernel has mounted the snapshot's tree read-only as the root. systemd reads /etc before it mounts anything, so this
 * deployment's /etc has to be there first; the state subvolumes come with it, and what the state contract names. Then systemd
 * takes over the same PID.
 *
 * Which deployment: rastos.deployment=N on the kernel command line. Which device: the one whose btrfs has the file system
 * id of "/", found by its super block, because "/dev/root" has no node and udev doesn't run yet.
 *
 * Copyright: the rastOS authors. License: GPL-3.0-or-later.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/btrfs.h>

#define SUPER_OFFSET 0x10000 /* Documentation/filesystems/btrfs: primary super block */
#define FSID_AT 0x20
#define MAGIC_AT 0x40
#define MAGIC "_BHRfS_M"
#define WAIT_SECONDS 10

static const char *const inits[] = {"/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/sbin/init", NULL};

static void say(const char *format, ...)
{
	va_list words;
	int console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);

	va_start(words, format);
	vdprintf(console >= 0 ? console : 2, format, words);
	va_end(words);
	if (console >= 0)
		close(console);
}

/* Without its /etc this deployment is not what was asked for: say why, and let the boot counter fall back. */
static void give_up(const char *what, const char *on)
{
	say("rastos-init: %s %s: %s\nrastos-init: rebooting in %d s\n", what, on, strerror(errno), WAIT_SECONDS);
	sleep(WAIT_SECONDS);
	sync();
	reboot(RB_AUTOBOOT);
	_exit(1);
}

static int deployment_number(void)
{
	static char line[8192];
	int file = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t got = file >= 0 ? read(file, line, sizeof line - 1) : -1;
	char *word, *rest = NULL;
	int number = 0;

	if (file >= 0)
		close(file);
	if (got < 0)
		return 0;
	line[got] = '\0';
	for (word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
		if (strncmp(word, "rastos.deployment=", 18) == 0)
			number = atoi(word + 18);
	return number;
}

static int has_fsid(const char *device, const unsigned char *fsid)
{
	unsigned char block[0x48];
	int file = open(device, O_RDONLY | O_CLOEXEC);
	int same = 0;

	if (file < 0)
		return 0;
	if (pread(file, block, sizeof block, SUPER_OFFSET) == (ssize_t)sizeof block)
		same = memcmp(block + MAGIC_AT, MAGIC, 8) == 0 && memcmp(block + FSID_AT, fsid, BTRFS_FSID_SIZE) == 0;
	close(file);
	return same;
}

/* The id of the mounted btrfs that path lies on; 0 when it has none. */
static int mounted_fsid(const char *path, unsigned char *fsid)
{
	struct btrfs_ioctl_fs_info_args info = {0};
	int file = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int got = file >= 0 && ioctl(file, BTRFS_IOC_FS_INFO, &info) == 0;

	if (file >= 0)
		close(file);
	memcpy(fsid, info.fsid, BTRFS_FSID_SIZE);
	return got;
}

static int mount_subvolume(const char *device, const char *subvolume, const char *target)
{
	char options[4096];

	if (snprintf(options, sizeof options, "subvol=%s", subvolume) >= (int)sizeof options) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return mount(device, target, "btrfs", MS_NOATIME, options);
}

/* Mount the deployment's /etc from the device that "/" came from, and leave that device's name in path.
 *
 * A copy of the disk has the same id in its super block. The kernel either refuses to mount it beside the original or
 * gives it another id (Linux 6.7, "temp-fsid"), so the id of what was mounted tells.
 */
static void mount_etc(const char *subvolume, char *path, size_t size)
{
	unsigned char root[BTRFS_FSID_SIZE], etc[BTRFS_FSID_SIZE];
	struct dirent *entry;
	DIR *folder;
	int why = ENODEV;

	if (!mounted_fsid("/", root))
		give_up("no btrfs is mounted on", "/");
	folder = opendir("/sys/class/block");
	if (!folder)
		give_up("cannot list", "/sys/class/block");
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, size, "/dev/%s", entry->d_name);
		if (!has_fsid(path, root))
			continue;
		if (mount_subvolume(path, subvolume, "/etc") != 0) {
			why = errno;
			continue;
		}
		if (mounted_fsid("/etc", etc) && memcmp(root, etc, BTRFS_FSID_SIZE) == 0) {
			closedir(folder);
			return;
		}
		umount2("/etc", MNT_DETACH);
	}
	closedir(folder);
	errno = why;
	give_up("cannot mount", subvolume);
}

/* What the state contract gives this deployment alone: "subvolume TAB target" per line (docs/deployments.md).
 *
 * A mount that is missing would show other state than was promised, so it is a reason to fall back.
 */
static void mount_listed(const char *device)
{
	static char line[4608];
	FILE *file = fopen("/etc/rastos/state-mounts", "re");
	char *target;

	if (!file)
		return;
	while (fgets(line, sizeof line, file)) {
		line[strcspn(line, "\n")] = '\0';
		target = strchr(line, '\t');
		if (!target)
			continue;
		*target++ = '\0';
		if (mkdir(target, 0755) != 0 && errno != EEXIST && errno != EROFS)
			give_up("cannot make", target);
		if (mount_subvolume(device, line, target) != 0)
			give_up("cannot mount", line);
	}
	fclose(file);
}

int main(int argc, char **argv)
{
	static const char *const state[] = {"var", "home", "root", "srv"};
	struct stat found;
	char device[300], subvolume[64], target[16];
	int number, made_proc, made_sys, i;

	(void)argc;
	umask(022);
	made_proc = stat("/proc/self", &found) != 0 && mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "") == 0;
	made_sys = stat("/sys/class", &found) != 0 && mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "") == 0;
	if (stat("/dev/null", &found) != 0)
		mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
	number = deployment_number();
	if (number > 0) {
		snprintf(subvolume, sizeof subvolume, "deployments/%d/etc", number);
		mount_etc(subvolume, device, sizeof device);
		for (i = 0; i < (int)(sizeof state / sizeof *state); i++) {
			snprintf(subvolume, sizeof subvolume, "state/%s", state[i]);
			snprintf(target, sizeof target, "/%s", state[i]);
			if (mount_subvolume(device, subvolume, target) != 0)
				give_up("cannot mount", subvolume);
		}
		mount_listed(device);
	}
	if (made_sys)
		umount2("/sys", MNT_DETACH);
	if (made_proc)
		umount2("/proc", MNT_DETACH);
	for (i = 0; inits[i]; i++) {
		argv[0] = (char *)inits[i];
		execv(inits[i], argv);
	}
	give_up("cannot start", inits[0]);
	return 1;
}
