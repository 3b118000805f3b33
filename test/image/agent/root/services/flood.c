/* Sends a byte by UDP to each of COUNT addresses from FIRST on, at PORT: as a service does that scans, or hides. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[3])) };
	unsigned first = ntohl(inet_addr(argv[1]));
	long i, count = atol(argv[2]);
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	for (i = 0; i < count; i++) {
		to.sin_addr.s_addr = htonl(first + i);
		sendto(s, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
	}
	return 0;
}
