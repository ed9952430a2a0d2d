/* rastos-initramfs: /init of an initramfs. Loads the modules that the machine's devices ask for, mounts the root that the
 * command line names, and hands over to the program that init= names, as the kernel does where it needs no initramfs.
 *
 * /rastos/modules: a line per module, in an order in which they can be loaded: name, "always" or "device", names it needs.
 * /rastos/aliases: a line per alias: name, pattern (modules.alias). /lib/modules/NAME.ko: the modules themselves.
 *
 * root= takes /dev/NAME, PARTUUID=, UUID= and LABEL= (of btrfs). rastos.wait=SECONDS is how long the root may take to appear.
 * rastos.luks=UUID: the root is in this LUKS2 volume. rastos.raid=UUID: the root is the btrfs with this id, on several disks;
 * with rastos.degraded it is mounted without those that did not appear.
 *
 * Copyright: the rastOS authors. License: GPL-3.0-or-later.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SUPER_OFFSET 0x10000 /* Documentation/filesystems/btrfs: primary super block */
#define FSID_AT 0x20
#define MAGIC_AT 0x40
#define LABEL_AT 0x12b
#define DEVICES_AT 0x88 /* num_devices */
#define MAGIC "_BHRfS_M"
#define RAID_SECONDS 10 /* what a disk may come later than the first one */
#define PAUSE_SECONDS 10
#define WAIT_SECONDS 30
#define MOST 1024

enum { UNLOADED, LOADED, FAILED };

struct module {
	char *name, *needs;
	int always, state;
};
struct alias {
	char *name, *pattern;
};

static struct module modules[MOST];
static struct alias aliases[16 * MOST];
static int module_count, alias_count;
static char command_line[8192];

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

static char *contents(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	size_t room = 1 << 16, used = 0;
	char *text = malloc(room);
	ssize_t got = -1;

	if (file < 0 || !text) {
		free(text);
		if (file >= 0)
			close(file);
		return NULL;
	}
	while ((got = read(file, text + used, room - used - 1)) > 0) {
		used += (size_t)got;
		if (used + 1 == room) {
			char *more = realloc(text, room *= 2);
			if (!more)
				break;
			text = more;
		}
	}
	close(file);
	text[used] = '\0';
	return text;
}

/* The devices that could have been the root: the first thing somebody asks who sees this message. */
static void show_disks(void)
{
	DIR *folder = opendir("/sys/class/block");
	struct dirent *entry;

	say("rastos-initramfs: disks and partitions:");
	while (folder && (entry = readdir(folder)))
		if (entry->d_name[0] != '.' && strncmp(entry->d_name, "loop", 4) != 0 && strncmp(entry->d_name, "ram", 3) != 0)
			say(" %s", entry->d_name);
	say("\n");
	if (folder)
		closedir(folder);
}

static void give_up(const char *what, const char *on)
{
	say("rastos-initramfs: %s %s: %s\n", what, on, strerror(errno));
	show_disks();
	say("rastos-initramfs: rebooting in %d s\n", PAUSE_SECONDS);
	sleep(PAUSE_SECONDS);
	sync();
	reboot(RB_AUTOBOOT);
	_exit(1);
}

/* The value of the last NAME=VALUE on the command line; NULL where there is none. */
static const char *parameter(const char *name, char *value, size_t size)
{
	size_t length = strlen(name);
	const char *at = command_line, *found = NULL;

	while (*at) {
		while (isspace((unsigned char)*at))
			at++;
		size_t word = strcspn(at, " \t\n");
		if (word > length && strncmp(at, name, length) == 0 && at[length] == '=') {
			snprintf(value, size, "%.*s", (int)(word - length - 1), at + length + 1);
			found = value;
		}
		at += word;
	}
	return found;
}

static int flag(const char *name)
{
	size_t length = strlen(name);
	const char *at = command_line;

	while (*at) {
		while (isspace((unsigned char)*at))
			at++;
		size_t word = strcspn(at, " \t\n");
		if (word == length && strncmp(at, name, length) == 0)
			return 1;
		at += word;
	}
	return 0;
}

/* modules */

static void read_lists(void)
{
	char *text = contents("/rastos/modules"), *line, *rest = NULL;

	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line && module_count < MOST; line = strtok_r(NULL, "\n", &rest)) {
		struct module *item = &modules[module_count++];
		item->name = strsep(&line, " ");
		item->always = line && strncmp(line, "always", 6) == 0;
		strsep(&line, " ");
		item->needs = line ? line : (char *)"";
	}
	text = contents("/rastos/aliases");
	rest = NULL;
	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line && alias_count < 16 * MOST; line = strtok_r(NULL, "\n", &rest)) {
		struct alias *item = &aliases[alias_count++];
		item->name = strsep(&line, " ");
		item->pattern = line ? line : (char *)"";
	}
}

static struct module *module_named(const char *name, size_t length)
{
	for (int i = 0; i < module_count; i++)
		if (strlen(modules[i].name) == length && strncmp(modules[i].name, name, length) == 0)
			return &modules[i];
	return NULL;
}

static void load(struct module *item)
{
	char path[PATH_MAX];
	int file;

	if (!item || item->state != UNLOADED)
		return;
	item->state = FAILED; /* also stops circles */
	for (const char *at = item->needs; *at;) {
		size_t word = strcspn(at, " ");
		load(module_named(at, word));
		at += word + (at[word] == ' ');
	}
	snprintf(path, sizeof path, "/lib/modules/%s.ko", item->name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 || (syscall(SYS_finit_module, file, "", 0) != 0 && errno != EEXIST)) {
		/* a checksum in hardware that this processor hasn't says ENODEV: no reason to worry anybody */
		if (errno != ENODEV)
			say("rastos-initramfs: cannot load module %s: %s\n", item->name, strerror(errno));
	} else {
		item->state = LOADED;
	}
	if (file >= 0)
		close(file);
}

static void load_for(const char *alias)
{
	for (int i = 0; i < alias_count; i++)
		if (fnmatch(aliases[i].pattern, alias, 0) == 0)
			load(module_named(aliases[i].name, strlen(aliases[i].name)));
}

/* Every device of a bus says what it is in a file `modalias`; links lead in circles and are left out. */
static void load_for_devices(const char *folder, int depth)
{
	DIR *opened = depth < 24 ? opendir(folder) : NULL;
	struct dirent *entry;
	char path[PATH_MAX];

	while (opened && (entry = readdir(opened))) {
		if (entry->d_name[0] == '.' || (size_t)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= sizeof path)
			continue;
		if (entry->d_type == DT_DIR) {
			load_for_devices(path, depth + 1);
		} else if (strcmp(entry->d_name, "modalias") == 0) {
			char *text = contents(path);
			if (text) {
				text[strcspn(text, "\n")] = '\0';
				load_for(text);
				free(text);
			}
		}
	}
	if (opened)
		closedir(opened);
}

/* devices */

static int read_at(const char *device, off_t offset, void *block, size_t size)
{
	int file = open(device, O_RDONLY | O_CLOEXEC);
	int got = file >= 0 && pread(file, block, size, offset) == (ssize_t)size;

	if (file >= 0)
		close(file);
	return got;
}

static long number_in(const char *folder, const char *name, long otherwise)
{
	char path[PATH_MAX];
	char *text;
	long number;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	text = contents(path);
	number = text && *text ? strtol(text, NULL, 10) : otherwise;
	free(text);
	return number;
}

static void as_uuid(const unsigned char *b, int mixed, char *text)
{
	static const int order[2][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
					 {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}};
	char *at = text;

	for (int i = 0; i < 16; i++)
		at += sprintf(at, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", b[order[mixed][i]]);
}

/* The number of the partition with this id in a disk's GPT (UEFI specification, 5.3); 0 where there is none. */
static long partition_with(const char *disk, long sector, const char *wanted)
{
	unsigned char header[92], entry[128];
	uint64_t start;
	uint32_t count, size;
	char uuid[40];

	if (!read_at(disk, sector, header, sizeof header) || memcmp(header, "EFI PART", 8) != 0)
		return 0;
	memcpy(&start, header + 72, 8);
	memcpy(&count, header + 80, 4);
	memcpy(&size, header + 84, 4);
	if (size < sizeof entry || size > 4096 || count > MOST)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		if (!read_at(disk, (off_t)(start * (uint64_t)sector + (uint64_t)i * size), entry, sizeof entry))
			return 0;
		as_uuid(entry + 16, 1, uuid);
		if (strcasecmp(uuid, wanted) == 0)
			return (long)i + 1;
	}
	return 0;
}

static int find_partition(const char *disk, long number, char *device, size_t size)
{
	char folder[PATH_MAX], path[PATH_MAX + 256];
	struct dirent *entry;
	DIR *opened;
	int found = 0;

	snprintf(folder, sizeof folder, "/sys/class/block/%s", disk);
	opened = opendir(folder);
	while (opened && !found && (entry = readdir(opened))) {
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] != '.' && number_in(path, "partition", 0) == number) {
			snprintf(device, size, "/dev/%s", entry->d_name);
			found = access(device, F_OK) == 0;
		}
	}
	if (opened)
		closedir(opened);
	return found;
}

static int is_btrfs_with(const char *device, const char *uuid, const char *label)
{
	unsigned char block[LABEL_AT + 256];
	char text[40];

	if (!read_at(device, SUPER_OFFSET, block, sizeof block) || memcmp(block + MAGIC_AT, MAGIC, 8) != 0)
		return 0;
	as_uuid(block + FSID_AT, 0, text);
	return uuid ? strcasecmp(text, uuid) == 0 : strncmp((char *)block + LABEL_AT, label, 255) == 0;
}

/* Whether the root is there, and its node. */
static int find_root(const char *root, char *device, size_t size)
{
	const char *partuuid = strncmp(root, "PARTUUID=", 9) == 0 ? root + 9 : NULL;
	const char *uuid = strncmp(root, "UUID=", 5) == 0 ? root + 5 : NULL;
	const char *label = strncmp(root, "LABEL=", 6) == 0 ? root + 6 : NULL;
	struct dirent *entry;
	int found = 0;
	DIR *folder;

	if (!partuuid && !uuid && !label) {
		snprintf(device, size, "%s", root);
		return access(root, F_OK) == 0;
	}
	folder = opendir("/sys/class/block");
	while (folder && !found && (entry = readdir(folder))) {
		char place[PATH_MAX], path[PATH_MAX];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(place, sizeof place, "/sys/class/block/%s", entry->d_name);
		snprintf(path, sizeof path, "/dev/%s", entry->d_name);
		if (partuuid) {
			long number = number_in(place, "partition", 0) ? 0 : partition_with(path, number_in(place, "queue/logical_block_size", 512), partuuid);
			found = number && find_partition(entry->d_name, number, device, size);
		} else if (is_btrfs_with(path, uuid, label)) {
			snprintf(device, size, "%s", path);
			found = 1;
		}
	}
	if (folder)
		closedir(folder);
	return found;
}

#include "rastos-initramfs-unlock.h"

/* Tell the kernel of every disk of the root; how many are there, and how many there should be. One of them is left in `device`. */
static int scan_members(const char *uuid, char *device, size_t size, uint64_t *wanted)
{
	DIR *folder = opendir("/sys/class/block");
	int control = open("/dev/btrfs-control", O_RDWR | O_CLOEXEC), found = 0;
	struct btrfs_ioctl_vol_args member;
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		memset(&member, 0, sizeof member);
		snprintf(member.name, sizeof member.name, "/dev/%s", entry->d_name);
		if (entry->d_name[0] == '.' || !is_btrfs_with(member.name, uuid, NULL))
			continue;
		if (control >= 0)
			ioctl(control, BTRFS_IOC_SCAN_DEV, &member);
		read_at(member.name, SUPER_OFFSET + DEVICES_AT, wanted, sizeof *wanted);
		snprintf(device, size, "%s", member.name);
		found++;
	}
	if (folder)
		closedir(folder);
	if (control >= 0)
		close(control);
	return found;
}

/* Wait for all disks of the root; without some of them it is mounted only where the command line allows that. */
static void gather(const char *uuid, char *device, size_t size, time_t deadline, char *options, size_t room)
{
	time_t first = 0;
	uint64_t wanted = 0;
	int found;

	for (;;) {
		load_for_devices("/sys/devices", 0);
		found = scan_members(uuid, device, size, &wanted);
		if (found && (uint64_t)found >= wanted)
			return;
		if (found && !first)
			first = time(NULL);
		if (found && flag("rastos.degraded") && time(NULL) > first + RAID_SECONDS) {
			size_t used = strlen(options);
			say("rastos-initramfs: %d of %d disks of the root are there: going on without the rest\n", found, (int)wanted);
			snprintf(options + used, room - used, "%sdegraded", used ? "," : "");
			return;
		}
		if (time(NULL) > deadline) {
			errno = ENODEV;
			give_up("cannot find all disks of the root", uuid);
		}
		usleep(50000);
	}
}

/* handing over */

/* The initramfs lies in memory until its files are removed; mounts and what lies on them stay. */
static void empty(int folder, dev_t own)
{
	DIR *opened = fdopendir(folder);
	struct dirent *entry;
	struct stat facts;

	while (opened && (entry = readdir(opened))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd(opened), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0 || facts.st_dev != own)
			continue;
		if (S_ISDIR(facts.st_mode)) {
			int below = openat(dirfd(opened), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (below >= 0)
				empty(below, own);
			unlinkat(dirfd(opened), entry->d_name, AT_REMOVEDIR);
		} else {
			unlinkat(dirfd(opened), entry->d_name, 0);
		}
	}
	if (opened)
		closedir(opened);
}

static void switch_root(void)
{
	static const char *const kept[] = {"/dev", "/proc", "/sys"};
	int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat facts;
	char target[32];

	for (int i = 0; i < 3; i++) {
		snprintf(target, sizeof target, "/root%s", kept[i]);
		if (mount(kept[i], target, NULL, MS_MOVE, NULL) != 0)
			umount2(kept[i], MNT_DETACH);
	}
	if (chdir("/root") != 0)
		give_up("cannot enter", "the root");
	if (old >= 0 && fstat(old, &facts) == 0)
		empty(old, facts.st_dev);
	if (mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 || chdir("/") != 0)
		give_up("cannot change to", "the root");
}

int main(int argc, char **argv)
{
	char root[512], type[64], options[1024], device[PATH_MAX], init[PATH_MAX], number[32], path[2 * PATH_MAX];
	static const char *const inits[] = {"/sbin/init", "/etc/init", "/bin/init", "/bin/sh", NULL};
	unsigned long flags;
	time_t deadline;
	char *text;

	(void)argc;
	umask(022);
	mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=0755");
	mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
	mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
	text = contents("/proc/cmdline");
	if (text)
		snprintf(command_line, sizeof command_line, "%s", text);
	free(text);
	if (!parameter("root", root, sizeof root)) {
		errno = EINVAL;
		give_up("the kernel command line names no", "root=");
	}
	if (!parameter("rootfstype", type, sizeof type))
		strcpy(type, "btrfs");
	if (!parameter("rootflags", options, sizeof options))
		options[0] = '\0';
	flags = flag("rw") ? 0 : MS_RDONLY;
	deadline = time(NULL) + (parameter("rastos.wait", number, sizeof number) ? atoi(number) : WAIT_SECONDS);

	read_lists();
	for (int i = 0; i < module_count; i++)
		if (modules[i].always)
			load(&modules[i]);
	if (parameter("rastos.luks", root, sizeof root))
		unlock(root, device, sizeof device, deadline);
	else if (parameter("rastos.raid", root, sizeof root))
		gather(root, device, sizeof device, deadline, options, sizeof options);
	else for (;;) {
		load_for_devices("/sys/devices", 0);
		if (find_root(root, device, sizeof device))
			break;
		if (time(NULL) > deadline) {
			errno = ENODEV;
			give_up("cannot find the root", root);
		}
		usleep(50000);
	}
	if (mount(device, "/root", type, flags, options) != 0) {
		snprintf(path, sizeof path, "%s (%s, %s)", device, type, options);
		give_up("cannot mount the root", path);
	}
	switch_root();
	if (parameter("init", init, sizeof init)) {
		argv[0] = init;
		execv(init, argv);
		give_up("cannot start", init);
	}
	for (int i = 0; inits[i]; i++) {
		argv[0] = (char *)inits[i];
		execv(inits[i], argv);
	}
	give_up("cannot start", inits[0]);
	return 1;
}
