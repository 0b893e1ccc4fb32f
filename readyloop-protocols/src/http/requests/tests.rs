//! Requests in any pieces: what is refused, what is taken, and that no cut changes either.

use proptest::prelude::*;
use readyloop::framers::walk::{self, End, Walked};

use super::*;
use crate::http::cases;

const WHOLE: End = End::Waiting { left: 0 };

fn walked(stream: &[u8]) -> Walked {
    walk::every_split(Requests::default, stream)
}

/// The same for a stream of which only its parts are interesting.
fn within(limits: RequestLimits, stream: &[u8]) -> Walked {
    let whole = walk::arrivals(Requests::new(limits), [stream]);
    assert_eq!(walk::arrivals(Requests::new(limits), stream.chunks(1)), whole, "byte by byte");
    whole
}

fn status(end: End) -> Option<u16> {
    let End::Malformed(text) = end else { return None };
    Refusal::from_text(text).map(|refusal| refusal.status().code())
}

fn chunked(body: &[u8]) -> Vec<u8> {
    [cases::CHUNKED, body].concat()
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_in_any_pieces() {
    for (bytes, expected) in cases::HEADS {
        let Walked { frames, end } = walked(bytes);
        assert_eq!(status(end), Some(*expected), "{}: {end:?}", bytes.escape_ascii());
        assert!(frames.is_empty(), "{}", bytes.escape_ascii());
    }
    for (bytes, expected) in cases::CHUNKS {
        let Walked { frames, end } = walked(&chunked(bytes));
        assert_eq!(status(end), Some(*expected), "{}: {end:?}", bytes.escape_ascii());
        assert_eq!(frames.len(), 1, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_taken_becomes_its_heads_and_bodies_in_any_pieces() {
    for (stream, frames) in cases::TAKEN {
        assert_eq!(walked(stream), Walked::new(frames, WHOLE), "{}", stream.escape_ascii());
    }
}

#[test]
fn requests_may_follow_each_other_without_a_pause() {
    let streams: Vec<&[u8]> = cases::TAKEN.iter().map(|(stream, _)| *stream).collect();
    let frames: Vec<&[u8]> = cases::TAKEN.iter().flat_map(|(_, frames)| *frames).copied().collect();
    assert_eq!(walked(&streams.concat()), Walked::new(&frames, WHOLE));
}

#[test]
fn garbage_is_refused_before_a_line_of_it_is_whole() {
    for garbage in [&b"\x16\x03\x01"[..], b"\0", b"\r\n\r", b" ", b"\x80"] {
        assert_eq!(status(walked(garbage).end), Some(400), "{}", garbage.escape_ascii());
    }
}

#[test]
fn a_head_of_the_largest_length_passes_and_one_byte_more_does_not() {
    let limits = RequestLimits { head_bytes_max: 100, ..RequestLimits::default() };
    for empty_line in ["", "\r\n"] {
        let padded = |bytes: usize| {
            let begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
            format!("{empty_line}{begin}{}\r\n\r\n", "y".repeat(bytes - begin.len() - 4))
        };
        assert_eq!(within(limits, padded(100).as_bytes()).end, WHOLE);
        assert_eq!(status(within(limits, padded(101).as_bytes()).end), Some(431));
        assert_eq!(status(within(limits, &padded(200).as_bytes()[..110]).end), Some(431));
    }
    let fields = |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert_eq!(walked(fields(99).as_bytes()).end, WHOLE);
    assert_eq!(status(walked(fields(100).as_bytes()).end), Some(431));
}

#[test]
fn a_target_of_the_largest_length_passes_and_one_byte_more_does_not() {
    let limits = RequestLimits { target_bytes_max: 50, ..RequestLimits::default() };
    let get = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - 1));
    assert_eq!(within(limits, get(50).as_bytes()).end, WHOLE);
    for bytes in [51, 80, 1000] {
        assert_eq!(status(within(limits, get(bytes).as_bytes()).end), Some(414), "{bytes}");
    }
    let endless = "x".repeat(1000);
    assert_eq!(status(within(limits, endless.as_bytes()).end), Some(414));
    let short = RequestLimits { head_bytes_max: 40, ..limits };
    assert_eq!(status(within(short, get(45).as_bytes()).end), Some(414));
}

#[test]
fn a_body_of_the_largest_length_passes_and_one_byte_more_is_refused_with_its_head() {
    let limits = RequestLimits { body_bytes_max: 5, ..RequestLimits::default() };
    let post = |bytes: usize| {
        format!("POST / HTTP/1.0\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes))
    };
    assert_eq!(within(limits, post(5).as_bytes()).frames[1], b"xxxxx");
    let refused = within(limits, post(6).as_bytes());
    assert_eq!((status(refused.end), refused.frames.len()), (Some(413), 0));
    let chunks = |second: &str| chunked(format!("3\r\nabc\r\n{second}\r\n0\r\n\r\n").as_bytes());
    assert_eq!(within(limits, &chunks("2\r\nde")).frames[1], b"abcde");
    assert_eq!(status(within(limits, &chunks("3\r\ndef")).end), Some(413));
    assert_eq!(status(within(limits, &chunks("3")).end), Some(413), "before its data came");
}

#[test]
fn what_surrounds_a_body_is_bounded_and_never_meets_the_limit_on_frames() {
    let limits = RequestLimits { body_bytes_max: 10_000, ..RequestLimits::default() };
    let line = format!("1;{}\r\nx\r\n", "e".repeat(200));
    let fit = (10_000 + CHUNKS_BYTES_FREE) / (line.len() - 1);
    let lines = |count: usize| chunked(format!("{}0\r\n\r\n", line.repeat(count)).as_bytes());
    assert_eq!(within(limits, &lines(fit)).frames[1], vec![b'x'; fit]);
    assert_eq!(status(within(limits, &lines(fit + 1)).end), Some(413));

    let long = |bytes: usize| chunked(format!("1;{}\r\n", "e".repeat(bytes - 4)).as_bytes());
    let longest = within(limits, &long(CHUNK_LINE_BYTES_MAX));
    assert!(matches!(longest.end, End::Waiting { .. }));
    assert_eq!(status(within(limits, &long(CHUNK_LINE_BYTES_MAX + 1)).end), Some(400));

    let trailers = |bytes: usize| {
        chunked(format!("0\r\nX: {}\r\n\r\n", "y".repeat(bytes - "X: \r\n\r\n".len())).as_bytes())
    };
    assert_eq!(within(limits, &trailers(TRAILERS_BYTES_MAX)).end, WHOLE);
    assert_eq!(status(within(limits, &trailers(TRAILERS_BYTES_MAX + 1)).end), Some(431));
}

#[test]
fn no_wait_is_for_more_than_the_longest_frame() {
    let limits = RequestLimits { body_bytes_max: 1000, ..RequestLimits::default() };
    let tight = format!("1;{}\r\nx\r\n", "e".repeat(80));
    let body = format!("{}3b6\r\n{}\r\n0\r\n", tight.repeat(50), "z".repeat(950));
    let stream = chunked(format!("{body}X: {}", "y".repeat(5000)).as_bytes());
    let (mut requests, mut from, mut most) = (Requests::new(limits), 0, 0);
    for end in 1..=stream.len() {
        match requests.next(&mut stream[from..end].to_vec()) {
            Step::NeedMore { at_least } => most = most.max(at_least),
            Step::Frame { consumed, .. } => from += consumed,
            Step::Malformed(text) => {
                assert_eq!(Refusal::from_text(text), Some(Refusal::TrailersTooLong));
                break;
            }
            Step::TooLong => panic!("a request never is"),
        }
    }
    assert!(5000 < most && most <= limits.frame_bytes_max(), "{most}");
}

#[test]
fn a_head_has_begun_from_its_first_byte_to_its_last() {
    let mut requests = Requests::default();
    let begun = requests.begun();
    assert!(!begun.get());
    for part in [&b"\r"[..], b"\r\n"] {
        requests.next(&mut part.to_vec());
        assert!(!begun.get(), "an empty line begins nothing");
    }
    for part in [&b"\r\nG"[..], b"\r\nGET / HTTP/1.0\r\n"] {
        requests.next(&mut part.to_vec());
        assert!(begun.get());
    }
    requests.next(&mut b"\r\nGET / HTTP/1.0\r\n\r\n".to_vec());
    assert!(!begun.get());
}

/// A body in chunks of these sizes, again and again.
fn in_chunks(mut body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut coded = Vec::new();
    for size in sizes.iter().cycle() {
        let (chunk, rest) = body.split_at((*size).min(body.len()));
        coded.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
        if chunk.is_empty() {
            break;
        }
        body = rest;
    }
    coded
}

/// A request: its bytes, and its frames.
fn request() -> impl Strategy<Value = (Vec<u8>, Vec<Vec<u8>>)> {
    let fields = prop::collection::vec(("[a-z!~-]{1,9}x", "[ -~\t]{0,12}"), 0..5);
    let bytes = prop::collection::vec(prop::sample::select(b"\r\n0aF;\0".to_vec()), 0..20);
    let body = prop::option::of((bytes, prop::collection::vec(1..7usize, 0..8)));
    ("[A-Z]{1,8}X", "/[!-\"$-~]{0,20}", fields, body).prop_map(|(method, target, fields, body)| {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n");
        for (name, value) in &fields {
            head.push_str(&format!("{name}:{value}\r\n"));
        }
        let Some((body, sizes)) = body else {
            let head = (head + "\r\n").into_bytes();
            return (head.clone(), vec![head]);
        };
        let mut coded = Vec::new();
        if sizes.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
            coded.extend_from_slice(&body);
        } else {
            head.push_str("Transfer-Encoding: chunked\r\n\r\n");
            coded = in_chunks(&body, &sizes);
        }
        let head = head.into_bytes();
        let mut frames = vec![head.clone()];
        if !coded.is_empty() {
            frames.push(body);
        }
        ([head, coded].concat(), frames)
    })
}

proptest! {
    #![proptest_config(crate::random_streams())]

    #[test]
    fn any_requests_in_any_pieces_become_their_heads_and_bodies(
        requests in prop::collection::vec(request(), 1..4),
        cuts in prop::collection::vec(0..400usize, 0..8),
    ) {
        let stream: Vec<u8> = requests.iter().flat_map(|(bytes, _)| bytes).copied().collect();
        let frames: Vec<_> = requests.iter().flat_map(|(_, frames)| frames).collect();
        let walked = walk::arrivals(Requests::default(), walk::pieces(&stream, &cuts));
        prop_assert_eq!(walked, Walked::new(&frames, WHOLE));
    }

    #[test]
    fn any_bytes_in_any_pieces_become_the_same(
        parts in prop::collection::vec(prop::sample::select(vec![
            &b"GET "[..], b"POST ", b"/", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n", b"\r\n\r\n",
            b"\r", b"\n", b"Host: a", b"Content-Length: ", b"Transfer-Encoding: chunked", b"3", b"0",
            b";", b":", b"abc", b" ", b"\0", b"\xff",
        ]), 0..24),
        cuts in prop::collection::vec(0..100usize, 0..8),
    ) {
        let stream = parts.concat();
        let whole = walk::arrivals(Requests::default(), [&stream[..]]);
        let cut = walk::arrivals(Requests::default(), walk::pieces(&stream, &cuts));
        prop_assert_eq!(&cut, &whole);
        prop_assert_eq!(walk::arrivals(Requests::default(), stream.chunks(1)), whole);
    }

    #[test]
    fn random_bytes_harm_nobody(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let walked = walk::arrivals(Requests::default(), bytes.chunks(3));
        prop_assert!(!matches!(walked.end, End::TooLong));
    }
}
