//! FIN, RST and close. The flags and errnos that are expected here were seen on a Linux loopback
//! first.

use super::super::End;
use super::*;
use crate::error::Errno;
use crate::kernel::Farewell;

#[test]
fn the_end_comes_behind_the_bytes_and_for_ever() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    client.send(b"abc");
    client.finish();
    assert_eq!(bench.events(), [(token, R | W | P)]);
    assert_eq!(bench.recv(&socket, 2), Io::Done(2));
    assert_eq!(bench.recv(&socket, 2), Io::Done(1));
    assert_eq!((bench.recv(&socket, 2), bench.recv(&socket, 2)), (Io::Finished, Io::Finished));
    assert_eq!(bench.kernel.send(&socket, b"still open"), Io::Done(10));
    bench.events();
    assert_eq!(client.received(), b"still open");
}

#[test]
fn the_end_is_its_own_edge() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    client.send(b"abc");
    bench.events();
    assert_eq!(bench.recv(&socket, 9), Io::Done(3));
    client.finish();
    assert_eq!((bench.events(), bench.events()), (vec![(token, R | W | P)], vec![]));
}

#[test]
fn hang_up_means_that_both_directions_have_ended() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    bench.kernel.finish(&socket);
    assert_eq!(bench.events(), [(token, W)], "our own end wakes the poller too");
    assert_eq!(client.end(), Some(End::Finished));
    client.send(b"more");
    client.finish();
    assert_eq!(bench.events(), [(token, R | W | H | P)]);
    assert_eq!(bench.recv(&socket, 9), Io::Done(4));
    assert_eq!(bench.recv(&socket, 9), Io::Finished);
}

#[test]
fn a_reset_leaves_what_has_arrived_then_fails_one_call() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    client.send(b"abcd");
    bench.events();
    client.reset();
    assert_eq!(bench.events(), [(token, R | W | E | H | P)]);
    assert_eq!(bench.recv(&socket, 9), Io::Done(4));
    assert_eq!(bench.recv(&socket, 9), Io::Failed(Errno::CONNRESET));
    assert_eq!(bench.recv(&socket, 9), Io::Finished);
    assert_eq!(bench.kernel.send(&socket, b"x"), Io::Failed(Errno::PIPE));
    assert_eq!(bench.kernel.take_error(&socket), None);
}

#[test]
fn the_pending_error_goes_to_whoever_asks_first() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, token) = bench.pair(Interest::NONE);
    client.reset();
    assert_eq!(bench.events(), [(token, E | H)]);
    assert_eq!(bench.kernel.send(&socket, b"x"), Io::Failed(Errno::CONNRESET));
    assert_eq!(bench.kernel.send(&socket, b"x"), Io::Failed(Errno::PIPE));
    assert_eq!(bench.events(), [(token, H)], "a hang-up cannot be switched off");
    assert_eq!(bench.recv(&socket, 9), Io::Finished);

    let (client, socket, _) = bench.pair(Interest::READ);
    client.reset();
    bench.events();
    assert_eq!(bench.kernel.take_error(&socket), Some(Errno::CONNRESET));
    assert_eq!(bench.recv(&socket, 9), Io::Finished);
}

#[test]
fn a_reset_after_the_peers_end_is_a_broken_pipe_that_reads_do_not_see() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    client.finish();
    bench.events();
    client.reset();
    assert_eq!(bench.events(), [(token, R | W | E | H | P)]);
    assert_eq!((bench.recv(&socket, 9), bench.recv(&socket, 9)), (Io::Finished, Io::Finished));
    assert_eq!(bench.kernel.take_error(&socket), Some(Errno::PIPE));
}

#[test]
fn bytes_for_a_client_that_has_closed_come_back_as_a_reset() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    client.close();
    assert_eq!(bench.events(), [(token, R | W | P)], "a close looks like a half-close");
    assert_eq!(bench.kernel.send(&socket, b"x"), Io::Done(1));
    assert_eq!(bench.events(), [(token, R | W | E | H | P)]);
    assert_eq!(bench.recv(&socket, 9), Io::Finished);
    assert_eq!(bench.kernel.send(&socket, b"x"), Io::Failed(Errno::PIPE));
    assert_eq!(client.received(), b"");
}

#[test]
fn a_reset_throws_away_what_we_had_still_to_send() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, socket, _) = bench.pair(Interest::BOTH);
    client.stop_reading();
    assert_eq!(bench.kernel.send(&socket, b"reply"), Io::Done(5));
    client.reset();
    bench.events();
    assert_eq!((client.queued(), client.received(), client.end()), (0, vec![], None));
}

#[test]
fn a_reset_may_overtake_bytes_only_under_a_fault() {
    for (lost_before_reset, arrived) in [(0, Io::Done(3)), (1000, Io::Failed(Errno::CONNRESET))] {
        let faults = Faults { lost_before_reset, delay: 950, split: 1000, ..Faults::none() };
        let mut bench = Bench::with(1, Trigger::Level, faults);
        let (client, socket, _) = bench.pair(Interest::NONE);
        client.send(b"abc");
        client.reset();
        while bench.wait(None).is_empty() {}
        let got = bench.recv(&socket, 9);
        assert!(got == arrived || lost_before_reset == 1000 && got != Io::Done(3), "{got:?}");
    }
}

#[test]
fn a_polite_close_delivers_then_ends() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, _) = bench.pair(Interest::READ);
    client.stop_reading();
    assert_eq!(bench.kernel.send(&socket, b"goodbye"), Io::Done(7));
    bench.kernel.close(socket, Farewell::Finish);
    bench.events();
    assert_eq!((bench.net.open_sockets(), client.end()), (0, None));
    client.resume_reading();
    bench.events();
    assert_eq!((client.received(), client.end()), (b"goodbye".to_vec(), Some(End::Finished)));
}

#[test]
fn a_close_by_reset_is_seen_as_one() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, _) = bench.pair(Interest::READ);
    client.stop_reading();
    assert_eq!(bench.kernel.send(&socket, b"cut"), Io::Done(3));
    bench.kernel.finish(&socket);
    bench.kernel.close(socket, Farewell::Reset);
    bench.events();
    assert_eq!((client.received(), client.end()), (vec![], Some(End::Reset)));
    client.send(b"into the void");
    assert_eq!(client.in_flight(), 0);
}

#[test]
fn a_polite_close_over_unread_bytes_is_a_reset() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, _) = bench.pair(Interest::READ);
    client.send(b"unread");
    bench.events();
    assert_eq!(bench.kernel.send(&socket, b"reply"), Io::Done(5));
    bench.kernel.close(socket, Farewell::Finish);
    bench.events();
    assert_eq!((client.received(), client.end()), (b"reply".to_vec(), Some(End::Reset)));
}

#[test]
fn bytes_for_a_socket_that_was_closed_reset_a_client_that_still_waits_for_its_reply() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, _) = bench.pair(Interest::READ);
    client.stop_reading();
    assert_eq!(bench.kernel.send(&socket, b"reply"), Io::Done(5));
    bench.kernel.close(socket, Farewell::Finish);
    client.send(b"late");
    bench.events();
    assert_eq!((client.received(), client.end()), (vec![], Some(End::Reset)));
}
