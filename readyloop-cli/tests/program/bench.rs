//! `readyloop bench` against servers that we know.

use std::fs;
use std::io::{self, Read};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Ended, Folder, Server, full_file, run, run_into};

/// Runs it for a short time against this server; what it measured, and how it ended.
fn bench(kind: &str, server: &Server, options: &[&str]) -> (Value, Ended) {
    let folder = Folder::new(&format!("bench-{}", server.addresses()[0]));
    let json = format!("{}/report.json", folder.path());
    let target = server.addresses()[0];
    let duration: &[&str] =
        if options.contains(&"--duration") { &[] } else { &["--duration", "200ms"] };
    let fixed = [&["bench", kind, "--target", target, "--json", &json], duration].concat();
    let ended = run(&[&fixed[..], options].concat());
    let report = fs::read_to_string(&json).ok().map(|text| serde_json::from_str(&text).unwrap());
    (report.unwrap_or_default(), ended)
}

#[test]
fn every_kind_of_server_is_asked_and_its_answers_are_right() {
    let kinds: [(&str, &str, &[&str]); 6] = [
        ("echo", "raw", &["--framing", "raw", "--size", "10k"]),
        ("echo", "lines", &["--framing", "lines", "--size", "0"]),
        ("echo", "length:2le", &["--framing", "length:2le", "--pipeline", "8"]),
        ("kv", "", &["--pipeline", "16", "--threads", "2"]),
        ("http", "", &[]),
        ("http", "", &["--size", "1k", "--rate", "2000"]),
    ];
    for (kind, framing, options) in kinds {
        let framed = ["--framing", framing];
        let server = Server::start(kind, if framing.is_empty() { &[] } else { &framed });
        let (report, ended) = bench(kind, &server, &[options, &["--sessions", "10"]].concat());
        assert_eq!(ended.code, Some(0), "{kind} {options:?}: {ended:?}");
        assert!(report["answers"].as_u64().unwrap() > 10, "{report}");
        assert_eq!((&report["wrong"], &report["lost"]), (&0.into(), &0.into()), "{report}");
        let table = ended.stdout;
        assert!(table.contains(" answers") || table.contains("answers "), "{table}");
        server.stop();
    }
}

#[test]
fn an_open_loop_counts_from_when_a_request_was_due_and_a_closed_one_does_not() {
    for (rate, sees_it) in [(["--rate", "1000"], true), (["--sessions", "1"], false)] {
        let server = Server::start("echo", &[]);
        server.signal(Signal::STOP);
        let report = thread::scope(|scope| {
            // Callers are taken by the kernel meanwhile, and answered by nobody.
            let measured = scope
                .spawn(|| bench("echo", &server, &[&rate[..], &["--duration", "600ms"]].concat()));
            // This long is the stall.
            thread::sleep(Duration::from_millis(300));
            server.signal(Signal::CONT);
            measured.join().unwrap().0
        });
        let p90 = report["latency_us"]["p90"].as_f64().unwrap();
        assert_eq!(p90 > 50_000.0, sees_it, "{report}");
        server.stop();
    }
}

/// What the firehoses of a run sent, and what came back, in bytes.
fn poured(report: &Value) -> (f64, f64) {
    let seconds = report["seconds"].as_f64().unwrap();
    let of = |name: &str| report["firehoses"][name].as_f64().unwrap() * seconds;
    (of("sent_bytes_per_second"), of("received_bytes_per_second"))
}

#[test]
fn firehoses_are_answered_and_count_for_nothing_else() {
    let kinds: [(&str, &[&str], &[&str]); 6] = [
        ("echo", &["--framing", "raw"], &["--framing", "raw", "--rate", "2000"]),
        ("echo", &["--framing", "lines"], &["--framing", "lines"]),
        ("echo", &["--framing", "length:1"], &["--framing", "length:1", "--threads", "2"]),
        ("echo", &["--topology", "workers"], &["--idle", "20"]),
        ("kv", &[], &[]),
        ("http", &[], &["--size", "100"]),
    ];
    for (kind, serve, options) in kinds {
        let server = Server::start(kind, serve);
        let options = [options, &["--sessions", "5", "--firehose", "3"]].concat();
        let (report, ended) = bench(kind, &server, &options);
        assert_eq!(ended.code, Some(0), "{kind} {options:?}: {ended:?}");
        assert_eq!((&report["wrong"], &report["lost"]), (&0.into(), &0.into()), "{report}");
        assert_eq!(report["firehoses"]["sessions"], 3, "{report}");
        let (_, received) = poured(&report);
        assert!(received > 100_000.0, "{report}");
        // What one polite answer takes at most; each of 5 sessions has one on its way at the end.
        let answers = report["answers"].as_u64().unwrap() + 5;
        assert!(report["received_bytes"].as_u64().unwrap() <= answers * 400, "{report}");
        assert!(ended.stdout.contains("\nfirehoses  "), "{}", ended.stdout);
        server.stop();
    }
}

#[test]
fn a_firehose_waits_for_no_answer_and_keeps_no_more_than_its_queue() {
    let server = Server::start("echo", &[]);
    server.signal(Signal::STOP);
    let (report, ended) = bench("echo", &server, &["--firehose", "1", "--sessions", "1"]);
    server.signal(Signal::CONT);
    assert!(ended.stderr.contains("no answer came"), "{ended:?}");
    assert!(ended.stdout.contains("p50 -, p90 -, p99 -, p99.9 -, max 1."), "{}", ended.stdout);
    assert_eq!(report["latency_us"]["p50"], Value::Null, "{report}");
    let (sent, received) = poured(&report);
    assert_eq!(received, 0.0, "{report}");
    // More than its queue, so it filled it again; the rest lies in the kernel (tcp(7): tcp_wmem,
    // tcp_rmem).
    let queue = f64::from(256 << 10);
    assert!(sent > queue && sent < queue + f64::from(64 << 20), "{report}");
    server.stop();
}

#[test]
fn a_firehose_and_a_server_that_waits_for_it_do_not_wait_for_each_other() {
    // The server reads no more than it could send: all of it comes back, through every buffer on the
    // way, only if we read while we cannot send.
    let server = Server::start("echo", &["--send-low", "1k", "--send-high", "20k"]);
    let (report, ended) =
        bench("echo", &server, &["--firehose", "1", "--sessions", "1", "--duration", "2s"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (_, received) = poured(&report);
    assert!(received > 40e6, "{report}");
    server.stop();
}

#[test]
fn a_firehose_that_is_lost_is_an_error() {
    let server = Server::start("echo", &["--max-frame", "1k"]);
    let (report, ended) = bench("echo", &server, &["--firehose", "1"]);
    assert_eq!((ended.code, &report["lost"]), (Some(1), &0.into()), "{ended:?}");
    assert!(ended.stderr.contains("a firehose was lost: "), "{}", ended.stderr);
    server.stop();
}

#[test]
fn one_process_holds_more_sessions_than_one_descriptor_table() {
    let server = Server::start("echo", &[]);
    let line = format!(
        "ulimit -n 200 && exec {} bench echo --target {} --duration 100ms --sessions 10 --idle 700",
        env!("CARGO_BIN_EXE_readyloop"),
        server.addresses()[0]
    );
    let ended = Command::new("sh").args(["-c", &line]).output().unwrap();
    let table = String::from_utf8(ended.stdout).unwrap();
    assert!(
        table.contains("10 sessions and 700 idle ones") && table.contains(" 6 threads"),
        "{table}"
    );
    assert_eq!(ended.status.code(), Some(0));
    server.stop();
}

#[test]
fn the_latencies_and_what_the_server_costs_are_told() {
    let server = Server::start("echo", &[]);
    let folder = Folder::new("plot");
    let plot = format!("{}/plot.svg", folder.path());
    let pid = server.pid().to_string();
    let (report, ended) = bench("echo", &server, &["--plot", &plot, "--pid", &pid]);
    assert!(fs::read_to_string(plot).unwrap().contains("<polyline "), "{ended:?}");
    assert!(report["server"]["memory_bytes"].as_u64().unwrap() > 100_000, "{report}");
    assert!(ended.stdout.contains(&format!("server     process {pid}: ")), "{}", ended.stdout);
    server.stop();
}

#[test]
fn a_server_that_is_not_there_or_goes_away_is_an_error() {
    let server = Server::start("echo", &["--framing", "raw"]);
    let (report, ended) = bench("kv", &server, &[]);
    assert_eq!(ended.code, Some(1), "it repeats what we say, which is no reply: {ended:?}");
    assert!(ended.stderr.contains("the sessions were lost: malformed"), "{}", ended.stderr);
    assert_eq!(report["lost"], 100, "{report}");
    let target = server.addresses()[0].to_string();
    server.stop();
    let ended = run(&["bench", "echo", "--target", &target]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("with 0 sessions open, one more could not be: "), "{ended:?}");
}

#[test]
fn a_server_whose_answers_are_wrong_is_an_error_and_they_count_for_nothing() {
    for rate in [&[][..], &["--rate", "1000"]] {
        // It takes each frame for a command that it does not know.
        let server = Server::start("kv", &[]);
        let (report, ended) = bench(
            "echo",
            &server,
            &[rate, &["--framing", "lines", "--size", "200", "--sessions", "5"]].concat(),
        );
        assert_eq!(ended.code, Some(1), "{rate:?}: {ended:?}");
        let wrong = report["wrong"].as_u64().unwrap();
        assert!(wrong >= 5, "{report}");
        assert!(ended.stderr.starts_with("readyloop: all "), "{}", ended.stderr);
        assert!(ended.stderr.ends_with(" answers were wrong\n"), "{}", ended.stderr);
        assert_eq!((&report["answers"], &report["unanswered"]), (&0.into(), &0.into()), "{report}");
        for name in ["p50", "p90", "p99", "p99.9", "max"] {
            assert_eq!(report["latency_us"][name], Value::Null, "{report}");
        }
        let latencies = "\nlatency    p50 -, p90 -, p99 -, p99.9 -, max -\n";
        assert!(ended.stdout.contains(latencies), "{}", ended.stdout);
        server.stop();
    }
}

#[test]
fn sessions_that_are_lost_between_two_requests_are_an_error() {
    // A request is due each 200 ms, each on another session. Those that are not asked in time are
    // closed: all but some of the first five.
    let server = Server::start("echo", &["--idle-timeout", "900ms"]);
    let options = ["--sessions", "20", "--rate", "5", "--duration", "1300ms"];
    let (report, ended) = bench("echo", &server, &options);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("sessions were lost"), "{}", ended.stderr);
    assert_eq!((&report["cut_short"], &report["unanswered"]), (&Value::Null, &0.into()));
    assert!(report["unsent"].as_u64().unwrap() > 0, "what was due on them is told: {report}");
    server.stop();
}

#[test]
fn some_answers_that_are_wrong_are_an_error_too() {
    // There is room for one value, so nearly every tenth request is refused.
    let server = Server::start("kv", &["--max-memory", "102"]);
    for rate in [&[][..], &["--rate", "2000"]] {
        let (report, ended) = bench("kv", &server, &[rate, &["--sessions", "5"]].concat());
        assert_eq!(ended.code, Some(1), "{rate:?}: {ended:?}");
        let (answers, wrong) =
            (report["answers"].as_u64().unwrap(), report["wrong"].as_u64().unwrap());
        assert!(wrong > 0 && answers > 5 * wrong, "{report}");
        assert!(report["latency_us"]["p50"].as_f64().unwrap() > 0.0, "{report}");
        assert!(ended.stderr.contains(" answers were wrong\n"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("all "), "{}", ended.stderr);
    }
    server.stop();
}

#[test]
fn what_cannot_be_measured_is_refused_with_a_way_out() {
    let long = format!("unix:/{}", "x".repeat(107));
    let cases: [(&[&str], &str); 28] = [
        (
            &["kv", "--threads", "4", "--sessions", "2", "--idle", "1"],
            "--threads 4 are more than --sessions, --idle and --firehose, which are 3 together",
        ),
        (&["echo", "--idle", "x"], "'x' for '--idle <N>': not a whole number from 0 to 4294967295"),
        (&["echo", "--idle", "-1"], "'-1' for '--idle <N>': not a whole number from 0"),
        (&["echo", "--firehose", ""], "'' for '--firehose <N>': not a whole number from 0"),
        (&["echo", "--pid", "0"], "'0' for '--pid <PID>': not a whole number from 1 to 2147483647"),
        (&["echo", "--pid", "2147483647"], "--pid 2147483647 cannot be looked at: "),
        (&["http", "--rate", "0"], "'0' for '--rate <N>': not a whole number from 1 to 10000000"),
        (&["echo", "--target", ""], "--target: '' is not an address"),
        (
            &["kv", "--target", "127.0.0.1:0"],
            "--target 127.0.0.1:0 names no server: port 0 is nobody's",
        ),
        (&["http", "--target", "[::1]:0"], "--target [::1]:0 names no server"),
        (&["echo", "--target", "unix:"], "--target: 'unix:' needs a path"),
        (&["echo", "--target", &long], "--target: the path of unix:/xxx"),
        (&["echo", "--duration", "0s"], "'0s' for '--duration <DUR>': too short"),
        (&["kv", "--duration", "1us"], "'1us' for '--duration <DUR>': too short"),
        (&["http", "--rate", "4294967295"], "'--rate <N>'"),
        (&["kv", "--sessions", "4294967295"], "--sessions, --idle and --firehose are 4294967295"),
        (
            &["http", "--threads", "256"],
            "'256' for '--threads <N>': not a whole number from 1 to 255",
        ),
        (&["echo", "--size", "18446744073709551615"], "is too large to be asked"),
        (&["echo", "--framing", "lines", "--size", "20m"], "--size 20MiB is too large to be asked"),
        (&["echo", "--size", "1m", "--pipeline", "100"], "make --pipeline at most 31"),
        (&["http", "--pipeline", "4294967295"], "make --pipeline at most"),
        (&["echo", "--framing", "raw", "--size", "0"], "make it at least 1"),
        (&["echo", "--framing", "length:1", "--size", "300"], "cannot spell --size 300"),
        (&["kv", "--idle", "10000000", "--threads", "1"], "(RLIMIT_NOFILE)"),
        (&["kv", "--firehose", "10000000", "--threads", "1"], "(RLIMIT_NOFILE)"),
        (&["kv", "--firehose", "1", "--size", "256k"], "make --size at most 131072"),
        (&["http", "--sessions", "0"], "not a whole number from 1"),
        (&["echo", "--target", "nowhere"], "--target: 'nowhere' is not an address"),
    ];
    for (options, words) in cases {
        let target = ["--target", "127.0.0.1:1"];
        let target: &[&str] = if options.contains(&"--target") { &[] } else { &target };
        let ended = run(&[&["bench"], options, target].concat());
        assert_eq!(ended.code, Some(2), "{options:?}: {ended:?}");
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

/// What a run is refused with that a server would have to be asked for, of which there is none.
#[track_caller]
fn refused_before_the_run(options: &[&str]) -> String {
    let ended = run(&[&["bench", "echo", "--target", "127.0.0.1:1"], options].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
    ended.stderr
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_run() {
    let folder = Folder::new("unwritable");
    for option in ["--json", "--plot"] {
        for path in ["/none/of/this", "/proc/this", folder.path()] {
            let words = refused_before_the_run(&[option, path]);
            assert!(words.contains(&format!("{option} {path} cannot be written: ")), "{words}");
        }
    }
}

#[test]
fn a_pipe_that_nobody_reads_is_refused_before_the_run_and_one_that_is_read_gets_all_of_it() {
    let folder = Folder::new("fifo");
    let fifo = format!("{}/fifo", folder.path());
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    for option in ["--json", "--plot"] {
        let words = refused_before_the_run(&[option, &fifo]);
        assert!(words.contains(&format!("{option} {fifo} cannot be written: ")), "{words}");
    }
    let server = Server::start("echo", &[]);
    // For reading and writing, a pipe is opened at once (fifo(7)); so far nobody has written.
    let mut reader = fs::File::options().read(true).write(true).open(&fifo).unwrap();
    let fixed = ["bench", "echo", "--target", server.addresses()[0], "--duration", "50ms"];
    let ended = run(&[&fixed[..], &["--json", &fifo]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut written = vec![0; 64 << 10];
    let count = reader.read(&mut written).unwrap();
    let report: Value = serde_json::from_slice(&written[..count]).unwrap();
    assert!(report["answers"].as_u64().unwrap() > 0, "{report}");
    server.stop();
}

#[test]
fn one_file_for_two_things_is_refused_by_whatever_name() {
    let folder = Folder::new("one-file");
    let path = |name: &str| format!("{}/{name}", folder.path());
    let (old, link) = (path("old"), path("link"));
    fs::write(&old, "old").unwrap();
    std::os::unix::fs::symlink(&old, &link).unwrap();
    for (json, plot) in [(&old, &link), (&path("new"), &path("./new"))] {
        let words = refused_before_the_run(&["--json", json, "--plot", plot]);
        assert!(words.contains("--json and --plot are the same file"), "{words}");
    }
    assert_eq!(fs::read_to_string(&old).unwrap(), "old");
    assert!(!fs::exists(path("new")).unwrap(), "what was not written is not left over");
}

#[test]
fn a_run_that_fails_leaves_what_was_in_its_files() {
    let folder = Folder::new("kept");
    let path = |name: &str| format!("{}/{name}", folder.path());
    fs::write(path("old"), "old").unwrap();
    let ended = run(&[
        "bench",
        "echo",
        "--target",
        "127.0.0.1:1",
        "--json",
        &path("old"),
        "--plot",
        &path("new"),
    ]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(fs::read_to_string(path("old")).unwrap(), "old");
    assert!(!fs::exists(path("new")).unwrap());
}

#[test]
fn idle_sessions_that_a_server_closes_are_counted_and_a_run_that_has_lost_all_of_them_is_an_error()
{
    let server = Server::start("echo", &["--idle-timeout", "100ms"]);
    let options = ["--idle", "50", "--sessions", "10", "--duration", "600ms"];
    let (report, ended) = bench("echo", &server, &options);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("all 50 idle sessions were lost"), "{}", ended.stderr);
    assert_eq!((&report["lost"], &report["idle_lost"]), (&0.into(), &50.into()), "{report}");
    assert_eq!((&report["cut_short"], &report["unanswered"]), (&Value::Null, &0.into()));
    assert!(report["seconds"].as_f64().unwrap() >= 0.6, "{report}");
    assert!(ended.stdout.contains("0 sessions lost, 50 idle ones lost"), "{}", ended.stdout);
    server.stop();
}

#[test]
fn a_server_that_stops_answering_in_mid_run_is_an_error_and_said_so() {
    for rate in [&[][..], &["--rate", "1000"]] {
        let server = Server::start("echo", &[]);
        let options = [rate, &["--sessions", "10", "--duration", "600ms"]].concat();
        let (report, ended) = thread::scope(|scope| {
            let measured = scope.spawn(|| bench("echo", &server, &options));
            // It answers for so long, and then never again.
            thread::sleep(Duration::from_millis(300));
            server.signal(Signal::STOP);
            measured.join().unwrap()
        });
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(report["answers"].as_u64().unwrap() > 0, "{report}");
        assert_eq!(report["unanswered"], 10, "one on each session: {report}");
        assert_eq!(report["unsent"].as_u64().unwrap() > 0, !rate.is_empty(), "{report}");
        assert!(ended.stderr.contains("10 requests were not answered"), "{}", ended.stderr);
        // They have waited for the rest of the run, and for a second behind it.
        assert!(report["latency_us"]["max"].as_f64().unwrap() > 900_000.0, "{report}");
        assert_eq!(report["latency_us"]["max_is_unanswered"], true, "{report}");
        assert!(ended.stdout.contains(" s and more (not answered)"), "{}", ended.stdout);
        server.signal(Signal::CONT);
        server.stop();
    }
}

#[test]
fn a_table_that_cannot_be_written_is_an_error_and_the_files_are_written_all_the_same() {
    let server = Server::start("echo", &[]);
    let folder = Folder::new("full");
    let path = |name: &str| format!("{}/{name}", folder.path());
    let (json, plot) = (path("json"), path("plot"));
    let fixed = ["bench", "echo", "--target", server.addresses()[0], "--duration", "50ms"];
    let ended = run_into(&[&fixed[..], &["--json", &json, "--plot", &plot]].concat(), full_file());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let words = "readyloop: standard output cannot be written: No space left on device";
    assert!(ended.stderr.starts_with(words), "{}", ended.stderr);
    assert!(fs::metadata(json).unwrap().len() > 0);
    assert!(fs::metadata(&plot).unwrap().len() > 0);
    fs::remove_file(&plot).unwrap();
    let ended = run(&[&fixed[..], &["--json", "/dev/full", "--plot", &plot]].concat());
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--json /dev/full cannot be written: "), "{}", ended.stderr);
    assert!(ended.stdout.contains("answers ") && fs::metadata(plot).unwrap().len() > 0);
    server.stop();
}

#[test]
fn a_reader_who_has_gone_away_has_read_enough() {
    let server = Server::start("echo", &[]);
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let fixed = ["bench", "echo", "--target", server.addresses()[0], "--duration", "50ms"];
    let ended = run_into(&fixed, writer);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    server.stop();
}
