#include "greeting.h"

#include <stdio.h>
#include <string.h>

static int failures;

static void check(const char *name, const char *expected)
{
    char buffer[32] = "";
    int length = greeting(buffer, sizeof buffer, name);
    if (length != (int)strlen(expected) || strcmp(buffer, expected) != 0) {
        fprintf(stderr, "%s: expected \"%s\", got \"%s\"\n", name, expected, buffer);
        failures++;
    }
}

int main(void)
{
    char small[8];
    check("Debian", "Hello, Debian!");
    check("", "Hello, world!");
    if (greeting(small, sizeof small, "somebody") != -1) {
        fprintf(stderr, "a greeting that does not fit must be refused\n");
        failures++;
    }
    puts(failures ? "failed" : "all greetings are right");
    return failures != 0;
}
