/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options, roles, and what is made while there are all privileges; nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/instance.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "frontends/control.h"
#include "parent/parent.h"
#include "serve.h"

static const char usage[] =
    "usage: portleased [-hnv] [-f FILE]\n"
    "  -f FILE  configuration (" PORTLEASE_SYSCONFDIR "/portlease/portlease.conf)\n"
    "  -n       check it and exit; with -v print its canonical form\n"
    "  -v       print the version and exit\n"
    "  -h       print this and exit\n";

struct arguments {
	const char *file;
	bool check;
	bool verbose;
	bool core;
};

enum { OPTION_CORE = 256 }; /* how the parent starts the core */

static struct arguments
read_arguments(int argc, char **argv)
{
	static const struct option names[] = {
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'v'},
	    {"core", no_argument, NULL, OPTION_CORE},
	    {NULL, 0, NULL, 0},
	};
	struct arguments a = {.file = PORTLEASE_SYSCONFDIR "/portlease/portlease.conf"};
	int option;

	while ((option = getopt_long(argc, argv, "f:hnv", names, NULL)) != -1) {
		switch (option) {
		case 'f':
			a.file = optarg;
			break;
		case 'n':
			a.check = true;
			break;
		case OPTION_CORE:
			a.core = true;
			break;
		case 'v':
			a.verbose = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(1);
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		exit(1);
	}
	if (a.verbose && !a.check) {
		puts("portleased " PORTLEASE_VERSION);
		exit(0);
	}
	return a;
}

static void
make_state_directory(const struct config *config)
{
	const char *path = config->state_directory;
	struct sandbox_user user;
	int fd;

	if (!sandbox_find_user(config->user, &user))
		fatal("no such user: %s", config->user);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		fatal("cannot make %s: %s", path, strerror(errno));
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* On a disk that takes nothing it may still be read. */
	if (fd < 0 || (fchownat(fd, "", user.uid, user.gid, AT_EMPTY_PATH) != 0 && errno != EROFS))
		fatal("cannot take over %s: %s", path, strerror(errno));
	close(fd);
}

static int
start(const struct config *config, const char *path)
{
	struct parent_options parent = {.config = config, .path = path};
	char why[512];

	log_open(config->log_target, config->log_level);
	parent.lock = instance_lock(why, sizeof(why));
	if (parent.lock < 0)
		fatal("%s", why);
	make_state_directory(config);
	parent.control = control_bind(config, why, sizeof(why));
	if (parent.control < 0)
		fatal("%s", why);
	return parent_run(&parent);
}

int
main(int argc, char **argv)
{
	struct arguments arguments = read_arguments(argc, argv);
	struct config *config;
	char why[512];
	int status = 0;

	if (arguments.core)
		return serve(arguments.file);
	config = config_read(arguments.file, why, sizeof(why));
	if (!config)
		fatal("%s", why);
	if (!arguments.check)
		status = start(config, arguments.file);
	else if (arguments.verbose)
		config_print(config, stdout);
	config_free(config);
	return status;
}
