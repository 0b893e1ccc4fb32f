//! The options of `serve http`: what they are by default, and what is refused.

use crate::program::{Folder, Server, refusal};

#[test]
fn the_ready_line_names_the_service() {
    let server = Server::start("http", &["--topology", "workers", "--trigger", "edge"]);
    assert!(server.ready.ends_with(" (workers, epoll, edge)"), "{}", server.ready);
    server.stop();
}

#[test]
fn what_cannot_be_obeyed_is_refused_with_a_way_out() {
    let folder = Folder::new("options");
    let file = format!("{}/file", folder.path());
    std::fs::write(&file, "").unwrap();
    let none = format!("{}/none", folder.path());
    for (options, words) in [
        (["--max-head", "10"], "--max-head 10 has no room for a request; make it at least 64"),
        (["--send-max", "1m"], "make --send-max at least"),
        (["--root", &none], "name a directory that can be read"),
        (["--root", &file], "name a directory that can be read"),
    ] {
        let line = refusal("http", &options, 2);
        assert!(line.contains(words), "{line}");
    }
}
