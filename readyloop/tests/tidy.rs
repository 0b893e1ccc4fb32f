//! The house rules that a compiler does not check: who may name whom, how long things may be, and
//! what must not be left behind.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers of ARCHITECTURE.md, lowest first. A module may name only modules of lower layers.
const LAYERS: [&[&str]; 13] = [
    &[
        "address",
        "census",
        "clock",
        "close",
        "durations",
        "encoder",
        "error",
        "group",
        "id",
        "incident",
        "limits",
        "load",
        "message",
        "names",
        "page",
        "pool",
        "readiness",
        "slab",
        "stats",
        "sync",
        "wake",
    ],
    &["framers", "kernel", "mailbox", "members", "recv", "report", "send", "serving", "wheel"],
    &["command", "listeners", "session", "sim", "sys"],
    &["buffer", "outbox"],
    &["sessions"],
    &["record"],
    &["context"],
    &["handler", "letter"],
    &["asker", "host"],
    &["lanes"],
    &["reactor"],
    &["server"],
    &["lib"],
];

/// Arrows inside the lowest layer, which is words and numbers: a word may be spelled with another.
const WORDS: [(&str, &str); 20] = [
    ("address", "error"),
    ("census", "id"),
    ("census", "limits"),
    ("census", "sync"),
    ("census", "wake"),
    ("close", "error"),
    ("group", "id"),
    ("group", "sync"),
    ("incident", "address"),
    ("incident", "close"),
    ("incident", "error"),
    ("incident", "id"),
    ("incident", "stats"),
    ("limits", "error"),
    ("limits", "id"),
    ("names", "id"),
    ("page", "id"),
    ("readiness", "id"),
    ("stats", "close"),
    ("stats", "durations"),
];

/// Only these modules may name the two kernels behind the seam.
const MAY_NAME_LINUX: [&str; 2] = ["server", "lib"];

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;

struct Source {
    path: PathBuf,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources_below(folder: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(sources_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push(Source { path, text });
        }
    }
    found.sort_by(|one, two| one.path.cmp(&two.path));
    found
}

fn all_sources() -> Vec<Source> {
    let mut found = sources_below(&root().join("readyloop"));
    found.extend(sources_below(&root().join("readyloop-protocols")));
    found.extend(sources_below(&root().join("readyloop-cli")));
    assert!(found.len() > 30, "the sources were not found");
    found
}

/// The part of a file that ships: everything before its test module, without comments.
fn shipped(source: &Source) -> String {
    let text = source.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_string();
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// The top-level module of the library that a file belongs to.
fn module_of(source: &Source) -> Option<String> {
    let inside = source.path.strip_prefix(root().join("readyloop/src")).ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    Some(first.trim_end_matches(".rs").to_string())
}

/// Whether nothing of a file ships: tests, and the models of what crosses threads.
fn is_test_file(path: &Path) -> bool {
    let inside = path.strip_prefix(root()).unwrap_or(path);
    let mut parts = inside.components().filter_map(|part| part.as_os_str().to_str());
    parts.any(|part| ["tests", "tests.rs", "models", "models.rs"].contains(&part))
}

/// The names that follow `crate::` in a piece of code, also in a list: `crate::{id, kernel::Io}`.
fn named_modules(code: &str) -> Vec<String> {
    let flat: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut names = Vec::new();
    for rest in flat.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(list) => first_level(list),
            None => vec![rest.to_string()],
        };
        for item in list {
            let name = |c: char| c.is_ascii_lowercase() || c == '_';
            names.push(item.trim().chars().take_while(|c| name(*c)).collect());
        }
    }
    names
}

/// The items of a `use` list up to its closing brace, without what stands in inner braces.
fn first_level(list: &str) -> Vec<String> {
    let (mut depth, mut items) = (0, vec![String::new()]);
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ if depth == 0 => items.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    items
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn arrow_is_allowed(from: &str, to: &str) -> bool {
    let (Some(from_layer), Some(to_layer)) = (layer_of(from), layer_of(to)) else { return false };
    let word = WORDS.contains(&(from, to));
    let linux = matches!(to, "sys" | "sim");
    from == to || (from_layer > to_layer && (!linux || MAY_NAME_LINUX.contains(&from))) || word
}

#[test]
fn every_module_names_only_lower_layers() {
    let mut wrong = Vec::new();
    for source in all_sources() {
        let Some(module) = module_of(&source) else { continue };
        if is_test_file(&source.path) {
            continue;
        }
        assert!(layer_of(&module).is_some(), "{module} has no layer in tests/tidy.rs");
        for named in named_modules(&shipped(&source)) {
            let is_module = layer_of(&named).is_some();
            if is_module && module != "lib" && !arrow_is_allowed(&module, &named) {
                wrong.push(format!("{} names {named}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that point up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_linux_side_names_rustix() {
    for source in all_sources() {
        let Some(module) = module_of(&source) else { continue };
        let shipped = shipped(&source);
        let named = shipped.contains("rustix") || shipped.contains("signal_hook");
        assert!(!named || module == "sys", "{} names Linux", source.path.display());
    }
}

/// Each function's name, first line and length; a function ends at the brace under its first
/// column.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "fn") else { continue };
        let before_is_qualifier = words[..at].iter().all(|word| {
            word.starts_with("pub")
                || ["const", "unsafe", "async"].contains(word)
                || word.ends_with(')')
        });
        if !before_is_qualifier || at + 1 >= words.len() {
            continue;
        }
        let end = lines[first..].iter().position(|line| {
            line.trim_end() == format!("{}}}", " ".repeat(indent))
                || line.trim_end().ends_with(';')
                    && line.starts_with(&" ".repeat(indent))
                    && !line.starts_with(&" ".repeat(indent + 1))
        });
        found.push((words[at + 1].to_string(), first + 1, end.unwrap_or(0) + 1));
    }
    found
}

#[test]
fn every_function_fits_a_screen() {
    let mut long = Vec::new();
    let mut count = 0;
    for source in all_sources() {
        for (name, line, lines) in functions(&source) {
            count += 1;
            if lines > FUNCTION_LINES_MAX {
                long.push(format!("{}:{line} {name} has {lines} lines", source.path.display()));
            }
        }
    }
    assert!(count > 200, "the functions were not found: {count}");
    assert!(long.is_empty(), "over {FUNCTION_LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn every_file_fits_a_sitting() {
    for Source { path, text } in all_sources() {
        let lines = text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn every_file_says_what_it_is() {
    for Source { path, text } in all_sources() {
        assert!(text.starts_with("//! "), "{} does not begin with //!", path.display());
    }
}

#[test]
fn nothing_is_left_behind() {
    // Spelled in halves, so that this file may be checked like the others.
    let words = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X"],
        ["dbg", "!("],
        ["todo", "!("],
        ["unimplemented", "!("],
    ];
    for Source { path, text } in all_sources() {
        for word in words.map(|halves| halves.concat()) {
            assert!(!text.contains(&word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn nothing_that_ships_unwraps_and_every_expectation_says_why() {
    for source in all_sources() {
        if is_test_file(&source.path)
            || source.path.components().any(|part| part.as_os_str() == "examples")
        {
            continue;
        }
        let shipped = shipped(&source);
        let path = source.path.display();
        assert!(!shipped.contains(".unwrap()"), "{path} unwraps");
        for reason in shipped.split(".expect(").skip(1) {
            let reason = reason.trim_start().trim_start_matches('"');
            let words = reason.split('"').next().unwrap_or_default().split_whitespace().count();
            assert!(words >= 3, "{path} expects something without saying why it holds");
        }
    }
}

#[test]
fn unsafe_code_lives_in_sys_with_one_reason_for_each_block() {
    let mut blocks: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for source in all_sources() {
        let code = shipped(&source);
        let spelled = [["unsafe", " {"], ["unsafe", " impl"]].map(|halves| halves.concat());
        let uses: usize = spelled.iter().map(|words| code.matches(words.as_str()).count()).sum();
        let reasons = source.text.matches(["// SAF", "ETY:"].concat().as_str()).count();
        if uses > 0 {
            blocks.insert(source.path.display().to_string(), (uses, reasons));
        }
    }
    for (path, (uses, reasons)) in blocks {
        // What the library asks a program to promise, this program promises where it reads options.
        let allowed = ["readyloop/src/sys/", "/tests/", "readyloop-cli/src/topology.rs"];
        let allowed = allowed.iter().any(|place| path.contains(place));
        assert!(allowed, "{path} is unsafe");
        assert!(reasons >= uses, "{path} has {uses} unsafe blocks and {reasons} reasons");
    }
}

#[test]
fn the_checker_itself_sees_what_it_should() {
    let code =
        "use crate::{id::SessionId, kernel::{Io, Ready}, sys};\nfn f() { crate::server::x() }";
    assert_eq!(named_modules(code), ["id", "kernel", "sys", "server"]);
    assert!(!arrow_is_allowed("session", "kernel") || layer_of("session") > layer_of("kernel"));
    assert!(!arrow_is_allowed("reactor", "sys"), "the reactor never names Linux");
    assert!(!arrow_is_allowed("reactor", "server"), "no arrow points up");
    assert!(!arrow_is_allowed("recv", "send"), "no arrow inside a layer");
    assert!(arrow_is_allowed("server", "sys"));
}
