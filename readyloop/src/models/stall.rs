//! A model of the stall watch, which reads what a worker writes without a lock.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use loom::thread::spawn;

use crate::clock::Now;
use crate::id::SessionId;
use crate::incident::Incident;
use crate::lanes::stall::{Post, Watch};
use crate::sync::Ordering;

use super::{explore, join};

/// Two looks at a worker that goes from one session to the next: none is reported that had ended
/// before the second look, or was not begun at the end of the first. All interleavings.
#[test]
fn a_stall_is_reported_with_its_own_session() {
    explore(None, || {
        let posts: Arc<[Post]> = Arc::new([Post::default()]);
        let (slow, next) = (SessionId::new(0, 1, 1), SessionId::new(0, 2, 1));
        // The first is the model's, because a look may miss what no order says that it must see.
        let slow_ended = Arc::new(loom::sync::atomic::AtomicBool::new(false));
        let next_begun = Arc::new(AtomicBool::new(false));
        posts[0].begin(slow);
        let worker = {
            let (posts, slow_ended) = (posts.clone(), slow_ended.clone());
            let next_begun = next_begun.clone();
            spawn(move || {
                posts[0].end();
                slow_ended.store(true, Ordering::Release);
                next_begun.store(true, Ordering::SeqCst);
                posts[0].begin(next);
                posts[0].end();
            })
        };
        let second = Duration::from_secs(1);
        let mut watch = Watch::new(0, 1, second);
        watch.begin(Now::ZERO);
        watch.check(Now::ZERO + second, true, &posts, &|_| panic!("it may have begun just now"));
        let in_time = next_begun.load(Ordering::SeqCst);
        let too_late = slow_ended.load(Ordering::Acquire);
        let reported = Cell::new(None);
        watch.check(Now::ZERO + second * 2, true, &posts, &|incident| match incident {
            Incident::Stalled { id, .. } => reported.set(Some(id)),
            other => panic!("{other:?}"),
        });
        join([worker]);
        match reported.get() {
            Some(id) if id == slow => assert!(!too_late, "the first had ended"),
            Some(_) => assert!(in_time, "the second had not begun"),
            None => {}
        }
    });
}
