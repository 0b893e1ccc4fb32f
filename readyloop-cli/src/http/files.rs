//! Files below one directory, by the paths of requests, and nothing outside of it.
//!
//! A path is decoded once, segment by segment, and the kernel is asked to stay beneath the root
//! (`RESOLVE_BENEATH`, openat2(2)): a symlink may lead anywhere below it, and nowhere else. Where the
//! kernel cannot (before Linux 5.6, or where a sandbox forbids it), the path is resolved first and
//! opened then; who can change the tree in between could lead that astray.
//!
//! Invariant: whatever is opened is a regular file below the root.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

/// A directory whose files are served.
pub struct Root {
    path: PathBuf,
    directory: OwnedFd,
}

/// A file that may be sent.
pub struct Found {
    pub file: File,
    pub bytes: u64,
    pub modified: SystemTime,
    pub content_type: &'static str,
}

/// Never waits for a writer, as a FIFO would make us.
const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl Root {
    /// The directory at this path.
    pub fn open(path: &Path) -> io::Result<Root> {
        let path = path.canonicalize()?;
        let directory = open(&path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Root { path, directory })
    }

    /// The regular file at this percent-encoded path, if there is one that may be read.
    pub fn find(&self, encoded: &str) -> Option<Found> {
        let path = decode(encoded)?;
        let file = match self.open_beneath(&path) {
            Err(Errno::NOSYS | Errno::PERM) => self.open_resolved(&path).ok()?,
            opened => File::from(opened.ok()?),
        };
        let metadata = file.metadata().ok()?;
        let modified = metadata.modified().ok()?;
        let content_type = content_type(&path);
        metadata.is_file().then_some(Found { file, bytes: metadata.len(), modified, content_type })
    }

    fn open_beneath(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.directory, path, FLAGS, Mode::empty(), beneath)
    }

    fn open_resolved(&self, path: &str) -> io::Result<File> {
        let path = fs::canonicalize(self.path.join(path))?;
        if !path.starts_with(&self.path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(File::from(open(path, FLAGS, Mode::empty())?))
    }
}

/// The path that this one encodes, relative and plain: segments that are names, and nothing else.
fn decode(encoded: &str) -> Option<String> {
    let mut path = Vec::with_capacity(encoded.len());
    for segment in encoded.split('/') {
        if !path.is_empty() {
            path.push(b'/');
        }
        let begin = path.len();
        decode_segment(segment.as_bytes(), &mut path)?;
        let name = &path[begin..];
        let is_name = !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/');
        if !is_name || name.contains(&0) {
            return None;
        }
    }
    String::from_utf8(path).ok()
}

fn decode_segment(mut encoded: &[u8], into: &mut Vec<u8>) -> Option<()> {
    while let [first, rest @ ..] = encoded {
        if *first != b'%' {
            into.push(*first);
            encoded = rest;
            continue;
        }
        let [high, low, rest @ ..] = rest else { return None };
        let digit = |byte: &u8| (*byte as char).to_digit(16);
        into.push((digit(high)? * 16 + digit(low)?) as u8);
        encoded = rest;
    }
    Some(())
}

/// What a browser is told about a file, by the end of its name.
fn content_type(path: &str) -> &'static str {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "css" => "text/css; charset=utf-8",
        "gif" => "image/gif",
        "html" | "htm" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "jpg" | "jpeg" => "image/jpeg",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "md" | "txt" => "text/plain; charset=utf-8",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        "webp" => "image/webp",
        "xml" => "application/xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process;

    use super::*;

    /// A directory with a secret beside it; both are removed at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Tree {
            let tree = std::env::temp_dir().join(format!("readyloop-{}-{name}", process::id()));
            fs::create_dir_all(tree.join("root/sub")).unwrap();
            fs::write(tree.join("secret"), "secret").unwrap();
            fs::write(tree.join("root/a b.txt"), "a").unwrap();
            fs::write(tree.join("root/sub/b.html"), "b").unwrap();
            symlink("sub/b.html", tree.join("root/inside")).unwrap();
            symlink("../secret", tree.join("root/outside")).unwrap();
            symlink(tree.join("secret"), tree.join("root/absolute")).unwrap();
            symlink("..", tree.join("root/up")).unwrap();
            Tree(tree)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    const INSIDE: [&str; 3] = ["a%20b.txt", "sub/b.html", "inside"];
    const OUTSIDE: [&str; 21] = [
        "",
        "/",
        ".",
        "..",
        "../secret",
        "sub/../../secret",
        "%2e%2e/secret",
        "..%2fsecret",
        "%2E%2E%2Fsecret",
        "sub/..",
        "sub",
        "sub/",
        "//etc/passwd",
        "/etc/passwd",
        "a b.txt%00",
        "a%2",
        "a%zz",
        "outside",
        "absolute",
        "up/secret",
        "a%2520b.txt",
    ];

    #[test]
    fn only_regular_files_below_the_root_are_found() {
        let tree = Tree::new("find");
        let root = Root::open(&tree.0.join("root")).unwrap();
        for path in INSIDE {
            assert!(root.find(path).is_some(), "{path}");
        }
        for path in OUTSIDE {
            assert!(root.find(path).is_none(), "{path}");
        }
        assert_eq!(root.find("sub/b.html").unwrap().content_type, "text/html; charset=utf-8");
    }

    #[test]
    fn without_the_help_of_the_kernel_no_symlink_leads_out_either() {
        let tree = Tree::new("resolve");
        let root = Root::open(&tree.0.join("root")).unwrap();
        assert!(root.open_resolved("inside").is_ok());
        for path in ["outside", "absolute", "up/secret", "../secret"] {
            assert!(root.open_resolved(path).is_err(), "{path}");
        }
    }
}
