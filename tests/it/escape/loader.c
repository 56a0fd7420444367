// The loader of an image, which runs as whatever program it is to load: it tries to change that program's file.
//
// It has no library, since those expect to be loaded. Each line is an attempt and what came of it: an error number, or none.
static long call(long number, long a, long b, long c, long d, long e) {
#ifdef __x86_64__
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
    return number;
#else
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
        x3 __asm__("x3") = d, x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
#endif
}

#ifdef __x86_64__
enum { WRITE = 1, OPENAT = 257, FCHMODAT = 268, FCHOWNAT = 260, SETXATTR = 188, TRUNCATE = 76, LINKAT = 265, EXIT = 60 };
#else
enum { WRITE = 64, OPENAT = 56, FCHMODAT = 53, FCHOWNAT = 54, SETXATTR = 5, TRUNCATE = 45, LINKAT = 37, EXIT = 93 };
#endif

static void print(const char *text) {
    long length = 0;
    while (text[length]) length++;
    call(WRITE, 1, (long)text, length, 0, 0);
}

static void say(const char *attempt, const char *path, long result) {
    char digits[] = "000\n";
    result = result < 0 ? -result : 0;
    for (int at = 2; at >= 0; at--, result /= 10) digits[at] += result % 10;
    print(attempt);
    print(" ");
    print(path);
    print(": ");
    print(digits);
}

static void change(const char *path) {
    long here = -100, file = (long)path;
    say("chmod", path, call(FCHMODAT, here, file, 06777, 0, 0));
    say("chown", path, call(FCHOWNAT, here, file, 12345, 12345, 0));
    say("setxattr", path, call(SETXATTR, file, (long)"user.escape", (long)"x", 1, 0));
    say("write", path, call(OPENAT, here, file, 1, 0, 0));
    say("truncate", path, call(TRUNCATE, file, 0, 0, 0, 0));
    // What is open already, once more: that is how it would be waited for until nobody runs the program.
    char again[] = "/proc/self/fd/0";
    again[14] += call(OPENAT, here, file, 0, 0, 0);
    say("reopen", path, call(OPENAT, here, (long)again, 1, 0, 0));
    say("link", path, call(LINKAT, here, file, here, (long)"/linked", 0x400));
}

void _start(void) {
    change("/proc/self/exe");
    change("/proc/1/exe");
    call(EXIT, 0, 0, 0, 0, 0);
}
