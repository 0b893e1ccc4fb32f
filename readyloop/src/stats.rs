//! What a reactor counts while it works: plain numbers, one struct for each reactor.
//!
//! Totals only grow, so two readings give a rate. Every read, write and change of interest is
//! counted where it is made; that is how a test knows what a message costs.

use crate::close::CloseReason;
use crate::durations::Durations;

/// Totals of one reactor since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Turns taken.
    pub turns: u64,
    /// How long each wait call took, if that is measured (`Builder::measure_waits`).
    pub waits: Durations,
    /// Entries of ready lists.
    pub events: u64,
    /// Events for sessions that had ended.
    pub events_stale: u64,
    /// Sessions served without an event, because an earlier turn had left something of them over.
    pub left_over: u64,
    /// Sessions opened, accepted and dialled.
    pub opened: u64,
    /// Callers that had a preamble to run before they were sessions.
    pub preambles: u64,
    /// Those of them for which it was never done: refused, broken off, too slow, or met by a stop.
    pub preambles_failed: u64,
    /// Callers hung up on because of `sessions_max` or `sessions_per_address_max`.
    pub refused_by_limit: u64,
    /// Callers hung up on because descriptors had run out.
    pub refused_by_descriptors: u64,
    /// Callers lost before they were accepted.
    pub accepts_skipped: u64,
    /// How often a listener was laid to rest.
    pub listener_rests: u64,
    /// Sessions ended, by [`CloseReason::kind`]; also those that were never opened: dials that failed, and
    /// callers whose preamble did. So they may be more than were opened.
    pub closed: [u64; CloseReason::KINDS],
    /// Calls that read.
    pub recvs: u64,
    /// Bytes read.
    pub recv_bytes: u64,
    /// Frames given to handlers.
    pub frames: u64,
    /// Calls that wrote.
    pub sends: u64,
    /// Bytes written.
    pub sent_bytes: u64,
    /// Changes of interest (`EPOLL_CTL_MOD`).
    pub rearms: u64,
    /// Times that a session was not read because its send queue stood over the high mark.
    pub pauses: u64,
    /// Times that such a session was read again.
    pub resumes: u64,
    /// Messages of groups given to members.
    pub deliveries: u64,
    /// Messages of groups that a slow member has missed.
    pub deliveries_dropped: u64,
    /// Users' timers fired.
    pub timers: u64,
    /// Mails of other threads handled: commands, and pieces of work that were run.
    pub mails: u64,
    /// Mails for sessions that had ended.
    pub mails_stale: u64,
    /// Mails of other threads that found the mailbox full, and commands of this reactor's sessions
    /// that were not taken because who asked was held already, and has asked too much since.
    pub mails_refused: u64,
    /// Panics caught in handlers and framers.
    pub panics: u64,
    /// Panics of the incident hook itself; told by the thread that ends next.
    pub report_panics: u64,
}

impl Stats {
    /// Sessions ended, for all reasons together.
    pub fn closed_total(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// Adds what another thread of the same server has counted.
    pub fn add(&mut self, other: &Stats) {
        // In one piece, so that a new count cannot be forgotten here.
        let Stats {
            turns,
            waits,
            events,
            events_stale,
            left_over,
            opened,
            preambles,
            preambles_failed,
            refused_by_limit,
            refused_by_descriptors,
            accepts_skipped,
            listener_rests,
            recvs,
            recv_bytes,
            frames,
            sends,
            sent_bytes,
            rearms,
            pauses,
            resumes,
            deliveries,
            deliveries_dropped,
            timers,
            mails,
            mails_stale,
            mails_refused,
            panics,
            report_panics,
            closed,
        } = other;
        self.turns += turns;
        self.waits.add(waits);
        self.events += events;
        self.events_stale += events_stale;
        self.left_over += left_over;
        self.opened += opened;
        self.preambles += preambles;
        self.preambles_failed += preambles_failed;
        self.refused_by_limit += refused_by_limit;
        self.refused_by_descriptors += refused_by_descriptors;
        self.accepts_skipped += accepts_skipped;
        self.listener_rests += listener_rests;
        self.recvs += recvs;
        self.recv_bytes += recv_bytes;
        self.frames += frames;
        self.sends += sends;
        self.sent_bytes += sent_bytes;
        self.rearms += rearms;
        self.pauses += pauses;
        self.resumes += resumes;
        self.deliveries += deliveries;
        self.deliveries_dropped += deliveries_dropped;
        self.timers += timers;
        self.mails += mails;
        self.mails_stale += mails_stale;
        self.mails_refused += mails_refused;
        self.panics += panics;
        self.report_panics += report_panics;
        self.closed.iter_mut().zip(closed).for_each(|(sum, count)| *sum += count);
    }
}
