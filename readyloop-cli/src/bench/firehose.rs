//! Sessions that send without pause, to see what they do to those that are measured.
//!
//! A firehose waits for no answer. Its send queue stands at the high mark and never over it: over the
//! mark a session is not read, and a server that has stopped reading until it is read itself would
//! then wait for us, as we for it. So `on_drained` never comes. The queue is filled again whenever
//! bytes come back, and each millisecond for the sake of a server that takes and does not answer;
//! what the kernel holds on its way is more than a server takes in that time.
//!
//! What it sends is written once and shared, and what comes back is dropped as it was read, so that it
//! is the server that is busy and not we. In one turn it has its budgets, as every session, and small
//! ones: those that are measured wait for the rest of our own turn too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use readyloop::{Bytes, Context, Error, Framer, Limits, Raw, Result, Step};

use super::wire::Wire;

/// How much is on its way out of one firehose.
const QUEUE_BYTES: usize = 256 << 10;
/// Read in one turn. With 64 KiB in each direction, half of the polite sessions waited longer than
/// 154 us for an echo, most of that for our turns; with 16 KiB longer than 45 us, and than 38 us
/// beside no firehose. It sent 1.6 GB/s then, not 2.1.
const RECV_BUDGET_BYTES: usize = 16 << 10;
/// Written in one turn: more than is read, or the kernel's buffers would never fill, and the server
/// would be done with what has come whenever we do not run. On a busy machine it sends 870 MB/s so,
/// as with 64 KiB in each direction, and 530 MB/s with as much as is read.
const SEND_BUDGET_BYTES: usize = 2 * RECV_BUDGET_BYTES;
/// How often it is looked at when nothing comes back.
pub const REFILL: Duration = Duration::from_millis(1);

/// All firehoses of a run.
pub struct Firehoses {
    /// On all threads.
    pub sessions: usize,
    /// Whole requests, sent again and again.
    requests: Bytes,
    pub sent_bytes: AtomicU64,
    pub received_bytes: AtomicU64,
}

impl Firehoses {
    /// # Errors
    /// When a request is longer than the queue.
    pub fn new(sessions: usize, wire: &impl Wire) -> Result<Firehoses> {
        let mut requests = Vec::new();
        if sessions > 0 {
            wire.pour(&mut requests);
        }
        if requests.len() > QUEUE_BYTES {
            return Err(Error::settings(format!(
                "a --firehose has {QUEUE_BYTES} bytes on their way, and a request of this --size \
                 is longer; make --size at most {}",
                QUEUE_BYTES / 2
            )));
        }
        Ok(Firehoses {
            sessions,
            requests: requests.into(),
            sent_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
        })
    }

    /// The limits of whoever has firehoses among the sessions.
    pub fn bounded(&self, limits: Limits) -> Limits {
        if self.sessions == 0 {
            return limits;
        }
        Limits {
            recv_budget_bytes: RECV_BUDGET_BYTES,
            send_budget_bytes: SEND_BUDGET_BYTES,
            send_high_bytes: QUEUE_BYTES,
            ..limits
        }
    }

    /// Fills the queue of the session that is being served.
    pub fn fill(&self, context: &mut Context<'_>) {
        let mut sent = 0;
        while context.queued_bytes() + self.requests.len() <= QUEUE_BYTES
            && context.send_shared(self.requests.clone())
        {
            sent += self.requests.len() as u64;
        }
        self.sent_bytes.fetch_add(sent, Ordering::Relaxed);
    }
}

/// How a session's bytes are cut.
pub enum Cut<F> {
    /// Into answers.
    Answers(F),
    /// Not at all: nobody looks at them.
    Nowhere,
}

impl<F: Framer> Framer for Cut<F> {
    fn next(&mut self, input: &mut [u8]) -> Step {
        match self {
            Cut::Answers(framer) => framer.next(input),
            Cut::Nowhere => Raw.next(input),
        }
    }
}
