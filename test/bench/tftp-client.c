// N firmware-like TFTP clients at once, for the bench: blksize (RFC 2348) and windowsize (RFC 7440), each from an address
// of its own (127.x.y.1), so that no limit per address is met (with TFTP_ANY_SOURCE from the machine's own address). In C, so that the servers are measured and not the client.
// Usage: tftp-client ADDRESS FILE BYTES BLKSIZE WINDOW CLIENTS; prints "SECONDS RETRANSMISSIONS" when all have the file.
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct client {
  int fd, block, window, since, done, started;
  long got;
  unsigned want;  // the next block, unwrapped
  double heard;
  struct sockaddr_in peer;
};

static struct sockaddr_in server;
static char request[512];
static int request_length, again;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void ask(struct client *c) {
  sendto(c->fd, request, request_length, 0, (struct sockaddr *)&server, sizeof server);
}

static void ack(struct client *c, unsigned block) {
  unsigned char packet[4] = {0, 4, block >> 8, block};
  c->since = 0;
  sendto(c->fd, packet, 4, 0, (struct sockaddr *)&c->peer, sizeof c->peer);
}

static void option(const char *name, int value) {
  request_length += sprintf(request + request_length, "%s", name) + 1;
  request_length += sprintf(request + request_length, "%d", value) + 1;
}

// The option acknowledgement: what the server did not repeat it declined.
static void agreed(struct client *c, unsigned char *packet, int length) {
  c->block = 512;
  c->window = 1;
  for (int i = 2; i < length;) {
    char *name = (char *)packet + i;
    i += strlen(name) + 1;
    int value = i < length ? atoi((char *)packet + i) : 0;
    i += strlen((char *)packet + i) + 1;
    if (!strcasecmp(name, "blksize")) c->block = value;
    if (!strcasecmp(name, "windowsize")) c->window = value;
  }
}

static void receive(struct client *c) {
  static unsigned char packet[65536];
  struct sockaddr_in from;
  socklen_t size = sizeof from;
  int length;
  while (!c->done && (length = recvfrom(c->fd, packet, sizeof packet - 1, MSG_DONTWAIT, (void *)&from, &size)) >= 4) {
    packet[length] = 0;
    c->heard = now();
    int block = packet[2] << 8 | packet[3];
    if (packet[1] == 5) {
      fprintf(stderr, "error %d: %s\n", block, packet + 4);
      exit(1);
    }
    if (!c->started) c->peer = from;
    c->started = 1;
    if (packet[1] == 6) {
      agreed(c, packet, length);
      ack(c, 0);
    } else if (packet[1] == 3) {
      if (block != (int)(c->want & 0xffff)) {
        // A gap: say once what is there (RFC 7440 section 4).
        if (c->since >= 0) ack(c, c->want - 1), c->since = -1;
        continue;
      }
      if (c->since < 0) c->since = 0;
      c->got += length - 4;
      c->want++;
      c->since++;
      c->done = length - 4 < c->block;
      if (c->done || c->since == c->window) ack(c, block);
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 7) return 2;
  long bytes = atol(argv[3]);
  int count = atoi(argv[6]), left = count;
  server.sin_family = AF_INET;
  server.sin_port = htons(69);
  inet_aton(argv[1], &server.sin_addr);
  request[1] = 1;
  request_length = 2 + sprintf(request + 2, "%s", argv[2]) + 1;
  request_length += sprintf(request + request_length, "octet") + 1;
  option("blksize", atoi(argv[4]));
  if (atoi(argv[5]) > 1) option("windowsize", atoi(argv[5]));
  struct client *clients = calloc(count, sizeof *clients);
  int epoll = epoll_create1(0);
  double begun = now();
  for (int i = 0; i < count; i++) {
    struct client *c = clients + i;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001 + ((i / 200 + 1) << 16) + ((i % 200) << 8))};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int room = 1 << 20;
    c->fd = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (getenv("TFTP_ANY_SOURCE")) own.sin_addr.s_addr = 0;
    if (bind(c->fd, (struct sockaddr *)&own, sizeof own)) fail("bind");
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
    c->block = 512, c->window = 1, c->want = 1, c->heard = now();
    ask(c);
  }
  while (left > 0) {
    struct epoll_event events[64];
    int ready = epoll_wait(epoll, events, 64, 200);
    for (int i = 0; i < ready; i++) {
      struct client *c = events[i].data.ptr;
      int before = c->done;
      receive(c);
      if (c->done && !before) {
        left--;
        if (c->got != bytes) return fprintf(stderr, "got %ld bytes of %ld\n", c->got, bytes), 1;
        close(c->fd);
      }
    }
    double time = now();
    if (time - begun > 20) return fprintf(stderr, "not done within 20 s, %d left\n", left), 1;
    // As firmware does: after a second of silence, again.
    for (int i = 0; i < count; i++) {
      struct client *c = clients + i;
      if (c->done || time - c->heard < 1) continue;
      c->heard = time;
      again++;
      if (c->started) ack(c, c->want - 1);
      else ask(c);
    }
  }
  printf("%.6f %d\n", now() - begun, again);
  return 0;
}
