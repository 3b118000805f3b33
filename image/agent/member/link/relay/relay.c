/*
 * The shell of the account `bootwave-link`, and all that this account can run: copies bytes between the SSH channel
 * and the agent's socket. So it is, with another socket, that of `bootwave-rescue`. sshd starts it as `relay -c <command of the subsystem>`; anything else is refused, so the
 * account has no shell, no exec and no sftp whatever sshd's configuration says.
 *
 * In C because a Node process takes 1-2 s to start on an emulated machine and socat, besides its libraries, cannot
 * be an account's shell (sshd passes -c). 16 kB, no allocation, one wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef LINK_SOCKET
#define LINK_SOCKET "/run/bootwave-link/agent.sock"
#endif
#ifndef LINK_COMMAND
#define LINK_COMMAND "bootwave-link"
#endif

/* sysexits.h; 126 is what shells say of a command that may not be run. */
enum { NO_AGENT = 69, BROKEN = 74, REFUSED = 126 };

struct flow {
  int from, to;
  size_t start, end;
  int ended;
  char bytes[65536];
};

static void say(const char *text) {
  if (write(STDERR_FILENO, text, strlen(text)) < 0) { /* nobody is left to be told */
  }
}

static int connect_agent(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  _Static_assert(sizeof LINK_SOCKET <= sizeof address.sun_path, "the path of the socket is too long");
  memcpy(address.sun_path, LINK_SOCKET, sizeof LINK_SOCKET);
  int agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (agent < 0) return -1;
  if (connect(agent, (struct sockaddr *)&address, sizeof address) == 0) return agent;
  close(agent);
  return -1;
}

static int passing(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

/* 0 when the flow goes on or has ended in order, -1 when its other end is gone. */
static int move(struct flow *flow) {
  if (flow->start == flow->end && !flow->ended) {
    ssize_t got = read(flow->from, flow->bytes, sizeof flow->bytes);
    if (got < 0 && !passing(errno)) return -1;
    if (got == 0) flow->ended = 1;
    flow->start = 0;
    flow->end = got > 0 ? (size_t)got : 0;
  }
  if (flow->start < flow->end) {
    ssize_t put = write(flow->to, flow->bytes + flow->start, flow->end - flow->start);
    if (put < 0 && !passing(errno)) return -1;
    if (put > 0) flow->start += (size_t)put;
  }
  return 0;
}

static int over(const struct flow *flow) { return flow->ended && flow->start == flow->end; }

/* Without initial values, so that they take no room in the file. */
static struct flow in, out;

int main(int argc, char **argv) {
  if (argc != 3 || strcmp(argv[1], "-c") != 0 || strcmp(argv[2], LINK_COMMAND) != 0) {
    say("bootwave: this account runs one thing, and nothing else\n");
    return REFUSED;
  }
  signal(SIGPIPE, SIG_IGN);
  int agent = connect_agent();
  if (agent < 0) {
    say("bootwave: the agent does not answer\n");
    return NO_AGENT;
  }
  in.from = STDIN_FILENO;
  out.to = STDOUT_FILENO;
  in.to = out.from = agent;
  int told = 0;
  for (int fd = 0; fd <= STDOUT_FILENO; fd++) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  fcntl(agent, F_SETFL, O_NONBLOCK);

  while (!over(&out)) {
    int full_in = in.start < in.end, full_out = out.start < out.end;
    struct pollfd waits[] = {
      {.fd = full_in || in.ended ? -1 : STDIN_FILENO, .events = POLLIN},
      {.fd = full_in ? agent : -1, .events = POLLOUT},
      {.fd = full_out || out.ended ? -1 : agent, .events = POLLIN},
      {.fd = full_out ? STDOUT_FILENO : -1, .events = POLLOUT},
    };
    if (poll(waits, 4, -1) < 0 && errno != EINTR) return BROKEN;
    if ((waits[0].revents || waits[1].revents) && move(&in) < 0) return BROKEN;
    if ((waits[2].revents || waits[3].revents) && move(&out) < 0) return BROKEN;
    /* The orchestrator has said all it wants: the agent hears that and still may answer. */
    if (over(&in) && !told) {
      shutdown(agent, SHUT_WR);
      told = 1;
    }
  }
  return 0;
}
