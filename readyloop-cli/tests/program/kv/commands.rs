//! Keys, values and their deadlines, in every topology and with every trigger.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::client::array;
use crate::program::{DEADLINE, Server, every_way, expect_end};

#[test]
fn what_one_client_writes_another_reads_in_every_way() {
    for way in every_way() {
        let server = Server::start("kv", &way);
        let mut clients = [server.client(), server.client(), server.client()];
        assert_eq!(clients[0].ask("MSET a 1 b 2 c 3"), "+OK");
        assert_eq!(clients[1].ask("INCR a"), ":2", "{way:?}");
        assert_eq!(clients[2].ask("MGET a b none c"), "*4 $1 2 $1 2 $-1 $1 3", "{way:?}");
        assert_eq!(clients[2].ask("DEL a b none"), ":2");
        assert_eq!(clients[0].ask("EXISTS a b c"), ":1");
        assert_eq!(clients[0].ask("DBSIZE"), ":1");
        assert_eq!(clients[1].ask("KEYS *"), "*1 $1 c");
        assert_eq!(clients[1].ask("FLUSHALL"), "+OK");
        assert_eq!(clients[2].ask("GET c"), "$-1");
        drop(clients);
        server.stop();
    }
}

#[test]
fn a_thousand_pipelined_commands_are_answered_in_their_order_in_every_way() {
    for way in every_way() {
        let server = Server::start("kv", &way);
        let mut client = server.client();
        let line = |nth| match nth % 3 {
            0 => format!("SET k{nth} v{nth}"),
            1 => format!("ECHO word{nth}"),
            _ => "INCR n".to_string(),
        };
        client.send((0..1000).map(|nth| array(&line(nth))).collect::<String>().as_bytes());
        for nth in 0..1000 {
            let expected = match nth % 3 {
                0 => "+OK".to_string(),
                1 => format!("${} word{nth}", format!("word{nth}").len()),
                _ => format!(":{}", nth / 3 + 1),
            };
            assert_eq!(client.reply(), expected, "{way:?}");
        }
        drop(client);
        server.stop();
    }
}

#[test]
fn a_key_is_there_until_its_deadline_and_not_after_it() {
    for topology in [&["--topology", "single"], &["--topology", "workers"]] {
        let server = Server::start("kv", topology);
        let mut client = server.client();
        let begin = Instant::now();
        assert_eq!(client.ask("SET k v PX 60"), "+OK");
        while client.ask("GET k") != "$-1" {
            assert!(begin.elapsed() < DEADLINE, "it stays");
        }
        assert!(begin.elapsed() >= Duration::from_millis(60), "it went early");
        assert_eq!(client.ask("DBSIZE"), ":0");
        drop(client);
        server.stop();
    }
}

#[test]
fn nothing_comes_between_the_commands_of_a_transaction_in_every_way() {
    for way in every_way() {
        let server = Server::start("kv", &way);
        let (mut writer, mut reader) = (server.client(), server.client());
        let both = ["MULTI", "INCR a", "ECHO between", "INCR b", "EXEC"].map(array).concat();
        writer.send(both.repeat(100).as_bytes());
        loop {
            let pair = reader.ask("MGET a b");
            let words: Vec<&str> = pair.split(' ').collect();
            match words[..] {
                ["*2", _, a, _, b] => assert_eq!(a, b, "{way:?}"),
                ["*2", "$-1", "$-1"] => continue,
                _ => panic!("{way:?}: {pair}"),
            }
            if words[2] == "100" {
                break;
            }
        }
        for nth in 1..=100 {
            let replies = [0; 5].map(|_| writer.reply());
            assert_eq!(replies[4], format!("*3 :{nth} $7 between :{nth}"), "{way:?}");
        }
        drop((writer, reader));
        server.stop();
    }
}

#[test]
fn a_scan_meets_every_key_in_every_way() {
    for way in every_way() {
        let server = Server::start("kv", &way);
        let mut client = server.client();
        let names: Vec<String> = (0..500).map(|nth| format!("key{nth}")).collect();
        for name in &names {
            assert_eq!(client.ask(&format!("SET {name} v")), "+OK");
        }
        let (mut cursor, mut met) = ("0".to_string(), Vec::new());
        loop {
            let page = client.ask(&format!("SCAN {cursor} COUNT 7"));
            let mut words = page.split(' ').filter(|word| !word.starts_with(['*', '$']));
            cursor = words.next().unwrap().to_string();
            met.extend(words.map(str::to_string));
            if cursor == "0" {
                break;
            }
        }
        met.sort();
        let mut names = names;
        names.sort();
        assert_eq!(met, names, "{way:?}");
        drop(client);
        server.stop();
    }
}

#[test]
fn a_half_closed_client_gets_all_its_answers_in_every_way() {
    for way in every_way() {
        let server = Server::start("kv", &way);
        let mut client = server.client();
        client.ask(&format!("SET k {}", "x".repeat(20_000)));
        client.send((array("INCR n") + &array("GET k")).repeat(100).as_bytes());
        client.0.get_ref().shutdown(Shutdown::Write).unwrap();
        for nth in 1..=100 {
            assert_eq!(client.reply(), format!(":{nth}"), "{way:?}");
            assert!(client.reply().starts_with("$20000 x"), "{way:?}");
        }
        expect_end(client.0);
        server.stop();
    }
}

#[test]
fn quit_is_answered_and_is_the_last_word_in_every_way() {
    for way in every_way() {
        let server = Server::start("kv", &way);
        let mut client = server.client();
        client.send([array("PING"), array("QUIT"), array("SET k v")].concat().as_bytes());
        assert_eq!((client.reply(), client.reply()), ("+PONG".into(), "+OK".into()));
        expect_end(client.0);
        let mut other = server.client();
        assert_eq!(other.ask("GET k"), "$-1", "{way:?}");
        drop(other);
        server.stop();
    }
}

#[test]
fn people_may_type_commands_as_lines() {
    let server = Server::start("kv", &[]);
    let mut client = server.client();
    client.send(b"set greeting \"hello world\"\r\nget greeting\nping\r\n\r\n");
    let replies = [0; 3].map(|_| client.reply());
    assert_eq!(replies, ["+OK", "$11 hello world", "+PONG"]);
    drop(client);
    server.stop();
}
