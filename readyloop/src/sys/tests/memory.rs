//! Kernel memory that runs out, told by a poller that is made up: no test can take a kernel's.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};

use super::*;

/// What it was asked, and what it answers to the next calls; it agrees when nothing is left.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<(Vec<&'static str>, VecDeque<RustixErrno>)>>);

impl Scripted {
    fn answer(&self, asked: &'static str) -> rustix::io::Result<()> {
        let mut script = self.0.lock().unwrap();
        script.0.push(asked);
        script.1.pop_front().map_or(Ok(()), Err)
    }

    fn answers(&self, errnos: &[RustixErrno]) {
        self.0.lock().unwrap().1.extend(errnos);
    }

    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap().0)
    }
}

impl InterestList for Scripted {
    fn add(&mut self, _: BorrowedFd<'_>, _: Token, _: Interest) -> rustix::io::Result<()> {
        self.answer("add")
    }

    fn modify(&mut self, _: BorrowedFd<'_>, _: Token, _: Interest) -> rustix::io::Result<()> {
        self.answer("modify")
    }

    fn remove(&mut self, _: BorrowedFd<'_>) {
        self.0.lock().unwrap().0.push("remove");
    }

    fn wait(
        &mut self,
        _: &mut Vec<Event>,
        _: usize,
        _: Option<Duration>,
    ) -> rustix::io::Result<()> {
        self.answer("wait")
    }
}

fn scripted() -> (Linux, Scripted) {
    let mut linux = linux(Poller::Poll, Trigger::Level).unwrap();
    let list = Scripted::default();
    linux.poller = Box::new(list.clone());
    (linux, list)
}

#[test]
fn a_wait_without_memory_is_an_empty_one_and_no_spin() {
    let (mut linux, list) = scripted();
    list.answers(&[RustixErrno::NOMEM; 2]);
    let began = Instant::now();
    assert_eq!((linux.wait(None), linux.wait(Some(SOON))), (Ok(0), Ok(0)));
    assert!(began.elapsed() >= 2 * NO_MEMORY_PAUSE);
    // Whoever would not sleep does not.
    list.answers(&[RustixErrno::NOMEM, RustixErrno::BADF]);
    assert_eq!(linux.wait(Some(Duration::ZERO)), Ok(0));
    assert_eq!(linux.wait(None), Err(Errno(9)), "a poller that cannot work says so");
}

#[test]
fn a_listener_rests_without_memory_too_and_is_watched_again_when_there_is_some() {
    let ((mut linux, list), (listener, _)) = (scripted(), listen());
    list.answers(&[RustixErrno::NOMEM]);
    assert_eq!(linux.rest_listener(&listener, 0, true), Ok(()));
    assert_eq!(list.asked(), ["modify", "remove"]);
    list.answers(&[RustixErrno::NOENT, RustixErrno::NOSPC]);
    assert_eq!(linux.rest_listener(&listener, 0, false), Err(Errno::NOSPC));
    list.answers(&[RustixErrno::NOENT]);
    assert_eq!(linux.rest_listener(&listener, 0, false), Ok(()));
    assert_eq!(list.asked(), ["modify", "add", "modify", "add"]);
    list.answers(&[RustixErrno::NOMEM]);
    assert_eq!(linux.rest_listener(&listener, 0, false), Err(Errno::NOMEM));
}

#[test]
fn a_read_or_a_write_without_memory_is_no_broken_connection() {
    for errno in [RustixErrno::NOMEM, RustixErrno::NOBUFS] {
        assert_eq!(moved(Err(errno)), Io::Exhausted(plain_errno(errno)));
        assert_eq!(received::<()>(Err(errno)), Io::Exhausted(plain_errno(errno)));
    }
}
