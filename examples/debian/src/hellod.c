/*
 * hellod greet [NAME]   prints a greeting
 * hellod serve [NAME]   greets everybody who connects to port 8080, over HTTP
 * hellod check          succeeds if a server answers on port 8080
 */
#include "greeting.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 8080 };

static struct sockaddr_in address(in_addr_t host)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(PORT) };
    address.sin_addr.s_addr = htonl(host);
    return address;
}

static int failed(const char *what)
{
    perror(what);
    return 1;
}

static int serve(const char *text)
{
    struct sockaddr_in any = address(INADDR_ANY);
    int yes = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0)
        return failed("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 16))
        return failed("port 8080");
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        char request[1024];
        int client = accept(listener, NULL, NULL);
        if (client < 0)
            return failed("accept");
        if (read(client, request, sizeof request) > 0)
            dprintf(client, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s\n",
                    strlen(text) + 1, text);
        close(client);
    }
}

static int check(void)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    struct sockaddr_in local = address(INADDR_LOOPBACK);
    char answer[16] = "";
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (server < 0 || connect(server, (struct sockaddr *)&local, sizeof local))
        return failed("port 8080");
    if (write(server, request, sizeof request - 1) < 0 || read(server, answer, sizeof answer - 1) < 0)
        return failed("port 8080");
    return strncmp(answer, "HTTP/1.0 200", 12) != 0;
}

int main(int argc, char **argv)
{
    char text[256];
    const char *command = argc > 1 ? argv[1] : "";
    if (greeting(text, sizeof text, argc > 2 ? argv[2] : "") < 0) {
        fprintf(stderr, "the name is too long\n");
        return 2;
    }
    if (strcmp(command, "greet") == 0)
        return puts(text) < 0;
    if (strcmp(command, "serve") == 0)
        return serve(text);
    if (strcmp(command, "check") == 0)
        return check();
    fprintf(stderr, "usage: hellod greet [NAME] | serve [NAME] | check\n");
    return 2;
}
