//! How fast, how long, how silent one may be, and what is text.

use super::talker::{start, start_with_manners};
use crate::program::{refusal, run};

#[test]
fn what_is_not_text_is_refused_and_too_long_a_line_is_the_end() {
    let server = start(&["--max-frame", "100"]);
    let mut ann = server.talker_in("Ann", "den");
    ann.send(b"SAY den \xff\xfe\nSAY den bell \x07\n");
    for _ in 0..2 {
        assert_eq!(ann.line(), "ERR text a line is UTF-8 without control characters");
    }
    ann.say(&format!("SAY den {}", "x".repeat(92)));
    ann.expect("SAID den 1 Ann xxx");
    ann.say(&format!("SAY den {}", "x".repeat(93)));
    assert_eq!(ann.line(), "ERR long the line is too long");
    ann.expect_end();
    server.stop();
}

#[test]
fn who_is_too_fast_is_not_heard_and_who_goes_on_is_closed() {
    let server = start_with_manners(&["--rate", "1", "--burst", "5"]);
    let mut ann = server.talker();
    ann.say(&["PING"; 20].join("\n"));
    for _ in 0..5 {
        assert_eq!(ann.line(), "PONG");
    }
    assert_eq!(ann.line(), "ERR rate you are too fast; what you said was not heard");
    assert_eq!(ann.line(), "BYE you are too fast");
    ann.expect_end();
    server.stop();
}

#[test]
fn a_new_name_costs_as_much_as_the_rooms_that_hear_of_it() {
    let server = start_with_manners(&["--rate", "1", "--burst", "20"]);
    let mut bob = server.talker_in("Bob", "room0");
    let mut ann = server.talker();
    ann.say("NICK Ann");
    ann.expect("OK NICK Ann ");
    for room in 0..15 {
        ann.say(&format!("JOIN room{room}"));
        ann.expect("OK JOIN ");
    }
    // Four lines are left to her, and one more in each second.
    ann.say("NICK Eve\nPING");
    ann.expect("ERR rate ");
    assert_eq!(ann.line(), "PONG", "what was not heard has cost nothing");
    bob.say("NICK Bert");
    assert_eq!(bob.line(), "JOINED room0 Ann");
    assert_eq!(bob.line(), "RENAMED room0 Bob Bert");
    drop((ann, bob));
    server.stop();
}

#[test]
fn who_is_silent_is_asked_and_who_does_not_answer_is_not_there() {
    for topology in ["single", "multi", "workers"] {
        let server = start(&["--heartbeat", "40ms", "--topology", topology]);
        let (mut there, mut gone) = (server.talker(), server.talker());
        for _ in 0..5 {
            assert_eq!(there.line(), "PING", "{topology}");
            there.say("PONG");
        }
        assert_eq!(gone.line(), "PING");
        assert_eq!(gone.line(), "BYE nothing was heard of you", "{topology}");
        gone.expect_end();
        drop(there);
        server.stop();
    }
}

#[test]
fn names_and_rooms_are_bounded() {
    let options = ["--max-name", "8", "--max-rooms", "2", "--max-rooms-per-session", "1"];
    let server = start(&options);
    let mut ann = server.talker();
    ann.say("JOIN den\nNICK toolonganame\nNICK a,b\nNICK Ann\nJOIN den\nJOIN attic");
    assert_eq!(ann.line(), "ERR nick say NICK first");
    for _ in 0..2 {
        assert_eq!(ann.line(), "ERR name a name is short, of letters, digits and - _ .");
    }
    ann.expect("OK NICK Ann ");
    ann.expect("OK JOIN den 0 0 0");
    assert_eq!(ann.line(), "ERR rooms you are in as many rooms as one may be");
    let _bob = server.talker_in("Bob", "attic");
    let mut cecil = server.talker();
    cecil.say("NICK Cecil\nJOIN cellar");
    cecil.expect("OK NICK Cecil ");
    assert_eq!(cecil.line(), "ERR full there are as many rooms as there may be");
    drop((ann, _bob, cecil));
    server.stop();
}

#[test]
fn a_server_that_stops_says_so() {
    for topology in ["single", "multi", "workers"] {
        let server = start(&["--topology", topology]);
        let mut ann = server.talker_in("Ann", "den");
        server.signal(rustix::process::Signal::TERM);
        assert_eq!(ann.line(), "BYE the server stops", "{topology}");
        ann.expect_end();
        assert_eq!(server.end().code, Some(0));
    }
}

#[test]
fn a_history_that_no_queue_can_hold_is_refused_with_a_way_out() {
    let line = refusal("rooms", &["--history-bytes", "100m"], 2);
    assert!(line.contains("make --send-max at least"), "{line}");
}

#[test]
fn what_would_let_nobody_talk_is_refused_with_a_way_out() {
    for (options, words) in [
        (["--max-frame", "1"], "--max-frame 1 has no room for a line with a name of --max-name 24"),
        (["--max-frame", "45"], "make it at least 46"),
        (
            ["--max-name", "4k"],
            "--max-frame 4KiB has no room for a line with a name of --max-name 4KiB",
        ),
    ] {
        let line = refusal("rooms", &options, 2);
        assert!(line.contains(words), "{line}");
    }
    for (options, words) in [
        (["--heartbeat", "0s"], "'0s' for '--heartbeat <DUR>': too short; make it at least 1ms"),
        (["--max-name", "0"], "'0' for '--max-name <BYTES>': too small; make it at least 1"),
    ] {
        let ended = run(&[&["serve", "rooms"], &options[..]].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{options:?}: {ended:?}");
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[test]
fn options_that_would_mean_nothing_are_refused_by_name() {
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--history-bytes", "1"], &["--history-bytes 1 ", "--max-name 24", "at least 78", "0"]),
        (&["--history", "5", "--history-bytes", "0"], &["--history 5 ", "--history-bytes 0"]),
        (&["--idle-timeout", "1s", "--heartbeat", "1h"], &["--heartbeat 1h", "--idle-timeout 1s"]),
        (&["--idle-timeout", "30s"], &["--heartbeat 30s", "--idle-timeout 30s"]),
        (
            &["--max-rooms", "5", "--max-rooms-per-session", "6"],
            &["--max-rooms-per-session 6", "--max-rooms 5"],
        ),
        (&["--listen", "127.0.0.1:7180"], &["--listen 127.0.0.1:7180", "--web 127.0.0.1:7180"]),
        (
            &["--listen", "unix:/tmp/x", "--web", "unix:/tmp/y", "--profile", "bulk"],
            &["--profile bulk"],
        ),
    ];
    for (options, words) in cases {
        let line = refusal("rooms", options, 2);
        assert!(words.iter().all(|word| line.contains(word)), "{options:?}: {line}");
    }
    let ended = run(&["serve", "rooms", "--rate", "1000000001"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("'--rate <N>': not a whole number from 1 to 1000000000"));
}

#[test]
fn no_history_is_remembered_if_none_is_asked_for() {
    let server = start(&["--history-bytes", "0", "--max-rooms", "5", "--idle-timeout", "31s"]);
    let mut ann = server.talker_in("Ann", "den");
    ann.say("SAY den hello\nHISTORY den 10");
    assert_eq!(ann.line(), "SAID den 1 Ann hello");
    assert_eq!(ann.line(), "OK HISTORY den 0");
    drop(ann);
    server.stop();
}

#[test]
fn the_shortest_lines_that_are_allowed_have_room_for_names_and_tokens() {
    let server = start(&["--max-frame", "23", "--max-name", "1", "--history-bytes", "0"]);
    let mut ann = server.talker();
    ann.say("NICK a");
    let token = ann.expect("OK NICK a ");
    ann.say(&format!("NICK a {token}"));
    ann.expect("OK NICK a ");
    drop(ann);
    server.stop();
}
