//! Clients that others wrote, against the real program. The gate installs and runs them; here they
//! say what they need. Each script also runs by itself, takes what is there, and names the rest.

#![allow(clippy::unwrap_used, reason = "all of it is tests, also what stands outside of a test")]

use std::process::Command;

#[track_caller]
fn run(service: &str) {
    let script = format!("{}/tests/clients/{service}/run", env!("CARGO_MANIFEST_DIR"));
    let status = Command::new(&script).arg(env!("CARGO_BIN_EXE_readyloop")).status().unwrap();
    assert!(status.success(), "{script}: {status}");
}

#[test]
#[ignore = "needs Python, and wants curl, wrk, Chromium with playwright-core; the gate has them"]
fn http_for_clients_that_others_wrote() {
    run("http");
}

#[test]
#[ignore = "needs Python, and wants Redis, Python's redis, Node's ioredis; the gate has them"]
fn kv_for_clients_that_others_wrote() {
    run("kv");
}

#[test]
#[ignore = "needs Python, and wants its websockets, Node's ws, Chromium; the gate has them"]
fn rooms_for_clients_that_others_wrote() {
    run("rooms");
}
