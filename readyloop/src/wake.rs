//! Waking a reactor that sleeps: the one thing that a mailbox asks of a kernel.

/// Wakes a reactor that sleeps in `Kernel::wait`, from any thread.
pub trait Wake: Send + Sync {
    /// Makes the next or the current wait return at once, with `Token::WAKER` ready.
    fn wake(&self);
}
