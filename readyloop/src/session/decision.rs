//! What becomes of one entry of the ready list: decided here and nowhere else, by a table.
//!
//! An entry may say anything: it may be spurious, repeated, or both readable and writable. The table
//! is the same for both triggers. What they differ in follows from what is registered: under level a
//! session that is held is not reported as readable, and under edge it is, once, and remembered by
//! whoever releases it.
//!
//! ```text
//! phase                   | writable, or broken, | readable, or ended   | hung up, or an error
//!                         | while blocked        |                      |
//! Connecting              |           ask what became of the connect, or preamble
//! Open, read              | write                | read                 | read to the end
//! Open, held              | write                | nothing              | ask for the error
//! PeerFinished, Draining  | write                | nothing              | ask for the error
//! Lingering               | –                    | read and drop        | read and drop
//! Dead                    |                           nothing
//! ```

use crate::readiness::Ready;

use super::{Phase, Session};

/// What is done about an event, besides writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Nothing.
    Nothing,
    /// Ask what became of the connect.
    AskConnect,
    /// Read what has come; to the end if a short read is no proof that nothing is left.
    Read {
        /// Until `EAGAIN`, the end, or an error.
        to_the_end: bool,
    },
    /// Read what has come and drop it.
    Discard,
    /// The connection is over in both directions, though nobody may read: ask for the error.
    AskError,
}

/// The decision about one event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The write that was blocked goes on.
    pub write: bool,
    /// What else is done.
    pub act: Act,
}

/// Both directions are over.
const BROKEN: u32 = Ready::ERROR | Ready::HANGUP;
/// A short read has not emptied the socket: an end or an error comes behind the bytes, or the read
/// stopped at an urgent mark.
const TO_THE_END: u32 = Ready::PEER_FINISHED | BROKEN | Ready::URGENT;

/// Whether these flags are those of nearly every event: bytes to read, and nothing that needs more
/// than one read. For a session that [`Session::is_simple`], that is all.
#[inline(always)]
pub fn is_simple(flags: u32) -> bool {
    flags & !Ready::WRITABLE == Ready::READABLE
}

/// Decides about an event with these flags.
pub fn decide(session: &Session, flags: u32) -> Decision {
    let any = |of: u32| flags & of != 0;
    let act = match session.phase() {
        Phase::Connecting => Act::AskConnect,
        Phase::Open if session.holds().is_none() && any(Ready::READABLE | TO_THE_END) => {
            Act::Read { to_the_end: any(TO_THE_END) }
        }
        Phase::Open | Phase::PeerFinished | Phase::Draining if any(BROKEN) => Act::AskError,
        Phase::Lingering if any(Ready::READABLE | TO_THE_END) => Act::Discard,
        _ => Act::Nothing,
    };
    let writes = matches!(session.phase(), Phase::Open | Phase::PeerFinished | Phase::Draining);
    let write = writes && session.is_blocked() && any(Ready::WRITABLE | BROKEN);
    Decision { write, act }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Now;
    use crate::close::CloseReason;
    use crate::session::Holds;

    const IN: u32 = Ready::READABLE;
    const OUT: u32 = Ready::WRITABLE;
    const RDHUP: u32 = Ready::PEER_FINISHED;
    const HUP: u32 = Ready::HANGUP;
    const ERR: u32 = Ready::ERROR;
    const PRI: u32 = Ready::URGENT;

    fn session(phase: Phase) -> Session {
        let mut session = match phase {
            Phase::Connecting => Session::new(Phase::Connecting, Now::ZERO),
            _ => Session::new(Phase::Open, Now::ZERO),
        };
        if phase == Phase::PeerFinished {
            session.peer_finished();
        }
        if matches!(phase, Phase::Draining | Phase::Lingering) {
            session.close(CloseReason::Closed);
        }
        if phase == Phase::Lingering {
            session.linger();
        }
        if phase == Phase::Dead {
            session.die(CloseReason::Closed);
        }
        assert_eq!(session.phase(), phase);
        session
    }

    fn held() -> Session {
        let mut session = session(Phase::Open);
        session.hold(Holds::LANE, Now::ZERO);
        session
    }

    fn blocked(mut session: Session) -> Session {
        session.block(Now::ZERO);
        session
    }

    fn act(session: &Session, flags: u32) -> Act {
        decide(session, flags).act
    }

    const READ: Act = Act::Read { to_the_end: false };
    const READ_ALL: Act = Act::Read { to_the_end: true };

    #[test]
    fn a_dialled_session_is_asked_what_became_of_it_whatever_is_reported() {
        let session = session(Phase::Connecting);
        for flags in [IN, OUT, HUP, ERR, IN | OUT | RDHUP] {
            assert_eq!(decide(&session, flags), Decision { write: false, act: Act::AskConnect });
        }
    }

    #[test]
    fn an_open_session_is_read_and_to_the_end_where_a_short_read_proves_nothing() {
        let session = session(Phase::Open);
        assert_eq!((act(&session, IN), act(&session, IN | OUT)), (READ, READ));
        for flags in [RDHUP, HUP, ERR, PRI] {
            assert_eq!((act(&session, IN | flags), act(&session, flags)), (READ_ALL, READ_ALL));
        }
        assert_eq!(act(&session, OUT), Act::Nothing);
    }

    #[test]
    fn an_open_session_that_is_held_is_not_read_and_its_break_is_asked_for() {
        let session = held();
        for flags in [IN, OUT, IN | OUT, IN | RDHUP, IN | PRI] {
            assert_eq!(act(&session, flags), Act::Nothing, "{flags:#x}");
        }
        for flags in [HUP, ERR, IN | RDHUP | HUP, IN | OUT | ERR | HUP] {
            assert_eq!(act(&session, flags), Act::AskError, "{flags:#x}");
        }
    }

    #[test]
    fn a_session_whose_stream_in_has_ended_is_not_read_and_its_break_is_asked_for() {
        for phase in [Phase::PeerFinished, Phase::Draining] {
            let session = session(phase);
            for flags in [IN, OUT, IN | RDHUP] {
                assert_eq!(act(&session, flags), Act::Nothing, "{phase:?} {flags:#x}");
            }
            for flags in [HUP, ERR, IN | RDHUP | HUP] {
                assert_eq!(act(&session, flags), Act::AskError, "{phase:?} {flags:#x}");
            }
        }
    }

    #[test]
    fn a_lingering_session_is_emptied() {
        let session = session(Phase::Lingering);
        for flags in [IN, RDHUP, HUP, ERR, IN | OUT] {
            assert_eq!(act(&session, flags), Act::Discard, "{flags:#x}");
        }
        assert_eq!(act(&session, OUT), Act::Nothing);
    }

    #[test]
    fn nothing_becomes_of_an_event_of_the_dead() {
        let session = session(Phase::Dead);
        for flags in [IN, OUT, HUP, ERR, IN | OUT | RDHUP | HUP | ERR] {
            let nothing = Decision { write: false, act: Act::Nothing };
            assert_eq!(decide(&session, flags), nothing);
        }
    }

    #[test]
    fn a_blocked_write_goes_on_whatever_else_the_event_says() {
        let open = || blocked(session(Phase::Open));
        let all = [
            open(),
            blocked(held()),
            blocked(session(Phase::PeerFinished)),
            blocked(session(Phase::Draining)),
        ];
        for session in all {
            for flags in [OUT, IN | OUT, HUP, ERR, IN | OUT | RDHUP] {
                assert!(decide(&session, flags).write, "{:?} {flags:#x}", session.phase());
            }
            for flags in [IN, IN | RDHUP, IN | PRI] {
                assert!(!decide(&session, flags).write, "{:?} {flags:#x}", session.phase());
            }
        }
        for phase in [Phase::Open, Phase::PeerFinished, Phase::Draining] {
            assert!(!decide(&session(phase), OUT).write, "{phase:?}: nothing waits");
        }
    }

    #[test]
    fn an_event_that_is_simple_for_a_session_that_is_simple_is_one_plain_read() {
        let simple = session(Phase::Open);
        assert!(simple.is_simple());
        for flags in 0..=(IN | OUT | PRI | ERR | HUP | RDHUP) {
            if is_simple(flags) {
                assert_eq!(decide(&simple, flags), Decision { write: false, act: READ });
            }
        }
        let not: [Session; 5] = [
            blocked(session(Phase::Open)),
            held(),
            session(Phase::PeerFinished),
            session(Phase::Draining),
            session(Phase::Dead),
        ];
        assert!(not.iter().all(|session| !session.is_simple()));
        assert!([OUT, IN | RDHUP, IN | PRI, IN | HUP].iter().all(|flags| !is_simple(*flags)));
    }
}
