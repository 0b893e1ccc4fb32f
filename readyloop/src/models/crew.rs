//! Models of the crew: lanes that wait, workers that sleep, and the way home.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::{Condvar, Mutex, MutexGuard};
use loom::thread::{JoinHandle, spawn};

use crate::lanes::crew::Crew;

use super::{Reader, Until, explore, join, take};

/// A lane of the worker pool: a moved value, with something inside that the model checker lets only
/// one thread touch, and only after all that the last one did.
struct Lane {
    number: usize,
    /// Frames of the next run, and those that were handled.
    batch: Vec<u32>,
    handled: Vec<u32>,
    body: UnsafeCell<()>,
}

impl Lane {
    fn new(number: usize, batch: &[u32]) -> Lane {
        Lane { number, batch: batch.to_vec(), handled: Vec::new(), body: UnsafeCell::new(()) }
    }

    fn run(&mut self) {
        let _touched = self.body.get_mut();
        self.handled.append(&mut self.batch);
    }
}

/// Lanes whose last run was seen, and a place to wait for them.
#[derive(Default)]
struct Tally {
    lanes: Mutex<Vec<Lane>>,
    grown: Condvar,
}

impl Tally {
    fn add(&self, lane: Lane) {
        self.lanes.lock().unwrap().push(lane);
        self.grown.notify_all();
    }

    fn wait_for(&self, count: usize) -> MutexGuard<'_, Vec<Lane>> {
        let mut lanes = self.lanes.lock().unwrap();
        while lanes.len() < count {
            lanes = self.grown.wait(lanes).unwrap();
        }
        lanes
    }
}

/// Two workers, who do this with each lane that they take.
fn two_workers(
    crew: &Arc<Crew<Lane>>,
    work: impl Fn(Lane) + Clone + Send + 'static,
) -> [JoinHandle<()>; 2] {
    [(); 2].map(|()| {
        let (crew, work) = (crew.clone(), work.clone());
        spawn(move || std::iter::from_fn(|| crew.take()).for_each(&work))
    })
}

/// Sends everybody home, and nobody is left who is thought to sleep or to be on the way.
fn dismiss(crew: &Crew<Lane>, workers: [JoinHandle<()>; 2]) {
    crew.dismiss();
    join(workers);
    assert!(crew.is_at_rest());
}

fn numbers(lanes: &[Lane]) -> Vec<usize> {
    let mut numbers: Vec<_> = lanes.iter().map(|lane| lane.number).collect();
    numbers.sort_unstable();
    numbers
}

/// Two workers take three lanes, of which two came at once: each lane once. All that waits is taken
/// without anybody being sent home, and then all can be sent home. At most 3 preemptions.
#[test]
fn every_lane_comes_to_one_worker() {
    explore(Some(3), || {
        let (crew, tally) = (Arc::new(Crew::default()), Arc::new(Tally::default()));
        let workers = two_workers(&crew, {
            let tally = tally.clone();
            move |mut lane| {
                lane.run();
                tally.add(lane);
            }
        });
        crew.add(&mut vec![Lane::new(0, &[]), Lane::new(1, &[])]);
        crew.add(&mut vec![Lane::new(2, &[])]);
        assert_eq!(numbers(&tally.wait_for(3)), [0, 1, 2]);
        dismiss(&crew, workers);
    });
}

/// Each run of one of two lanes ends when the other's has begun: so it must not happen that one
/// worker sleeps while a lane waits, whether they come together or one by one. At most 3
/// preemptions.
#[test]
fn nobody_sleeps_while_a_lane_waits() {
    for together in [true, false] {
        explore(Some(3), move || {
            let (crew, tally) = (Arc::new(Crew::default()), Arc::new(Tally::default()));
            let workers = two_workers(&crew, {
                let tally = tally.clone();
                move |lane| {
                    tally.add(lane);
                    tally.wait_for(2);
                }
            });
            let (one, two) = (Lane::new(0, &[]), Lane::new(1, &[]));
            if together {
                crew.add(&mut vec![one, two]);
            } else {
                crew.add(&mut vec![one]);
                crew.add(&mut vec![two]);
            }
            tally.wait_for(2);
            dismiss(&crew, workers);
        });
    }
}

/// A lane that its taker adds again, as one that comes home and leaves at once, is never run by two
/// workers, and each run sees what the last one did. At most 3 preemptions.
#[test]
fn a_lane_that_leaves_again_is_run_by_one_worker_at_a_time() {
    explore(Some(3), || {
        let (crew, tally) = (Arc::new(Crew::default()), Arc::new(Tally::default()));
        let workers = two_workers(&crew, {
            let (crew, tally) = (crew.clone(), tally.clone());
            move |mut lane| {
                lane.run();
                if lane.handled.len() < 2 {
                    lane.batch.push(2);
                    crew.add(&mut vec![lane]);
                } else {
                    tally.add(lane);
                }
            }
        });
        crew.add(&mut vec![Lane::new(0, &[1]), Lane::new(1, &[1])]);
        assert!(tally.wait_for(2).iter().all(|lane| lane.handled == [1, 2]));
        dismiss(&crew, workers);
    });
}

/// Whenever the crew is dismissed, the lanes that were added before are taken, and everybody goes
/// home. At most 5 preemptions.
#[test]
fn a_dismissed_crew_finishes_what_is_left_and_ends() {
    explore(Some(5), || {
        let (crew, tally) = (Arc::new(Crew::default()), Arc::new(Tally::default()));
        let workers = two_workers(&crew, {
            let tally = tally.clone();
            move |lane| tally.add(lane)
        });
        crew.add(&mut vec![Lane::new(0, &[]), Lane::new(1, &[])]);
        dismiss(&crew, workers);
        assert_eq!(numbers(&tally.wait_for(2)), [0, 1]);
    });
}

/// Two lanes go to the workers and come home as mail, while the reactor sleeps on its bell; what
/// gathers meanwhile leaves on the next trip. Every frame is handled, once and in its order, and
/// the reactor is woken only when it sleeps. At most 2 preemptions.
#[test]
fn a_lane_comes_home_with_every_frame() {
    explore(Some(2), || {
        let reader = Reader::new();
        let (crew, home) = (Arc::new(Crew::default()), reader.mailbox(usize::MAX));
        let workers = two_workers(&crew, {
            let home = home.clone();
            move |mut lane: Lane| {
                lane.run();
                assert!(home.post_always(lane).is_ok());
            }
        });
        let mut leaving = vec![Lane::new(0, &[1, 2]), Lane::new(1, &[1, 2])];
        let mut pending = [vec![3, 4], vec![3, 4]];
        let mut finished = Vec::new();
        while finished.len() < 2 {
            if !leaving.is_empty() {
                crew.add(&mut leaving);
            }
            if !reader.wait(Until::Rung) {
                continue;
            }
            for mut lane in take(&home) {
                lane.batch = std::mem::take(&mut pending[lane.number]);
                let list = if lane.batch.is_empty() { &mut finished } else { &mut leaving };
                list.push(lane);
            }
        }
        dismiss(&crew, workers);
        assert_eq!(numbers(&finished), [0, 1]);
        assert!(finished.iter().all(|lane| lane.handled == [1, 2, 3, 4]));
    });
}

/// A reactor ends while its lanes are away: its workers end too, after they have run every lane, and
/// each lane is given back or refused. At most 4 preemptions.
#[test]
fn workers_end_when_their_reactor_does() {
    explore(Some(4), || {
        let reader = Reader::new();
        let (crew, home) = (Arc::new(Crew::default()), reader.mailbox(usize::MAX));
        let late = Arc::new(Tally::default());
        let workers = two_workers(&crew, {
            let (home, late) = (home.clone(), late.clone());
            move |mut lane: Lane| {
                lane.run();
                if let Err(lane) = home.post_always(lane) {
                    late.add(lane);
                }
            }
        });
        crew.add(&mut vec![Lane::new(0, &[1]), Lane::new(1, &[1])]);
        let left = home.close();
        dismiss(&crew, workers);
        let mut all = late.wait_for(2 - left.len());
        all.extend(left);
        assert_eq!(numbers(&all), [0, 1]);
        assert!(all.iter().all(|lane| lane.handled == [1]));
    });
}
