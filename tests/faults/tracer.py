"""Runs a program and lets one of its system calls fail, or kills it there.

The program and whatever it starts are traced (ptrace(2), x86-64). Only calls of the program itself count, not those of
the commands that a step runs: these have another executable. All threads and processes share one count, so that point N
is the N-th call of a kind that matters, whoever makes it.
"""

import ctypes
import os
import signal

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.restype = ctypes.c_long
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

TRACEME, PEEKUSER, POKEUSER, SYSCALL, SETOPTIONS = 0, 3, 6, 24, 0x4200
TRACESYSGOOD, FORK, VFORK, CLONE, EXEC, EXITKILL = 1, 2, 4, 8, 16, 0x100000
EVENT_EXEC = 4
WALL = 0x40000000
# Offsets in `struct user` of <sys/user.h>.
RAX, RDI, RSI, RDX, ORIG_RAX = 10 * 8, 14 * 8, 13 * 8, 12 * 8, 15 * 8
O_CREAT = 0o100

# The calls that change something, by number; of those with a file, which argument it is.
CALLS = {
    1: "write", 18: "pwrite64", 20: "writev", 40: "sendfile", 326: "copy_file_range",
    74: "fsync", 75: "fdatasync", 76: "truncate", 77: "ftruncate",
    2: "open", 257: "openat", 437: "openat2",
    82: "rename", 264: "renameat", 316: "renameat2", 86: "link", 265: "linkat", 88: "symlink", 266: "symlinkat",
    83: "mkdir", 258: "mkdirat", 133: "mknod", 259: "mknodat", 84: "rmdir", 87: "unlink", 263: "unlinkat",
    90: "chmod", 91: "fchmod", 268: "fchmodat", 92: "chown", 93: "fchown", 260: "fchownat", 280: "utimensat",
    188: "setxattr", 190: "fsetxattr", 73: "flock",
    165: "mount", 166: "umount2", 155: "pivot_root", 272: "unshare", 428: "open_tree", 429: "move_mount",
    430: "fsopen", 431: "fsconfig", 432: "fsmount", 442: "mount_setattr",
}
TO_FILES = {"write", "pwrite64", "writev"}
OPENS = {"open": RSI, "openat": RDX}


def ptrace(request, pid, address=0, data=0):
    ctypes.set_errno(0)
    result = LIBC.ptrace(request, pid, address, data)
    if result == -1 and ctypes.get_errno():
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Point:
    """Where the fault was: the call, and how many there were in all."""

    def __init__(self):
        self.count = 0
        self.hit = None


def matters(pid, number):
    """The name of the call that a process is about to make, if it changes something."""
    name = CALLS.get(number)
    if name in TO_FILES:
        fd = ptrace(PEEKUSER, pid, RDI) & 0xFFFFFFFF
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            return None
        # What people read is not the store's, nor is what processes tell each other.
        return name if fd > 2 and target.startswith("/") and not target.startswith("/dev/") else None
    if name in OPENS:
        return name + " (new)" if ptrace(PEEKUSER, pid, OPENS[name]) & O_CREAT else None
    if name == "openat2":
        return None
    return name


def run(arguments, at, error, output, timeout, **options):
    """Runs a program to its end. Its call number `at` fails with `error`, or kills it if there is none.

    The caller must have no other children: all are waited for.

    Returns how it ended, as `os.waitstatus_to_exitcode` has it (none if it took too long), and the `Point`.
    """
    program = os.stat(arguments[0])
    point = Point()
    first = os.fork()
    if first == 0:
        try:
            null = os.open("/dev/null", os.O_RDWR)
            log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(null, 0), os.dup2(null, 1), os.dup2(log, 2)
            os.chdir(options["cwd"])
            LIBC.ptrace(TRACEME, 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execve(arguments[0], arguments, options["env"])
        finally:
            os._exit(127)
    os.waitpid(first, 0)
    flags = TRACESYSGOOD | FORK | VFORK | CLONE | EXEC | EXITKILL
    ptrace(SETOPTIONS, first, 0, flags)
    ptrace(SYSCALL, first)
    own, inside, failing, known, code = {}, {}, set(), {first}, None
    late = []

    def too_late(_signal, _frame):
        late.append(True)
        try:
            os.kill(first, signal.SIGKILL)
        except ProcessLookupError:
            pass

    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(timeout)

    def is_own(pid):
        if pid not in own:
            try:
                found = os.stat(f"/proc/{pid}/exe")
                own[pid] = (found.st_dev, found.st_ino) == (program.st_dev, program.st_ino)
            except OSError:
                return False
        return own[pid]

    while True:
        try:
            pid, status = os.waitpid(-1, WALL)
        except ChildProcessError:
            signal.alarm(0)
            return None if late else code, point
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if pid == first:
                code = os.waitstatus_to_exitcode(status)
            own.pop(pid, None), inside.pop(pid, None)
            continue
        stopped, event, deliver = os.WSTOPSIG(status), status >> 16, 0
        try:
            if stopped == signal.SIGTRAP | 0x80:
                inside[pid] = not inside.get(pid, False)
                if inside[pid] and is_own(pid):
                    name = matters(pid, ptrace(PEEKUSER, pid, ORIG_RAX))
                    if name:
                        point.count += 1
                        if point.count == at:
                            point.hit = name
                            if error is None:
                                os.kill(first, signal.SIGKILL)
                            else:
                                ptrace(POKEUSER, pid, ORIG_RAX, ctypes.c_void_p(-1))
                                failing.add(pid)
                elif pid in failing:
                    failing.discard(pid)
                    ptrace(POKEUSER, pid, RAX, ctypes.c_void_p(-error))
            elif event == EVENT_EXEC:
                own.pop(pid, None)
            elif event == 0 and pid in known:
                deliver = stopped if stopped != signal.SIGTRAP else 0
            known.add(pid)
            ptrace(SYSCALL, pid, 0, deliver)
        except ProcessLookupError:
            pass
