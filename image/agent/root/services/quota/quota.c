/*
 * Gives an empty folder a project of ext4's quotas, which everything below it inherits, and bounds what the project
 * may take. Debian's setquota would bring Kerberos and RPC along.
 *
 *   bootwave-quota FOLDER PROJECT BYTES FILES
 *
 * Exit code 0: bounded. 2: this file system keeps no such quotas. 1: anything else.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fail(const char *what)
{
	int unsupported = errno == ENOTTY || errno == EOPNOTSUPP || errno == ENOSYS || errno == ESRCH;

	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return unsupported ? 2 : 1;
}

static int number(const char *text, unsigned long long *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0';
}

int main(int argc, char **argv)
{
	unsigned long long project, bytes, files;
	struct fsxattr attributes;
	struct if_dqblk limits = { 0 };
	int folder;

	if (argc != 5 || !number(argv[2], &project) || project > 0xffffffffULL || !number(argv[3], &bytes) ||
	    !number(argv[4], &files)) {
		fprintf(stderr, "usage: bootwave-quota FOLDER PROJECT BYTES FILES\n");
		return 1;
	}
	folder = open(argv[1], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return fail(argv[1]);
	if (ioctl(folder, FS_IOC_FSGETXATTR, &attributes) < 0)
		return fail("FS_IOC_FSGETXATTR");
	attributes.fsx_projid = (unsigned int)project;
	attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	if (ioctl(folder, FS_IOC_FSSETXATTR, &attributes) < 0)
		return fail("FS_IOC_FSSETXATTR");
	/* Without the mount option limits are counted but not held, until they are switched on. */
	if (syscall(SYS_quotactl_fd, folder, QCMD(Q_QUOTAON, PRJQUOTA), QFMT_VFS_V1, NULL) < 0 && errno != EEXIST &&
	    errno != EBUSY)
		return fail("Q_QUOTAON");
	/* In blocks of 1024 bytes (quotactl(2)). */
	limits.dqb_bhardlimit = (bytes + 1023) / 1024;
	limits.dqb_ihardlimit = files;
	limits.dqb_valid = QIF_LIMITS;
	if (syscall(SYS_quotactl_fd, folder, QCMD(Q_SETQUOTA, PRJQUOTA), (unsigned int)project, &limits) < 0)
		return fail("Q_SETQUOTA");
	return 0;
}
