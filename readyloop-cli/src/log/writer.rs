//! Lines for standard error, written by a thread of their own: who has something to say never waits
//! for who should read it.
//!
//! It exists because a pipe that nobody reads is full after 64 KiB (pipe(7)), and a write to it ends
//! when somebody reads: a reactor that logs would serve nobody until then, and hear no signal.
//!
//! Invariants: at most `BYTES_MAX` wait to be written, and as many are being written; what does not
//! fit is counted, and said behind what was there before.
//!
//! Thread contract: any-thread.

use std::io::{self, Write};
use std::mem::take;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Some thousand lines.
const BYTES_MAX: usize = 256 << 10;

/// Where lines are handed over. A handle: clones are the same one.
#[derive(Clone)]
pub struct Writer(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write.
    filled: Condvar,
    /// There is not.
    emptied: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Whole lines.
    bytes: Vec<u8>,
    /// Lines behind them for which there was no room.
    lost: usize,
    is_writing: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.lost == 0
    }
}

impl Writer {
    /// Writes to `sink` in a thread of this name.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(name: &str, sink: impl Write + Send + 'static) -> io::Result<Writer> {
        let (queue, filled, emptied) = Default::default();
        let writer = Writer(Arc::new(Shared { queue, filled, emptied }));
        let writes = writer.clone();
        thread::Builder::new().name(name.to_string()).spawn(move || writes.work(sink))?;
        Ok(writer)
    }

    /// Hands over a line, with its end.
    pub fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        // Behind a gap nothing is written before the gap is told.
        if queue.lost > 0 || queue.bytes.len() + line.len() > BYTES_MAX {
            queue.lost += 1;
        } else {
            queue.bytes.extend_from_slice(line);
        }
        drop(queue);
        self.0.filled.notify_one();
    }

    /// Waits until all is written, but no longer than this.
    pub fn finish(&self, within: Duration) {
        let is_busy = |queue: &mut Queue| queue.is_writing || !queue.is_empty();
        let waited = self.0.emptied.wait_timeout_while(self.lock(), within, is_busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn work(&self, mut sink: impl Write) {
        loop {
            let (bytes, lost) = self.next();
            let written = sink.write_all(&bytes).and_then(|()| match lost {
                0 => Ok(()),
                _ => writeln!(sink, "{lost} lines were lost here, as nobody read standard error"),
            });
            // A sink that is closed is no reason to end: others must not find the queue full.
            let _nobody_reads = written.and_then(|()| sink.flush());
        }
    }

    /// Waits for something to write.
    fn next(&self) -> (Vec<u8>, usize) {
        let mut queue = self.lock();
        queue.is_writing = false;
        if queue.is_empty() {
            self.0.emptied.notify_all();
        }
        let waited = self.0.filled.wait_while(queue, |queue| queue.is_empty());
        queue = waited.unwrap_or_else(PoisonError::into_inner);
        queue.is_writing = true;
        (take(&mut queue.bytes), take(&mut queue.lost))
    }

    /// No code runs under the lock that could leave the queue half changed, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Writer {
    /// The whole of `line` is taken, or counted.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Instant;

    use super::*;

    /// A sink that says what it should write, and writes when it is let.
    struct Stuck(Sender<Vec<u8>>, Receiver<io::Result<()>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            self.1.recv().unwrap_or(Ok(())).map(|()| bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const SOON: Duration = Duration::from_secs(20);

    fn stuck() -> (Writer, Receiver<Vec<u8>>, Sender<io::Result<()>>) {
        let (writes, written) = channel();
        let (lets, let_go) = channel();
        (Writer::start("stuck", Stuck(writes, let_go)).unwrap(), written, lets)
    }

    #[test]
    fn who_says_something_never_waits_and_what_is_lost_is_counted() {
        let (writer, written, lets) = stuck();
        writer.push(b"first\n");
        assert_eq!(written.recv_timeout(SOON).unwrap(), b"first\n");
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        (0..300).for_each(|_| writer.push(&line));
        let begin = Instant::now();
        writer.finish(Duration::from_millis(10));
        assert!(begin.elapsed() >= Duration::from_millis(10));
        drop(lets);
        writer.finish(SOON);
        let rest: Vec<u8> = written.try_iter().flatten().collect();
        let end = b"44 lines were lost here, as nobody read standard error\n";
        assert!(rest == [&line.repeat(256)[..], end].concat());
        writer.push(b"later\n");
        assert_eq!(written.recv_timeout(SOON).unwrap(), b"later\n");
    }

    #[test]
    fn a_closed_sink_takes_all_that_comes() {
        let (writer, written, lets) = stuck();
        for _ in 0..3 {
            writer.push(b"line\n");
            written.recv_timeout(SOON).unwrap();
            lets.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
            writer.finish(SOON);
        }
        assert!(writer.lock().is_empty());
    }
}
