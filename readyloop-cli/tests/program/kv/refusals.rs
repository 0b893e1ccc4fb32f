//! What is refused, in which words, and that nothing else is lost by it.

use std::time::{Duration, Instant};

use super::client::array;
use crate::program::{Server, every_way, expect_end, push_until_blocked, refusal};

#[test]
fn a_protocol_error_is_said_behind_the_answers_to_what_came_before_it_in_every_way() {
    for way in every_way() {
        let server = Server::start("kv", &way);
        for (bytes, words) in [
            ("*1\r\n:4\r\n", "expected '$', got ':'"),
            ("*x\r\n", "invalid multibulk length"),
            ("*1\r\n$99999999999\r\n", "invalid bulk length"),
            ("GET \"k\r\n", "unbalanced quotes in request"),
        ] {
            let mut client = server.client();
            client.send([&array("INCR n"), bytes].concat().as_bytes());
            assert!(client.reply().starts_with(':'), "{way:?}");
            assert_eq!(client.reply(), format!("-ERR Protocol error: {words}"), "{way:?}");
            expect_end(client.0);
        }
        server.stop();
    }
}

#[test]
fn a_protocol_error_behind_long_answers_is_said_when_they_are_taken_in_every_way() {
    for way in every_way() {
        let server = Server::start("kv", &way);
        let mut client = server.client();
        client.ask(&format!("SET k {}", "x".repeat(20_000)));
        client.send((array("GET k").repeat(200) + "*x\r\n").as_bytes());
        for nth in 0..200 {
            assert!(client.reply().starts_with("$20000 x"), "{way:?}: answer {nth}");
        }
        let words = "-ERR Protocol error: invalid multibulk length";
        assert_eq!(client.reply(), words, "{way:?}");
        expect_end(client.0);
        server.stop();
    }
}

#[test]
fn a_command_that_is_not_known_or_spelled_wrong_is_refused_in_the_words_of_redis() {
    let server = Server::start("kv", &[]);
    let mut client = server.client();
    for (line, words) in [
        ("NOSUCH a b", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("SET k v EX x", "-ERR value is not an integer or out of range"),
        ("SET k v EX 0", "-ERR invalid expire time in 'set' command"),
        ("SET k v NX XX", "-ERR syntax error"),
        ("HELLO 4", "-NOPROTO unsupported protocol version"),
        ("EXEC", "-ERR EXEC without MULTI"),
    ] {
        assert_eq!(client.ask(line), words);
    }
    client.ask("SET k word");
    assert_eq!(client.ask("INCR k"), "-ERR value is not an integer or out of range");
    drop(client);
    server.stop();
}

#[test]
fn over_max_memory_only_what_needs_memory_is_refused() {
    for topology in ["single", "multi"] {
        let server = Server::start("kv", &["--topology", topology, "--max-memory", "100k"]);
        let mut client = server.client();
        let value = "x".repeat(1000);
        let mut kept = 0;
        while client.ask(&format!("SET k{kept} {value}")) == "+OK" {
            kept += 1;
        }
        assert!((80..=110).contains(&kept), "{kept} values of 1000 bytes");
        let refused = client.ask("APPEND k0 x");
        assert_eq!(refused, "-OOM command not allowed when used memory > 'maxmemory'.");
        assert_eq!(client.ask("STRLEN k0"), ":1000");
        assert_eq!(client.ask("PEXPIRE k0 1"), ":1");
        // What has expired counts no more, without any command on it.
        while client.ask(&format!("SET k1 {value}")) != "+OK" {}
        assert_eq!(client.ask("FLUSHALL"), "+OK");
        assert_eq!(client.ask("SET k v"), "+OK");
        drop(client);
        server.stop();
    }
}

#[test]
fn all_that_has_expired_makes_room_at_once() {
    for topology in ["single", "multi"] {
        let server = Server::start("kv", &["--topology", topology, "--max-memory", "100k"]);
        let mut client = server.client();
        let short = format!("{} PX 20", "x".repeat(1000));
        (0..60).for_each(|nth| assert_eq!(client.ask(&format!("SET short{nth} {short}")), "+OK"));
        let begin = Instant::now();
        assert_eq!(client.ask(&format!("SET long {}", "x".repeat(90_000))), "+OK");
        while begin.elapsed() < Duration::from_millis(22) {
            std::hint::spin_loop();
        }
        assert_eq!(client.ask("SET k v"), "+OK", "60 keys are gone");
        drop(client);
        server.stop();
    }
}

#[test]
fn an_answer_that_no_queue_can_hold_is_refused_and_the_client_goes_on() {
    for way in every_way() {
        let options = [&way[..], &["--max-frame", "100k", "--send-max", "500k"]].concat();
        let server = Server::start("kv", &options);
        let mut client = server.client();
        client.ask(&format!("SET k {}", "x".repeat(90_000)));
        assert_eq!(
            client.ask("MGET k k k k k k"),
            "-ERR reply exceeds maximum allowed size (--send-max)",
            "{way:?}"
        );
        assert!(client.ask("MGET k k").starts_with("*2 $90000 x"), "{way:?}");
        drop(client);
        server.stop();
    }
}

#[test]
fn an_answer_that_would_be_endless_is_refused_before_it_is_written() {
    let server = Server::start("kv", &["--max-frame", "1m", "--send-max", "2m"]);
    let mut client = server.client();
    client.ask(&format!("SET k {}", "x".repeat(500_000)));
    let before = server.peak_bytes();
    // A gigabyte, asked for in 14 kB: by one command, and by many that are done at once.
    let refused = "-ERR reply exceeds maximum allowed size (--send-max)";
    assert_eq!(client.ask(&format!("MGET{}", " k".repeat(2_000))), refused);
    client.ask("MULTI");
    client.send((array("GET k") + &array("INCR n")).repeat(2_000).as_bytes());
    (0..4_000).for_each(|_| assert_eq!(client.reply(), "+QUEUED"));
    assert_eq!(client.ask("EXEC"), refused);
    assert_eq!(client.ask("GET n"), "$4 2000", "all of it was done");
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes");
    drop(client);
    server.stop();
}

#[test]
fn a_client_that_does_not_read_gets_its_answers_when_it_does_in_every_way() {
    const COMMANDS: usize = 1_000;
    for way in every_way() {
        let server = Server::start("kv", &way);
        let mut client = server.client();
        client.ask(&format!("SET k {}", "x".repeat(80_000)));
        // 80 MB of answers, more than --send-max, to 20 kB of questions.
        let before = server.resident_bytes();
        client.send(array("GET k").repeat(COMMANDS).as_bytes());
        let mut other = server.client();
        assert_eq!(other.ask("PING"), "+PONG");
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < 8 << 20, "{way:?}: {grown} bytes");
        for _ in 0..COMMANDS {
            assert!(client.reply().starts_with("$80000 x"), "{way:?}");
        }
        drop((client, other));
        server.stop();
    }
}

#[test]
fn a_client_that_only_asks_is_not_read_for_ever() {
    let server = Server::start("kv", &[]);
    let mut client = server.client();
    client.ask(&format!("SET k {}", "x".repeat(20_000)));
    let sent = push_until_blocked(client.0.get_ref(), array("GET k").as_bytes(), 64 << 20);
    assert!(sent < 64 << 20, "all of it was read");
    server.stop();
}

#[test]
fn what_is_queued_behind_multi_is_no_longer_than_the_longest_command() {
    let server = Server::start("kv", &["--max-frame", "10k"]);
    let mut client = server.client();
    client.ask("MULTI");
    let line = format!("SET k {}", "x".repeat(4000));
    assert_eq!((client.ask(&line), client.ask(&line)), ("+QUEUED".into(), "+QUEUED".into()));
    assert!(client.ask(&line).starts_with("-ERR transaction exceeds maximum allowed size"));
    assert!(client.ask("EXEC").starts_with("-EXECABORT "));
    assert_eq!(client.ask("GET k"), "$-1");
    drop(client);
    server.stop();
}

#[test]
fn limits_that_contradict_each_other_are_refused_with_a_way_out() {
    for (options, words) in [
        (["--max-frame", "64m"], "make --send-max at least"),
        (["--max-frame", "1"], "--max-frame 1 has no room for SET k v; make it at least 27"),
        (["--max-memory", "0"], "--max-memory 0 has no room for one key; make it at least 102, or"),
    ] {
        let line = refusal("kv", &options, 2);
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn the_least_that_is_allowed_is_enough_for_one_key() {
    let server = Server::start("kv", &["--max-frame", "27", "--max-memory", "102"]);
    let mut client = server.client();
    assert_eq!(client.ask("SET k v"), "+OK");
    drop(client);
    server.stop();
}
