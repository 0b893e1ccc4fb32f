//! Bytes on their way out: one session's queue, and the stock that idle queues go back to.
//!
//! Small sends are gathered in an open chunk at the tail; shared bytes and full chunks line up
//! before it. A reply that fits the open chunk is therefore written with one plain `send`; an empty
//! queue is one null pointer, and a queue of shared bytes alone has no chunk. Pure: nothing here writes to a socket.
//!
//! Invariants: `bytes` is the sum of all runs and the tail, less `written`; `written` counts only
//! bytes of the first run (of the tail, if there is no run) and is smaller than its length unless
//! the queue is empty; a run is never empty; a queue without bytes is `None`.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::pool::{Pool, SMALL_BYTES};

/// The queue of one session.
#[derive(Default)]
pub struct SendQueue(Option<Box<Waiting>>);

/// What is allocated only while bytes wait.
#[derive(Default)]
struct Waiting {
    runs: VecDeque<Run>,
    tail: Vec<u8>,
    written: usize,
    bytes: usize,
}

enum Run {
    Owned(Vec<u8>),
    Shared(Bytes),
}

/// One reactor's spare queues and chunks.
#[derive(Default)]
pub struct Stock {
    /// Chunks, also lent to the receive side.
    pub pool: Pool,
    /// Boxed, because a queue moves in and out of the stock as one pointer.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Waiting>>,
}

/// Spare queues kept, each with a small chunk: 512 KiB, enough for a full ready list of replies.
const SPARE_KEPT: usize = 256;
/// Runs that a spare queue keeps room for.
const SPARE_RUNS_MAX: usize = 64;

impl SendQueue {
    /// Bytes that wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.bytes)
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Queues a copy of `bytes`.
    #[inline]
    pub fn push(&mut self, bytes: &[u8], stock: &mut Stock) {
        if bytes.is_empty() {
            return;
        }
        let waiting = self.0.get_or_insert_with(|| stock.take());
        waiting.bytes += bytes.len();
        if bytes.len() <= waiting.tail.capacity() - waiting.tail.len() {
            waiting.tail.extend_from_slice(bytes);
        } else {
            waiting.push_over(bytes, &mut stock.pool);
        }
    }

    /// Queues `bytes` without copying them; many queues may share them.
    pub fn push_shared(&mut self, bytes: Bytes, stock: &mut Stock) {
        if bytes.is_empty() {
            return;
        }
        let waiting = self.0.get_or_insert_with(|| stock.take());
        waiting.bytes += bytes.len();
        waiting.close_tail();
        waiting.runs.push_back(Run::Shared(bytes));
    }

    /// Puts `bytes` before all that waits, of which nothing may have left yet.
    pub fn push_front(&mut self, bytes: &[u8], stock: &mut Stock) {
        if self.is_empty() {
            return self.push(bytes, stock);
        }
        let Some(waiting) = &mut self.0 else { return };
        debug_assert_eq!(waiting.written, 0);
        waiting.bytes += bytes.len();
        let mut chunk = stock.pool.whole(bytes.len());
        chunk.extend_from_slice(bytes);
        waiting.runs.push_front(Run::Owned(chunk));
    }

    /// The same, without a copy.
    pub fn push_front_shared(&mut self, bytes: Bytes, stock: &mut Stock) {
        let waiting = self.0.get_or_insert_with(|| stock.take());
        debug_assert_eq!(waiting.written, 0);
        waiting.bytes += bytes.len();
        waiting.runs.push_front(Run::Shared(bytes));
    }

    /// Fills `slices` from the queue's front with at most `budget` bytes, and says how many slices
    /// were filled.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>], mut budget: usize) -> usize {
        let Some(waiting) = &self.0 else { return 0 };
        let runs = waiting.runs.iter().map(Run::as_slice).chain([&waiting.tail[..]]);
        let mut skip = waiting.written;
        let mut filled = 0;
        for run in runs {
            let piece = &run[skip..];
            skip = 0;
            let piece = &piece[..piece.len().min(budget)];
            if piece.is_empty() || filled == slices.len() {
                break;
            }
            slices[filled] = IoSlice::new(piece);
            filled += 1;
            budget -= piece.len();
        }
        filled
    }

    /// Takes note that the first `count` bytes have left; `count` is at most [`SendQueue::len`].
    #[inline]
    pub fn advance(&mut self, count: usize, stock: &mut Stock) {
        let Some(waiting) = &mut self.0 else { return };
        debug_assert!(count <= waiting.bytes);
        waiting.bytes -= count;
        if waiting.bytes == 0 {
            self.clear(stock);
        } else {
            waiting.written += count;
            waiting.drop_written(&mut stock.pool);
        }
    }

    /// Drops all that waits.
    #[inline]
    pub fn clear(&mut self, stock: &mut Stock) {
        if let Some(waiting) = self.0.take() {
            stock.give_back(waiting);
        }
    }
}

impl Waiting {
    /// Bytes that do not fit the open chunk: fill it, then open chunks as large as needed.
    #[cold]
    fn push_over(&mut self, bytes: &[u8], pool: &mut Pool) {
        let (fits, mut rest) = bytes.split_at(self.tail.capacity() - self.tail.len());
        self.tail.extend_from_slice(fits);
        while !rest.is_empty() {
            self.close_tail();
            self.tail = pool.chunk(rest.len());
            let (fits, over) = rest.split_at(rest.len().min(self.tail.capacity()));
            self.tail.extend_from_slice(fits);
            rest = over;
        }
    }

    /// Lines the open chunk up behind the runs.
    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.runs.push_back(Run::Owned(std::mem::take(&mut self.tail)));
        }
    }

    fn drop_written(&mut self, pool: &mut Pool) {
        while let Some(first) = self.runs.front()
            && self.written >= first.as_slice().len()
        {
            self.written -= first.as_slice().len();
            if let Some(Run::Owned(chunk)) = self.runs.pop_front() {
                pool.give_back(chunk);
            }
        }
    }
}

impl Run {
    fn as_slice(&self) -> &[u8] {
        match self {
            Run::Owned(bytes) => bytes,
            Run::Shared(bytes) => bytes,
        }
    }
}

impl Stock {
    #[inline]
    fn take(&mut self) -> Box<Waiting> {
        self.spare.pop().unwrap_or_default()
    }

    #[inline]
    fn give_back(&mut self, mut waiting: Box<Waiting>) {
        if !waiting.runs.is_empty() || waiting.tail.capacity() > SMALL_BYTES {
            self.strip(&mut waiting);
        }
        if self.spare.len() < SPARE_KEPT {
            waiting.tail.clear();
            waiting.written = 0;
            waiting.bytes = 0;
            self.spare.push(waiting);
        } else {
            self.pool.give_back(std::mem::take(&mut waiting.tail));
        }
    }

    /// Leaves a queue no more than one small chunk and a short list.
    #[cold]
    fn strip(&mut self, waiting: &mut Waiting) {
        for run in waiting.runs.drain(..) {
            if let Run::Owned(chunk) = run {
                self.pool.give_back(chunk);
            }
        }
        waiting.runs.shrink_to(SPARE_RUNS_MAX);
        if waiting.tail.capacity() > SMALL_BYTES {
            self.pool.give_back(std::mem::take(&mut waiting.tail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::LARGE_BYTES;
    use crate::sim::Rng;

    fn gathered(queue: &SendQueue, budget: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = queue.gather(&mut slices, budget);
        slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
    }

    #[test]
    fn what_leaves_is_what_was_queued_for_every_size_and_partial_write() {
        for seed in 0..300 {
            let (mut rng, mut stock) = (Rng::new(seed), Stock::default());
            let (mut queue, mut twin) = (SendQueue::default(), VecDeque::new());
            for step in 0..200 {
                let largest = [10, 100, SMALL_BYTES + 3, 3 * LARGE_BYTES][rng.below(4)];
                let bytes: Vec<u8> = (0..rng.below(largest)).map(|n| (n ^ step) as u8).collect();
                match rng.below(5) {
                    0 => queue.push_shared(Bytes::from(bytes.clone()), &mut stock),
                    _ => queue.push(&bytes, &mut stock),
                }
                twin.extend(bytes);
                let budget = rng.below(2 * LARGE_BYTES) + 1;
                let seen = gathered(&queue, budget);
                assert!(twin.iter().take(seen.len()).eq(&seen), "seed {seed}, step {step}");
                assert!(!seen.is_empty() || twin.is_empty(), "seed {seed}, step {step}");
                let count = rng.below(seen.len() + 1);
                queue.advance(count, &mut stock);
                twin.drain(..count);
                assert_eq!(queue.len(), twin.len(), "seed {seed}, step {step}");
                assert_eq!(queue.is_empty(), twin.is_empty(), "seed {seed}, step {step}");
            }
        }
    }

    #[test]
    fn an_idle_queue_is_one_pointer_and_owns_nothing() {
        let (mut queue, mut stock) = (SendQueue::default(), Stock::default());
        queue.push(&[1; 3 * LARGE_BYTES], &mut stock);
        queue.advance(3 * LARGE_BYTES, &mut stock);
        assert!(queue.is_empty());
        assert_eq!(size_of::<SendQueue>(), size_of::<usize>());
    }

    #[test]
    fn small_sends_leave_in_one_piece() {
        let (mut queue, mut stock) = (SendQueue::default(), Stock::default());
        queue.push(b"ab", &mut stock);
        queue.push(b"cd", &mut stock);
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(queue.gather(&mut slices, usize::MAX), 1);
        assert_eq!(&slices[0][..], b"abcd");
    }

    #[test]
    fn what_is_put_before_a_queue_leaves_before_it() {
        let (mut queue, mut stock) = (SendQueue::default(), Stock::default());
        queue.push_front(b"b", &mut stock);
        queue.push(b"c", &mut stock);
        queue.push_front(b"a", &mut stock);
        assert_eq!((gathered(&queue, 2), queue.len()), (b"ab".to_vec(), 3));
        queue.advance(2, &mut stock);
        assert_eq!(gathered(&queue, 9), b"c");
    }

    #[test]
    fn shared_bytes_are_stored_once() {
        let (mut one, mut two, mut stock) =
            (SendQueue::default(), SendQueue::default(), Stock::default());
        let bytes = Bytes::from(vec![7; 100]);
        one.push_shared(bytes.clone(), &mut stock);
        two.push_shared(bytes.clone(), &mut stock);
        let mut slices = [IoSlice::new(&[]); 1];
        one.gather(&mut slices, usize::MAX);
        assert_eq!(slices[0].as_ptr(), bytes.as_ptr());
        two.gather(&mut slices, usize::MAX);
        assert_eq!(slices[0].as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn a_long_stream_lies_in_large_chunks() {
        let (mut queue, mut stock) = (SendQueue::default(), Stock::default());
        queue.push(&[1; 10 * LARGE_BYTES], &mut stock);
        let mut slices = [IoSlice::new(&[]); 64];
        assert_eq!(queue.gather(&mut slices, usize::MAX), 10);
    }
}
