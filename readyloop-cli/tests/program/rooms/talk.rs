//! Who hears what, in which order, in every topology and with every trigger.

use super::talker::{Talker, start};
use crate::program::every_way;

/// The numbers of what was said, up to one that says `END`.
fn numbers_until_end(talker: &mut Talker) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let line = talker.line();
        let fields: Vec<&str> = line.split(' ').collect();
        if fields[0] == "SAID" {
            numbers.push(fields[2].parse().unwrap());
            if fields[4] == "END" {
                return numbers;
            }
        }
    }
}

#[test]
fn all_members_hear_the_same_lines_in_the_same_order_in_every_way() {
    const TALKERS: usize = 5;
    const LINES: usize = 60;
    for way in every_way() {
        let server = start(&way);
        let names = ["ann", "bob", "cecil", "dora", "emil"];
        let mut talkers: Vec<Talker> =
            names.iter().map(|name| server.talker_in(name, "den")).collect();
        for talker in &mut talkers {
            let lines: Vec<String> = (0..LINES).map(|nth| format!("SAY den line {nth}")).collect();
            talker.say(&lines.join("\n"));
        }
        let heard = talkers.iter_mut().map(|talker| {
            let mut said = Vec::new();
            while said.len() < TALKERS * LINES {
                let line = talker.line();
                if line.starts_with("SAID ") {
                    said.push(line);
                }
            }
            said
        });
        let heard: Vec<Vec<String>> = heard.collect();
        assert!(heard.iter().all(|said| *said == heard[0]), "{way:?}");
        for name in names {
            let own = heard[0].iter().filter(|line| line.contains(&format!(" {name} line ")));
            let nth = own.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap());
            assert!(nth.eq(0..LINES), "{way:?}: {name}");
        }
        drop(talkers);
        server.stop();
    }
}

#[test]
fn who_comes_and_goes_with_a_number_hears_every_line_once_in_every_way() {
    const LINES: u64 = 1_000;
    for way in every_way() {
        let server = start(&[&way[..], &["--history", "5000", "--history-bytes", "256k"]].concat());
        let mut speaker = server.talker_in("speaker", "den");
        let mut guest = server.talker_in("guest", "den");
        let lines: String = (1..LINES).map(|nth| format!("SAY den line {nth}\n")).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| speaker.send((lines + "SAY den END\n").as_bytes()));
            let mut last = 0;
            for visit in 0.. {
                // Up to the end it stays only after many visits.
                let enough = if visit < 20 { last } else { LINES };
                let mut hear = |guest: &mut Talker, answer: &str| {
                    let mut answered = answer.is_empty();
                    while !answered || last < enough {
                        let line = guest.line();
                        if let Some(said) = line.strip_prefix("SAID den ") {
                            last += 1;
                            let is_next = said.starts_with(&format!("{last} speaker "));
                            assert!(is_next, "{way:?}: '{line}' and not {last}");
                        }
                        assert!(!line.starts_with("ERR "), "{line}");
                        answered |= !answer.is_empty() && line.starts_with(answer);
                    }
                    last
                };
                if hear(&mut guest, "") == LINES {
                    break;
                }
                guest.say("LEAVE den");
                let last = hear(&mut guest, "OK LEAVE den");
                guest.say(&format!("JOIN den {last}"));
                hear(&mut guest, "OK JOIN den ");
            }
        });
        drop((speaker, guest));
        server.stop();
    }
}

#[test]
fn what_is_said_in_one_room_is_not_heard_in_another() {
    let server = start(&["--topology", "multi", "--reactors", "2"]);
    let mut ann = server.talker_in("Ann", "den");
    let mut bob = server.talker_in("Bob", "attic");
    ann.say("SAY den hello\nSAY attic hello");
    ann.expect("SAID den 1 Ann hello");
    assert_eq!(ann.line(), "ERR member JOIN the room first");
    bob.say("MSG ann psst\nROOMS\nSAY attic END");
    bob.expect("OK MSG ann");
    assert_eq!(bob.until("OK ROOMS 2"), ["ROOM attic 1 0", "ROOM den 1 1"]);
    assert_eq!(numbers_until_end(&mut bob), [1]);
    assert_eq!(ann.line(), "PRIVATE Bob psst");
    drop((ann, bob));
    server.stop();
}

#[test]
fn who_ends_gives_up_its_name_and_its_rooms_at_once_in_every_way() {
    let too_long = "x".repeat(5_000);
    for way in every_way() {
        let server = start(&way);
        let mut bob = server.talker_in("Bob", "den");
        for (last, words) in [("QUIT", "BYE"), (too_long.as_str(), "ERR long ")] {
            let mut ann = server.talker_in("Ann", "den");
            bob.expect("JOINED den Ann");
            ann.say(last);
            ann.expect(words);
            // It does not close its side, so its session is not over yet.
            let mut again = server.talker();
            again.say("NICK Ann\nWHO den");
            again.expect("OK NICK Ann ");
            assert_eq!(again.line(), "MEMBERS den Bob", "{way:?}");
            assert_eq!(bob.line(), "LEFT den Ann", "{way:?}");
            again.say("QUIT");
            again.until("BYE");
            ann.expect_end();
        }
        drop(bob);
        server.stop();
    }
}

#[test]
fn who_says_its_last_and_reads_nothing_gives_up_its_name_at_once() {
    // Long enough that a session that is told its last would be seen to the end of it.
    let queue = ["--send-high", "32m", "--drain-timeout", "1h"];
    let server = start(&[&queue[..], &["--history-bytes", "8m", "--history", "1000"]].concat());
    let mut bob = server.talker_in("Bob", "den");
    let mut ann = server.talker_in("Ann", "den");
    bob.expect("JOINED den Ann");
    for _ in 0..800 {
        bob.say(&format!("SAY den {}", "x".repeat(4_000)));
        bob.expect("SAID ");
    }
    for _ in 0..5 {
        ann.say("HISTORY den 1000");
    }
    ann.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(bob.line(), "LEFT den Ann");
    let mut again = server.talker();
    again.say("NICK Ann");
    again.expect("OK NICK Ann ");
    drop((again, ann, bob));
    server.stop();
}

#[test]
fn a_name_is_taken_over_with_its_token_and_its_rooms_are_left_in_every_way() {
    for way in every_way() {
        let server = start(&way);
        let mut ann = server.talker();
        ann.say("NICK Ann\nJOIN den");
        let token = ann.expect("OK NICK Ann ");
        ann.expect("OK JOIN den 0 0 0");
        let mut bob = server.talker_in("Bob", "den");
        ann.expect("JOINED den Bob");
        let mut second = server.talker();
        second.say("NICK ann\nNICK ann 0123456789abcdef");
        assert_eq!(second.line(), "ERR taken somebody has this name", "{way:?}");
        assert_eq!(second.line(), "ERR token the name belongs to another token");
        second.say(&format!("NICK Ann {token}"));
        assert_ne!(second.expect("OK NICK Ann "), token);
        assert_eq!(ann.line(), "BYE your name was taken over");
        ann.expect_end();
        assert_eq!(bob.line(), "LEFT den Ann", "{way:?}");
        drop((bob, second));
        server.stop();
    }
}

#[test]
fn who_is_gone_is_told_to_those_who_stay_in_every_way() {
    for way in every_way() {
        let server = start(&way);
        let mut ann = server.talker_in("Ann", "den");
        let mut bob = server.talker_in("Bob", "den");
        bob.say("QUIT");
        bob.expect("BYE");
        bob.expect_end();
        assert_eq!(ann.line(), "JOINED den Bob", "{way:?}");
        assert_eq!(ann.line(), "LEFT den Bob", "{way:?}");
        ann.say("WHO den");
        assert_eq!(ann.until("OK WHO den 1"), ["MEMBERS den Ann"]);
        drop(ann);
        server.stop();
    }
}

#[test]
fn lines_behind_quit_are_not_carried_out_in_every_way() {
    for way in every_way() {
        let server = start(&way);
        let mut ann = server.talker_in("Ann", "den");
        let mut bob = server.talker_in("Bob", "den");
        ann.expect("JOINED den Bob");
        // One segment, and after the end also what no command could be.
        bob.say("SAY den bye\nQUIT\nSAY den a ghost\nMSG Ann a ghost\nNICK Eve\nPING\nnonsense");
        bob.expect("SAID den 1 Bob bye");
        assert_eq!(bob.line(), "BYE", "{way:?}");
        bob.expect_end();
        assert_eq!(ann.line(), "SAID den 1 Bob bye");
        assert_eq!(ann.line(), "LEFT den Bob", "{way:?}");
        ann.say("HISTORY den 10");
        assert_eq!(ann.until("OK HISTORY den "), [""; 0], "{way:?}");
        assert_eq!(ann.line(), "SAID den 1 Bob bye", "{way:?}");
        drop(ann);
        server.stop();
    }
}

#[test]
fn a_line_that_is_too_long_behind_quit_is_not_answered_in_every_way() {
    for way in every_way() {
        let server = start(&way);
        let mut ann = server.talker();
        ann.say(&format!("QUIT\n{}", "x".repeat(5_000)));
        assert_eq!(ann.line(), "BYE", "{way:?}");
        ann.expect_end();
        server.stop();
    }
}
