//! What several voices come to.

use super::*;

const KEEP: Duration = Duration::from_secs(100);

struct World {
    book: Book,
    now: Instant,
}

fn addresses(last: &[u8]) -> Vec<SocketAddr> {
    last.iter()
        .map(|last| SocketAddr::from(([192, 0, 2, *last], 80)))
        .collect()
}

fn private(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

impl World {
    fn new(voices: &[&str]) -> Self {
        Self::with(
            voices,
            Rules {
                keep: KEEP,
                private: false,
                literal: Vec::new(),
            },
        )
    }

    fn with(voices: &[&str], rules: Rules) -> Self {
        let voices = voices.iter().map(|voice| (*voice).to_owned()).collect();
        Self {
            book: Book::new(rules, voices),
            now: Instant::now(),
        }
    }

    fn says(&mut self, voice: &str, listed: &[u8]) -> Vec<Refused> {
        self.says_all(voice, addresses(listed))
    }

    fn says_all(&mut self, voice: &str, listed: Vec<SocketAddr>) -> Vec<Refused> {
        let word = Word {
            listed,
            standby: Vec::new(),
        };
        self.book.hear(voice, &word, self.now).0
    }

    fn view(&mut self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let view = self.book.view(self.now);
        (view.listed, view.retained)
    }

    fn pass(&mut self, secs: u64) {
        self.now += Duration::from_secs(secs);
    }
}

fn lists(listed: &[u8], retained: &[u8]) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    (addresses(listed), addresses(retained))
}

#[test]
fn what_any_voice_names_is_listed() {
    let mut world = World::new(&["a", "b"]);
    world.says("a", &[1, 2]);
    world.says("b", &[2, 3]);
    assert_eq!(world.view(), lists(&[1, 2, 3], &[]));
}

#[test]
fn a_failure_takes_nothing_away() {
    let mut world = World::new(&["a"]);
    world.says("a", &[1]);
    world.book.fail("a");
    world.pass(99);
    assert_eq!(world.view(), lists(&[1], &[]));
}

#[test]
fn an_empty_word_takes_nothing_away() {
    let mut world = World::new(&["a"]);
    world.says("a", &[1]);
    world.says("a", &[]);
    assert_eq!(world.view(), lists(&[1], &[]));
}

#[test]
fn what_is_no_longer_named_is_kept_for_a_while() {
    let mut world = World::new(&["a"]);
    world.says("a", &[1, 2]);
    world.pass(10);
    world.says("a", &[2]);
    assert_eq!(world.view(), lists(&[2], &[1]));
    world.pass(89);
    assert_eq!(world.view(), lists(&[2], &[1]));
    world.pass(1);
    assert_eq!(world.view(), lists(&[2], &[]));
}

#[test]
fn what_is_named_again_is_listed_again() {
    let mut world = World::new(&["a"]);
    for named in [[1], [2], [1]] {
        world.says("a", &named);
    }
    assert_eq!(world.view(), lists(&[1], &[2]));
}

#[test]
fn a_dead_voice_keeps_its_last_word_beside_one_that_lives() {
    let mut world = World::new(&["a", "b"]);
    world.says("a", &[1]);
    world.says("b", &[2]);
    world.book.fail("b");
    assert_eq!(world.view(), lists(&[1, 2], &[]));
}

#[test]
fn a_voice_that_lives_takes_back_what_a_dead_one_still_says() {
    let mut world = World::new(&["a", "b"]);
    world.says("a", &[1]);
    world.says("b", &[1]);
    world.book.fail("b");
    world.says("a", &[2]);
    assert_eq!(world.view(), lists(&[2], &[1]));
}

#[test]
fn two_voices_that_disagree_are_both_heard() {
    let mut world = World::new(&["a", "b"]);
    world.says("a", &[1]);
    world.says("b", &[1]);
    world.says("a", &[2]);
    assert_eq!(world.view(), lists(&[1, 2], &[]));
}

#[test]
fn silence_that_lasts_too_long_is_told() {
    let mut world = World::new(&["a"]);
    world.says("a", &[1]);
    world.book.fail("a");
    world.pass(100);
    let view = world.book.view(world.now);
    assert_eq!(
        view,
        View {
            expired: true,
            ..View::default()
        }
    );
    assert!(!world.book.view(world.now).expired, "told once");
    world.says("a", &[1]);
    assert_eq!(world.view(), lists(&[1], &[]));
}

#[test]
fn what_is_named_all_the_time_never_expires() {
    let mut world = World::new(&["a"]);
    world.says("a", &[1]);
    world.pass(10_000);
    assert_eq!(world.view(), lists(&[1], &[]));
}

#[test]
fn private_addresses_are_refused_where_public_ones_were() {
    let mut world = World::new(&["a"]);
    world.says("a", &[1]);
    let refused = world.says_all("a", vec![private(1)]);
    assert_eq!(refused, [(private(1), AddressRefusal::Private)]);
    assert_eq!(world.view(), lists(&[1], &[]));
    let refused = world.says_all("a", [addresses(&[2]), vec![private(1)]].concat());
    assert_eq!(refused.len(), 1);
    assert_eq!(world.view(), lists(&[2], &[1]));
}

#[test]
fn private_addresses_are_taken_where_they_came_first() {
    let mut world = World::new(&["a"]);
    for address in [private(1), private(2)] {
        assert_eq!(world.says_all("a", vec![address]), []);
    }
    assert_eq!(world.view(), (vec![private(2)], vec![private(1)]));
}

#[test]
fn private_addresses_are_taken_where_the_policy_says_so_or_has_one() {
    let keep = KEEP;
    let said = Rules {
        keep,
        private: true,
        literal: Vec::new(),
    };
    let has = Rules {
        keep,
        private: false,
        literal: vec![private(9)],
    };
    for rules in [said, has] {
        let mut world = World::with(&["a"], rules);
        world.says("a", &[1]);
        assert_eq!(world.says_all("a", vec![private(1)]), []);
    }
}

#[test]
fn at_the_start_a_private_word_loses_against_a_public_one() {
    for first in ["liar", "honest"] {
        let mut world = World::new(&["liar", "honest"]);
        for voice in [first, "liar", "honest"] {
            if voice == "liar" {
                world.says_all("liar", vec![private(1)]);
            } else {
                world.says("honest", &[1]);
            }
        }
        assert_eq!(world.view(), lists(&[1], &[]), "{first} first");
        assert_eq!(world.says_all("liar", vec![private(2)]).len(), 1);
    }
}

#[test]
fn a_late_public_word_does_not_make_private_addresses_wrong() {
    let mut world = World::new(&["a", "b"]);
    world.says_all("a", vec![private(1)]);
    world.book.fail("b");
    world.says("b", &[1]);
    assert_eq!(world.view().0.len(), 2);
    assert_eq!(world.says_all("a", vec![private(2)]), []);
}

#[test]
fn addresses_where_nobody_can_be_are_refused() {
    let mut world = World::new(&["a"]);
    let nobody = [
        "0.0.0.0:80",
        "0.1.2.3:80",
        "255.255.255.255:80",
        "224.0.0.1:80",
        "[::]:80",
        "[ff02::1]:80",
        "192.0.2.1:0",
        "[::ffff:0.0.0.0]:80",
    ];
    let nobody: Vec<SocketAddr> = nobody.iter().map(|a| a.parse().unwrap()).collect();
    let refused = world.says_all("a", nobody.clone());
    assert_eq!(refused.len(), nobody.len());
    assert!(
        refused
            .iter()
            .all(|(_, reason)| *reason == AddressRefusal::Unusable)
    );
    assert_eq!(world.view(), lists(&[], &[]));
}

#[test]
fn an_address_in_the_dress_of_another_family_is_the_same() {
    let mut world = World::new(&["a"]);
    world.says_all("a", vec!["[::ffff:192.0.2.1]:80".parse().unwrap()]);
    assert_eq!(world.view(), lists(&[1], &[]));
}

#[test]
fn a_huge_answer_does_not_drive_out_what_is_known() {
    let mut world = World::new(&["a"]);
    world.says("a", &[255]);
    world.pass(1);
    let refused = world.says("a", &(0..=255).collect::<Vec<u8>>());
    assert_eq!(refused.len(), 256 - MOST_ADDRESSES);
    assert!(
        refused
            .iter()
            .all(|(_, reason)| *reason == AddressRefusal::TooMany)
    );
    let (listed, retained) = world.view();
    assert_eq!((listed.len(), retained.len()), (MOST_ADDRESSES, 0));
    assert_eq!(listed[0], addresses(&[255])[0]);
}

#[test]
fn answers_that_change_all_the_time_are_kept_within_bounds() {
    let mut world = World::new(&["a"]);
    for n in 0..=255 {
        world.says("a", &[n]);
        world.pass(0);
        let (listed, retained) = world.view();
        assert!(listed.len() + retained.len() <= MOST_ADDRESSES);
    }
    assert_eq!(world.view().0, addresses(&[255]));
}

#[test]
fn standbys_are_kept_while_they_are_named_and_never_listed() {
    let mut world = World::new(&["a"]);
    let word = Word {
        listed: addresses(&[1]),
        standby: addresses(&[2]),
    };
    world.book.hear("a", &word, world.now);
    world.pass(1000);
    assert_eq!(world.view(), lists(&[1], &[2]));
}

#[test]
fn other_voices_and_rules_leave_what_is_known() {
    let mut world = World::new(&["a", "b"]);
    world.says("a", &[1]);
    world.says("b", &[2]);
    let rules = Rules {
        keep: KEEP,
        private: false,
        literal: Vec::new(),
    };
    world
        .book
        .follow(rules, BTreeSet::from(["b".to_owned(), "c".to_owned()]));
    assert_eq!(world.view(), lists(&[2], &[1]));
}

#[test]
fn what_was_known_before_stands_until_something_is_heard() {
    let mut world = World::new(&["a", "b"]);
    world.book.remember(&addresses(&[1, 2]), &[], world.now);
    assert_eq!(world.view(), lists(&[1, 2], &[]));
    world.book.fail("a");
    world.book.fail("b");
    assert_eq!(world.view(), lists(&[1, 2], &[]));
    world.says("a", &[2, 3]);
    assert_eq!(world.view(), lists(&[2, 3], &[1]));
    let refused = world.says_all("a", vec![private(1)]);
    assert_eq!(refused, [(private(1), AddressRefusal::Private)]);
}

#[test]
fn what_was_kept_before_is_kept_and_not_listed_by_failures() {
    let mut world = World::new(&["a", "b"]);
    world
        .book
        .remember(&addresses(&[1]), &addresses(&[2]), world.now);
    assert_eq!(world.view(), lists(&[1], &[2]));
    world.book.fail("a");
    assert_eq!(world.view(), lists(&[1], &[2]));
    // Its time runs as ever, and an answer may list it again.
    world.says("a", &[2]);
    assert_eq!(world.view(), lists(&[2], &[1]));
    world.pass(101);
    assert_eq!(world.view(), lists(&[2], &[]));
}
