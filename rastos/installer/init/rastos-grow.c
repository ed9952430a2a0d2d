/* rastos-grow: when the disk is larger than its partition table says, the root gets the new space. Run once per boot.
 *
 * For each device of the btrfs that /var lies on: if it is a partition of the root's type on a sound GPT, is followed by free
 * space and the disk ends later, then the backup table moves to the end of the disk, the partition grows (on disk, then in the
 * kernel: BLKPG), and the file system with it. Whatever was done already is left alone, so a boot that was cut off in between
 * is finished by the next one. A disk that is not ours, or whose table is not sound, is never written to.
 *
 * A static program and not a script: a minimal system has neither sfdisk nor systemd-repart.
 * UEFI specification 2.10, chapter 5 (GPT); linux/blkpg.h; btrfs ioctls: linux/btrfs.h.
 *
 * Copyright: the rastOS authors. License: GPL-3.0-or-later.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MIB (1ULL << 20)
#define ENTRIES_MOST (1U << 20) /* bytes; 16 KiB is what everybody has */
#define PAGE 4096U              /* protective MBR, header and the first entries lie in it: one write */

struct header { /* little endian, as this machine is */
	char signature[8];
	uint32_t revision, size, crc, reserved;
	uint64_t current, backup, first_usable, last_usable;
	unsigned char disk[16];
	uint64_t entries;
	uint32_t count, entry_size, entries_crc;
} __attribute__((packed));

struct entry {
	unsigned char type[16], id[16];
	uint64_t first, last, attributes;
} __attribute__((packed));

/* 4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709: root, x86-64 (Discoverable Partitions Specification) */
static const unsigned char ROOT[16] = {0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d,
				       0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09};

static int complain(const char *what, const char *on)
{
	fprintf(stderr, "rastos-grow: %s: %s%s%s\n", on, what, errno ? ": " : "", errno ? strerror(errno) : "");
	return -1;
}

static uint32_t crc32(const void *data, size_t size)
{
	const unsigned char *at = data;
	uint32_t value = ~0U;
	int bit;

	while (size--) {
		value ^= *at++;
		for (bit = 0; bit < 8; bit++)
			value = value >> 1 ^ (value & 1 ? 0xedb88320U : 0);
	}
	return ~value;
}

/* A number from a file in sysfs; 0 where there is none. */
static uint64_t number_in(const char *folder, const char *name)
{
	char path[600], text[32] = "";
	int file;
	ssize_t got;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return 0;
	got = read(file, text, sizeof text - 1);
	close(file);
	return got > 0 ? strtoull(text, NULL, 10) : 0;
}

static void seal(struct header *head)
{
	head->crc = 0;
	head->crc = crc32(head, head->size);
}

static int write_all(int disk, const void *data, size_t size, uint64_t at)
{
	if (pwrite(disk, data, size, (off_t)at) != (ssize_t)size)
		return -1;
	return fsync(disk);
}

/* Everything that lets the space behind a partition be its own; 1: there is nothing to do. Units are logical sectors. */
static int grow_table(int disk, const char *name, uint64_t start, unsigned number, uint64_t *length)
{
	static unsigned char first[PAGE] __attribute__((aligned(PAGE))), tail[PAGE] __attribute__((aligned(PAGE)));
	struct header *head, *backup = (struct header *)tail;
	struct entry *mine = NULL, *other;
	uint64_t bytes, last, end, limit, span, sector_count;
	unsigned char *entries;
	uint32_t crc, at, i;
	size_t size;
	int sector;

	if (ioctl(disk, BLKSSZGET, &sector) != 0 || ioctl(disk, BLKGETSIZE64, &bytes) != 0)
		return complain("cannot be asked for its size", name);
	errno = 0;
	if (sector < 512 || (unsigned)sector > PAGE / 2)
		return 1; /* 4096: header and entries are not in one page there */
	sector_count = bytes / (unsigned)sector;
	if (pread(disk, first, PAGE, 0) != PAGE)
		return complain("cannot be read", name);
	head = (struct header *)(first + sector);
	if (memcmp(head->signature, "EFI PART", 8) != 0)
		return 1;
	crc = head->crc;
	if (head->size < sizeof *head || head->size > (uint32_t)sector || head->entry_size < sizeof *mine ||
	    head->entry_size % 8 || head->count == 0 || head->count > ENTRIES_MOST / head->entry_size || head->current != 1)
		return complain("its partition table is strange; left alone", name);
	seal(head);
	if (head->crc != crc)
		return complain("its partition table is damaged; left alone", name);
	size = (size_t)head->count * head->entry_size;
	entries = malloc(size);
	if (!entries || pread(disk, entries, size, (off_t)(head->entries * (unsigned)sector)) != (ssize_t)size) {
		free(entries);
		return complain("its partition table can't be read", name);
	}
	if (crc32(entries, size) != head->entries_crc || head->entries != 2) {
		free(entries);
		return complain("its partition entries are damaged or elsewhere; left alone", name);
	}
	span = (size + (unsigned)sector - 1) / (unsigned)sector;
	at = (number - 1) * head->entry_size;
	if (number >= 1 && number <= head->count)
		mine = (struct entry *)(entries + at);
	if (!mine || memcmp(mine->type, ROOT, 16) != 0 || mine->first != start ||
	    2U * (unsigned)sector + at + head->entry_size > PAGE || sector_count < span + 3) {
		free(entries); /* not a root partition */
		return 1;
	}
	last = sector_count - span - 2; /* before the entries and the header of the backup */
	end = (last + 1) * (unsigned)sector / MIB * MIB / (unsigned)sector;
	for (limit = end, i = 0; i < head->count; i++) {
		other = (struct entry *)(entries + i * head->entry_size);
		if (other != mine && other->first > mine->first && other->first < limit)
			limit = other->first;
	}
	*length = mine->last + 1 - mine->first;
	if (limit <= mine->last + 1) { /* no new space, or it isn't behind this partition */
		free(entries);
		return 1;
	}
	mine->last = limit - 1;
	*length = limit - mine->first;
	head->backup = sector_count - 1;
	head->last_usable = last;
	head->entries_crc = crc32(entries, size);
	/* the backup first: until the last write the old table is whole, and names the old backup */
	memset(tail, 0, sizeof tail);
	memcpy(backup, head, head->size);
	backup->current = head->backup;
	backup->backup = 1;
	backup->entries = sector_count - 1 - span;
	seal(backup);
	seal(head);
	memcpy(first + 2 * sector + at, mine, sizeof *mine);
	for (i = 446; i < 510; i += 16)
		if (first[i + 4] == 0xee) { /* the protective partition covers the disk */
			uint32_t covered = sector_count - 1 > 0xffffffffU ? 0xffffffffU : (uint32_t)(sector_count - 1);
			memcpy(first + i + 12, &covered, 4);
		}
	if (write_all(disk, entries, size, backup->entries * (unsigned)sector) != 0 ||
	    write_all(disk, tail, (size_t)sector, backup->current * (unsigned)sector) != 0 ||
	    write_all(disk, first, PAGE, 0) != 0) {
		free(entries);
		return complain("the partition table can't be written", name);
	}
	free(entries);
	return 0;
}

/* Grow the partition that /sys/class/block/NAME describes: on the disk, and in the kernel. */
static int grow_partition(const char *name)
{
	char folder[300], parent[600], node[300], *slash;
	struct blkpg_partition part = {0};
	struct blkpg_ioctl_arg request = {.op = BLKPG_RESIZE_PARTITION, .datalen = sizeof part, .data = &part};
	uint64_t length = 0;
	int disk, sector = 512, done;
	char *real;

	snprintf(folder, sizeof folder, "/sys/class/block/%s", name);
	real = realpath(folder, NULL);
	if (!real)
		return complain("is not to be found", name);
	part.pno = (int)number_in(real, "partition");
	part.start = (long long)number_in(real, "start") * 512;
	part.length = (long long)number_in(real, "size") * 512;
	snprintf(parent, sizeof parent, "%s", real);
	free(real);
	if (part.pno == 0) /* a whole disk: nothing around it */
		return 0;
	slash = strrchr(parent, '/');
	*slash = '\0';
	slash = strrchr(parent, '/');
	snprintf(node, sizeof node, "/dev/%s", slash + 1);
	/* cheap way out: what follows the partition is less than the tables and the rounding take */
	if (number_in(parent, "size") * 512 < (uint64_t)part.start + (uint64_t)part.length + 2 * MIB)
		return 0;
	disk = open(node, O_RDWR | O_CLOEXEC);
	if (disk < 0)
		return complain("cannot be opened", node);
	flock(disk, LOCK_EX); /* systemd's "Locking Block Device Access": udev looks at it when we are done */
	ioctl(disk, BLKSSZGET, &sector);
	done = grow_table(disk, node, (uint64_t)part.start / (unsigned)sector, (unsigned)part.pno, &length);
	/* 1 and a length: a boot before this one wrote the table, and was cut off */
	if (done >= 0 && length * (unsigned)sector > (uint64_t)part.length) {
		part.length = (long long)(length * (unsigned)sector);
		if (ioctl(disk, BLKPG, &request) != 0)
			done = complain("the kernel did not take the new size of the partition; the next boot will", name);
		else
			printf("rastos-grow: partition %s has %lld MiB now\n", name, part.length >> 20);
	}
	close(disk);
	return done < 0 ? -1 : 0;
}

/* The name of the only device below a mapped one (an encrypted root); the name itself for all others. */
static const char *below(const char *name, char *found, size_t size)
{
	char path[300];
	struct dirent *item;
	int count = 0;
	DIR *folder;

	snprintf(found, size, "%s", name);
	if (strncmp(name, "dm-", 3) != 0)
		return found;
	snprintf(path, sizeof path, "/sys/class/block/%s/slaves", name);
	folder = opendir(path);
	while (folder && (item = readdir(folder)))
		if (item->d_name[0] != '.' && ++count)
			snprintf(found, size, "%s", item->d_name);
	if (folder)
		closedir(folder);
	if (count != 1)
		snprintf(found, size, "%s", name);
	return found;
}

/* Let the file system fill this device of its. */
static int grow_filesystem(int place, const char *name, uint64_t devices, uint64_t most)
{
	struct btrfs_ioctl_dev_info_args info;
	struct btrfs_ioctl_vol_args wish;
	char folder[300], text[32] = "", path[320];
	struct stat node;
	uint64_t id, size;
	unsigned major_ = 0, minor_ = 0;
	int file;

	snprintf(folder, sizeof folder, "/sys/class/block/%s", name);
	size = number_in(folder, "size") * 512;
	snprintf(path, sizeof path, "%s/dev", folder);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 || read(file, text, sizeof text - 1) < 0 || sscanf(text, "%u:%u", &major_, &minor_) != 2)
		return complain("has no number", name);
	close(file);
	for (id = 1; id <= most; id++) {
		memset(&info, 0, sizeof info);
		info.devid = id;
		if (ioctl(place, BTRFS_IOC_DEV_INFO, &info) != 0)
			continue;
		/* a root that the kernel mounted is called /dev/root, which has no node */
		if (devices > 1 && (stat((char *)info.path, &node) != 0 || node.st_rdev != makedev(major_, minor_)))
			continue;
		if (info.total_bytes + MIB > size)
			return 0;
		memset(&wish, 0, sizeof wish);
		snprintf(wish.name, sizeof wish.name, "%llu:max", (unsigned long long)id);
		if (ioctl(place, BTRFS_IOC_RESIZE, &wish) != 0)
			return complain("the file system did not grow", name);
		printf("rastos-grow: the file system on %s has %llu MiB now\n", name, (unsigned long long)(size >> 20));
		return 0;
	}
	errno = 0;
	return complain("is not among the file system's devices", name);
}

int main(int argc, char **argv)
{
	const char *mount = argc > 1 ? argv[1] : "/var"; /* the root itself is read-only */
	struct btrfs_ioctl_fs_info_args info = {0};
	char path[120], part[256], *at = path;
	struct dirent *item;
	int place, i, status = 0;
	DIR *folder;

	place = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place < 0)
		return complain("cannot be opened", mount), 1;
	if (ioctl(place, BTRFS_IOC_FS_INFO, &info) != 0)
		return 0; /* not btrfs: not ours */
	at += sprintf(at, "/sys/fs/btrfs/");
	for (i = 0; i < BTRFS_FSID_SIZE; i++)
		at += sprintf(at, "%02x%s", info.fsid[i], i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
	sprintf(at, "/devices");
	folder = opendir(path);
	if (!folder)
		return complain("cannot be listed", path), 1;
	while ((item = readdir(folder))) {
		if (item->d_name[0] == '.')
			continue;
		if (grow_partition(below(item->d_name, part, sizeof part)) != 0)
			status = 1;
		if (grow_filesystem(place, item->d_name, info.num_devices, info.max_id) != 0)
			status = 1;
	}
	closedir(folder);
	close(place);
	return status;
}
