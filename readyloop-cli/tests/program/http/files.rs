//! Files below the root, and nothing outside of it.

use std::fs;
use std::io::Read;
use std::net::Shutdown;
use std::os::unix::fs::symlink;

use super::caller::get;
use crate::program::{Folder, Server, every_way};

/// A root with some files in it, and a secret beside it.
fn tree(name: &str) -> Folder {
    let folder = Folder::new(name);
    let at = |path: &str| folder.0.join(path);
    fs::create_dir_all(at("root/sub")).unwrap();
    fs::write(at("secret"), "secret").unwrap();
    fs::write(at("root/a b.txt"), "text").unwrap();
    fs::write(at("root/empty.css"), "").unwrap();
    fs::write(at("root/sub/page.html"), "<p>").unwrap();
    symlink("sub/page.html", at("root/inside")).unwrap();
    symlink("../secret", at("root/outside")).unwrap();
    symlink(at("secret"), at("root/absolute")).unwrap();
    symlink("..", at("root/up")).unwrap();
    folder
}

fn serve(folder: &Folder, more: &[&str]) -> Server {
    let root = format!("{}/root", folder.path());
    Server::start("http", &[&["--root", &root], more].concat())
}

#[test]
fn files_come_with_their_type_and_length_and_head_without_content() {
    let folder = tree("types");
    let server = serve(&folder, &[]);
    for (path, content, kind) in [
        ("a%20b.txt", "text", "text/plain; charset=utf-8"),
        ("sub/page.html", "<p>", "text/html; charset=utf-8"),
        ("inside", "<p>", "application/octet-stream"),
        ("empty.css?v=1", "", "text/css; charset=utf-8"),
    ] {
        let request = get(&format!("/static/{path}"));
        let answer = server.answer(&request);
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some(kind)), "{path}");
        assert_eq!(answer.content, content.as_bytes(), "{path}");
        let mut caller = server.caller();
        caller.send(request.replace("GET", "HEAD").as_bytes());
        let head = caller.answer_without_content();
        assert_eq!(head.header("Content-Length"), Some(content.len().to_string().as_str()));
        caller.0.get_ref().shutdown(Shutdown::Write).unwrap();
        caller.expect_end();
    }
    server.stop();
}

#[test]
fn no_path_leads_out_of_the_root() {
    let folder = tree("escapes");
    let server = serve(&folder, &[]);
    let secret = format!("/static/{}/secret", folder.path());
    for path in [
        "/static/../secret",
        "/static/sub/../../secret",
        "/static/%2e%2e/secret",
        "/static/%2E%2E%2Fsecret",
        "/static/..%2fsecret",
        "/static/sub%2f..%2f..%2fsecret",
        "/static//secret",
        "/static/outside",
        "/static/absolute",
        "/static/up/secret",
        "/static/up/root/a%20b.txt",
        "/static/a%20b.txt%00",
        "/static/%252e%252e/secret",
        "/static/a%2",
        "/static/sub",
        "/static/sub/",
        "/static/",
        secret.as_str(),
    ] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.content), (404, b"Not Found".to_vec()), "{path}");
    }
    server.stop();
}

#[test]
fn what_is_not_a_file_is_not_found_and_holds_up_nobody() {
    let folder = tree("kinds");
    let fifo = folder.0.join("root/fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let server = serve(&folder, &[]);
    assert_eq!(server.get("/static/fifo").status, 404);
    assert_eq!(server.get("/static/a%20b.txt").status, 200);
    server.stop();
}

#[test]
fn who_has_the_file_as_it_is_gets_no_second_copy() {
    let folder = tree("modified");
    let server = serve(&folder, &[]);
    let modified = server.get("/static/a%20b.txt").header("Last-Modified").unwrap().to_string();
    let since = |field: &str| {
        server.answer(&format!("GET /static/a%20b.txt HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n"))
    };
    for (field, status) in [
        (format!("If-Modified-Since: {modified}"), 304),
        ("If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT".to_string(), 304),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT".to_string(), 200),
        ("If-Modified-Since: yesterday".to_string(), 200),
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}"), 200),
    ] {
        let answer = since(&field);
        assert_eq!(answer.status, status, "{field}");
        assert_eq!(answer.header("Last-Modified"), Some(modified.as_str()));
        assert_eq!(answer.header("Content-Length").is_some(), status == 200);
    }
    server.stop();
}

#[test]
fn a_large_file_to_a_reader_who_stalls_stays_on_the_disk_in_every_way() {
    const MEGABYTE: usize = 1 << 20;
    const LARGE: usize = 40 * MEGABYTE;
    let folder = tree("large");
    let content: Vec<u8> = (0..LARGE).map(|nth| (nth / 7) as u8).collect();
    fs::write(folder.0.join("root/large"), &content).unwrap();
    for way in every_way() {
        let server = serve(&folder, &way);
        let before = server.resident_bytes();
        let mut stalled = server.caller();
        // Pipelined, so that what comes behind must wait, on a worker too; and then the end.
        let requests = get("/static/large").repeat(2) + &get("/");
        stalled.send(requests.as_bytes());
        stalled.0.get_ref().shutdown(Shutdown::Write).unwrap();
        let first = stalled.answer_without_content();
        assert_eq!(first.header("Content-Length"), Some(LARGE.to_string().as_str()), "{way:?}");
        assert_eq!(server.get("/").status, 200, "the others are served meanwhile");
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < 8 * MEGABYTE, "{way:?}: {grown} bytes for a reader who stalls");
        let mut came = vec![0; LARGE];
        stalled.0.read_exact(&mut came).unwrap();
        assert!(came == content, "{way:?}: the first file");
        assert!(stalled.answer().content == content, "{way:?}: the second file");
        assert_eq!(stalled.answer().content, b"readyloop\n", "{way:?}");
        stalled.expect_end();
        server.stop();
    }
}

#[test]
fn many_small_requests_for_files_wait_for_a_reader_who_stalls_in_every_way() {
    const FILE: usize = 60_000;
    const REQUESTS: usize = 300;
    let folder = tree("many");
    fs::write(folder.0.join("root/f"), vec![b'f'; FILE]).unwrap();
    for way in every_way() {
        let send_max = ["--send-max", "2m", "--max-frame", "64k"];
        let server = serve(&folder, &[&way[..], &send_max].concat());
        let mut stalled = server.caller();
        stalled.send(get("/static/f").repeat(REQUESTS).as_bytes());
        assert_eq!(stalled.answer().content.len(), FILE, "{way:?}");
        for _ in 0..REQUESTS - 1 {
            assert_eq!(stalled.answer().content.len(), FILE, "{way:?}: all of them are answered");
        }
        drop(stalled);
        server.stop();
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection() {
    let folder = tree("shrinks");
    let path = folder.0.join("root/shrinks");
    fs::write(&path, vec![7; 40 << 20]).unwrap();
    let server = serve(&folder, &[]);
    let mut caller = server.caller();
    caller.send(get("/static/shrinks").as_bytes());
    assert_eq!(caller.answer_without_content().status, 200);
    fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    let mut rest = Vec::new();
    let end = caller.0.read_to_end(&mut rest);
    assert!(end.is_err() && rest.len() < 40 << 20, "{end:?}: it is told by a reset");
    server.stop();
}
