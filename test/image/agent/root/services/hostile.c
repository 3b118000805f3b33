/*
 * What a service that went bad tries. Each try is a line: its name, and "done" or the error. Nothing here may be done.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *name, long result)
{
	printf("%s %s\n", name, result >= 0 ? "done" : strerror(errno));
}

static void file(const char *name, const char *path, int flags)
{
	say(name, open(path, flags, 0600));
}

int main(void)
{
	pid_t child;
	char buffer[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	say("raw-socket", socket(AF_INET, SOCK_RAW, 1));
	say("packet-socket", socket(AF_PACKET, SOCK_RAW, 0));
	say("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
	say("crypto-socket", socket(38, SOCK_SEQPACKET, 0));
	say("mount", mount("x", "/tmp", "tmpfs", 0, NULL));
	say("umount", umount2("/proc", MNT_DETACH));
	say("unshare-user", unshare(CLONE_NEWUSER));
	say("unshare-net", unshare(CLONE_NEWNET));
	say("setns", setns(open("/proc/1/ns/net", O_RDONLY), 0));
	say("clone-user", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
	say("clone3", syscall(SYS_clone3, NULL, 0));
	say("pivot-root", syscall(SYS_pivot_root, "/", "/"));
	say("chroot", chroot("/tmp"));
	say("mknod", mknod("/tmp/sda", S_IFBLK | 0600, makedev(8, 0)));
	say("bpf", syscall(SYS_bpf, BPF_MAP_CREATE, NULL, 0));
	say("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 0));
	say("io-uring", syscall(SYS_io_uring_setup, 1, NULL));
	say("userfaultfd", syscall(SYS_userfaultfd, 0));
	say("perf", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	say("module", syscall(SYS_init_module, NULL, 0, ""));
	say("kexec", syscall(SYS_kexec_load, 0, 0, NULL, 0));
	say("reboot", reboot(RB_DISABLE_CAD));
	say("settime", settimeofday(&(struct timeval){ 0 }, NULL));
	say("sethostname", sethostname("x", 1));
	say("setuid-other", setuid(70000));
	say("capability", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0));
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	say("ptrace", ptrace(PTRACE_ATTACH, child, NULL, NULL));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	file("write-root", "/written", O_WRONLY | O_CREAT);
	file("write-program", "/bin/busybox", O_WRONLY);
	file("write-sysrq", "/proc/sysrq-trigger", O_WRONLY);
	file("write-sysctl", "/proc/sys/kernel/core_pattern", O_WRONLY);
	file("write-forward", "/proc/sys/net/ipv4/ip_forward", O_WRONLY);
	say("read-keys", read(open("/proc/keys", O_RDONLY), buffer, sizeof buffer) > 0 ? 0 : -1);
	file("node-order", "/run/bootwave/order.json", O_RDONLY);
	file("node-passwd", "/etc/passwd", O_RDONLY);
	file("other-state", "/proc/1/root/../states/other/data/secret", O_RDONLY);
	file("disk", "/dev/sda", O_RDONLY);
	file("memory", "/dev/mem", O_RDONLY);
	file("kernel-log", "/dev/kmsg", O_RDONLY);
	say("kill-all", kill(1, 0) == 0 && getpid() != 1 ? -1 : 0);
	return 0;
}
