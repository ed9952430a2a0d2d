/* rastos-bench: what a kernel's most used paths cost, as JSON lines on standard output.
 *
 *	rastos-bench FOLDER		FOLDER is on the file system whose files are made and read
 *
 * Every figure is the median of ROUNDS rounds; a round repeats its operation until LEAST_NS have passed, so that a slow
 * (emulated) machine takes no longer than a fast one. "n" is how many operations the figure is from.
 *
 * Copyright: the rastOS authors. License: GPL-3.0-or-later.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5
#define LEAST_NS 150000000LL
#define FAULT_BYTES (16u << 20)
#define CHUNK (64u << 10)
#define FILES 400
#define FILE_BYTES 4096

static char *myself, *folder;
static char data[CHUNK];

static void die(const char *what)
{
	fprintf(stderr, "rastos-bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const char *name, const char *unit, double *rounds, long n)
{
	qsort(rounds, ROUNDS, sizeof *rounds, ascending);
	printf("{\"name\": \"%s\", \"unit\": \"%s\", \"value\": %.3f, \"n\": %ld}\n", name, unit, rounds[ROUNDS / 2], n);
	fflush(stdout);
}

/* Repeat an operation that says how many it did; nanoseconds for each, divided by `scale`. */
static void measure(const char *name, const char *unit, long (*operation)(void), double scale)
{
	double rounds[ROUNDS];
	long n = 0;

	operation(); /* warm */
	for (int i = 0; i < ROUNDS; i++) {
		int64_t begun = now(), passed;
		long done = 0;

		do {
			done += operation();
			passed = now() - begun;
		} while (passed < LEAST_NS);
		rounds[i] = (double)passed / done / scale;
		n += done;
	}
	report(name, unit, rounds, n);
}

static long system_calls(void)
{
	for (int i = 0; i < 1000; i++)
		syscall(SYS_getppid); /* the C library keeps no copy of it */
	return 1000;
}

static int there[2], back[2];

/* One byte to the other process and back: two switches. */
static long switches(void)
{
	char byte = 0;

	for (int i = 0; i < 100; i++)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			die("pipe");
	return 200;
}

static void context_switch(void)
{
	pid_t child;

	if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC))
		die("pipe2");
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		char byte;

		close(there[1]);
		while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
			;
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	measure("context switch", "us", switches, 1e3);
	close(there[1]);
	close(back[0]);
	waitpid(child, NULL, 0);
}

static long forks(void)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (!child)
		_exit(0);
	if (waitpid(child, &status, 0) != child || status)
		die("waitpid");
	return 1;
}

static long programs(void)
{
	int status;
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (!child) {
		execl(myself, myself, (char *)NULL); /* without a folder it ends at once */
		_exit(1);
	}
	if (waitpid(child, &status, 0) != child || status)
		die("execl");
	return 1;
}

static long faults(void)
{
	long size = sysconf(_SC_PAGESIZE);
	char *memory = mmap(NULL, FAULT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	madvise(memory, FAULT_BYTES, MADV_NOHUGEPAGE); /* a kernel without huge pages refuses: as good */
	for (long at = 0; at < FAULT_BYTES; at += size)
		memory[at] = 1;
	munmap(memory, FAULT_BYTES);
	return FAULT_BYTES / size;
}

/* Bytes from one process to another by TCP over the loopback; MiB per second. */
static void loopback(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), line;
	double rounds[ROUNDS];
	long n = 0;
	pid_t child;

	if (listener < 0 || bind(listener, (void *)&address, sizeof address) || listen(listener, 1) ||
	    getsockname(listener, (void *)&address, &length))
		die("listen on the loopback");
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		line = socket(AF_INET, SOCK_STREAM, 0);
		if (line < 0 || connect(line, (void *)&address, sizeof address))
			_exit(1);
		while (send(line, data, sizeof data, MSG_NOSIGNAL) > 0)
			;
		_exit(0);
	}
	line = accept(listener, NULL, NULL);
	if (line < 0)
		die("accept");
	for (int i = -1; i < ROUNDS; i++) { /* the first one warms it */
		int64_t begun = now(), passed;
		double bytes = 0;

		do {
			ssize_t got = recv(line, data, sizeof data, 0);

			if (got <= 0)
				die("recv");
			bytes += got;
			passed = now() - begun;
		} while (passed < LEAST_NS);
		if (i >= 0) {
			rounds[i] = bytes / (1 << 20) / (passed / 1e9);
			n += bytes / (1 << 20);
		}
	}
	close(line);
	close(listener);
	waitpid(child, NULL, 0);
	report("loopback TCP", "MiB/s", rounds, n);
}

/* "3" drops all there is, "4" keeps the kernel from telling the console so each time (Documentation/admin-guide/sysctl/vm). */
static void drop_caches(const char *what)
{
	int file = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	sync();
	if (file < 0 || write(file, what, 1) != 1)
		die("/proc/sys/vm/drop_caches");
	close(file);
}

/* Small files: made and written out in one go, read back with cold caches, removed. */
static void files(void)
{
	double made[ROUNDS], seen[ROUNDS];
	char name[32];

	if (chdir(folder))
		die(folder);
	drop_caches("4");
	for (int round = -1; round < ROUNDS; round++) {
		int64_t begun = now();
		int file;

		for (int i = 0; i < FILES; i++) {
			snprintf(name, sizeof name, "file-%d", i);
			file = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
			if (file < 0 || write(file, data, FILE_BYTES) != FILE_BYTES)
				die(name);
			close(file);
		}
		file = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (file < 0 || syncfs(file))
			die("syncfs");
		close(file);
		if (round >= 0)
			made[round] = (now() - begun) / 1e3 / FILES;
		drop_caches("3");
		begun = now();
		for (int i = 0; i < FILES; i++) {
			snprintf(name, sizeof name, "file-%d", i);
			file = open(name, O_RDONLY | O_CLOEXEC);
			if (file < 0 || read(file, data, FILE_BYTES) != FILE_BYTES)
				die(name);
			close(file);
		}
		if (round >= 0)
			seen[round] = (now() - begun) / 1e3 / FILES;
		for (int i = 0; i < FILES; i++) {
			snprintf(name, sizeof name, "file-%d", i);
			unlink(name);
		}
	}
	report("file create", "us", made, ROUNDS * FILES);
	report("file read", "us", seen, ROUNDS * FILES);
}

int main(int count, char **words)
{
	if (count < 2)
		return 0;
	myself = words[0];
	folder = words[1];
	for (unsigned i = 0; i < sizeof data; i++)
		data[i] = (char)(i * 2654435761u >> 24); /* nothing that compresses to nothing */
	measure("system call", "ns", system_calls, 1);
	context_switch();
	measure("fork", "us", forks, 1e3);
	measure("fork and exec", "us", programs, 1e3);
	measure("page fault", "ns", faults, 1);
	loopback();
	files();
	return 0;
}
