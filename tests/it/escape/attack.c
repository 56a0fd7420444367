// What a hostile step would try. One word says what; each line that is printed says what came of one attempt.
//
// It is linked statically, so that it runs in any image.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

// Says what a call came to: "name: done", or why not.
static void say(const char *name, long result) {
    printf("%s: %s\n", name, result < 0 ? strerrorname_np(errno) : "done");
    fflush(stdout);
}

// --- system calls

// With arguments that harm nothing should they be let through.
static void calls(void) {
    static char stack[65536];
    struct iovec none = {0};
    uint64_t big[64] = {0};
#define CALL(name, ...) say(#name, syscall(SYS_##name, __VA_ARGS__))
    CALL(acct, "/nowhere");
    CALL(add_key, "user", "escape", "x", 1, -4);
    CALL(bpf, 0, big, sizeof big);
    CALL(clock_settime, CLOCK_REALTIME, NULL);
    CALL(delete_module, "nothing", 0);
    CALL(fanotify_init, 0, 0);
    CALL(finit_module, -1, "", 0);
    CALL(fsconfig, -1, 0, NULL, NULL, 0);
    CALL(fsmount, -1, 0, 0);
    CALL(fsopen, "tmpfs", 0);
    CALL(fspick, AT_FDCWD, "/", 0);
    CALL(init_module, NULL, 0, "");
    CALL(io_uring_setup, 1, big);
#ifdef SYS_iopl
    CALL(iopl, 0);
    CALL(ioperm, 0x80, 1, 0);
#endif
    CALL(kcmp, getpid(), getpid(), 0, 0, 0);
    CALL(kexec_file_load, -1, -1, 0, "", 0);
    CALL(kexec_load, 0, 1, NULL, 0);
    CALL(keyctl, 0, -3, 1);
    CALL(mount, "none", "/tmp", "tmpfs", 0, NULL);
    CALL(mount_setattr, AT_FDCWD, "/", 0, big, 32);
    CALL(move_mount, AT_FDCWD, "/tmp", AT_FDCWD, "/mnt", 0);
    CALL(open_by_handle_at, AT_FDCWD, big, 0);
    CALL(open_tree, AT_FDCWD, "/", 0);
    CALL(perf_event_open, big, 0, -1, -1, 0);
    CALL(pidfd_getfd, -1, 0, 0);
    CALL(pivot_root, "/", "/");
    CALL(process_madvise, -1, &none, 1, MADV_COLD, 0);
    CALL(quotactl, 0, NULL, 0, NULL);
    CALL(reboot, 0, 0, 0, NULL);
    CALL(request_key, "user", "escape", NULL, -4);
    CALL(setdomainname, "x", 1);
    CALL(sethostname, "x", 1);
    CALL(setns, -1, 0);
    CALL(settimeofday, NULL, NULL);
    CALL(swapoff, "/nowhere");
    CALL(swapon, "/nowhere", 0);
    CALL(syslog, 3, NULL, 0);
    CALL(umount2, "/proc/sys", MNT_DETACH);
    CALL(unshare, CLONE_NEWUSER);
    CALL(unshare, CLONE_NEWNS);
    CALL(userfaultfd, O_CLOEXEC);
    CALL(clone, CLONE_NEWUSER | SIGCHLD, stack + sizeof stack, NULL, NULL, 0);
    big[0] = CLONE_NEWUSER;
    CALL(clone3, big, 88);
    say("socket(AF_VSOCK)", socket(AF_VSOCK, SOCK_STREAM, 0));
    say("remount", mount("none", "/", NULL, MS_REMOUNT, NULL));
}

// --- descriptors

// What is open beyond the three streams, and of these what is a folder: "..", from a folder, leads out.
static void descriptors(void) {
    DIR *list = opendir("/proc/self/fd");
    struct dirent *entry;
    struct stat stat;
    while ((entry = readdir(list))) {
        int number = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || number == dirfd(list) || fstat(number, &stat)) continue;
        if (number > 2) printf("%d is open\n", number);
        if (S_ISDIR(stat.st_mode)) printf("%d is a folder\n", number);
    }
    closedir(list);
    for (int number = 0; number < 32; number++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/1/fd/%d/..", number);
        if (open(path, O_PATH) >= 0) printf("%s opens\n", path);
    }
    puts("end");
}

// --- processes

static void processes(const char *number, const char *canary) {
    pid_t host = atoi(number);
    char byte;
    struct iovec own = {&byte, 1}, other = {&byte, 1};
    say("kill the builder", kill(host, SIGKILL));
    say("pidfd of the builder", syscall(SYS_pidfd_open, host, 0));
    say("trace the builder", ptrace(PTRACE_SEIZE, host, 0, 0));
    say("read the builder", process_vm_readv(host, &own, 1, &other, 1, 0));
    char path[4096];
    snprintf(path, sizeof path, "/proc/1/root%s", canary);
    say("root of process 1", open(path, O_RDONLY));
    snprintf(path, sizeof path, "/proc/1/cwd/../../../..%s", canary);
    say("folder of process 1", open(path, O_RDONLY));
    int seen = 0;
    DIR *list = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(list));) seen += entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
    printf("processes: %s\n", seen <= 4 ? "ours" : "others");
    // Everybody but ourselves; nobody outside may notice.
    puts("end");
}

// Leaves a process behind that has nothing to do with us any more, holding a file locked.
static void leave_daemon(const char *name) {
    int ready[2];
    if (pipe(ready)) exit(1);
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            setsid();
            signal(SIGTERM, SIG_IGN);
            signal(SIGHUP, SIG_IGN);
            int file = open(name, O_RDWR | O_CREAT, 0666);
            struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
            if (fcntl(file, F_SETLK, &lock)) exit(1);
            for (int fd = 0; fd < 3; fd++) close(fd);
            if (write(ready[1], "x", 1) != 1) exit(1);
            for (;;) pause();
        }
        exit(0);
    }
    char byte;
    say("daemon", read(ready[0], &byte, 1) == 1 ? 0 : -1);
}

static void terminals(void) {
    char letter = '!';
    for (int fd = 0; fd < 3; fd++) say("type", ioctl(fd, TIOCSTI, &letter));
    for (int fd = 0; fd < 3; fd++) say("take", ioctl(fd, TIOCSCTTY, 1));
    for (int fd = 0; fd < 3; fd++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        struct stat stat;
        printf("stream: %s\n", fstat(fd, &stat) ? "none" : S_ISCHR(stat.st_mode) ? "device" : "pipe");
        chmod(path, 0777);
    }
    say("terminal", open("/dev/tty", O_RDWR));
}

static void abstract(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path + 1, name);
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
    int own = socket(AF_UNIX, SOCK_STREAM, 0);
    say("abstract socket", connect(own, (struct sockaddr *)&address, length));
    // One of our own is nobody's business.
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    address.sun_path[1] ^= 1;
    bind(server, (struct sockaddr *)&address, length);
    listen(server, 1);
    say("own abstract socket", connect(client, (struct sockaddr *)&address, length));
}

// Reads a key that somebody has put into a session's keyring.
static void key(const char *name) {
    char text[64] = {0};
    long found = syscall(SYS_keyctl, 10 /* KEYCTL_SEARCH */, -3, "user", name, 0);
    say("key", found < 0 ? found : syscall(SYS_keyctl, 11 /* KEYCTL_READ */, found, text, sizeof text));
    puts(text);
}

// Runs a command in a session that has such a key.
static void with_key(const char *name, char **command) {
    syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
    if (syscall(SYS_add_key, "user", name, "treasure", 8, -3) < 0) exit(1);
    execvp(command[0], command);
    exit(1);
}

// --- devices

static void device(const char *folder, int kind, int major, int minor) {
    char path[256];
    snprintf(path, sizeof path, "%s/node", folder);
    unlink(path);
    if (mknod(path, kind | 0666, makedev(major, minor))) return;
    for (int flags = 0; flags < 2; flags++) {
        int opened = open(path, (flags ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY);
        if (opened >= 0) printf("%s %d:%d opens\n", folder, major, minor);
    }
    unlink(path);
}

// Makes nodes wherever that may be possible, and opens them.
static void devices(int argc, char **argv) {
    for (int at = 3; at < argc; at++) {
        device(argv[at], S_IFBLK, atoi(argv[1]), atoi(argv[2]));
        device(argv[at], S_IFBLK, 7, 0);     // loop
        device(argv[at], S_IFCHR, 1, 1);     // mem
        device(argv[at], S_IFCHR, 1, 2);     // kmem
        device(argv[at], S_IFCHR, 1, 4);     // port
        device(argv[at], S_IFCHR, 1, 11);    // kmsg
        device(argv[at], S_IFCHR, 4, 0);     // a terminal
        device(argv[at], S_IFCHR, 4, 64);    // a serial line
        device(argv[at], S_IFCHR, 5, 1);     // the console
        device(argv[at], S_IFCHR, 10, 200);  // tun
        device(argv[at], S_IFCHR, 10, 229);  // fuse
        device(argv[at], S_IFCHR, 10, 232);  // kvm
        device(argv[at], S_IFCHR, 10, 237);  // loop-control
        device(argv[at], S_IFCHR, 136, 0);   // somebody's pseudo-terminal
    }
    puts("end");
}

// --- files

// Opens files for writing, and says which that worked for.
static void write_to(int argc, char **argv) {
    for (int at = 0; at < argc; at++) {
        int opened = open(argv[at], O_WRONLY);
        if (opened >= 0) printf("%s opens\n", argv[at]);
        if (chmod(argv[at], 0777) == 0) printf("%s changes\n", argv[at]);
    }
    puts("end");
}

// Sets what an overlay would note for itself, and capabilities for whoever executes the file.
static void attributes(const char *file) {
    static const char all[] = "\x01\0\0\x02\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\0\0\0";
    setxattr(file, "security.capability", all, sizeof all, 0);
    static const char *names[] = {"trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.metacopy",
        "user.overlay.opaque", "user.overlay.redirect", "user.overlay.metacopy", "user.overlay.whiteout"};
    for (unsigned at = 0; at < sizeof names / sizeof *names; at++) {
        const char *value = strstr(names[at], "redirect") ? "/" : "y";
        setxattr(file, names[at], value, 1, 0);
    }
}

// Swaps two names until a third one appears.
static void swap(const char *one, const char *other, const char *until) {
    struct stat stat;
    while (lstat(until, &stat)) renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

// Opens a file by a handle that was made up from the number of a folder at the top of a file system (Shocker).
static void handle(void) {
    struct {
        struct file_handle head;
        unsigned char bytes[128];
    } handle = {.head.handle_bytes = 128};
    int mount;
    if (name_to_handle_at(AT_FDCWD, "/etc/hosts", &handle.head, &mount, 0) < 0) handle.head.handle_bytes = 8;
    memset(handle.head.f_handle, 0, 8);
    handle.head.f_handle[0] = 2;
    say("open by handle", open_by_handle_at(open("/", O_RDONLY), &handle.head, O_RDONLY));
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    char *first = argc > 2 ? argv[2] : "";
    if (!strcmp(what, "calls")) calls();
    else if (!strcmp(what, "descriptors")) descriptors();
    else if (!strcmp(what, "processes")) processes(first, argv[3]);
    else if (!strcmp(what, "daemon")) leave_daemon(first);
    else if (!strcmp(what, "terminals")) terminals();
    else if (!strcmp(what, "abstract")) abstract(first);
    else if (!strcmp(what, "key")) key(first);
    else if (!strcmp(what, "with-key")) with_key(first, argv + 3);
    else if (!strcmp(what, "devices")) devices(argc - 1, argv + 1);
    else if (!strcmp(what, "write")) write_to(argc - 2, argv + 2);
    else if (!strcmp(what, "attributes")) attributes(first);
    else if (!strcmp(what, "swap")) swap(first, argv[3], argv[4]);
    else if (!strcmp(what, "handle")) handle();
    else return 2;
    return 0;
}
