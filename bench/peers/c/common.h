/* What the echoes in C share: where they listen, and frames behind four bytes of length. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static inline int listen_somewhere(const char *name) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, size) || listen(fd, 4096) || getsockname(fd, (struct sockaddr *)&at, &size)) {
        perror(name);
        exit(1);
    }
    printf("serving %s on 127.0.0.1:%d (peer)\n", name, ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

/* How many bytes at the beginning are whole frames. */
static inline size_t whole_frames(const uint8_t *bytes, size_t count) {
    size_t at = 0;
    while (count - at >= 4) {
        uint32_t length;
        memcpy(&length, bytes + at, 4);
        length = ntohl(length);
        if (length > 16 << 20) abort();
        if (count - at < 4 + (size_t)length) break;
        at += 4 + length;
    }
    return at;
}
