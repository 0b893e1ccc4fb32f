/* libevent: bufferevents, frames looked for in the input buffer and moved to the output buffer. */
#include "common.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

static void on_read(struct bufferevent *session, void *unused) {
    (void)unused;
    struct evbuffer *in = bufferevent_get_input(session);
    size_t count = evbuffer_get_length(in);
    size_t whole = whole_frames(evbuffer_pullup(in, count), count);
    evbuffer_remove_buffer(in, bufferevent_get_output(session), whole);
}

static void on_event(struct bufferevent *session, short what, void *unused) {
    (void)unused;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) bufferevent_free(session);
}

static void on_caller(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int size, void *unused) {
    (void)from, (void)size, (void)unused;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct bufferevent *session = bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(session, on_read, NULL, on_event, NULL);
    bufferevent_enable(session, EV_READ | EV_WRITE);
}

int main(void) {
    struct event_base *base = event_base_new();
    evconnlistener_new(base, on_caller, NULL, LEV_OPT_CLOSE_ON_FREE, 0, listen_somewhere("libevent"));
    return event_base_dispatch(base);
}
