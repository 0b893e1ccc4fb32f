//! The model is a checker: each rule of the seam, broken.

use std::io::IoSlice;

use super::*;
use crate::kernel::Farewell;

fn bench() -> (Bench, Client, SimSocket, Token) {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, token) = bench.pair(Interest::READ);
    (bench, client, socket, token)
}

/// What only a test inside of this module can do: sockets cannot be copied.
fn copy(socket: &SimSocket) -> SimSocket {
    SimSocket { ..*socket }
}

#[test]
#[should_panic(expected = "would look like the peer's end")]
fn a_read_into_nothing() {
    let (mut bench, _client, socket, _) = bench();
    bench.recv(&socket, 0);
}

#[test]
#[should_panic(expected = "would look like the peer's end")]
fn a_read_into_no_spare_capacity() {
    let (mut bench, _client, socket, _) = bench();
    bench.kernel.recv_spare(&socket, &mut Vec::new());
}

#[test]
#[should_panic(expected = "a write of nothing")]
fn a_write_of_nothing() {
    let (mut bench, _client, socket, _) = bench();
    bench.kernel.send_vectored(&socket, &[IoSlice::new(b""), IoSlice::new(b"")]);
}

#[test]
#[should_panic(expected = "1025 runs in one write")]
fn a_write_of_too_many_runs() {
    let (mut bench, _client, socket, _) = bench();
    bench.kernel.send_vectored(&socket, &vec![IoSlice::new(b"x"); 1025]);
}

#[test]
#[should_panic(expected = "a write after finish")]
fn a_write_after_finish() {
    let (mut bench, _client, socket, _) = bench();
    bench.kernel.finish(&socket);
    bench.kernel.send(&socket, b"x");
}

#[test]
#[should_panic(expected = "is not open")]
fn a_second_close() {
    let (mut bench, _client, socket, _) = bench();
    bench.kernel.close(copy(&socket), Farewell::Finish);
    bench.kernel.close(socket, Farewell::Finish);
}

#[test]
#[should_panic(expected = "is not open")]
fn a_use_after_close_also_when_the_index_is_in_use_again() {
    let (mut bench, _client, socket, _) = bench();
    bench.kernel.close(copy(&socket), Farewell::Finish);
    let (_next, reused, _) = bench.pair(Interest::READ);
    assert_eq!(reused.index, socket.index);
    bench.recv(&socket, 1);
}

#[test]
#[should_panic(expected = "is rearmed under edge")]
fn a_rearm_under_edge() {
    let mut bench = Bench::new(Trigger::Edge);
    let (_client, socket, token) = bench.pair(Interest::BOTH);
    let _ = bench.kernel.rearm(&socket, token, Interest::READ);
}

#[test]
#[should_panic(expected = "a call for nothing")]
fn a_rearm_that_changes_nothing() {
    let (mut bench, _client, socket, token) = bench();
    let _ = bench.kernel.rearm(&socket, token, Interest::READ);
}

#[test]
#[should_panic(expected = "under another token")]
fn a_rearm_with_another_token() {
    let (mut bench, _client, socket, _) = bench();
    let _ = bench.kernel.rearm(&socket, Token::WAKER, Interest::BOTH);
}

#[test]
#[should_panic(expected = "is not watched")]
fn a_rearm_before_watch() {
    let (mut bench, ..) = bench();
    let _caller = bench.net.connect(0);
    let (socket, token) = (bench.accept(), bench.token());
    let _ = bench.kernel.rearm(&socket, token, Interest::BOTH);
}

#[test]
#[should_panic(expected = "is watched already")]
fn a_second_watch() {
    let (mut bench, _client, socket, token) = bench();
    let _ = bench.kernel.watch(&socket, token, Interest::READ);
}

#[test]
#[should_panic(expected = "is watched already, by kernel 0")]
fn a_second_watch_by_another_kernel() {
    let (bench, _client, socket, token) = bench();
    let _ = bench.net.kernel().watch(&socket, token, Interest::READ);
}

#[test]
#[should_panic(expected = "is not watched by this kernel")]
fn a_rearm_of_what_another_kernel_watches() {
    let (bench, _client, socket, token) = bench();
    let _ = bench.net.kernel().rearm(&socket, token, Interest::BOTH);
}

#[test]
#[should_panic(expected = "is not watched by this kernel")]
fn a_rest_of_a_listener_that_another_kernel_watches() {
    let (mut bench, ..) = bench();
    let _ = bench.kernel.watch_listener(&bench.listener, 0);
    bench.net.kernel().rest_listener(&bench.listener, 0, true).unwrap();
}

#[test]
#[should_panic(expected = "kernel 0 waits inside of its own wait")]
fn a_wait_of_the_kernel_that_sleeps() {
    let (mut bench, ..) = bench();
    let mut same = bench.kernel.clone();
    bench.net.while_asleep(move || assert_eq!(same.wait(None), Ok(0)));
    bench.wait(None);
}

#[test]
#[should_panic(expected = "makes a kernel before it signals")]
fn a_signal_to_no_kernel() {
    Net::new(1, Trigger::Level, Faults::none()).signal();
}

#[test]
#[should_panic(expected = "is watched already")]
fn a_second_watch_of_a_listener() {
    let (mut bench, ..) = bench();
    let _ = bench.kernel.watch_listener(&bench.listener, 0);
    let _ = bench.kernel.watch_listener(&bench.listener, 0);
}

#[test]
#[should_panic(expected = "to rest, but it is not watched")]
fn a_rest_of_a_listener_that_is_not_watched() {
    let (mut bench, ..) = bench();
    bench.kernel.rest_listener(&bench.listener, 0, true).unwrap();
}

#[test]
#[should_panic(expected = "finished before it is connected")]
fn a_finish_while_connecting() {
    let (mut bench, ..) = bench();
    let socket =
        bench.kernel.connect(&"192.0.2.1:80".parse::<crate::Address>().unwrap().into()).unwrap();
    bench.kernel.finish(&socket);
}

#[test]
#[should_panic(expected = "Client(0) sends after its end")]
fn a_client_that_sends_after_its_end() {
    let (_bench, client, ..) = bench();
    client.reset();
    client.send(b"x");
}

#[test]
#[should_panic(expected = "Client(0) waits for no answer")]
fn an_answer_from_a_client_that_was_not_dialled() {
    let (_bench, client, ..) = bench();
    client.accept();
}

#[test]
#[should_panic(expected = "not quiet after 20 turns")]
fn a_server_that_spins() {
    let (mut bench, client, ..) = bench();
    client.send(b"never read");
    bench.net.clone().settle(20, || drop(bench.wait(None)));
}
