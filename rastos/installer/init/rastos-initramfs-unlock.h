/* An encrypted root (LUKS2, cryptsetup(8)): part of rastos-initramfs.c.
 *
 * rastos.luks=UUID names the volume. Its key comes from the partition that rastos.luks.key=PARTUUID=… names, if that is there
 * (the first 4096 bytes of it), else from a passphrase, asked for on every console that the kernel has.
 *
 * Copyright: the rastOS authors. License: GPL-3.0-or-later.
 */
#define CRYPTSETUP "/usr/sbin/cryptsetup"
#define VOLUME "rastos-root"
#define LUKS_UUID_AT 168 /* LUKS2 on-disk format, 2.1: binary header */
#define LUKS_UUID_SIZE 40
#define LUKS_TRIES 3
#define KEY_SECONDS 5
#define KEY_BYTES "4096"
#define MOST_CONSOLES 8

static int consoles[MOST_CONSOLES], console_count;

static int is_luks_with(const char *device, const char *uuid)
{
	unsigned char block[LUKS_UUID_AT + LUKS_UUID_SIZE];

	if (!read_at(device, 0, block, sizeof block) || memcmp(block, "LUKS\xba\xbe\0\2", 8) != 0)
		return 0;
	return strncasecmp((char *)block + LUKS_UUID_AT, uuid, LUKS_UUID_SIZE) == 0;
}

static int find_luks(const char *uuid, char *device, size_t size)
{
	DIR *folder = opendir("/sys/class/block");
	struct dirent *entry;
	int found = 0;

	while (folder && !found && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(device, size, "/dev/%s", entry->d_name);
		found = is_luks_with(device, uuid);
	}
	if (folder)
		closedir(folder);
	return found;
}

/* All consoles: whoever sits at the screen or at the serial line can type it. What is typed is not shown. */
static void open_consoles(void)
{
	char *text = contents("/sys/class/tty/console/active"), *name, *rest = NULL, path[300];
	struct termios how;

	for (name = text ? strtok_r(text, " \n", &rest) : NULL; name && console_count < MOST_CONSOLES; name = strtok_r(NULL, " \n", &rest)) {
		snprintf(path, sizeof path, "/dev/%s", name);
		int file = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		if (file >= 0)
			consoles[console_count++] = file;
	}
	free(text);
	for (int i = 0; i < console_count; i++)
		if (tcgetattr(consoles[i], &how) == 0) {
			how.c_lflag = (how.c_lflag & ~(tcflag_t)ECHO) | ICANON;
			tcsetattr(consoles[i], TCSAFLUSH, &how);
		}
}

static void close_consoles(void)
{
	struct termios how;

	for (int i = 0; i < console_count; i++) {
		if (tcgetattr(consoles[i], &how) == 0) {
			how.c_lflag |= ECHO;
			tcsetattr(consoles[i], TCSANOW, &how);
		}
		close(consoles[i]);
	}
	console_count = 0;
}

/* One line from whichever console answers first; its length without the end of line. */
static ssize_t ask(const char *prompt, char *line, size_t size)
{
	struct pollfd waiting[MOST_CONSOLES];

	for (int i = 0; i < console_count; i++) {
		waiting[i] = (struct pollfd){.fd = consoles[i], .events = POLLIN};
		dprintf(consoles[i], "%s", prompt);
	}
	for (;;) {
		if (poll(waiting, (nfds_t)console_count, -1) < 0)
			continue;
		for (int i = 0; i < console_count; i++) {
			ssize_t got = waiting[i].revents & POLLIN ? read(waiting[i].fd, line, size) : 0;
			if (waiting[i].revents & (POLLHUP | POLLERR | POLLNVAL))
				waiting[i].fd = -1;
			if (got <= 0)
				continue;
			for (int j = 0; j < console_count; j++)
				dprintf(consoles[j], "\n");
			return line[got - 1] == '\n' ? got - 1 : got;
		}
	}
}

/* Run cryptsetup with the key in a file, or through a pipe where key_file is NULL: never on a command line. */
static int open_volume(const char *device, const char *key_file, const char *key, size_t length)
{
	const char *words[] = {"cryptsetup", "open", "--type", "luks2", "--disable-locks", "--disable-external-tokens", "--key-file", key_file ? key_file : "-", key_file ? "--keyfile-size" : NULL, KEY_BYTES, NULL, NULL, NULL};
	int ends[2], status = 0, at = key_file ? 10 : 8, room;
	pid_t child;

	words[at++] = device;
	words[at++] = VOLUME;
	words[at] = NULL;
	if (pipe2(ends, O_CLOEXEC) != 0 || (child = fork()) < 0)
		give_up("cannot start", CRYPTSETUP);
	if (child == 0) {
		room = open("/dev/console", O_WRONLY | O_NOCTTY);
		dup2(ends[0], 0);
		dup2(room, 1);
		dup2(room, 2);
		/* there is no udev yet to make nodes, nor to wait for */
		setenv("DM_DISABLE_UDEV", "1", 1);
		execv(CRYPTSETUP, (char *const *)words);
		_exit(127);
	}
	close(ends[0]);
	if (length && write(ends[1], key, length) != (ssize_t)length)
		status = -1;
	close(ends[1]);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Open the volume and leave its node in `device`; whoever does not know the passphrase gets a reboot. */
static void unlock(const char *uuid, char *device, size_t size, time_t deadline)
{
	char key[512], prompt[256], place[PATH_MAX], node[PATH_MAX];
	time_t until;
	int found = 0, status;

	while (!find_luks(uuid, device, size)) {
		if (time(NULL) > deadline) {
			errno = ENODEV;
			give_up("cannot find the encrypted root", uuid);
		}
		load_for_devices("/sys/devices", 0);
		usleep(50000);
	}
	mkdir("/run", 0755);
	snprintf(node, sizeof node, "/dev/mapper/" VOLUME);
	if (parameter("rastos.luks.key", place, sizeof place)) {
		char partition[PATH_MAX];
		for (until = time(NULL) + KEY_SECONDS; !(found = find_root(place, partition, sizeof partition)) && time(NULL) < until; usleep(50000))
			load_for_devices("/sys/devices", 0);
		if (found && open_volume(device, partition, NULL, 0) == 0) {
			snprintf(device, size, "%s", node);
			return;
		}
		say("rastos-initramfs: %s\n", found ? "the key on that partition does not open the root" : "the partition with the key is not there");
	}
	open_consoles();
	snprintf(prompt, sizeof prompt, "\nPassphrase for the root file system (%.64s): ", uuid);
	for (int i = 0; i < LUKS_TRIES; i++) {
		ssize_t length = ask(prompt, key, sizeof key);
		status = open_volume(device, NULL, key, (size_t)length);
		explicit_bzero(key, sizeof key);
		if (status == 0) {
			close_consoles();
			snprintf(device, size, "%s", node);
			return;
		}
		/* cryptsetup(8): 2 is "no permission (bad passphrase)"; all else will not get better by typing */
		if (status != 2) {
			say("rastos-initramfs: cryptsetup ended with status %d\n", status);
			break;
		}
		say("rastos-initramfs: that passphrase is wrong\n");
	}
	errno = EACCES;
	give_up("cannot open the encrypted root", uuid);
}
