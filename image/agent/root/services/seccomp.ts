/**
 * The system calls that an instance may make; every other one answers ENOSYS, so that libraries try what they did before
 * it existed (with EPERM glibc 2.36 cannot start a thread). What is not here on purpose: mounting, namespaces, tracing,
 * keys, BPF, io_uring, modules, clocks, user faults.
 */
const words = (text: string): string[] => text.trim().split(/\s+/);

const ALWAYS = words(`
  accept accept4 access arch_prctl bind brk capget capset chdir chmod chown clock_getres clock_gettime
  clock_nanosleep close close_range connect copy_file_range dup dup2 dup3 epoll_create epoll_create1 epoll_ctl
  epoll_pwait epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate
  fchdir fchmod fchmodat fchown fchownat fcntl fdatasync flock fork fstat fstatfs fsync ftruncate futex getcpu
  getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid
  getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday
  getuid inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl kill lchown link linkat listen lseek
  lstat madvise membarrier memfd_create mincore mkdir mkdirat mlock mlock2 mmap mprotect mremap msync munlock munmap
  nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 poll ppoll prctl pread64
  preadv preadv2 prlimit64 pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom
  recvmmsg recvmsg rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
  rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_getaffinity sched_getattr sched_getparam
  sched_get_priority_max sched_get_priority_min sched_getscheduler sched_setaffinity sched_setscheduler sched_yield
  select sendfile sendmmsg sendmsg sendto setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid
  setreuid setrlimit set_robust_list setsid setsockopt set_tid_address setuid shutdown sigaltstack signalfd4
  socketpair splice stat statfs statx symlink symlinkat sync sync_file_range sysinfo tee tgkill time timer_create
  timer_delete timerfd_create timerfd_gettime timerfd_settime timer_getoverrun timer_gettime timer_settime times
  tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork wait4 waitid waitpid write writev`);

/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (by which libraries read addresses). No AF_PACKET, AF_ALG, AF_VSOCK. */
const FAMILIES = [1, 2, 10, 16];
/** CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET. clone3 hides its flags in memory: ENOSYS. */
const CLONE_NEW = 0x7e02_0000;
const ENOSYS = 38;

const ARCHITECTURES = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' } as const;

/** `linux.seccomp` of the OCI runtime specification (1.0.2, config-linux.md). */
export function seccompOf(architecture: keyof typeof ARCHITECTURES) {
  const action = 'SCMP_ACT_ALLOW';
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: ENOSYS,
    architectures: [ARCHITECTURES[architecture]],
    syscalls: [
      { names: ALWAYS, action },
      {
        names: ['clone'],
        action,
        args: [{ index: 0, value: CLONE_NEW, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
      },
      ...FAMILIES.map((family) => ({
        names: ['socket'],
        action,
        args: [{ index: 0, value: family, valueTwo: 0, op: 'SCMP_CMP_EQ' }],
      })),
    ],
  };
}
