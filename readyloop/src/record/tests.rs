//! The record by itself: what is written down, and in which order.

use super::*;
use crate::buffer::PAGE_BYTES_KEPT;

fn record() -> Record {
    record_within(&Limits::default())
}

fn record_within(limits: &Limits) -> Record {
    Record::new((0, 1), 1, Arc::new(Census::new(1, limits)), limits, Box::new(|_, _| true))
}

fn begin(record: &Record, id: SessionId, ended: bool) {
    record.begin(id, ended, &mut Box::default());
}

fn finish(record: &Record) -> CommandBuffer {
    let mut run = Box::default();
    record.finish(&mut run);
    run.commands
}

fn session() -> SessionId {
    SessionId::new(0, 5, 1)
}

/// What was written down, in its order: who was sent what, and where another command stands.
fn played(commands: &CommandBuffer) -> Vec<(SessionId, Vec<u8>)> {
    let mut seen = Vec::new();
    for nth in 0..=commands.page.len() {
        let behind = commands.rest.iter().filter(|(entries, _)| *entries == nth);
        seen.extend(behind.map(|_| (SessionId::NONE, vec![])));
        if nth < commands.page.len() {
            let (to, range) = commands.page.entry(nth);
            seen.push((to, commands.page.bytes(range).to_vec()));
        }
    }
    seen
}

#[test]
fn everything_is_played_back_in_the_order_of_the_asking() {
    let (record, me, other) = (record(), session(), SessionId::new(0, 6, 1));
    begin(&record, me, false);
    assert!(record.answer(b"abc") && record.answer_prefixed(*b"d1234567", 1, b"ef"));
    record.send(other, b"x");
    assert!(record.answer_shared(Bytes::from_static(b"shared")));
    let long = vec![7; 400];
    assert!(record.answer(&long) && record.answer_prefixed([8; 8], 2, &long));
    record.end(Command::Close(me, CloseReason::Closed));
    assert_eq!(record.queued_bytes(), 6 + 6 + 2 * long.len() + 2);
    let mut commands = finish(&record);
    let expected = [
        (me, b"abcdef".to_vec()),
        (other, b"x".to_vec()),
        (SessionId::NONE, vec![]),
        (me, [&long[..], &[8, 8], &long].concat()),
        (SessionId::NONE, vec![]),
    ];
    assert!(played(&commands) == expected);
    commands.clear();
    assert!(commands.page.is_empty() && commands.page.room() <= PAGE_BYTES_KEPT);
}

#[test]
fn answers_beyond_the_maximum_are_refused_in_every_way_and_end_the_session() {
    let limits = Limits { send_high_bytes: 10, send_max_bytes: 85, ..Limits::default() };
    type Answer = fn(&Record, &[u8]) -> bool;
    let ways: [Answer; 4] = [
        |record, bytes| record.answer(bytes),
        |record, bytes| record.answer_prefixed([0; 8], 0, bytes),
        |record, bytes| record.answer_bare(bytes),
        |record, bytes| record.answer_shared(Bytes::copy_from_slice(bytes)),
    ];
    for answer in ways {
        let (record, mut run) = (record_within(&limits), Box::<Run>::default());
        // Room that an earlier run has left does not count.
        run.commands.page.make_room(1_000, 1_000);
        run.standing.queued_bytes = 5;
        record.begin(session(), false, &mut run);
        assert!(record.halted().is_not() && !record.is_paused());
        assert!(answer(&record, &[1; 30]) && answer(&record, &[2; 50]));
        assert!(!answer(&record, b"x") && record.has_ended(), "it was the 86th byte");
        let commands = finish(&record);
        let lost = |(_, command): &(usize, Command)| {
            matches!(command, Command::Kill(_, CloseReason::SendFull))
        };
        assert_eq!(commands.rest.iter().filter(|command| lost(command)).count(), 1);
        assert!(record.halted().is_paused(), "the run ends at the mark");
    }
}

#[test]
fn nothing_is_sent_after_the_end_or_outside_of_a_session() {
    let record = record();
    begin(&record, SessionId::NONE, true);
    assert!(!record.answer(b"x"));
    assert!(record.set_timer(Duration::ZERO).is_none());
    assert!(finish(&record).is_empty());
    begin(&record, session(), false);
    record.end(Command::Close(session(), CloseReason::Closed));
    assert!(!record.answer(b"x"));
    assert!(!record.answer_prefixed([0; 8], 4, b"x"));
    assert!(!record.answer_shared(Bytes::from_static(b"x")));
    let commands = finish(&record);
    assert_eq!((commands.rest.len(), commands.page.len()), (1, 0));
}

#[test]
fn a_timer_that_was_started_anew_or_cancelled_is_stale_when_it_fires() {
    let record = record();
    begin(&record, session(), false);
    let id = record.set_timer(Duration::ZERO).unwrap();
    let first = LaneTimer { id, start: 0 };
    assert!(record.is_due(first) && record.reset_timer(id, Duration::ZERO));
    assert!(!record.is_due(first));
    record.settle(first);
    let second = LaneTimer { id, start: 1 };
    assert!(record.is_due(second), "what is stale settles nothing");
    record.settle(second);
    assert!(!record.reset_timer(id, Duration::ZERO) && !record.cancel_timer(id));
    let other = record.set_timer(Duration::ZERO).unwrap();
    assert!(record.cancel_timer(other) && !record.cancel_timer(other));
    assert!(!record.is_due(LaneTimer { id: other, start: 0 }));
}

#[test]
fn what_is_taken_out_in_mid_run_counts_as_queued_and_the_rest_goes_on() {
    let (record, me) = (record(), session());
    begin(&record, me, false);
    assert!(record.take_commands().is_none(), "nothing was asked for");
    assert!(record.answer(b"abc"));
    let taken = record.take_commands().unwrap();
    assert_eq!(played(&taken), [(me, b"abc".to_vec())]);
    assert!(record.answer(b"de"));
    assert_eq!(record.queued_bytes(), 5);
    assert_eq!(played(&finish(&record)), [(me, b"de".to_vec())]);
}
