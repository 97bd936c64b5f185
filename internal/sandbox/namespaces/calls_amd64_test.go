package namespaces

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// excluded tells whether a call is none of those by which a zone is made. What
// is not in the list is made to fail, so that a new call is, too.
func excluded(nr, first uint64) bool {
	switch nr {
	case unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_BRK, unix.SYS_MINCORE:
		return true // the runtime's memory: it ends the program without
	case unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_RESTART_SYSCALL, unix.SYS_TGKILL:
		return true // the runtime's waiting and waking, as often as chance wants
	case unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_WAIT:
		return true // the same
	case unix.SYS_CLONE:
		return first&unix.CLONE_THREAD != 0 // the runtime's threads: it ends the program without
	case unix.SYS_RT_SIGPROCMASK, unix.SYS_SIGALTSTACK, unix.SYS_RT_SIGRETURN, unix.SYS_SET_TID_ADDRESS, unix.SYS_SET_ROBUST_LIST,
		unix.SYS_RSEQ, unix.SYS_ARCH_PRCTL, unix.SYS_SCHED_GETAFFINITY:
		return true // the runtime's care for its own threads
	case unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETPPID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
		unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_UMASK, unix.SYS_EXIT, unix.SYS_EXIT_GROUP:
		return true // they cannot fail
	}
	return false
}

// repeated tells whether a call is made over and over for the same: to open, to
// look at and to close, and by the runtime as it begins.
func repeated(nr uint64) bool {
	switch nr {
	case unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_CLOSE, unix.SYS_FSTAT, unix.SYS_NEWFSTATAT, unix.SYS_MKDIRAT, unix.SYS_READ,
		unix.SYS_FCNTL, unix.SYS_EPOLL_CTL, unix.SYS_RT_SIGACTION:
		return true
	}
	return false
}

// mounts tells whether a call makes mounts. That there is no such file is then
// no answer that anything can be done with.
func mounts(nr uint64) bool {
	switch nr {
	case unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_FSOPEN, unix.SYS_FSCONFIG,
		unix.SYS_FSMOUNT, unix.SYS_PIVOT_ROOT:
		return true
	}
	return false
}

// callName is a call's name, or its number.
func callName(nr uint64) string {
	if name, ok := callNames()[nr]; ok {
		return name
	}
	return "call number " + strconv.FormatUint(nr, 10)
}

func callNames() map[uint64]string {
	return map[uint64]string{
		unix.SYS_READ: "read", unix.SYS_WRITE: "write", unix.SYS_OPEN: "open", unix.SYS_CLOSE: "close", unix.SYS_STAT: "stat", unix.SYS_FSTAT: "fstat",
		unix.SYS_LSTAT: "lstat", unix.SYS_POLL: "poll", unix.SYS_LSEEK: "lseek", unix.SYS_PREAD64: "pread64", unix.SYS_PWRITE64: "pwrite64",
		unix.SYS_READV: "readv", unix.SYS_ACCESS: "access", unix.SYS_PIPE2: "pipe2", unix.SYS_DUP: "dup", unix.SYS_DUP2: "dup2", unix.SYS_DUP3: "dup3",
		unix.SYS_SOCKET: "socket", unix.SYS_CONNECT: "connect", unix.SYS_ACCEPT: "accept", unix.SYS_SENDTO: "sendto", unix.SYS_RECVFROM: "recvfrom",
		unix.SYS_SENDMSG: "sendmsg", unix.SYS_RECVMSG: "recvmsg", unix.SYS_SHUTDOWN: "shutdown", unix.SYS_BIND: "bind", unix.SYS_LISTEN: "listen",
		unix.SYS_GETSOCKNAME: "getsockname", unix.SYS_GETPEERNAME: "getpeername", unix.SYS_SOCKETPAIR: "socketpair", unix.SYS_SETSOCKOPT: "setsockopt",
		unix.SYS_GETSOCKOPT: "getsockopt", unix.SYS_CLONE: "clone", unix.SYS_CLONE3: "clone3", unix.SYS_VFORK: "vfork", unix.SYS_EXECVE: "execve",
		unix.SYS_KILL: "kill", unix.SYS_UNAME: "uname", unix.SYS_FCNTL: "fcntl", unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_GETDENTS64: "getdents64",
		unix.SYS_GETCWD: "getcwd", unix.SYS_CHDIR: "chdir", unix.SYS_FCHDIR: "fchdir", unix.SYS_MKDIR: "mkdir", unix.SYS_RMDIR: "rmdir",
		unix.SYS_UNLINK: "unlink", unix.SYS_READLINK: "readlink", unix.SYS_CHMOD: "chmod", unix.SYS_CHOWN: "chown", unix.SYS_FCHOWN: "fchown",
		unix.SYS_FCHOWNAT: "fchownat", unix.SYS_UMASK: "umask", unix.SYS_GETRLIMIT: "getrlimit", unix.SYS_SYSINFO: "sysinfo", unix.SYS_GETUID: "getuid",
		unix.SYS_GETGID: "getgid", unix.SYS_GETEUID: "geteuid", unix.SYS_GETEGID: "getegid", unix.SYS_GETRESUID: "getresuid",
		unix.SYS_GETRESGID: "getresgid", unix.SYS_SETUID: "setuid", unix.SYS_SETGID: "setgid", unix.SYS_SETGROUPS: "setgroups", unix.SYS_SETSID: "setsid",
		unix.SYS_CAPGET: "capget", unix.SYS_CAPSET: "capset", unix.SYS_STATFS: "statfs", unix.SYS_PRCTL: "prctl", unix.SYS_ARCH_PRCTL: "arch_prctl",
		unix.SYS_MOUNT: "mount", unix.SYS_UMOUNT2: "umount2", unix.SYS_PIVOT_ROOT: "pivot_root", unix.SYS_CHROOT: "chroot",
		unix.SYS_SETHOSTNAME: "sethostname", unix.SYS_UNSHARE: "unshare", unix.SYS_SETNS: "setns", unix.SYS_IOCTL: "ioctl", unix.SYS_OPENAT: "openat",
		unix.SYS_OPENAT2: "openat2", unix.SYS_MKDIRAT: "mkdirat", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_RENAMEAT2: "renameat2",
		unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_READLINKAT: "readlinkat", unix.SYS_NEWFSTATAT: "newfstatat", unix.SYS_FACCESSAT: "faccessat",
		unix.SYS_FACCESSAT2: "faccessat2", unix.SYS_STATX: "statx", unix.SYS_PRLIMIT64: "prlimit64", unix.SYS_SECCOMP: "seccomp",
		unix.SYS_MEMFD_CREATE: "memfd_create", unix.SYS_CLOSE_RANGE: "close_range", unix.SYS_OPEN_TREE: "open_tree", unix.SYS_MOVE_MOUNT: "move_mount",
		unix.SYS_MOUNT_SETATTR: "mount_setattr", unix.SYS_FSOPEN: "fsopen", unix.SYS_FSCONFIG: "fsconfig", unix.SYS_FSMOUNT: "fsmount",
		unix.SYS_LANDLOCK_CREATE_RULESET: "landlock_create_ruleset", unix.SYS_LANDLOCK_ADD_RULE: "landlock_add_rule",
		unix.SYS_LANDLOCK_RESTRICT_SELF: "landlock_restrict_self", unix.SYS_RT_SIGACTION: "rt_sigaction", unix.SYS_WAIT4: "wait4",
		unix.SYS_WAITID: "waitid", unix.SYS_PIDFD_OPEN: "pidfd_open", unix.SYS_PIDFD_SEND_SIGNAL: "pidfd_send_signal",
		unix.SYS_EPOLL_CREATE1: "epoll_create1", unix.SYS_EPOLL_CTL: "epoll_ctl", unix.SYS_EVENTFD2: "eventfd2", unix.SYS_PTRACE: "ptrace",
		unix.SYS_BPF: "bpf", unix.SYS_PERF_EVENT_OPEN: "perf_event_open", unix.SYS_KEYCTL: "keyctl", unix.SYS_IO_URING_SETUP: "io_uring_setup",
		unix.SYS_USERFAULTFD: "userfaultfd", unix.SYS_GETPGID: "getpgid", unix.SYS_GETSID: "getsid", unix.SYS_GETPRIORITY: "getpriority",
		unix.SYS_SCHED_SETAFFINITY: "sched_setaffinity", unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_PERSONALITY: "personality",
		unix.SYS_GETRUSAGE: "getrusage", unix.SYS_TKILL: "tkill", unix.SYS_ADD_KEY: "add_key", unix.SYS_REQUEST_KEY: "request_key",
		unix.SYS_KEXEC_LOAD: "kexec_load", unix.SYS_INIT_MODULE: "init_module", unix.SYS_DELETE_MODULE: "delete_module",
		unix.SYS_FINIT_MODULE: "finit_module", unix.SYS_PROCESS_VM_READV: "process_vm_readv", unix.SYS_KCMP: "kcmp",
		unix.SYS_NAME_TO_HANDLE_AT: "name_to_handle_at", unix.SYS_OPEN_BY_HANDLE_AT: "open_by_handle_at", unix.SYS_FSPICK: "fspick",
		unix.SYS_QUOTACTL: "quotactl", unix.SYS_SWAPON: "swapon", unix.SYS_SWAPOFF: "swapoff", unix.SYS_ACCT: "acct", unix.SYS_REBOOT: "reboot",
		unix.SYS_SYSLOG: "syslog", unix.SYS_SETTIMEOFDAY: "settimeofday", unix.SYS_CLOCK_SETTIME: "clock_settime", unix.SYS_CLOCK_ADJTIME: "clock_adjtime",
		unix.SYS_ADJTIMEX: "adjtimex", unix.SYS_SETDOMAINNAME: "setdomainname", unix.SYS_MSGGET: "msgget", unix.SYS_SEMGET: "semget",
		unix.SYS_SHMGET: "shmget", unix.SYS_MQ_OPEN: "mq_open",
	}
}
