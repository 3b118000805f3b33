/*
 * Carries one file out of an instance of a slice, or into it, for its owner: the node mounts this program there, because an image
 * need not have one. It runs as any command in the instance does, so it reaches what the service reaches, and no path leads out.
 *
 *   bootwave-copy get PATH                          the file to standard output; then its bytes as a number to standard error
 *   bootwave-copy put PATH NAME MODE SIZE SHA256    standard input to PATH, or to NAME in it where it is a folder
 *
 * What is put is there whole or not at all. Exit codes: protocol/service/copy.ts.
 */
#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DONE = 0, FAILED = 1, ABSENT = 3, DENIED = 4, KIND = 5, FULL = 6, CHANGED = 7 };
enum { PATH_BYTES = 4096 };

static char buffer[64 * 1024];

static int say(int code, const char *what)
{
	fprintf(stderr, "%s\n", what);
	return code;
}

static int fail(void)
{
	const char *what = strerror(errno);

	switch (errno) {
	case ENOENT: case ENOTDIR: return say(ABSENT, what);
	case EACCES: case EPERM: case EROFS: return say(DENIED, what);
	case EISDIR: case ENXIO: case ELOOP: return say(KIND, what);
	case ENOSPC: case EDQUOT: case EFBIG: return say(FULL, what);
	default: return say(FAILED, what);
	}
}

static int write_all(int to, const char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t done = write(to, bytes, count);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -1;
		bytes += done;
		count -= (size_t)done;
	}
	return 0;
}

static ssize_t read_some(int from)
{
	ssize_t count;

	do
		count = read(from, buffer, sizeof buffer);
	while (count < 0 && errno == EINTR);
	return count;
}

static int get(const char *path)
{
	/* Opening a pipe without a writer would wait for one. */
	int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	unsigned long long all = 0;
	struct stat about;
	ssize_t count;

	if (file < 0 || fstat(file, &about) < 0)
		return fail();
	if (!S_ISREG(about.st_mode))
		return say(KIND, "not a regular file");
	while ((count = read_some(file)) > 0) {
		if (write_all(STDOUT_FILENO, buffer, (size_t)count) < 0)
			return fail();
		all += (unsigned long long)count;
	}
	if (count < 0)
		return fail();
	fprintf(stderr, "%llu\n", all);
	return DONE;
}

/* Gives an unnamed file its name: linkat(2) replaces nothing, rename(2) does. */
static int name_it(int folder, int file, const char *name)
{
	char mine[64], beside[sizeof ".bootwave-" + 16];
	uint64_t number;

	if (getrandom(&number, sizeof number, 0) != sizeof number)
		return -1;
	snprintf(mine, sizeof mine, "/proc/self/fd/%d", file);
	snprintf(beside, sizeof beside, ".bootwave-%016llx", (unsigned long long)number);
	if (linkat(AT_FDCWD, mine, folder, beside, AT_SYMLINK_FOLLOW) < 0)
		return -1;
	if (renameat(folder, beside, folder, name) < 0) {
		int why = errno;

		unlinkat(folder, beside, 0);
		errno = why;
		return -1;
	}
	return fsync(folder);
}

static int put(char *path, const char *name, mode_t mode, unsigned long long size, const char *sha256)
{
	char digest[SHA256_DIGEST_STRING_LENGTH];
	unsigned long long all = 0;
	const char *parent = path;
	struct stat about;
	SHA2_CTX sum;
	ssize_t count;
	int folder, file;

	if (stat(path, &about) < 0 || !S_ISDIR(about.st_mode)) {
		char *slash = strrchr(path, '/');

		name = slash == NULL ? path : slash + 1;
		parent = slash == NULL ? "." : slash == path ? "/" : path;
		if (*name == '\0')
			return say(ABSENT, "no such folder");
		if (slash != NULL && slash != path)
			*slash = '\0';
	}
	folder = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return fail();
	/* Who is killed leaves nothing behind. */
	file = openat(folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (file < 0)
		return fail();
	SHA256Init(&sum);
	while ((count = read_some(STDIN_FILENO)) > 0) {
		all += (unsigned long long)count;
		if (all > size)
			break;
		SHA256Update(&sum, (const uint8_t *)buffer, (size_t)count);
		if (write_all(file, buffer, (size_t)count) < 0)
			return fail();
	}
	if (count < 0)
		return fail();
	SHA256End(&sum, digest);
	if (all != size || strcmp(digest, sha256) != 0)
		return say(CHANGED, "what came is not what was said");
	if (fchmod(file, mode) < 0 || fsync(file) < 0 || name_it(folder, file, name) < 0)
		return fail();
	return DONE;
}

static int number(const char *text, int base, unsigned long long most, unsigned long long *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, base);
	return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *value <= most;
}

int main(int argc, char **argv)
{
	unsigned long long mode, size;

	if (argc == 3 && strcmp(argv[1], "get") == 0)
		return get(argv[2]);
	if (argc == 7 && strcmp(argv[1], "put") == 0 && strlen(argv[2]) < PATH_BYTES && strchr(argv[3], '/') == NULL &&
	    number(argv[4], 8, 0777, &mode) && number(argv[5], 10, ~0ULL, &size))
		return put(argv[2], argv[3], (mode_t)mode, size, argv[6]);
	fprintf(stderr, "usage: bootwave-copy get PATH | put PATH NAME MODE SIZE SHA256\n");
	return 2;
}
