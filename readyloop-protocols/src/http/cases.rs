//! What must be refused, and with which status: one table for the head, the framer, and the service.
//!
//! Data only, so that the end-to-end tests of the program can include this same file.

/// Whole heads, with the status that answers each.
pub const HEADS: &[(&[u8], u16)] = &[
    // The request line.
    (b"GET /\r\n\r\n", 400),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n", 400),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/11.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / ICY/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\n", 505),
    (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", 400),
    (b"\0\0\0\x04ping\r\n\r\n", 400),
    // The target.
    (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    // Line ends.
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400),
    // Fields.
    (b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x0bc\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400),
    // The host.
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x@a\r\n\r\n", 400),
    // Two lengths, or none that is sure.
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 00000000000000000005\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400),
    // The coding of the body.
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
          Transfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;x=y\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
    (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Deflate\r\nTransfer-Encoding: CHUNKED\r\n\r\n", 501),
    // An expectation that nobody can meet.
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 200-ok\r\n\r\n", 417),
];

/// What bodies in chunks follow.
pub const CHUNKED: &[u8] = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Bodies in chunks, with the status that answers each.
pub const CHUNKS: &[(&[u8], u16)] = &[
    (b"\r\n", 400),
    (b"x\r\n", 400),
    (b"-1\r\n", 400),
    (b"+1\r\nx\r\n", 400),
    (b"0x1\r\nx\r\n", 400),
    (b" 1\r\nx\r\n", 400),
    (b"1 \r\nx\r\n", 400),
    (b"1 ;x\r\nx\r\n", 400),
    (b"1,1\r\nx\r\n", 400),
    (b"1;\0\r\nx\r\n", 400),
    (b"1;x=\"\rn\"\r\nx\r\n", 400),
    (b"1\nx\r\n", 400),
    (b"1\r\r\nx\r\n", 400),
    (b"1;x\nx\r\n", 400),
    (b"1\r\nxx\r\n0\r\n\r\n", 400),
    (b"1\r\nxyz0\r\n\r\n", 400),
    (b"1\r\nx\r.0\r\n\r\n", 400),
    (b"2\r\nx\r\n0\r\n\r\n", 400),
    (b"1\r\nx0\r\n\r\n", 400),
    (b"1\r\nx\n0\r\n\r\n", 400),
    (b"1\r\nx\r0\r\n\r\n", 400),
    (b"00000000000000001\r\nx\r\n", 400),
    (b"10000000000000001\r\nx\r\n", 400),
    (b"ffffffffffffffff\r\nx\r\n", 413),
    (b"7fffffffffffffff\r\nx\r\n", 413),
    (b"1\r\nx\r\nfffffffffffffffe\r\n", 413),
    // Trailers.
    (b"0\r\n\n", 400),
    (b"0\r\nX: y\n\r\n", 400),
    (b"0\r\nX\r\n\r\n", 400),
    (b"0\r\nX : y\r\n\r\n", 400),
    (b"0\r\n: y\r\n\r\n", 400),
    (b"0\r\n X: y\r\n\r\n", 400),
    (b"0\r\nX: \0\r\n\r\n", 400),
    (b"0\r\nGET /admin HTTP/1.1\r\n\r\n", 400),
];

/// What is taken, though it looks odd: a stream, and the heads and bodies that it holds.
pub const TAKEN: &[(&[u8], &[&[u8]])] = &[
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]),
    (b"\r\nGET / HTTP/1.1\r\nHost:\r\n\r\n", &[b"GET / HTTP/1.1\r\nHost:\r\n\r\n"]),
    (b"GET / HTTP/1.0\r\n\r\n", &[b"GET / HTTP/1.0\r\n\r\n"]),
    (
        b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        &[b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"],
    ),
    (
        b"GET http://b/%0a HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n",
        &[b"GET http://b/%0a HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n"],
    ),
    (
        b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\r\n\r\r\nGET / HTTP/1.0\r\n\r\n",
        &[
            b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
            b"\r\n\r",
            b"GET / HTTP/1.0\r\n\r\n",
        ],
    ),
    (
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:CHUNKED\r\n\r\n\
          3;a=\"b\";c\r\nhel\r\n0000000000000002\r\nlo\r\n0;x\r\nContent-Length: 9\r\n\r\n",
        &[b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:CHUNKED\r\n\r\n", b"hello"],
    ),
    (
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
          A\r\n\r\n0\r\n\r\n\r\n\0\r\n00\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        &[
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"\r\n0\r\n\r\n\r\n\0",
            b"GET / HTTP/1.0\r\n\r\n",
        ],
    ),
];
