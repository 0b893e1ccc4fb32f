//! What people in the hall do, and what each of them hears.

use std::cell::RefCell;
use std::collections::HashMap;

use super::*;

/// Sessions as they would hear it.
#[derive(Default)]
struct Ears {
    heard: RefCell<HashMap<SessionId, String>>,
    groups: RefCell<Vec<(SessionId, Group)>>,
    closed: RefCell<Vec<SessionId>>,
}

impl Post for Ears {
    fn send(&self, to: SessionId, lines: String) {
        self.heard.borrow_mut().entry(to).or_default().push_str(&lines);
    }

    fn broadcast(&self, group: &Group, line: String) {
        for (id, joined) in self.groups.borrow().iter() {
            if joined == group {
                self.heard.borrow_mut().entry(*id).or_default().push_str(&line);
            }
        }
    }

    fn join(&self, id: SessionId, group: &Group) {
        self.groups.borrow_mut().push((id, group.clone()));
    }

    fn leave(&self, id: SessionId, group: &Group) {
        self.groups.borrow_mut().retain(|(who, what)| *who != id || what != group);
    }

    fn close(&self, id: SessionId) {
        self.closed.borrow_mut().push(id);
        self.groups.borrow_mut().retain(|(who, _)| *who != id);
    }
}

/// A hall with two seats for each kind of thing.
struct World {
    hall: Hall,
    ears: Ears,
}

impl World {
    fn new() -> World {
        let bounds = Bounds {
            rooms_max: 3,
            rooms_per_session_max: 2,
            name_bytes_max: 8,
            memory: Memory { lines_max: 4, bytes_max: 1_000 },
            slow_member: SlowMember::DropMessage,
        };
        World { hall: Hall::new(bounds), ears: Ears::default() }
    }

    /// What one hears when it says this, with what was not read before.
    fn say(&mut self, who: u32, line: &str) -> String {
        let command = Command::read(line.as_bytes()).unwrap();
        match self.hall.hear(id(who), command, &self.ears) {
            Ok(()) => self.heard(who),
            Err(refusal) => refusal.to_string(),
        }
    }

    fn heard(&mut self, who: u32) -> String {
        self.ears.heard.borrow_mut().remove(&id(who)).unwrap_or_default()
    }

    /// Somebody with a name in a room, and the token of the name.
    fn guest(&mut self, who: u32, name: &str, room: &str) -> String {
        let answer = self.say(who, &format!("NICK {name}"));
        assert!(self.say(who, &format!("JOIN {room}")).starts_with("OK JOIN "));
        answer.trim_end().rsplit(' ').next().unwrap().to_string()
    }
}

fn id(who: u32) -> SessionId {
    SessionId::new(0, who, 1)
}

fn is_refused(answer: &str, code: &str) -> bool {
    answer.starts_with(&format!("ERR {code} "))
}

#[test]
fn members_hear_who_comes_what_is_said_and_who_goes() {
    let mut world = World::new();
    world.guest(1, "ann", "den");
    world.guest(2, "bob", "den");
    assert_eq!(world.heard(1), "JOINED den bob\n");
    assert_eq!(world.say(2, "SAY DEN hi, all"), "SAID den 1 bob hi, all\n");
    assert_eq!(world.heard(1), "SAID den 1 bob hi, all\n");
    assert_eq!(world.say(1, "WHO den"), "MEMBERS den ann bob\nOK WHO den 2\n");
    assert_eq!(world.say(1, "LEAVE den"), "OK LEAVE den\n");
    assert_eq!(world.heard(2), "LEFT den ann\n");
    assert_eq!(world.say(2, "SAY den still here"), "SAID den 2 bob still here\n");
    assert_eq!(world.heard(1), "");
    world.hall.forget(id(2), &world.ears);
    assert_eq!(world.say(1, "ROOMS"), "ROOM den 0 2\nOK ROOMS 1\n");
}

#[test]
fn a_name_belongs_to_one_and_is_taken_over_by_its_token_alone() {
    let mut world = World::new();
    let token = world.guest(1, "Ann", "den");
    world.guest(2, "bob", "den");
    world.heard(1);
    assert!(is_refused(&world.say(3, "NICK ann"), "taken"));
    assert!(is_refused(&world.say(3, "NICK ANN 1234"), "token"));
    let answer = world.say(3, &format!("NICK ANN {token}"));
    assert!(answer.starts_with("OK NICK ANN "), "{answer}");
    assert_eq!(world.heard(1), "BYE your name was taken over\n");
    assert_eq!(*world.ears.closed.borrow(), [id(1)]);
    assert_eq!(world.heard(2), "LEFT den Ann\n");
    // The end of the old session takes nothing from the new one.
    world.hall.forget(id(1), &world.ears);
    assert_eq!(world.say(2, "MSG ann hello"), "OK MSG ann\n");
    assert_eq!(world.heard(3), "PRIVATE bob hello\n");
    world.hall.forget(id(3), &world.ears);
    assert!(is_refused(&world.say(2, "MSG ann hello"), "nobody"));
    assert!(world.say(4, "NICK ann").starts_with("OK NICK ann "));
}

#[test]
fn who_was_told_goodbye_is_heard_no_more_and_told_nothing_more() {
    let endings: [fn(&mut World, &str); 3] = [
        |world, _| drop(world.say(1, "QUIT")),
        |world, token| drop(world.say(3, &format!("NICK ann {token}"))),
        |world, _| world.hall.dismiss(id(1), "BYE you are too fast\n", &world.ears),
    ];
    for end in endings {
        let mut world = World::new();
        let token = world.guest(1, "ann", "den");
        world.guest(2, "bob", "den");
        world.heard(1);
        end(&mut world, &token);
        world.heard(1);
        assert_eq!(world.heard(2), "LEFT den ann\n");
        for line in ["SAY den a ghost", "MSG bob a ghost", "NICK eve", "JOIN attic", "PING", "QUIT"]
        {
            assert_eq!(world.say(1, line), "", "{line}");
        }
        world.hall.tell(id(1), "ERR command and so on\n", &world.ears);
        world.hall.dismiss(id(1), "BYE again\n", &world.ears);
        assert_eq!((world.heard(1), world.heard(2)), (String::new(), String::new()));
        assert_eq!(*world.ears.closed.borrow(), [id(1)]);
        world.hall.forget(id(1), &world.ears);
        assert!(world.hall.dismissed.is_empty(), "nothing is remembered of who is gone");
    }
}

#[test]
fn the_name_and_the_rooms_of_who_was_told_goodbye_are_free_at_once() {
    let endings: [fn(&mut World); 3] = [
        |world| drop(world.say(1, "QUIT")),
        |world| world.hall.dismiss(id(1), "BYE\n", &world.ears),
        |world| world.hall.depart(id(1), &world.ears),
    ];
    for end in endings {
        let mut world = World::new();
        world.guest(1, "ann", "den");
        world.guest(2, "bob", "den");
        world.heard(1);
        end(&mut world);
        assert!(!world.heard(1).contains("LEFT"), "it hears no more of its rooms");
        assert_eq!(world.heard(2), "LEFT den ann\n");
        assert_eq!(world.say(2, "WHO den"), "MEMBERS den bob\nOK WHO den 1\n");
        assert!(is_refused(&world.say(2, "MSG ann hello"), "nobody"));
        let answer = world.say(3, "NICK ann");
        assert!(answer.starts_with("OK NICK ann "), "{answer}");
        // The end of the old session takes nothing from the new one.
        world.hall.forget(id(1), &world.ears);
        assert_eq!(world.say(2, "MSG ann hello"), "OK MSG ann\n");
        assert_eq!(world.heard(2), "", "its end is told once");
    }
}

#[test]
fn a_new_name_is_told_to_the_rooms() {
    let mut world = World::new();
    world.guest(1, "ann", "den");
    world.guest(2, "bob", "den");
    world.heard(1);
    let answer = world.say(1, "NICK eve");
    assert!(answer.starts_with("RENAMED den ann eve\nOK NICK eve "), "{answer}");
    assert_eq!(world.heard(2), "RENAMED den ann eve\n");
    assert_eq!(world.say(2, "WHO den"), "MEMBERS den bob eve\nOK WHO den 2\n");
    assert!(world.say(3, "NICK ann").starts_with("OK "), "the old name is free");
}

#[test]
fn who_comes_back_gets_what_was_missed_and_hears_what_is_lost() {
    let mut world = World::new();
    world.guest(1, "ann", "den");
    for text in ["a", "b", "c", "d", "e", "f"] {
        world.say(1, &format!("SAY den {text}"));
    }
    world.say(2, "NICK bob");
    let missed = "SAID den 5 ann e\nSAID den 6 ann f\n";
    assert_eq!(world.say(2, "JOIN den 4"), format!("OK JOIN den 6 2 0\n{missed}"));
    assert_eq!(world.say(2, "HISTORY den 2"), format!("OK HISTORY den 2\n{missed}"));
    world.say(2, "LEAVE den");
    let answer = world.say(2, "JOIN den 0");
    assert!(answer.starts_with("OK JOIN den 6 4 2\nSAID den 3 ann c\n"), "{answer}");
    world.say(2, "LEAVE den");
    assert_eq!(world.say(2, "JOIN den"), "OK JOIN den 6 0 0\n");
}

#[test]
fn what_one_may_not_do_is_refused_and_changes_nothing() {
    let mut world = World::new();
    for line in ["JOIN den", "SAY den x", "MSG ann x", "HISTORY den 1", "LEAVE den"] {
        assert!(is_refused(&world.say(9, line), "nick"), "{line}");
    }
    world.guest(1, "ann", "den");
    for name in ["toolong..", "a,b", "a\u{202e}b", "#"] {
        assert!(is_refused(&world.say(1, &format!("NICK {name}")), "name"), "{name}");
        assert!(is_refused(&world.say(1, &format!("JOIN {name}")), "name"), "{name}");
    }
    assert!(is_refused(&world.say(1, "JOIN DEN"), "joined"));
    for line in ["WHO none", "SAY none x", "HISTORY none 1", "LEAVE none"] {
        assert!(is_refused(&world.say(1, line), "room"), "{line}");
    }
    world.guest(2, "bob", "hut");
    for line in ["SAY hut x", "HISTORY hut 1", "LEAVE hut"] {
        assert!(is_refused(&world.say(1, line), "member"), "{line}");
    }
    assert_eq!(world.say(1, "WHO den"), "MEMBERS den ann\nOK WHO den 1\n");
}

#[test]
fn rooms_are_bounded_and_the_one_that_was_left_first_is_forgotten() {
    let mut world = World::new();
    world.guest(1, "ann", "a");
    world.say(1, "JOIN b");
    assert!(is_refused(&world.say(1, "JOIN c"), "rooms"));
    world.guest(2, "bob", "c");
    assert!(is_refused(&world.say(2, "JOIN d"), "full"));
    world.say(1, "SAY a remembered?");
    world.say(1, "LEAVE b");
    world.say(1, "LEAVE a");
    assert!(world.say(2, "JOIN d").starts_with("OK JOIN d 0 "));
    assert_eq!(world.say(2, "ROOMS"), "ROOM a 0 1\nROOM c 1 0\nROOM d 1 0\nOK ROOMS 3\n");
}

#[test]
fn the_small_words_do_what_they_say() {
    let mut world = World::new();
    assert_eq!(world.say(1, "PING"), "PONG\n");
    assert_eq!(world.say(1, "PING a  b"), "PONG a  b\n");
    assert_eq!(world.say(1, "PONG"), "");
    assert_eq!(world.say(1, "QUIT"), "BYE\n");
    assert_eq!(*world.ears.closed.borrow(), [id(1)]);
}
