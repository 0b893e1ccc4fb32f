/* The limit of a broadcast: one send(2) to each of 10,000 members, and nothing else.
 *
 *     cc -O2 -o /tmp/broadcast bench/peers/c/broadcast.c && /tmp/broadcast 1 300 && /tmp/broadcast 20 300
 *
 * The first number is how many messages of 64 bytes leave with each send, the second how many sends
 * each member gets. Needs 10,000 descriptors in each of two processes. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MEMBERS 10000
#define MESSAGE_BYTES 64
#define DEPTH_MAX 64

static double wall_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* All members: reads, and says so each time that a whole round has come. */
static void listen_to_all(const struct sockaddr_in *at, int depth, int said) {
    static char buffer[4096];
    struct epoll_event ready[1024];
    int poller = epoll_create1(0);
    for (int nth = 0; nth < MEMBERS; nth++) {
        struct epoll_event want = {.events = EPOLLIN, .data.fd = socket(AF_INET, SOCK_STREAM, 0)};
        if (connect(want.data.fd, (const struct sockaddr *)at, sizeof *at)) exit(1);
        epoll_ctl(poller, EPOLL_CTL_ADD, want.data.fd, &want);
    }
    long long came = 0, round = (long long)MEMBERS * MESSAGE_BYTES * depth, next = round;
    for (;;) {
        int count = epoll_wait(poller, ready, 1024, -1);
        for (int nth = 0; nth < count; nth++) {
            ssize_t bytes = recv(ready[nth].data.fd, buffer, sizeof buffer, MSG_DONTWAIT);
            if (bytes == 0) exit(0);
            if (bytes > 0) came += bytes;
        }
        if (came >= next) {
            next += round;
            if (write(said, "x", 1) != 1) exit(1);
        }
    }
}

int main(int count, char **words) {
    int depth = count > 1 ? atoi(words[1]) : 1, rounds = count > 2 ? atoi(words[2]) : 300;
    if (depth < 1 || depth > DEPTH_MAX || rounds < 1) return 2;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int said[2], listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 4096) || pipe(said)) return 1;
    getsockname(listener, (struct sockaddr *)&at, &size);
    if (fork() == 0) listen_to_all(&at, depth, said[1]);
    static int members[MEMBERS];
    for (int nth = 0; nth < MEMBERS; nth++) {
        members[nth] = accept(listener, NULL, NULL);
        if (members[nth] < 0) return 1;
        setsockopt(members[nth], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    static char bytes[DEPTH_MAX * MESSAGE_BYTES];
    memset(bytes, 'm', sizeof bytes);
    double begin = wall_seconds(), used = cpu_seconds();
    for (int round = 0; round < rounds; round++) {
        char word;
        for (int nth = 0; nth < MEMBERS; nth++) {
            ssize_t wanted = MESSAGE_BYTES * depth;
            if (send(members[nth], bytes, wanted, MSG_NOSIGNAL | MSG_DONTWAIT) != wanted) return 1;
        }
        if (read(said[0], &word, 1) != 1) return 1;
    }
    double deliveries = (double)MEMBERS * rounds * depth;
    printf("%d in a send: %.0f deliveries/s, %.2f us of CPU a delivery\n", depth,
           deliveries / (wall_seconds() - begin), (cpu_seconds() - used) * 1e6 / deliveries);
    return 0;
}
