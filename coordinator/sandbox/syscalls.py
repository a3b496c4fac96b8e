"""Numbers of system calls, and which a runner has no use for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_OTHER_PROGRAMS = ("execve", "execveat", "fork", "vfork")
_OTHER_PROCESSES = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp"),
    *("pidfd_getfd", "pidfd_send_signal", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"),
    *("shmget", "shmat", "shmctl", "msgget", "semget", "mq_open"),
)
_OTHER_VIEWS = (
    *("mount", "umount2", "pivot_root", "chroot", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("open_tree", "mount_setattr", "setns", "unshare", "open_by_handle_at", "name_to_handle_at"),
)
_OWNERS_AND_MODES = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
    *("utime", "utimes", "futimesat", "utimensat", "mknod", "mknodat"),
)
_IDENTITY = (
    *("setuid", "setgid", "setreuid", "setregid", "setgroups"),
    *("setresuid", "setresgid", "setfsuid", "setfsgid", "personality"),
)
_KERNEL = (
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("add_key", "request_key", "keyctl", "init_module", "finit_module", "delete_module"),
    *("kexec_load", "kexec_file_load", "swapon", "swapoff", "reboot", "iopl", "ioperm", "acct", "quotactl"),
    *(
        "syslog",
        "settimeofday",
        "clock_settime",
        "adjtimex",
        "clock_adjtime",
        "sethostname",
        "setdomainname",
        "vhangup",
    ),
)
FORBIDDEN: Final = (*_OTHER_PROGRAMS, *_OTHER_PROCESSES, *_OTHER_VIEWS, *_OWNERS_AND_MODES, *_IDENTITY, *_KERNEL)
"""Calls that a runner never makes."""
NETWORK: Final = ("socket", "socketpair", "connect", "bind", "listen", "accept", "accept4")
"""Calls that are of no use once the connection to the model server stands."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A machine's name for itself and its numbers."""

    audit: int
    numbers: Mapping[str, int]


def _table(text: str) -> dict[str, int]:
    """From `name number name number ...`."""
    words = text.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


_SAME_EVERYWHERE = _table(
    """
    pidfd_send_signal 424 io_uring_setup 425 io_uring_enter 426 io_uring_register 427 open_tree 428 move_mount 429
    fsopen 430 fsconfig 431 fsmount 432 fspick 433 clone3 435 pidfd_getfd 438 process_madvise 440 mount_setattr 442
    fchmodat2 452
    """
)

_X86_64 = _table(
    """
    ioctl 16 shmget 29 shmat 30 shmctl 31 socket 41 connect 42 accept 43 bind 49 listen 50 socketpair 53 clone 56
    fork 57 vfork 58 execve 59 kill 62 semget 64 msgget 68 chmod 90 fchmod 91 chown 92 fchown 93 lchown 94
    ptrace 101 syslog 103 setuid 105 setgid 106 setreuid 113 setregid 114 setgroups 116 setresuid 117 setresgid 119
    setfsuid 122 setfsgid 123 rt_sigqueueinfo 129 utime 132 mknod 133 personality 135 vhangup 153 pivot_root 155
    adjtimex 159 chroot 161 acct 163 settimeofday 164 mount 165 umount2 166 swapon 167 swapoff 168 reboot 169
    sethostname 170 setdomainname 171 iopl 172 ioperm 173 init_module 175 delete_module 176 quotactl 179
    setxattr 188 lsetxattr 189 fsetxattr 190 removexattr 197 lremovexattr 198 fremovexattr 199 tkill 200
    clock_settime 227 tgkill 234 utimes 235 mq_open 240 kexec_load 246 add_key 248 request_key 249 keyctl 250
    mknodat 259 fchownat 260 futimesat 261 fchmodat 268 unshare 272 utimensat 280 accept4 288 rt_tgsigqueueinfo 297
    perf_event_open 298 prlimit64 302 name_to_handle_at 303 open_by_handle_at 304 clock_adjtime 305 setns 308
    process_vm_readv 310 process_vm_writev 311 kcmp 312 finit_module 313 seccomp 317 kexec_file_load 320 bpf 321
    execveat 322 userfaultfd 323
    """
)

_AARCH64 = _table(
    """
    setxattr 5 lsetxattr 6 fsetxattr 7 removexattr 14 lremovexattr 15 fremovexattr 16 ioctl 29 mknodat 33 umount2 39
    mount 40 pivot_root 41 chroot 51 fchmod 52 fchmodat 53 fchownat 54 fchown 55 vhangup 58 quotactl 60 utimensat 88
    acct 89 personality 92 unshare 97 kexec_load 104 init_module 105 delete_module 106 clock_settime 112 syslog 116
    ptrace 117 kill 129 tkill 130 tgkill 131 rt_sigqueueinfo 138 reboot 142 setregid 143 setgid 144 setreuid 145
    setuid 146 setresuid 147 setresgid 149 setfsuid 151 setfsgid 152 setgroups 159 sethostname 161 setdomainname 162
    settimeofday 170 adjtimex 171 mq_open 180 msgget 186 semget 190 shmget 194 shmctl 195 shmat 196 socket 198
    socketpair 199 bind 200 listen 201 accept 202 connect 203 add_key 217 request_key 218 keyctl 219 clone 220
    execve 221 swapon 224 swapoff 225 rt_tgsigqueueinfo 240 perf_event_open 241 accept4 242 prlimit64 261
    name_to_handle_at 264 open_by_handle_at 265 clock_adjtime 266 setns 268 process_vm_readv 270
    process_vm_writev 271 kcmp 272 finit_module 273 seccomp 277 bpf 280 execveat 281 userfaultfd 282
    kexec_file_load 294
    """
)

ARCHITECTURES: Final = {
    "x86_64": Architecture(0xC000003E, {**_X86_64, **_SAME_EVERYWHERE}),
    "aarch64": Architecture(0xC00000B7, {**_AARCH64, **_SAME_EVERYWHERE}),
}
