//! Kernel memory that is missing: the call says so, does nothing, and succeeds when it is back.

use super::super::Need;
use super::*;
use crate::error::Errno;

const SHORT: Duration = Duration::from_millis(1);

#[test]
fn a_read_or_a_write_without_memory_moves_nothing_and_loses_nothing() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let mut bench = Bench::new(trigger);
        let (client, socket, _token) = bench.pair(Interest::READ);
        client.send(b"hello");
        bench.wait(None);
        bench.net.lack_memory(&[Need::Recv, Need::Send], SHORT);
        assert_eq!(bench.recv(&socket, 9), Io::Exhausted(Errno::NOMEM));
        let Io::Exhausted(errno) = bench.kernel.send(&socket, b"x") else { panic!("it was sent") };
        assert!([Errno::NOMEM, Errno::NOBUFS].contains(&errno));
        assert_eq!(client.queued(), 0);
        bench.net.advance(SHORT);
        assert_eq!(bench.recv(&socket, 9), Io::Done(5));
        assert_eq!(bench.kernel.send(&socket, b"x"), Io::Done(1));
    }
}

#[test]
fn a_caller_without_memory_stays_in_the_backlog() {
    let mut bench = Bench::new(Trigger::Level);
    let client = bench.net.connect(0);
    bench.net.lack_memory(&[Need::Accept], SHORT);
    let outcome = bench.kernel.accept(&bench.listener);
    assert!(matches!(outcome, Accept::Exhausted(_)) && client.is_waiting());
    bench.net.advance(SHORT);
    assert!(matches!(bench.kernel.accept(&bench.listener), Accept::Socket(..)));
}

#[test]
fn a_random_shortage_lasts_for_one_call_or_for_a_while() {
    let mut bench = Bench::new(Trigger::Level);
    let (_client, socket, _token) = bench.pair(Interest::READ);
    bench.net.set_faults(Faults { memory_short: 100, ..Faults::none() });
    let mut runs = vec![0];
    for _ in 0..2_000 {
        match bench.recv(&socket, 9) {
            Io::WouldBlock => runs.push(0),
            Io::Exhausted(_) => *runs.last_mut().unwrap() += 1,
            other => panic!("{other:?}"),
        }
        bench.net.advance(SHORT);
    }
    assert!(runs.contains(&1) && runs.iter().any(|&length| (5..60).contains(&length)), "{runs:?}");
}
