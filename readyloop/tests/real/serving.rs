//! A server serves: whole frames, many clients, ends, mails, in every combination.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use readyloop::{Accepting, CloseReason, Context, Incident, Limits, Refused, Server, Topology};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{SendFlags, send};

use super::running::*;

#[test]
fn a_frame_that_comes_byte_by_byte_is_answered_whole() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut client = server.dial();
        for byte in framed(&pattern(100)) {
            client.write_all(&[byte]).unwrap();
        }
        assert_eq!(read_frame(&mut client), pattern(100));
    }
}

#[test]
fn a_frame_of_ten_megabytes_comes_back() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut client = server.dial();
        assert_echoes(&mut client, &pattern(10_000_000));
        assert_echoes(&mut client, b"and a short one");
    }
}

#[test]
fn two_hundred_clients_are_served_at_once() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut clients: Vec<TcpStream> = (0..200).map(|_| server.dial()).collect();
        for round in 0..3u32 {
            for (number, client) in clients.iter_mut().enumerate() {
                client.write_all(&framed(format!("{number} {round}").as_bytes())).unwrap();
            }
            for (number, client) in clients.iter_mut().enumerate() {
                assert_eq!(read_frame(client), format!("{number} {round}").as_bytes());
            }
        }
    }
}

#[test]
fn a_unix_socket_serves_and_its_file_goes_with_it() {
    let shared =
        |how: &How| !matches!(how.0, Topology::Multi { accept: Accepting::ReusePort(_), .. });
    for (nth, how) in COMBINATIONS.into_iter().filter(shared).enumerate() {
        let name = format!("readyloop-real-{}-{nth}", std::process::id());
        let path: PathBuf = std::env::temp_dir().join(name);
        let server = Running::serve_at(&format!("unix:{}", path.display()), how, None);
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        assert_echoes(&mut client, &pattern(300_000));
        server.remote.stop();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        drop((client, server));
        assert!(!path.exists());
    }
}

#[test]
fn what_unix_callers_wrote_before_they_closed_is_handled() {
    const CALLERS: usize = 200;
    let shared =
        |how: &How| !matches!(how.0, Topology::Multi { accept: Accepting::ReusePort(_), .. });
    for (nth, how) in COMBINATIONS.into_iter().filter(shared).enumerate() {
        let name = format!("readyloop-gone-{}-{nth}", std::process::id());
        let path: PathBuf = std::env::temp_dir().join(name);
        let (topology, poller, trigger) = how;
        let frames = Arc::new(AtomicU64::new(0));
        let sum = frames.clone();
        let builder = Server::builder().listen(format!("unix:{}", path.display()));
        let builder = builder.topology(topology).poller(poller).trigger(trigger);
        let builder = builder.on_incident(move |incident| {
            if let Incident::Ended { stats } = incident {
                sum.fetch_add(stats.frames, Ordering::Relaxed);
            }
        });
        let server = Running::serve_as(builder, None);
        for _ in 0..CALLERS {
            UnixStream::connect(&path).unwrap().write_all(&framed(b"and gone")).unwrap();
        }
        let mut closed = 0;
        while closed < CALLERS {
            if let Fact::Close(reason) = server.fact() {
                // Who closes with an answer unread has reset the connection (unix(7)).
                let ends = [CloseReason::PeerFinished, CloseReason::PeerReset];
                assert!(ends.contains(&reason), "{how:?}: {reason}");
                closed += 1;
            }
        }
        drop(server);
        assert_eq!(frames.load(Ordering::Relaxed), CALLERS as u64, "{how:?}");
    }
}

#[test]
fn a_frame_behind_urgent_data_is_answered() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut client = server.dial();
        for _ in 0..50 {
            client.write_all(&framed(b"before the mark")).unwrap();
            send(&client, b"!", SendFlags::OOB).unwrap();
            client.write_all(&framed(b"behind it")).unwrap();
            assert_eq!(read_frame(&mut client), b"before the mark", "{combination:?}");
            assert_eq!(read_frame(&mut client), b"behind it", "{combination:?}");
        }
    }
}

#[test]
fn a_server_that_dials_another_gets_its_answer() {
    for how in COMBINATIONS {
        let asked = Running::serve(how);
        let to = Some(asked.address.clone());
        let asking = Running::serve_at("127.0.0.1:0", how, to);
        assert!(matches!(asking.fact(), Fact::Open(_)));
        let Fact::Answer(answer) = asking.fact() else { panic!("no answer") };
        assert_eq!(answer, b"asked before the answer");
        // Callers are served beside the dialled session.
        assert_echoes(&mut asking.dial(), b"hi");
    }
}

#[test]
fn mails_of_four_threads_all_arrive_each_threads_in_order() {
    const MAILS: u32 = 1000;
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut client = server.dial();
        let Fact::Open(id) = server.fact() else { panic!("not opened") };
        let writers: Vec<JoinHandle<()>> = (0..4u8)
            .map(|writer| {
                let remote = server.remote.clone();
                spawn(move || {
                    for number in 0..MAILS {
                        let mail = [&[writer][..], &number.to_be_bytes()].concat();
                        remote.send(id, framed(&mail)).unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0; 4];
        for _ in 0..4 * MAILS {
            let mail = read_frame(&mut client);
            let (writer, number) = mail.split_first().unwrap();
            let expected = &mut next[usize::from(*writer)];
            assert_eq!(u32::from_be_bytes(number.try_into().unwrap()), *expected);
            *expected += 1;
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(next, [MAILS; 4]);
    }
}

#[test]
fn a_mail_that_comes_while_older_ones_wait_is_not_forgotten() {
    let limits = Limits { mails_per_turn: 1, ..Limits::default() };
    let server = Running::serve_as(Server::builder().listen("127.0.0.1:0").limits(limits), None);
    let (done, when_done) = channel();
    let post = |name: u32| {
        let (go, when_to_go) = channel::<()>();
        let ((begin, has_begun), done) = (channel(), done.clone());
        let work = move |_: &mut Context<'_>| {
            let _nobody_waits = begin.send(());
            let _gone = when_to_go.recv_timeout(SOON);
            done.send(name).unwrap();
        };
        server.remote.run_on(0, work).unwrap();
        (go, has_begun)
    };
    let (go_first, first_has_begun) = post(1);
    first_has_begun.recv_timeout(SOON).unwrap();
    // Both are taken in one turn, and the fourth is posted while the second one is being handled.
    let ((go_second, second_has_begun), (go_third, _third)) = (post(2), post(3));
    drop(go_first);
    second_has_begun.recv_timeout(SOON).unwrap();
    let (go_last, _last) = post(4);
    drop((go_second, go_third, go_last));
    for name in 1..=4 {
        assert_eq!(when_done.recv_timeout(SOON), Ok(name));
    }
}

#[test]
fn each_mail_wakes_a_reactor_that_sleeps() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut client = server.dial();
        let Fact::Open(id) = server.fact() else { panic!("not opened") };
        for number in 0..200u32 {
            server.remote.send(id, framed(&number.to_be_bytes())).unwrap();
            assert_eq!(read_frame(&mut client), number.to_be_bytes());
        }
    }
}

#[test]
fn a_stop_ends_the_run_and_every_session() {
    for combination in COMBINATIONS {
        let mut server = Running::serve(combination);
        let mut client = server.dial();
        let Fact::Open(id) = server.fact() else { panic!("not opened") };
        assert_echoes(&mut client, b"hi");
        server.remote.stop();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        drop(client);
        server.join();
        assert!(matches!(server.fact(), Fact::Close(CloseReason::Stopped)));
        assert_eq!(server.remote.send(id, "late"), Err(Refused::Stopped));
        assert!(TcpStream::connect(tcp(&server.address)).is_err());
    }
}

#[test]
fn a_client_that_has_finished_gets_every_answer_and_then_the_end() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut client = server.dial();
        let questions: Vec<u8> = (0..1000).flat_map(|n| framed(&pattern(n))).collect();
        let mut writer = client.try_clone().unwrap();
        let copy = questions.clone();
        let writing = spawn(move || {
            writer.write_all(&copy).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).unwrap();
        assert!(answers == questions, "{} of {} bytes", answers.len(), questions.len());
        writing.join().unwrap();
        assert!(matches!(server.fact(), Fact::Open(_)));
        assert!(matches!(server.fact(), Fact::Close(CloseReason::PeerFinished)));
    }
}

#[test]
fn a_peer_that_resets_in_the_middle_leaves_the_others_served() {
    for combination in COMBINATIONS {
        let server = Running::serve(combination);
        let mut others: Vec<TcpStream> = (0..3).map(|_| server.dial()).collect();
        others.iter_mut().for_each(|other| assert_echoes(other, b"before"));
        let mut rude = server.dial();
        assert_echoes(&mut rude, b"hi");
        rude.write_all(&framed(&pattern(1000))[..500]).unwrap();
        set_socket_linger(&rude, Some(Duration::ZERO)).unwrap();
        drop(rude);
        for _ in 0..4 {
            assert!(matches!(server.fact(), Fact::Open(_)));
        }
        let closed = server.fact();
        assert!(matches!(closed, Fact::Close(CloseReason::PeerReset)), "{closed:?}");
        others.iter_mut().for_each(|other| assert_echoes(other, b"after"));
    }
}
