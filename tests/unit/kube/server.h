/*
 * A scripted HTTP/1.1 server inside the test's own event loop, so that a test decides to the byte
 * what a connection does: answer, answer in pieces, say nothing, close before or after the request,
 * reset. It reads requests strictly (RFC 9112: request line, header lines, Content-Length bodies
 * only) and fails the test on anything else.
 */
#ifndef SERVER_H
#define SERVER_H

#include "loop/loop.h"

#define SERVED_MAX 64

struct served {
    char method[16], path[1024], head[4096], body[4096];
    unsigned connection; /* counted from 1 */
};

struct test_server;

/* What the test's handler may do with a request. Nothing at all: the client waits. */
void server_send(struct test_server *s, unsigned connection, const char *bytes);
/* "HTTP/1.1 <code> X" with Content-Length; extra: more header lines, each with its line end. */
void server_reply(struct test_server *s, unsigned connection, int code, const char *extra,
                  const char *body);
void server_close_connection(struct test_server *s, unsigned connection);
void server_reset_connection(struct test_server *s, unsigned connection);

struct test_server *server_new(struct loop *l, void (*handle)(void *arg, const struct served *r),
                               void *arg);
void server_free(struct test_server *s);
unsigned server_port_of(const struct test_server *s);
/* Requests so far, and each of them. */
size_t server_count(const struct test_server *s);
const struct served *server_request_at(const struct test_server *s, size_t i);
unsigned server_connections(const struct test_server *s);
unsigned server_open_connections(const struct test_server *s);

#endif
