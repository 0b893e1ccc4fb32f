//! How many frames each topology echoes in a second, in a closed loop.

use std::time::{Duration, Instant};

use crate::load::{Callers, framed};
use crate::rates::{Meter, Rate, print_rates};
use crate::server::{REUSEPORT, ROUND_ROBIN, SINGLE, Server, Topology, WORKERS, names};
use crate::stats::{rounds, take_turns};

const TOPOLOGIES: [Topology; 4] = [SINGLE, ROUND_ROBIN, REUSEPORT, WORKERS];

const SESSIONS: usize = 50;
const FRAME_BYTES: usize = 64;
const DEPTHS: [usize; 2] = [1, 16];
const ROUND: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(300);

/// A server and its callers. Between rounds nothing is on its way, so it leaves the processors to
/// the others.
struct Subject {
    server: Server,
    callers: Callers,
    /// How many bytes came to each caller, ever.
    came: Vec<usize>,
}

impl Subject {
    fn start(topology: Topology) -> Subject {
        let server = Server::echo(topology, "");
        let callers = Callers::open(server.address, SESSIONS);
        Subject { server, callers, came: vec![0; SESSIONS] }
    }

    /// Keeps `depth` frames of every session on their way for so long, and waits for the last one.
    fn round(&mut self, depth: usize, lasts: Duration) -> Rate {
        let Subject { server, callers, came } = self;
        let one = framed(&[b'x'; FRAME_BYTES]);
        // One more than can come at once, because the first one may have come in part.
        let frames = one.repeat(depth + 1);
        let mut buffer = vec![0; one.len() * depth];
        let meter = Meter::start(server);
        let end = Instant::now() + lasts;
        for caller in 0..SESSIONS {
            callers.send_all(caller, &frames[..buffer.len()]);
        }
        let (mut done, mut on_their_way) = (0, SESSIONS * depth);
        while on_their_way > 0 {
            let count = callers.wait();
            let goes_on = Instant::now() < end;
            for at in 0..count {
                let (caller, _) = callers.ready(at);
                let bytes = callers.receive(caller, &mut buffer);
                let before = came[caller];
                let expected = &frames[before % one.len()..][..bytes];
                assert!(buffer[..bytes] == *expected, "not what caller {caller} sent");
                came[caller] += bytes;
                let whole = came[caller] / one.len() - before / one.len();
                done += whole;
                match goes_on {
                    true => callers.send_all(caller, &frames[..whole * one.len()]),
                    false => on_their_way -= whole,
                }
            }
        }
        meter.stop(server, done)
    }
}

#[test]
#[ignore = "measures; run it alone in release"]
fn throughput_of_each_topology() {
    let topologies = Topology::asked_for(&TOPOLOGIES);
    let mut subjects: Vec<Subject> = topologies.iter().copied().map(Subject::start).collect();
    for depth in DEPTHS {
        take_turns(1, &mut subjects, |subject| subject.round(depth, WARM_UP));
        let measured = take_turns(rounds(), &mut subjects, |subject| subject.round(depth, ROUND));
        println!("\n{SESSIONS} sessions, {FRAME_BYTES}-byte frames, {depth} of each on their way");
        let figure = format!("frames, {depth} in flight");
        print_rates(&figure, ("frame", "frames"), &names(&topologies), &measured);
    }
    for Subject { server, callers, .. } in subjects {
        server.terminate();
        callers.expect_end();
        server.expect_good_end();
    }
}
