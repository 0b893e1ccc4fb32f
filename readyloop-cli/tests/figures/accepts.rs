//! How many sessions a server can take in a second, each for one frame.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::net::SocketFlags;

use crate::load::{Callers, dial, framed, reset_at_close};
use crate::rates::{Meter, Rate, print_rates};
use crate::server::{
    REUSEPORT, REUSEPORT_OWN_TABLES, ROUND_ROBIN, SINGLE, Server, Topology, names,
};
use crate::stats::{rounds, take_turns};

const TOPOLOGIES: [Topology; 4] = [SINGLE, ROUND_ROBIN, REUSEPORT, REUSEPORT_OWN_TABLES];

const IN_FLIGHT: usize = 32;
const FRAME_BYTES: usize = 64;
const ROUND: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(300);

/// Keeps so many connects in flight: each connects, hears one echo, and resets.
fn round(server: &Server, lasts: Duration) -> Rate {
    let frame = framed(&[b'x'; FRAME_BYTES]);
    let mut buffer = [0; 4 + FRAME_BYTES];
    let mut callers = Callers::none(IN_FLIGHT);
    let meter = Meter::start(server);
    let end = Instant::now() + lasts;
    for _ in 0..IN_FLIGHT {
        callers.add(new_stream(server), EventFlags::OUT);
    }
    let mut done = 0;
    while Instant::now() < end {
        for at in 0..callers.wait() {
            let (caller, can) = callers.ready(at);
            if can.contains(EventFlags::OUT) {
                callers.send_all(caller, &frame);
                callers.want(caller, EventFlags::IN);
            } else {
                let bytes = callers.receive(caller, &mut buffer);
                assert!(buffer[..bytes] == frame, "{bytes} bytes came to caller {caller}");
                callers.replace(caller, new_stream(server), EventFlags::OUT);
                done += 1;
            }
        }
    }
    meter.stop(server, done)
}

/// About to be open; its port will be free as soon as it is closed.
fn new_stream(server: &Server) -> TcpStream {
    let stream = dial(server.address, None, SocketFlags::NONBLOCK);
    reset_at_close(&stream);
    stream
}

#[test]
#[ignore = "measures; run it alone in release"]
fn accept_rate_handoff_against_reuseport() {
    let topologies = Topology::asked_for(&TOPOLOGIES);
    let mut servers: Vec<Server> =
        topologies.iter().map(|topology| Server::echo(*topology, "")).collect();
    take_turns(1, &mut servers, |server| round(server, WARM_UP));
    let measured = take_turns(rounds(), &mut servers, |server| round(server, ROUND));
    println!("\nsessions of one {FRAME_BYTES}-byte frame, {IN_FLIGHT} connects in flight");
    print_rates("accepts", ("session", "sessions"), &names(&topologies), &measured);
    for server in servers {
        server.terminate();
        server.expect_good_end();
    }
}
