//! `readyloop compare`, with few sessions: what it tells and what it writes.

use std::fs;

use crate::program::{Folder, full_file, run, run_into};

#[test]
fn every_way_to_wait_is_measured_at_every_number_of_idle_sessions() {
    let folder = Folder::new("compare");
    let fixed = ["compare", "--active", "5", "--rounds", "1", "--duration", "50ms"];
    let ended = run(&[&fixed[..], &["--idle", "20,0", "--out", folder.path()]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let csv = fs::read_to_string(folder.0.join("compare.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|row| row.split(',').collect()).collect();
    let ways: Vec<String> =
        rows.iter().map(|row| format!("{} {} {}", row[0], row[1], row[3])).collect();
    let expected = ["select level", "poll level", "epoll level", "epoll edge"];
    let expected: Vec<String> =
        ["0", "20"].iter().flat_map(|idle| expected.map(|way| format!("{way} {idle}"))).collect();
    assert_eq!(ways, expected);
    for row in &rows {
        let numbers: Vec<f64> = row[5..].iter().map(|text| text.parse().unwrap()).collect();
        let &[throughput, cost, p99, wait] = &numbers[..] else { panic!("{row:?}") };
        assert!([throughput, p99, wait].iter().all(|number| *number > 0.0), "{row:?}");
        // It is counted in ticks, and in so short a time there may be none.
        assert!(cost >= 0.0, "{row:?}");
        assert!(ended.stdout.contains(&format!(" {} ", row[5])), "{}", ended.stdout);
    }
    let svg = fs::read_to_string(folder.0.join("compare.svg")).unwrap();
    assert!(svg.contains("epoll edge") && svg.matches("<polyline ").count() >= 4);
}

#[test]
fn every_point_has_as_many_reactors_as_were_asked_for() {
    let folder = Folder::new("compare-reactors");
    let fixed = ["compare", "--active", "5", "--rounds", "1", "--duration", "50ms"];
    let asked = ["--pollers", "epoll", "--idle", "0,20", "--reactors", "2", "--out", folder.path()];
    let ended = run(&[&fixed[..], &asked].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let csv = fs::read_to_string(folder.0.join("compare.csv")).unwrap();
    let reactors: Vec<_> = csv.lines().skip(1).map(|row| row.split(',').nth(4).unwrap()).collect();
    assert_eq!(reactors, ["2"; 4], "{csv}");
    let ended = run(&["compare", "--idle", "400000", "--reactors", "1", "--active", "1"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--reactors 1 do not have the descriptors"), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    for (options, words) in [
        (["--pollers", "kqueue"], "[possible values: epoll, poll, select]"),
        (["--idle", "many"], "'many' for '--idle <N,…>': not a whole number from 0 to 4294967295"),
        (["--idle", ""], "'' for '--idle <N,…>': not a whole number from 0 to 4294967295"),
        (["--idle", "1,,2"], "'' for '--idle <N,…>': not a whole number from 0"),
        (["--idle", "-5"], "'-5' for '--idle <N,…>': not a whole number from 0"),
        (["--idle", "5,0,5"], "--idle has 5 twice"),
        (["--pollers", "poll,epoll,poll"], "--pollers has poll twice"),
        (["--out", "/proc/none"], "--out /proc/none cannot be written"),
        (["--out", "/none/of/this"], "--out /none/of/this cannot be written: No such file"),
        (["--out", "/dev/null"], "--out /dev/null/compare.csv cannot be written: Not a directory"),
        (["--reactors", "0"], "--reactors"),
        (["--duration", "0s"], "'0s' for '--duration <DUR>': too short"),
        (["--reactors", "256"], "--reactors would take 256 reactors, but a server has at most 255"),
        (["--active", "4294967295"], "--idle and --active would take"),
        (["--idle", "4294967295"], "--idle and --active would take"),
    ] {
        let ended = run(&[&["compare"], &options[..]].concat());
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_the_first_point() {
    let folder = Folder::new("compare-unwritable");
    for name in ["compare.csv", "compare.svg"] {
        let path = folder.0.join(name);
        fs::create_dir(&path).unwrap();
        // A run of its own would take years.
        let ended = run(&["compare", "--duration", "99999h", "--out", folder.path()]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        let words = format!("--out {} cannot be written: ", path.display());
        assert!(ended.stderr.contains(&words), "{}", ended.stderr);
        fs::remove_dir(&path).unwrap();
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "nothing is left over");
}

#[test]
fn a_table_that_cannot_be_written_is_an_error_and_the_files_are_written_all_the_same() {
    let folder = Folder::new("compare-full");
    let fixed = ["compare", "--active", "5", "--rounds", "1", "--duration", "50ms", "--idle", "0"];
    let asked = ["--pollers", "poll", "--out", folder.path()];
    let ended = run_into(&[&fixed[..], &asked].concat(), full_file());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let words = "readyloop: standard output cannot be written: No space left on device";
    assert!(ended.stderr.starts_with(words), "{}", ended.stderr);
    for name in ["compare.csv", "compare.svg"] {
        assert!(fs::metadata(folder.0.join(name)).unwrap().len() > 0, "{name}");
    }
}

#[test]
fn a_folder_is_made_in_one_that_is_there() {
    let folder = Folder::new("compare-made");
    let fixed = ["compare", "--active", "5", "--rounds", "1", "--duration", "50ms", "--idle", "0"];
    let compare = |out: &str| run(&[&fixed[..], &["--pollers", "poll", "--out", out]].concat());
    let path = |name: &str| format!("{}/{name}", folder.path());
    assert_eq!(compare(&path("none/deep")).code, Some(2));
    assert!(!fs::exists(path("none")).unwrap(), "a mistake makes no folders");
    let ended = compare(&path("new"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(fs::exists(path("new/compare.csv")).unwrap());
}
