//! Streams of commands, cut in every way.

use proptest::prelude::*;
use readyloop::framers::walk::{self, End, Walked};

use super::*;
use crate::resp::Arguments;

const ROOM: usize = 1 << 20;
const WHOLE: End = End::Waiting { left: 0 };

#[track_caller]
fn becomes(bytes_max: usize, stream: &[u8], frames: &[&str], end: End) {
    let walked = walk::every_split(|| Commands::new(bytes_max), stream);
    assert_eq!(walked, Walked::new(frames, end));
}

#[track_caller]
fn is_malformed(stream: &str, why: &'static str) {
    let walked = walk::every_split(|| Commands::new(ROOM), stream.as_bytes());
    assert_eq!(walked, Walked::new(&[] as &[&str], End::Malformed(why)), "{stream:?}");
}

#[test]
fn an_array_of_strings_is_a_frame_with_all_that_belongs_to_it() {
    let get = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    let set = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$14\r\n*1\r\n$4\r\nPING\r\n\r\n";
    becomes(ROOM, format!("{get}{set}{get}").as_bytes(), &[get, set, get], WHOLE);
    becomes(ROOM, b"*1\r\n$0\r\n\r\n", &["*1\r\n$0\r\n\r\n"], WHOLE);
}

#[test]
fn a_line_is_a_frame_without_its_ending() {
    becomes(ROOM, b"PING\r\nSET a 1\n\r\n\n", &["PING", "SET a 1", "", ""], WHOLE);
    becomes(ROOM, b"PING\r\n*1\r\n$4\r\nPING\r\n", &["PING", "*1\r\n$4\r\nPING\r\n"], WHOLE);
}

#[test]
fn an_array_of_nothing_or_less_is_a_frame() {
    becomes(
        ROOM,
        b"*0\r\n*-1\r\n*-10\r\nPING\n",
        &["*0\r\n", "*-1\r\n", "*-10\r\n", "PING"],
        WHOLE,
    );
}

#[test]
fn what_is_no_command_is_refused_in_the_words_of_redis() {
    for count in ["x", "", "1x", "+1", " 1", "01", "1048577", "99999999999999999999"] {
        is_malformed(&format!("*{count}\r\n"), "invalid multibulk length");
    }
    for bytes in ["x", "", "-1", "+1", "1 ", "99999999999999999999"] {
        is_malformed(&format!("*1\r\n${bytes}\r\n"), "invalid bulk length");
    }
    is_malformed("*1\r\nPING\r\n", "expected '$', got 'P'");
    is_malformed("*1\r\n\r\n\r\n", "expected '$', got ' '");
    is_malformed("*2\r\n$1\r\na\r\n:1\r\n", "expected '$', got ':'");
}

#[test]
fn lines_and_headers_without_an_end_are_refused() {
    let long = "1".repeat(LINE_BYTES_MAX + 1);
    let refused = |stream: String| walk::arrivals(Commands::new(ROOM), [stream.as_bytes()]).end;
    assert_eq!(refused(long.clone()), End::Malformed("too big inline request"));
    assert_eq!(refused(format!("*{long}")), End::Malformed("too big mbulk count string"));
    assert_eq!(refused(format!("*1\r\n${long}")), End::Malformed("too big bulk count string"));
    let longest = "1".repeat(LINE_BYTES_MAX);
    assert_eq!(refused(longest.clone()), End::Waiting { left: LINE_BYTES_MAX });
    assert_eq!(refused(longest + "\n"), WHOLE);
}

#[test]
fn the_longest_command_passes_and_one_byte_more_does_not() {
    let command = "*2\r\n$4\r\nECHO\r\n$3\r\nabc\r\n";
    let bytes = command.len();
    becomes(bytes, command.repeat(2).as_bytes(), &[command, command], WHOLE);
    for bytes_max in 0..bytes {
        becomes(bytes_max, command.as_bytes(), &[], End::TooLong);
    }
    becomes(6, b"PING\r\nPINGS\r\n", &["PING"], End::TooLong);
}

#[test]
fn a_long_argument_is_refused_before_it_is_sent() {
    becomes(100, b"*1\r\n$89\r\n", &[], End::Waiting { left: 9 });
    for stream in ["*1\r\n$90\r\n", "*1\r\n$101\r\n", "*1\r\n$9223372036854775807\r\n"] {
        becomes(100, stream.as_bytes(), &[], End::TooLong);
    }
}

#[test]
fn a_long_argument_is_waited_for_as_a_whole() {
    let mut commands = Commands::new(ROOM);
    let mut input = b"*2\r\n$4\r\nECHO\r\n$1000\r\nabc".to_vec();
    let whole = input.len() - 3 + 1000 + 2;
    assert_eq!(commands.next(&mut input), Step::NeedMore { at_least: whole });
    input.resize(whole, b'x');
    assert_eq!(commands.next(&mut input), Step::Frame { frame: 0..whole, consumed: whole });
}

#[test]
fn arguments_that_were_passed_are_not_looked_at_again() {
    let mut commands = Commands::new(ROOM);
    let mut input = b"*3\r\n$1\r\na\r\n$1\r\nb\r\n".to_vec();
    assert_eq!(commands.next(&mut input), Step::NeedMore { at_least: input.len() + 1 });
    // No stream changes what it has sent; that it is not seen shows that nobody looked.
    input.fill(b'?');
    input.extend_from_slice(b"$1\r\nc\r\n");
    let whole = input.len();
    assert_eq!(commands.next(&mut input), Step::Frame { frame: 0..whole, consumed: whole });
}

/// One command, written as a client writes it.
fn array(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"*$\r\n019ab\0\xff".to_vec()), 0..24)
}

proptest! {
    #![proptest_config(crate::random_streams())]

    #[test]
    fn any_arguments_in_any_pieces_are_read_as_they_were_written(
        commands in prop::collection::vec(prop::collection::vec(some_bytes(), 1..5), 1..4),
        cuts in prop::collection::vec(0..200usize, 0..8),
    ) {
        let stream: Vec<u8> = commands.iter().flat_map(|command| array(command)).collect();
        let walked = walk::arrivals(Commands::new(ROOM), walk::pieces(&stream, &cuts));
        prop_assert_eq!(walked.end, WHOLE);
        let read = walked.frames.iter().map(|frame| {
            Arguments::of_array(frame).map(<[u8]>::to_vec).collect::<Vec<_>>()
        });
        prop_assert_eq!(read.collect::<Vec<_>>(), commands);
    }

    #[test]
    fn any_bytes_in_any_pieces_become_the_same(
        stream in prop::collection::vec(prop::sample::select(b"**$$\r\n\r\n01-9ab".to_vec()), 0..64),
        cuts in prop::collection::vec(0..64usize, 0..8),
        bytes_max in 0..40usize,
    ) {
        let whole = walk::arrivals(Commands::new(bytes_max), [&stream[..]]);
        let cut = walk::arrivals(Commands::new(bytes_max), walk::pieces(&stream, &cuts));
        prop_assert_eq!(cut, whole);
    }
}
