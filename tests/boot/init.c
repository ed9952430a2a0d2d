/* The only program of a test machine: says that it runs, then does what `act=` on the command line asks for. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int main(void)
{
	char line[4096] = "";

	/* an initramfs without device nodes gives init no console */
	mknod("/dev/ttyS0", S_IFCHR | 0600, makedev(4, 64));
	int console = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
	for (int number = 0; number < 3; number++)
		dup2(console, number);
	setvbuf(stdout, NULL, _IONBF, 0);
	mount("proc", "/proc", "proc", 0, NULL);
	int cmdline = open("/proc/cmdline", O_RDONLY);
	if (cmdline < 0 || read(cmdline, line, sizeof line - 1) < 0)
		printf("init: no command line\n");
	printf("init: up\n");
	sleep(1);
	if (strstr(line, "act=off"))
		reboot(RB_POWER_OFF);
	else if (strstr(line, "act=reboot"))
		reboot(RB_AUTOBOOT);
	else if (strstr(line, "act=die"))
		return 3; /* the kernel panics: its init is gone */
	for (;;)
		pause();
}
