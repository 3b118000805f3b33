/*
 * small-http serve PORT: a small HTTP service.
 * small-http ask ADDRESS PORT COUNT PAUSE: asks it COUNT times, a new connection each, PAUSE microseconds in between, and writes
 * the microseconds from the first packet to the last byte: "COUNT FAILED P50 P99 MOST".
 * small-http hog BYTES: writes to all of its memory again and again.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const char ASK[] = "GET / HTTP/1.0\r\n\r\n";

static long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

/* @returns whether it answered with 200 */
static int ask(const struct sockaddr_in *to)
{
	char answer[4096];
	int good = 0, first = 1;
	struct timeval patience = { 10, 0 };
	int s = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (connect(s, (const struct sockaddr *)to, sizeof *to) == 0 && write(s, ASK, sizeof ASK - 1) > 0) {
		ssize_t n;
		while ((n = read(s, answer, sizeof answer)) > 0) {
			if (first) good = n > 12 && memcmp(answer + 9, "200", 3) == 0;
			first = 0;
		}
		if (n < 0) good = 0;
	}
	close(s);
	return good;
}

static int less(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;
	return x < y ? -1 : x > y;
}

static int serve(int port)
{
	static const char ANSWER[] = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nwell\n";
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	char asked[4096];
	int one = 1, s = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(s, (const struct sockaddr *)&at, sizeof at) != 0 || listen(s, 128) != 0) return 1;
	for (;;) {
		int c = accept(s, NULL, NULL);
		if (c < 0) continue;
		if (read(c, asked, sizeof asked) > 0 && write(c, ANSWER, sizeof ANSWER - 1) < 0) perror("write");
		close(c);
	}
}

static int measure(const char *address, int port, int count, int pause)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1) return 2;
	int failed = 0, took = 0;
	long *times = calloc(count, sizeof *times);
	for (int i = 0; i < count; i++) {
		long began = now();
		if (ask(&to)) times[took++] = now() - began;
		else failed++;
		usleep(pause);
	}
	qsort(times, took, sizeof *times, less);
	if (took == 0) return 1;
	printf("%d %d %ld %ld %ld\n", count, failed, times[took / 2], times[took * 99 / 100], times[took - 1]);
	return 0;
}

static int hog(long bytes)
{
	char *all = malloc(bytes);
	for (int value = 1; all != NULL; value++) memset(all, value, bytes);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0) return serve(atoi(argv[2]));
	if (argc == 3 && strcmp(argv[1], "hog") == 0) return hog(atol(argv[2]));
	if (argc == 6 && strcmp(argv[1], "ask") == 0)
		return measure(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
	return 2;
}
