//! Who listens hears what is said, in his version of the protocol.

use std::time::Instant;

use super::client::array;
use crate::program::{DEADLINE, Server, every_way, expect_end};

#[test]
fn every_listener_hears_every_message_in_order_in_every_way() {
    for way in every_way() {
        let server = Server::start("kv", &way);
        let mut two = server.client();
        assert_eq!(two.ask("SUBSCRIBE news"), "*3 $9 subscribe $4 news :1");
        let mut three = server.client();
        assert!(three.ask("HELLO 3").starts_with("%7 $6 server $9 readyloop"));
        assert_eq!(three.ask("PSUBSCRIBE n?ws"), ">3 $10 psubscribe $4 n?ws :1");
        let mut speaker = server.client();
        for nth in 0..50 {
            assert_eq!(speaker.ask(&format!("PUBLISH news text{nth:02}")), ":2", "{way:?}");
        }
        assert_eq!(speaker.ask("PUBLISH other text"), ":0");
        for nth in 0..50 {
            let message = format!("$7 message $4 news $6 text{nth:02}");
            assert_eq!(two.reply(), format!("*3 {message}"), "{way:?}");
            let message = format!("$8 pmessage $4 n?ws $4 news $6 text{nth:02}");
            assert_eq!(three.reply(), format!(">4 {message}"), "{way:?}");
        }
        assert_eq!(two.ask("UNSUBSCRIBE"), "*3 $11 unsubscribe $4 news :0");
        assert_eq!(two.ask("GET k"), "$-1", "it may ask again");
        drop(three);
        // Another thread may notice its end a little later.
        let begin = Instant::now();
        while speaker.ask("PUBLISH news gone") != ":0" {
            assert!(begin.elapsed() < DEADLINE, "{way:?}: it is never forgotten");
        }
        assert_eq!(speaker.ask("PUBSUB CHANNELS"), "*0");
        drop((two, speaker));
        server.stop();
    }
}

#[test]
fn a_client_that_says_hello_while_it_listens_hears_the_other_version() {
    let server = Server::start("kv", &[]);
    let (mut listener, mut speaker) = (server.client(), server.client());
    listener.ask("HELLO 3");
    listener.ask("SUBSCRIBE news");
    assert_eq!(speaker.ask("PUBLISH news one"), ":1");
    assert_eq!(listener.reply(), ">3 $7 message $4 news $3 one");
    listener.ask("HELLO 2");
    assert_eq!(speaker.ask("PUBLISH news two"), ":1");
    assert_eq!(listener.reply(), "*3 $7 message $4 news $3 two");
    drop((listener, speaker));
    server.stop();
}

#[test]
fn a_listener_who_does_not_read_is_closed_and_the_others_go_on() {
    for topology in [&["--topology", "single"], &["--topology", "workers"]] {
        let server = Server::start("kv", topology);
        let (mut deaf, mut speaker) = (server.client(), server.client());
        deaf.ask("SUBSCRIBE news");
        let message = format!("PUBLISH news {}", "x".repeat(60_000));
        let mut said = 0;
        while speaker.ask(&message) != ":0" {
            said += 1;
            assert!(said < 2_000, "120 MB were kept for it");
        }
        assert_eq!(speaker.ask("PING"), "+PONG");
        drop((deaf, speaker));
        server.stop();
    }
}

#[test]
fn reset_ends_what_a_client_was_in() {
    let server = Server::start("kv", &[]);
    let mut client = server.client();
    client.ask("SUBSCRIBE a");
    assert_eq!(client.ask("RESET"), "+RESET");
    assert_eq!(client.ask("PUBLISH a x"), ":0");
    client.ask("MULTI");
    assert_eq!(client.ask("RESET"), "+RESET");
    assert_eq!(client.ask("EXEC"), "-ERR EXEC without MULTI");
    client.send(array("QUIT").as_bytes());
    assert_eq!(client.reply(), "+OK");
    expect_end(client.0);
    server.stop();
}
