// SPDX-License-Identifier: GPL-2.0-only
/* The smallest module that shows it is there. */
#include <linux/init.h>
#include <linux/module.h>

static char *whom = "world";
module_param(whom, charp, 0444);
MODULE_PARM_DESC(whom, "whom to greet");

static int __init hello_init(void)
{
	pr_info("hello: greetings, %s\n", whom);
	return 0;
}

static void __exit hello_exit(void)
{
	pr_info("hello: goodbye, %s\n", whom);
}

module_init(hello_init);
module_exit(hello_exit);
MODULE_DESCRIPTION("A module from outside the kernel's tree");
MODULE_VERSION("1.0");
MODULE_LICENSE("GPL");
