//! What cannot be obeyed is refused, with what is wrong and what would be right.

use std::net::TcpListener;

use crate::program::{Server, refusal, run};

/// What the parser refuses: exit 2, with each of these words on standard error.
#[track_caller]
fn misread(options: &[&str], words: &[&str]) {
    let ended = run(&[&["serve", "echo"], options].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{options:?}: {ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{options:?} without '{word}':\n{}", ended.stderr);
    }
}

#[track_caller]
fn contradiction(options: &[&str], words: &[&str]) {
    let line = refusal("echo", options, 2);
    for word in words {
        assert!(line.contains(word), "{options:?} without '{word}': {line}");
    }
}

#[test]
fn an_address_in_use_is_exit_1_and_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_eq!(
        refusal("echo", &["--listen", &address], 1),
        format!("readyloop: listening on {address}: Address already in use (os error 98)")
    );
}

#[test]
fn a_place_where_nobody_can_listen_is_exit_1_and_named() {
    let line = refusal("echo", &["--listen", "unix:/nowhere/at/all"], 1);
    assert!(line.contains("unix:/nowhere/at/all: No such file"), "{line}");
}

#[test]
fn an_address_that_is_none_is_exit_2() {
    let words = ["--listen: '7000'", "127.0.0.1:7000", "[::1]:7000", "unix:/path"];
    contradiction(&["--listen", "7000"], &words);
    contradiction(&["--listen", "unix:"], &["--listen: ", "needs a path"]);
    let long = format!("unix:/{}", "x".repeat(107));
    contradiction(&["--listen", &long], &["--listen: ", "108 bytes", "at most 107"]);
    let line = refusal("rooms", &["--web", ""], 2);
    assert!(line.contains("--web: '' is not an address"), "{line}");
}

#[test]
fn an_option_that_does_not_exist_is_refused_and_never_ignored() {
    misread(&["--admin", "127.0.0.1:0"], &["--admin"]);
    misread(&["--listne", "127.0.0.1:0"], &["--listne", "--listen"]);
    misread(&["127.0.0.1:7000"], &["127.0.0.1:7000"]);
    assert_eq!(run(&["serve", "chess"]).code, Some(2));
    assert_eq!(run(&["serve"]).code, Some(2));
    assert_eq!(run(&[]).code, Some(2));
}

#[test]
fn a_bad_value_is_told_what_would_be_right() {
    misread(&["--profile", "chess"], &["'chess'", "--profile", "game, trading, bulk"]);
    misread(&["--topology", "star"], &["'star'", "--topology", "single", "multi"]);
    misread(&["--balance", "fair"], &["'fair'", "round-robin, least-sessions, source-hash"]);
    misread(&["--reactors", "0"], &["'0'", "--reactors", "from 1 to 255"]);
    misread(&["--topology", "multi", "--reactors", "256"], &["'256'", "--reactors", "1 to 255"]);
    misread(&["--topology", "workers", "--workers", "1025"], &["--workers", "from 1 to 1024"]);
    misread(&["--handler-cost", "5ms..1ms"], &["5ms is longer than 1ms"]);
    misread(&["--costly", "3"], &["--handler-cost"]);
    misread(&["--poller", "kqueue"], &["'kqueue'", "epoll, poll, select"]);
    misread(&["--trigger", "both"], &["'both'", "level, edge"]);
    misread(&["--framing", "length:3"], &["'length:3'", "raw, lines, or length:1, 2, 4 or 8"]);
    misread(&["--max-sessions", "0"], &["'0'", "--max-sessions", "from 1 to 16777215"]);
    misread(&["--max-sessions", "16777216"], &["--max-sessions", "from 1 to 16777215"]);
    misread(&["--max-sessions-per-ip", "-1"], &["'-1'", "--max-sessions-per-ip", "from 1 to"]);
    misread(&["--send-high", "0"], &["'0'", "--send-high", "make it at least 1"]);
    misread(&["--backlog", "many"], &["'many'", "from 1 to"]);
    misread(&["--max-frame", "64kB"], &["'kB' is not a unit", "64KiB"]);
    misread(&["--send-max", "lots"], &["no whole number", "64KiB"]);
    misread(&["--idle-timeout", "5"], &["no unit", "5ms"]);
    misread(&["--drain-timeout", "1.5s"], &["'.5s' is not a unit", "500us"]);
    for option in ["--idle-timeout", "--handshake-timeout", "--write-timeout"] {
        misread(&[option, "0s"], &["'0s'", option, "at least 1ms"]);
        misread(&[option, "999us"], &["'999us'", option, "at least 1ms"]);
    }
    misread(&["-vvv"], &["--verbose"]);
}

#[test]
fn options_that_contradict_each_other_are_refused_by_name() {
    misread(&["-q", "-v"], &["--quiet", "--verbose"]);
    for poller in ["poll", "select"] {
        let named = [&format!("--poller {poller}"), "--trigger edge", "level", "--poller epoll"];
        contradiction(&["--poller", poller, "--trigger", "edge"], &named);
    }
    contradiction(&["--reactors", "4"], &["--reactors", "single", "--topology multi"]);
    let multi = ["--topology", "multi", "--reactors"];
    let per_reactor = ["2", "--fd-tables", "per-reactor"];
    contradiction(&[&multi[..], &per_reactor].concat(), &["handoff", "--accept reuseport"]);
    let shared_path = ["2", "--accept", "reuseport", "--listen", "unix:/tmp/x"];
    let named = ["--listen unix:/tmp/x", "--accept reuseport", "TCP", "--accept handoff"];
    contradiction(&[&multi[..], &shared_path].concat(), &named);
    contradiction(&["--send-high", "32k"], &["--send-low 64KiB", "--send-high 32KiB"]);
    contradiction(&["--send-low", "256k"], &["--send-low 256KiB", "--send-high 256KiB"]);
    contradiction(&["--max-frame", "0"], &["--max-frame 0", "make it at least 1"]);
    contradiction(&["--framing", "length:1", "--max-frame", "256"], &["length:1", "256", "255"]);
    contradiction(&["--framing", "length:2le", "--max-frame", "64k"], &["length:2le", "65535"]);
    contradiction(&["--framing", "raw", "--max-frame", "1k"], &["raw", "--max-frame"]);
}

#[test]
fn options_that_would_mean_nothing_are_refused_by_name() {
    for sessions in ["10", "20"] {
        let per_ip = format!("--max-sessions-per-ip {sessions}");
        let options = ["--max-sessions", "10", "--max-sessions-per-ip", sessions];
        contradiction(&options, &[&per_ip, "--max-sessions 10", "at most 9"]);
    }
    contradiction(&["--max-sessions-per-ip", "1000000"], &["--max-sessions 1000000"]);
    contradiction(&["--max-sessions", "1", "--max-sessions-per-ip", "1"], &["leave it out"]);
    let unix = ["--listen", "unix:/tmp/x", "--listen", "unix:/tmp/y"];
    let source = ["--topology", "multi", "--balance", "source-hash"];
    for options in [&["--max-sessions-per-ip", "5"][..], &["--profile", "trading"], &source] {
        let named = options[options.len() - 2..].join(" ");
        let words = [&named, "--listen", "Unix sockets", "leave it out"];
        contradiction(&[&unix, options].concat(), &words);
    }
    for quiet in [&[][..], &["-q"]] {
        contradiction(&[&["--measure-waits"], quiet].concat(), &["--measure-waits", "-v"]);
    }
    for twice in ["127.0.0.1:7000", "unix:/tmp/x"] {
        let options = ["--listen", twice, "--listen", "127.0.0.1:0", "--listen", twice];
        contradiction(&options, &["--listen", twice, "twice"]);
    }
}

#[test]
fn options_that_mean_something_beside_others_are_obeyed() {
    let path = crate::program::socket_path();
    let unix = format!("unix:{}", path.display());
    let ways: [&[&str]; 4] = [
        &["--listen", &unix, "--profile", "game"],
        &["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"],
        &["--listen", &unix, "--listen", "127.0.0.1:0", "--max-sessions-per-ip", "5"],
        &["--listen", &unix, "--topology", "multi", "--balance", "least-sessions"],
    ];
    for options in ways {
        Server::start("echo", options).stop();
    }
}

#[test]
fn a_backlog_that_the_kernel_does_not_keep_is_warned_of() {
    let mut server = Server::start("echo", &["--backlog", "4294967295"]);
    let line = server.logged("--backlog 4294967295");
    assert!(line.contains("WARN") && line.contains("net.core.somaxconn"), "{line}");
}

#[test]
fn a_reply_that_would_not_fit_its_queue_is_refused_with_what_would_fit() {
    let (frame, high) = (100 << 20, 256 << 10);
    let fits = (frame + high + 4usize).to_string();
    let names = ["--send-max 64MiB", "--max-frame 100MiB", "--send-high 256KiB", &fits];
    contradiction(&["--max-frame", "100m"], &names);
    contradiction(&["--framing", "raw", "--send-high", "64m"], &["--send-max", "one read"]);
    contradiction(&["--send-max", "16m"], &["--send-max", "--max-frame"]);
}

#[test]
fn help_and_version_are_for_standard_output() {
    let help = run(&["serve", "echo", "--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for words in [
        "--listen <ADDR>",
        "--topology <TOPOLOGY>",
        "--poller <POLLER>",
        "--trigger <TRIGGER>",
        "--max-sessions <N>",
        "--max-sessions-per-ip <N>",
        "--max-frame <BYTES>",
        "--idle-timeout <DUR>",
        "--handshake-timeout <DUR>",
        "--drain-timeout <DUR>",
        "--send-low <BYTES>",
        "--send-high <BYTES>",
        "--send-max <BYTES>",
        "--backlog <N>",
        "--framing <FRAMING>",
        "--handler-cost <DUR>",
        "[default: 127.0.0.1:7000]",
        "[default: length:4be]",
    ] {
        assert!(help.stdout.contains(words), "no '{words}' in\n{}", help.stdout);
    }
    let help_text = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "may send nothing and take nothing. Time does not count in which the server does not read the \
         session",
        "nor in which bytes wait for the peer, for which there is --write-timeout",
        "SIGTERM, SIGINT or SIGHUP drains and then stops",
    ] {
        assert!(help_text.contains(words), "no '{words}' in\n{}", help.stdout);
    }
    assert!(help.stdout.lines().all(|line| line.chars().count() <= 100));
    assert_eq!(run(&["--help"]).code, Some(0));
    assert_eq!(run(&["--version"]).stdout, concat!("readyloop ", env!("CARGO_PKG_VERSION"), "\n"));
}
