//! Time: rounded up, bounded in work, and never mistaken for silence.

use std::time::Duration;

use readyloop::{CloseReason, Limits, TimerId};

use super::world::{BOTH, Fact, World, echo, echo_and, framed};

const MS: Duration = Duration::from_millis(1);

fn turn_until_empty(world: &mut World) -> Duration {
    let began = world.net.now();
    world.turn_while(|world| world.net.open_sockets() > 0);
    world.net.now().since(began)
}

#[test]
fn a_silent_session_is_closed_when_its_idle_time_is_over() {
    for trigger in BOTH {
        let limits =
            Limits { idle_timeout: Some(100 * MS), linger_timeout: 10 * MS, ..Limits::default() };
        let mut world = World::new(trigger, limits, echo());
        let (_client, _) = world.caller();
        let took = turn_until_empty(&mut world);
        assert!((110 * MS..=113 * MS).contains(&took), "{trigger:?}: {took:?}");
        assert_eq!(world.closed(), [CloseReason::IdleTimeout]);
    }
}

#[test]
fn bytes_within_the_idle_time_keep_a_session_open_however_long() {
    for trigger in BOTH {
        let limits = Limits { idle_timeout: Some(100 * MS), ..Limits::default() };
        let mut world = World::new(trigger, limits, echo());
        let (client, _) = world.caller();
        for _ in 0..50 {
            client.send(&framed(b"still here"));
            // Bytes and deadline meet in one turn: the bytes win.
            world.net.advance(100 * MS);
            world.settle();
        }
        assert_eq!((client.end(), client.received().len()), (None, 50 * 14), "{trigger:?}");
    }
}

#[test]
fn one_byte_now_and_then_does_not_pass_the_handshake() {
    for trigger in BOTH {
        let limits = Limits {
            idle_timeout: Some(100 * MS),
            handshake_timeout: Some(300 * MS),
            linger_timeout: MS,
            ..Limits::default()
        };
        let mut world = World::new(trigger, limits, echo());
        let ((slow, _), (good, _)) = (world.caller(), world.caller());
        good.send(&framed(b"hello"));
        let stream = framed(&[1; 100]);
        let mut sent = 0;
        while slow.end().is_none() {
            slow.send(&stream[sent..sent + 1]);
            good.send(&framed(b"ping"));
            sent += 1;
            world.net.advance(50 * MS);
            world.settle();
        }
        assert_eq!((sent, good.end()), (6, None), "{trigger:?}");
        let closing = |fact: &Fact| matches!(fact, Fact::Closing(_, CloseReason::HandshakeTimeout));
        assert_eq!(world.facts().iter().filter(|fact| closing(fact)).count(), 1);
    }
}

#[test]
fn a_timer_may_be_set_reset_and_cancelled_from_its_own_callback() {
    for trigger in BOTH {
        let (mut first, mut beats) = (None::<TimerId>, 0);
        let clock = echo_and(move |fact, context| match fact {
            Fact::Open(id) if *id != readyloop::SessionId::NONE => {
                first = context.set_timer(10 * MS);
            }
            Fact::Timer(_, timer) => {
                assert_eq!(Some(*timer), first);
                beats += 1;
                let other = context.set_timer(MS).unwrap();
                assert!(context.cancel_timer(other) && !context.cancel_timer(other));
                if beats < 5 {
                    assert!(context.reset_timer(*timer, 10 * MS));
                } else {
                    assert!(context.cancel_timer(*timer) && !context.reset_timer(*timer, MS));
                    context.close();
                }
            }
            _ => {}
        });
        let limits = Limits { linger_timeout: MS, ..Limits::default() };
        let mut world = World::new(trigger, limits, clock);
        let (_client, _) = world.caller();
        let took = turn_until_empty(&mut world);
        assert!((51 * MS..=57 * MS).contains(&took), "{trigger:?}: {took:?}");
        assert_eq!(world.reactor.stats().timers, 5, "{trigger:?}");
    }
}

#[test]
fn a_timer_ends_with_its_session_and_belongs_to_no_other() {
    for trigger in BOTH {
        let mut foreign = None;
        let forgetful = echo_and(move |fact, context| match fact {
            Fact::Open(id) if *id != readyloop::SessionId::NONE => {
                if let Some(timer) = foreign {
                    assert!(!context.reset_timer(timer, MS) && !context.cancel_timer(timer));
                }
                foreign = context.set_timer(10 * MS);
            }
            Fact::Frame(..) => context.abort(),
            _ => {}
        });
        let mut world = World::new(trigger, Limits::default(), forgetful);
        let ((one, _), (_two, _)) = (world.caller(), world.caller());
        one.send(&framed(b"x"));
        world.settle();
        world.net.advance(20 * MS);
        world.settle();
        assert_eq!(world.reactor.stats().timers, 1, "{trigger:?}");
    }
}

#[test]
fn less_than_a_millisecond_is_waited_for_and_not_spun_for() {
    for trigger in BOTH {
        let hasty = echo_and(|fact, context| {
            if let Fact::Open(_) = fact {
                context.set_timer(Duration::from_micros(100));
            }
        });
        let mut world = World::new(trigger, Limits::default(), hasty);
        let (_client, _) = world.caller();
        let before = world.net.calls().waits;
        world.turn_while(|world| world.reactor.stats().timers == 0);
        assert!(world.net.calls().waits - before <= 2, "{trigger:?}");
    }
}

#[test]
fn a_clock_that_jumps_an_hour_fires_everything_in_portions() {
    for trigger in BOTH {
        let busy = echo_and(|fact, context| {
            if let Fact::Open(_) = fact {
                for n in 0..1000 {
                    context.set_timer(n * MS);
                }
            }
        });
        let limits = Limits { timers_per_turn: 10, ..Limits::default() };
        let mut world = World::new(trigger, limits, busy);
        let client = world.net.connect(0);
        world.turn();
        world.net.advance(Duration::from_secs(3600));
        client.send(&framed(b"x"));
        for turns in 1..=20 {
            world.turn();
            assert!(world.reactor.stats().timers <= 10 * (turns + 1), "{trigger:?}");
        }
        assert_eq!(client.received(), framed(b"x"), "{trigger:?}: served meanwhile");
        world.settle();
        assert_eq!(world.reactor.stats().timers, 1000, "{trigger:?}");
    }
}
