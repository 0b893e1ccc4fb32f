//! Buffers that are lent out while bytes wait, and come back when they are gone.
//!
//! An idle session owns no buffer, and yet the byte path allocates nothing after warm-up: a session
//! takes a chunk when its first byte must wait and gives it back with its last. Two sizes, because
//! most servers send little: a small chunk bounds what one waiting byte costs, a large one what a
//! long stream costs in list entries.
//!
//! Invariant: `small` holds chunks of exactly [`SMALL_BYTES`] capacity, `large` of [`LARGE_BYTES`],
//! all empty.

/// Capacity of a small chunk in bytes.
pub const SMALL_BYTES: usize = 2 << 10;
/// Capacity of a large chunk in bytes.
pub const LARGE_BYTES: usize = 16 << 10;
/// Small chunks that are kept for the next borrower: 256 KiB.
const SMALL_KEPT: usize = 128;
/// Large chunks that are kept for the next borrower: 512 KiB.
const LARGE_KEPT: usize = 32;

/// One reactor's free chunks.
#[derive(Default)]
pub struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl Pool {
    /// An empty buffer with room for `bytes`, or a large chunk where no chunk has that room: the
    /// caller asks again for the rest.
    pub fn chunk(&mut self, bytes: usize) -> Vec<u8> {
        let (free, capacity) = match bytes {
            0..=SMALL_BYTES => (&mut self.small, SMALL_BYTES),
            _ => (&mut self.large, LARGE_BYTES),
        };
        free.pop().unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// An empty buffer with room for all of `bytes`, from outside of the pool if no chunk has it.
    pub fn whole(&mut self, bytes: usize) -> Vec<u8> {
        if bytes <= LARGE_BYTES { self.chunk(bytes) } else { Vec::with_capacity(bytes) }
    }

    /// Takes a buffer back; one that is not of the pool's sizes, or one too many, is freed.
    pub fn give_back(&mut self, mut chunk: Vec<u8>) {
        let (free, kept) = match chunk.capacity() {
            SMALL_BYTES => (&mut self.small, SMALL_KEPT),
            LARGE_BYTES => (&mut self.large, LARGE_KEPT),
            _ => return,
        };
        if free.len() < kept {
            chunk.clear();
            free.push(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_came_back_is_lent_again() {
        let mut pool = Pool::default();
        for bytes in [1, SMALL_BYTES, SMALL_BYTES + 1, LARGE_BYTES] {
            let mut chunk = pool.whole(bytes);
            assert!(chunk.capacity() >= bytes);
            chunk.push(7);
            let place = chunk.as_ptr();
            pool.give_back(chunk);
            let again = pool.whole(bytes);
            assert_eq!((again.as_ptr(), again.len()), (place, 0));
            pool.give_back(again);
        }
    }

    #[test]
    fn the_pool_keeps_a_bounded_number_of_chunks() {
        let mut pool = Pool::default();
        let lent: Vec<_> = (0..10_000).map(|n| pool.chunk(n * 3)).collect();
        lent.into_iter().for_each(|chunk| pool.give_back(chunk));
        pool.give_back(pool_stranger());
        assert_eq!((pool.small.len(), pool.large.len()), (SMALL_KEPT, LARGE_KEPT));
    }

    fn pool_stranger() -> Vec<u8> {
        Vec::with_capacity(LARGE_BYTES + 1)
    }
}
