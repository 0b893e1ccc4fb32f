//! Several kernels on one net: what is each one's own, what they share, and what a test may do while
//! one of them sleeps.

use std::cell::Cell;
use std::rc::Rc;

use super::super::End;
use super::*;
use crate::kernel::Farewell;

const NOW: Option<Duration> = Some(Duration::ZERO);
const BOTH: [Trigger; 2] = [Trigger::Level, Trigger::Edge];

fn millis(millis: u64) -> Option<Duration> {
    Some(Duration::from_millis(millis))
}

/// A caller whose socket the first kernel has accepted and `by` watches, with its first edge taken.
fn handed_to(bench: &mut Bench, by: &mut Sim) -> (Client, SimSocket, Token) {
    let client = bench.net.connect(0);
    let (socket, token) = (bench.accept(), bench.token());
    by.watch(&socket, token, Interest::READ).unwrap();
    told(by, NOW);
    (client, socket, token)
}

/// A hook that runs `act`, and a count of how often it has.
fn hooked(net: &Net, mut act: impl FnMut() + 'static) -> Rc<Cell<usize>> {
    let runs = Rc::new(Cell::new(0));
    let counter = runs.clone();
    net.while_asleep(move || {
        counter.set(counter.get() + 1);
        act();
    });
    runs
}

#[test]
fn two_kernels_do_not_hear_each_others_sockets() {
    for trigger in BOTH {
        let mut bench = Bench::new(trigger);
        let mut other = bench.net.kernel();
        let (one, _socket, one_token) = bench.pair(Interest::READ);
        let (two, _other_socket, two_token) = handed_to(&mut bench, &mut other);
        one.send(b"x");
        assert_eq!(told(&mut other, None), [], "{trigger:?}");
        two.send(b"y");
        let tokens = |told: Vec<(Token, u32)>| told.iter().map(|told| told.0).collect::<Vec<_>>();
        assert_eq!(tokens(bench.wait(None)), [one_token], "{trigger:?}");
        assert_eq!(tokens(told(&mut other, None)), [two_token], "{trigger:?}");
    }
}

#[test]
fn a_wait_of_one_kernel_takes_no_edge_and_no_ready_list_of_another() {
    let mut bench = Bench::new(Trigger::Edge);
    let mut other = bench.net.kernel();
    let (client, _socket, token) = bench.pair(Interest::BOTH);
    client.send(b"x");
    assert_eq!(told(&mut other, NOW), [], "the bytes have arrived in this wait");
    assert_eq!(bench.wait(None), [(token, R | W)]);
    assert_eq!(told(&mut other, NOW), []);
    assert_eq!(bench.kernel.ready(0).unwrap().token, token);
}

#[test]
fn a_lie_is_about_what_a_kernel_watches_itself() {
    for seed in 0..20 {
        let mut bench = Bench::with(seed, Trigger::Level, Faults::none());
        let mut other = bench.net.kernel();
        bench.kernel.watch_listener(&bench.listener, 0).unwrap();
        let (_client, _socket, own) = bench.pair(Interest::BOTH);
        let (_other_client, _other_socket, others) = handed_to(&mut bench, &mut other);
        bench.net.set_faults(Faults { spurious: 1000, ..Faults::none() });
        for _ in 0..20 {
            assert!(bench.events().iter().all(|&(token, _)| token != others), "seed {seed}");
            let told = told(&mut other, NOW);
            assert!(told.iter().all(|&(token, _)| token == others), "seed {seed}: {own:?}");
        }
    }
}

#[test]
fn a_socket_accepted_by_one_kernel_is_watched_read_and_closed_by_another() {
    for trigger in BOTH {
        let mut bench = Bench::new(trigger);
        bench.kernel.watch_listener(&bench.listener, 0).unwrap();
        let mut other = bench.net.kernel();
        let client = bench.net.connect(0);
        client.send(b"early");
        assert_eq!(told(&mut other, NOW), [], "the listener is the first kernel's");
        assert_eq!(bench.wait(None), [(Token::listener(0), R)]);
        let (socket, token) = (bench.accept(), bench.token());
        other.watch(&socket, token, Interest::READ).unwrap();
        let events = told(&mut other, None);
        assert!(events[0].0 == token && events[0].1 & R != 0, "{trigger:?}: came before the watch");
        assert_eq!(other.recv(&socket, &mut [0; 9]), Io::Done(5));
        assert_eq!(other.send(&socket, b"reply"), Io::Done(5));
        other.close(socket, Farewell::Finish);
        bench.events();
        assert_eq!((client.received(), client.end()), (b"reply".to_vec(), Some(End::Finished)));
    }
}

#[test]
fn kernels_share_one_descriptor_table_and_one_clock() {
    let mut bench = Bench::new(Trigger::Level);
    let mut other = bench.net.kernel();
    let (_client, socket, _) = bench.pair(Interest::READ);
    let dialled = other.connect(&"192.0.2.1:80".parse::<crate::Address>().unwrap().into()).unwrap();
    assert_eq!((socket.index, dialled.index, bench.net.open_sockets()), (0, 1, 2));
    bench.wait(millis(9));
    told(&mut other, millis(7));
    bench.wait(millis(9));
    assert_eq!(bench.kernel.now().as_nanos(), 16_000_000);
}

#[test]
fn a_wake_reaches_one_kernel_only() {
    for trigger in BOTH {
        let mut bench = Bench::new(trigger);
        let mut other = bench.net.kernel();
        other.waker().wake();
        assert_eq!(bench.wait(None), [], "{trigger:?}");
        assert_eq!(told(&mut other, None), [(Token::WAKER, R)], "{trigger:?}");
        bench.kernel.waker_seen();
        assert_eq!(told(&mut other, None), [(Token::WAKER, R)], "another kernel's bell was read");
        other.waker_seen();
        assert_eq!(told(&mut other, None), [], "{trigger:?}");
    }
}

#[test]
fn a_clone_is_the_same_kernel() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, _socket, token) = bench.pair(Interest::READ);
    let mut same = bench.kernel.clone();
    same.waker().wake();
    client.send(b"x");
    assert_eq!(bench.wait(None), [(Token::WAKER, R), (token, R)]);
    same.waker_seen();
    assert_eq!((same.ready(1).unwrap().token, bench.events()), (token, vec![(token, R)]));
    drop(same);
    assert_eq!(bench.events(), [(token, R)], "a handle is left");
}

#[test]
fn a_signal_goes_to_the_kernel_that_was_made_first() {
    let mut bench = Bench::new(Trigger::Level);
    let mut other = bench.net.kernel();
    bench.net.signal();
    assert_eq!((told(&mut other, None), other.signals_seen()), (vec![], 0));
    assert_eq!((bench.wait(None), bench.kernel.signals_seen()), (vec![(Token::SIGNALS, R)], 1));
}

#[test]
fn calls_are_counted_for_each_kernel_and_for_all_also_for_those_that_are_gone() {
    let mut bench = Bench::new(Trigger::Level);
    let mut other = bench.net.kernel();
    let (client, socket, _) = handed_to(&mut bench, &mut other);
    client.send(b"x");
    told(&mut other, None);
    other.recv(&socket, &mut [0; 9]);
    other.waker().wake();
    let (first, second) = (bench.kernel.calls(), other.calls());
    assert_eq!((first.accepts, first.waits, first.wakes, first.total()), (1, 0, 0, 1));
    assert_eq!((second.watches, second.recvs, second.wakes), (1, 1, 1));
    assert_eq!((second.waits, second.total()), (2, 5));
    assert_eq!(bench.net.calls(), first + second);
    drop(other);
    assert_eq!(bench.net.calls(), first + second);
    bench.events();
    assert_eq!((bench.kernel.calls() - first).total(), 1);
}

#[test]
fn quiet_means_every_kernel() {
    let mut bench = Bench::new(Trigger::Level);
    let mut other = bench.net.kernel();
    bench.wait(None);
    assert!(!bench.net.is_quiet(), "the other one has not slept yet");
    told(&mut other, None);
    assert!(bench.net.is_quiet());
    other.waker().wake();
    assert!(!bench.net.is_quiet(), "the other one has been woken");
    bench.wait(None);
    assert!(!bench.net.is_quiet(), "it still is");
    told(&mut other, None);
    other.waker_seen();
    told(&mut other, None);
    assert!(!bench.net.is_quiet(), "before it slept, it may have left mail to the first one");
    bench.wait(None);
    assert!(bench.net.is_quiet());
}

#[test]
fn a_kernel_that_is_gone_is_not_waited_for() {
    let mut bench = Bench::new(Trigger::Level);
    let mut other = bench.net.kernel();
    let (client, socket, token) = handed_to(&mut bench, &mut other);
    client.send(b"x");
    other.waker().wake();
    bench.wait(None);
    assert!(!bench.net.is_quiet());
    drop(other);
    assert!(bench.net.is_quiet());
    assert_eq!(bench.net.open_sockets(), 1, "a poller that ends closes no socket");
    bench.kernel.watch(&socket, token, Interest::READ).unwrap();
    assert_eq!(bench.wait(None), [(token, R)], "and watches it no longer");
    drop(bench.net.kernel());
    assert_eq!(bench.wait(None), [(token, R)], "but that is nobody else's loss");
}

#[test]
fn settling_steps_all_until_nobody_has_anything_to_do() {
    let mut bench = Bench::new(Trigger::Level);
    let mut other = bench.net.kernel();
    let (net, first) = (bench.net.clone(), bench.kernel.waker());
    let mut wakes = 0;
    other.waker().wake();
    // A ball that goes to and fro five times.
    let turns = net.settle(20, || {
        if !told(&mut other, millis(50)).is_empty() {
            other.waker_seen();
            first.wake();
        }
        if !bench.wait(millis(50)).is_empty() {
            bench.kernel.waker_seen();
            wakes += 1;
            if wakes < 5 {
                other.waker().wake();
            }
        }
    });
    assert_eq!((wakes, turns, net.now().as_nanos()), (5, 6, 0));
}

#[test]
fn stale_events_go_to_whom_the_socket_belonged() {
    let mut bench = Bench::with(1, Trigger::Level, Faults { stale: 1000, ..Faults::none() });
    let mut other = bench.net.kernel();
    let (_one, socket, token) = bench.pair(Interest::READ);
    let (_two, other_socket, other_token) = handed_to(&mut bench, &mut other);
    other.close(socket, Farewell::Reset);
    bench.kernel.close(other_socket, Farewell::Reset);
    for _ in 0..20 {
        let (first, second) = (bench.events(), told(&mut other, NOW));
        assert_eq!((first.len(), first[0].0), (1, token), "whoever closed it");
        assert_eq!((second.len(), second[0].0), (1, other_token));
    }
}

#[test]
fn a_wait_does_not_jump_past_the_moment_at_which_another_kernel_goes_on() {
    let mut bench = Bench::new(Trigger::Level);
    let (net, mut other) = (bench.net.clone(), bench.net.kernel());
    net.settle(2, || {
        told(&mut other, millis(5));
        bench.wait(millis(9));
    });
    bench.wait(millis(9));
    assert_eq!(bench.net.now().as_nanos(), 5_000_000);
    bench.wait(millis(30));
    assert_eq!(bench.net.now().as_nanos(), 5_000_000, "the other one's turn is to come");
    told(&mut other, millis(5));
    assert_eq!(bench.net.now().as_nanos(), 10_000_000, "the other one's sleep was over");
    drop(other);
    bench.wait(millis(9));
    assert_eq!(bench.net.now().as_nanos(), 19_000_000, "nobody waits for who is gone");
}

#[test]
fn time_does_not_pass_while_another_kernel_is_at_work() {
    let mut bench = Bench::new(Trigger::Level);
    let mut other = bench.net.kernel();
    let waker = other.waker();
    hooked(&bench.net, move || waker.wake());
    assert_eq!(told(&mut other, millis(5)), [(Token::WAKER, R)]);
    other.waker_seen();
    bench.net.no_hook();
    bench.wait(millis(9));
    assert_eq!(bench.net.now().as_nanos(), 0, "how long the other one sleeps is not known yet");
    told(&mut other, millis(5));
    assert_eq!(bench.net.now().as_nanos(), 5_000_000);
}

#[test]
fn which_kernel_called_is_part_of_the_history() {
    let history = |first: usize| {
        let net = Net::new(1, Trigger::Level, Faults::none());
        let mut kernels = [net.kernel(), net.kernel()];
        kernels[first].wait(NOW).unwrap();
        net.fingerprint()
    };
    assert_eq!(history(1), history(1));
    assert_ne!(history(0), history(1));
}

#[test]
fn the_hook_runs_once_in_each_sleep_and_not_in_a_wait_that_need_not_sleep() {
    for trigger in BOTH {
        let mut bench = Bench::new(trigger);
        let (client, socket, token) = bench.pair(Interest::READ);
        let runs = hooked(&bench.net, || {});
        assert_eq!((bench.events(), runs.get()), (vec![], 0), "a timeout of zero");
        bench.wait(None);
        assert_eq!(runs.get(), 1, "for ever");
        bench.wait(millis(5));
        assert_eq!((runs.get(), bench.net.now().as_nanos()), (2, 5_000_000), "for a while");
        client.send(b"x");
        assert_eq!((bench.wait(None).len(), runs.get()), (1, 2), "something was ready: {token:?}");
        bench.recv(&socket, 9);
        bench.net.set_faults(Faults { interrupted: 1000, ..Faults::none() });
        bench.wait(None);
        assert_eq!(runs.get(), 2, "it was interrupted");
        bench.net.set_faults(Faults::none());
        bench.net.no_hook();
        bench.wait(None);
        assert_eq!(runs.get(), 2, "it was taken back");
    }
}

#[test]
fn the_hook_runs_once_in_a_sleep_that_the_network_ends() {
    let mut bench = Bench::with(3, Trigger::Level, Faults { delay: 900, ..Faults::none() });
    let (client, socket, token) = bench.pair(Interest::READ);
    let runs = hooked(&bench.net, || {});
    let mut slept = 0;
    for _ in 0..50 {
        client.send(b"x");
        let before = bench.net.now();
        assert_eq!(bench.wait(None), [(token, R)]);
        slept += usize::from(bench.net.now() > before);
        assert_eq!(runs.get(), slept);
        bench.recv(&socket, 9);
    }
    assert!(slept > 0, "every byte arrived at once: {:?}", bench.net);
}

#[test]
fn a_wake_from_within_the_hook_ends_the_sleep() {
    for trigger in BOTH {
        let mut bench = Bench::new(trigger);
        let (client, _socket, token) = bench.pair(Interest::READ);
        let waker = bench.kernel.waker();
        let runs = hooked(&bench.net, move || waker.wake());
        assert_eq!(bench.wait(millis(50)), [(Token::WAKER, R)], "{trigger:?}");
        assert_eq!((runs.get(), bench.net.now().as_nanos()), (1, 0), "it slept on");
        assert_eq!(bench.net.calls().asleep, 0);
        bench.kernel.waker_seen();

        let runs = hooked(&bench.net, move || client.send(b"x"));
        let events = bench.wait(None);
        assert_eq!((events[0].0, runs.get()), (token, 1), "{trigger:?}: bytes do so, too");
    }
}

#[test]
fn a_sleep_is_over_when_its_time_has_passed_within_the_hook() {
    let mut bench = Bench::new(Trigger::Level);
    let net = bench.net.clone();
    hooked(&bench.net, move || net.advance(Duration::from_millis(7)));
    assert_eq!(bench.wait(millis(5)), []);
    assert_eq!(bench.net.now().as_nanos(), 7_000_000);
}

#[test]
fn waits_within_the_hook_are_those_of_others_and_do_not_run_it_again() {
    let mut bench = Bench::new(Trigger::Level);
    let mut other = bench.net.kernel();
    let (client, socket, token) = handed_to(&mut bench, &mut other);
    let (net, sleeper) = (bench.net.clone(), bench.kernel.waker());
    client.send(b"x");
    let runs = hooked(&bench.net, move || {
        net.settle(5, || {
            if told(&mut other, millis(3)) == [(token, R)] {
                other.recv(&socket, &mut [0; 9]);
            }
        });
        sleeper.wake();
        assert!(!net.is_quiet(), "the sleeper has been woken");
    });
    assert_eq!(bench.wait(millis(50)), [(Token::WAKER, R)]);
    assert_eq!((runs.get(), client.unread(), bench.net.now().as_nanos()), (1, 0, 0));
    bench.net.no_hook();
}

#[test]
fn settling_within_the_hook_leaves_an_outer_settling_as_it_was() {
    let mut bench = Bench::new(Trigger::Level);
    let mut other = bench.net.kernel();
    let net = bench.net.clone();
    hooked(&bench.net, move || {
        net.settle(2, || drop(told(&mut other, millis(5))));
    });
    let net = bench.net.clone();
    net.settle(2, || drop(bench.wait(millis(50))));
    assert_eq!(net.now().as_nanos(), 0);
    net.no_hook();
}

#[test]
fn others_that_wait_within_the_hook_do_not_jump_past_the_end_of_the_sleep() {
    let mut bench = Bench::new(Trigger::Level);
    let mut other = bench.net.kernel();
    hooked(&bench.net, move || drop(told(&mut other, millis(60_000))));
    assert_eq!(bench.wait(millis(5)), []);
    assert_eq!(bench.net.now().as_nanos(), 5_000_000);
    bench.net.no_hook();
}

#[test]
fn a_hook_that_is_replaced_or_taken_back_frees_what_it_held() {
    let mut bench = Bench::new(Trigger::Level);
    let held = [bench.net.kernel(), bench.net.kernel()];
    bench.wait(None);
    for kernel in held {
        bench.net.while_asleep(move || assert_eq!(kernel.calls().waits, 0));
        assert!(!bench.net.is_quiet());
    }
    bench.net.no_hook();
    assert!(bench.net.is_quiet(), "no other kernel is left");
}

#[test]
fn the_hook_may_take_itself_back_and_frees_what_it_held() {
    let mut bench = Bench::new(Trigger::Level);
    let (net, other) = (bench.net.clone(), bench.net.kernel());
    let runs = hooked(&bench.net, move || {
        let _held = &other;
        net.no_hook();
    });
    bench.wait(None);
    bench.wait(None);
    assert_eq!(runs.get(), 1);
    assert!(bench.net.is_quiet(), "the kernel that it held is gone");
}
