/* The limit: an epoll loop without sessions. It cuts nothing, keeps nothing, and loses what does not leave. */
#define _GNU_SOURCE
#include "common.h"
#include <errno.h>
#include <sys/epoll.h>

int main(void) {
    static char buffer[65536];
    struct epoll_event ready[256];
    int one = 1, listener = listen_somewhere("bare"), poller = epoll_create1(0);
    struct epoll_event want = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &want);
    for (;;) {
        int count = epoll_wait(poller, ready, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                int peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (peer < 0) continue;
                setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                want.data.fd = peer;
                epoll_ctl(poller, EPOLL_CTL_ADD, peer, &want);
                continue;
            }
            ssize_t came = recv(fd, buffer, sizeof buffer, 0);
            if (came <= 0 || (send(fd, buffer, came, MSG_NOSIGNAL) < 0 && errno != EAGAIN)) close(fd);
        }
    }
}
