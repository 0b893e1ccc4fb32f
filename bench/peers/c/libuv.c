/* libuv: a buffer for each connection while a frame is not whole; uv_try_write first, as its users do. */
#include "common.h"
#include <uv.h>

typedef struct { uv_tcp_t tcp; uint8_t *rest; size_t count; } connection;
typedef struct { uv_write_t request; uint8_t bytes[]; } pending;

static uint8_t shared[65536];

static void on_closed(uv_handle_t *handle) {
    connection *self = handle->data;
    free(self->rest);
    free(self);
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *out) {
    (void)handle, (void)wanted;
    *out = uv_buf_init((char *)shared, sizeof shared);
}

static void on_written(uv_write_t *request, int status) {
    (void)status;
    free(request);
}

static void answer(uv_stream_t *stream, const uint8_t *bytes, size_t count) {
    if (count == 0) return;
    uv_buf_t out = uv_buf_init((char *)bytes, count);
    int sent = uv_try_write(stream, &out, 1);
    if (sent < 0) sent = 0;
    if ((size_t)sent == count) return;
    pending *left = malloc(sizeof *left + count - sent);
    memcpy(left->bytes, bytes + sent, count - sent);
    out = uv_buf_init((char *)left->bytes, count - sent);
    uv_write(&left->request, stream, &out, 1, on_written);
}

static void on_read(uv_stream_t *stream, ssize_t came, const uv_buf_t *in) {
    connection *self = stream->data;
    if (came < 0) return uv_close((uv_handle_t *)stream, on_closed);
    const uint8_t *bytes = (uint8_t *)in->base;
    size_t count = came;
    if (self->count > 0) {
        self->rest = realloc(self->rest, self->count + count);
        memcpy(self->rest + self->count, bytes, count);
        bytes = self->rest, count += self->count;
    }
    size_t whole = whole_frames(bytes, count);
    answer(stream, bytes, whole);
    if (whole == count) {
        free(self->rest);
        self->rest = NULL, self->count = 0;
        return;
    }
    uint8_t *rest = malloc(count - whole);
    memcpy(rest, bytes + whole, count - whole);
    free(self->rest);
    self->rest = rest, self->count = count - whole;
}

static void on_caller(uv_stream_t *listener, int status) {
    if (status < 0) return;
    connection *self = calloc(1, sizeof *self);
    uv_tcp_init(listener->loop, &self->tcp);
    self->tcp.data = self;
    if (uv_accept(listener, (uv_stream_t *)&self->tcp)) return uv_close((uv_handle_t *)&self->tcp, on_closed);
    uv_tcp_nodelay(&self->tcp, 1);
    uv_read_start((uv_stream_t *)&self->tcp, on_alloc, on_read);
}

int main(void) {
    uv_tcp_t listener;
    uv_tcp_init(uv_default_loop(), &listener);
    uv_tcp_open(&listener, listen_somewhere("libuv"));
    uv_listen((uv_stream_t *)&listener, 4096, on_caller);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
