//! What is known of one backend's addresses: who named them, which are listed, which are kept.
//!
//! Several voices speak of a backend: each resolver, each service, a file. They are not averaged:
//! an address is listed while any voice names it. A voice that fails keeps its last good word (P6);
//! only a voice that answers can take back what it said. What nobody names any more is kept for a
//! while. Answers are screened: private addresses where public ones were, addresses where nobody can
//! be, and more addresses than a backend may have are refused.
//!
//! Pure: time is an argument. `keeper` feeds it and reports what it says.

use leeward_metrics::AddressRefusal;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Addresses of one backend at most, literal and kept ones among them.
pub(crate) const MOST_ADDRESSES: usize = 64;

/// How answers are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// How long an address is kept after it was last named.
    pub(crate) keep: Duration,
    /// Private addresses are taken whatever was before.
    pub(crate) private: bool,
    /// Addresses that the policy has.
    pub(crate) literal: Vec<SocketAddr>,
}

/// The voice of what was known before this leeward started.
const MEMORY: &str = "memory";

/// What one voice says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) listed: Vec<SocketAddr>,
    /// Named for the case that the others fail: SRV records of a lower rank.
    pub(crate) standby: Vec<SocketAddr>,
}

/// What a backend's addresses are now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) listed: Vec<SocketAddr>,
    pub(crate) retained: Vec<SocketAddr>,
    /// There were addresses, and the time to keep them is over.
    pub(crate) expired: bool,
}

/// An address that was not taken, and why.
pub(crate) type Refused = (SocketAddr, AddressRefusal);

/// All that is known of one backend's addresses.
#[derive(Debug)]
pub(crate) struct Book {
    rules: Rules,
    voices: BTreeMap<String, Voice>,
    known: BTreeMap<SocketAddr, Known>,
    /// Whether its addresses are private; open until every voice was heard once.
    private: Option<bool>,
}

#[derive(Debug, Default)]
struct Voice {
    /// The last good word.
    listed: BTreeSet<SocketAddr>,
    standby: BTreeSet<SocketAddr>,
    /// The last question was answered.
    fresh: bool,
    /// Any question has ended.
    heard: bool,
    /// Whether its first good word had a private address.
    private: Option<bool>,
}

#[derive(Debug)]
struct Known {
    /// Every voice that ever named it.
    by: BTreeSet<String>,
    since: Instant,
    /// When it was last named.
    last: Instant,
}

impl Book {
    /// Nothing is known yet. `voices` are those that will speak.
    pub(crate) fn new(rules: Rules, voices: BTreeSet<String>) -> Self {
        let mut book = Self {
            rules,
            voices: BTreeMap::new(),
            known: BTreeMap::new(),
            private: None,
        };
        book.expect(voices);
        book
    }

    /// Other rules and other voices from now on; what is known stays.
    pub(crate) fn follow(&mut self, rules: Rules, voices: BTreeSet<String>) {
        self.rules = rules;
        self.expect(voices);
    }

    fn expect(&mut self, voices: BTreeSet<String>) {
        self.voices
            .retain(|name, _| voices.contains(name) || name == MEMORY);
        for name in voices {
            self.voices.entry(name).or_default();
        }
    }

    /// What was known before anything is heard. What was listed counts like the last word of voices
    /// that fail: each of them takes it back with its first answer. What was kept is kept on.
    pub(crate) fn remember(
        &mut self,
        listed: &[SocketAddr],
        retained: &[SocketAddr],
        now: Instant,
    ) {
        let mut all = listed.iter().chain(retained).peekable();
        if all.peek().is_none() {
            return;
        }
        self.private = Some(all.clone().any(|address| is_private(address.ip())));
        let by: BTreeSet<String> = self.voices.keys().cloned().collect();
        for address in all {
            let known = Known {
                by: by.clone(),
                since: now,
                last: now,
            };
            self.known.insert(*address, known);
        }
        let voice = Voice {
            listed: listed.iter().copied().collect(),
            heard: true,
            ..Voice::default()
        };
        self.voices.insert(MEMORY.to_owned(), voice);
    }

    /// A voice answered. Returns what was refused, and whether anything was taken; a word of which
    /// nothing could be taken counts as none.
    pub(crate) fn hear(&mut self, name: &str, word: &Word, now: Instant) -> (Vec<Refused>, bool) {
        let mut refused = Vec::new();
        let mut standby = self.screen(&word.standby, &mut refused);
        let mut listed = self.screen(&word.listed, &mut refused);
        let any_private = listed.iter().chain(&standby).any(|a| is_private(a.ip()));
        if listed.is_empty() {
            std::mem::swap(&mut listed, &mut standby);
        }
        if listed.is_empty() {
            self.fail(name);
            return (refused, false);
        }
        let Some(voice) = self.voices.get_mut(name) else {
            return (refused, false);
        };
        voice.private.get_or_insert(any_private);
        (voice.fresh, voice.heard) = (true, true);
        self.make_room(name, &mut listed, &mut standby, &mut refused);
        for address in listed.iter().chain(&standby) {
            let fresh = || Known {
                by: BTreeSet::new(),
                since: now,
                last: now,
            };
            let known = self.known.entry(*address).or_insert_with(fresh);
            known.by.insert(name.to_owned());
            known.last = now;
        }
        if let Some(voice) = self.voices.get_mut(name) {
            (voice.listed, voice.standby) = (listed, standby);
        }
        refused.extend(self.decide_private());
        (refused, true)
    }

    /// A voice said nothing that could be used: what it said before stands.
    pub(crate) fn fail(&mut self, name: &str) {
        if let Some(voice) = self.voices.get_mut(name) {
            (voice.fresh, voice.heard) = (false, true);
        }
        self.decide_private();
    }

    /// What the addresses are now. Forgets those whose time is over.
    pub(crate) fn view(&mut self, now: Instant) -> View {
        let had = !self.known.is_empty();
        let keep = self.rules.keep;
        let kept: BTreeSet<SocketAddr> = self
            .known
            .iter()
            .filter(|(address, known)| {
                self.named_freshly(address) || now.saturating_duration_since(known.last) < keep
            })
            .map(|(address, _)| *address)
            .collect();
        self.known.retain(|address, _| kept.contains(address));
        for voice in self.voices.values_mut() {
            voice.listed.retain(|address| kept.contains(address));
            voice.standby.retain(|address| kept.contains(address));
        }
        let (mut listed, mut retained): (Vec<_>, Vec<_>) = kept
            .into_iter()
            .partition(|address| self.is_listed(address));
        listed.sort_by_key(|address| (self.known[address].since, *address));
        retained.sort_by_key(|address| (std::cmp::Reverse(self.known[address].last), *address));
        let room = MOST_ADDRESSES.saturating_sub(self.rules.literal.len() + listed.len());
        for gone in retained.drain(room.min(retained.len())..) {
            self.known.remove(&gone);
        }
        let expired = had && self.known.is_empty();
        View {
            listed,
            retained,
            expired,
        }
    }

    /// Whether some voice names it, and none that answers has taken it back.
    fn is_listed(&self, address: &SocketAddr) -> bool {
        let Some(known) = self.known.get(address) else {
            return false;
        };
        let taken_back = || {
            let mut fresh = self.voices.iter().filter(|(_, voice)| voice.fresh);
            fresh.any(|(name, voice)| known.by.contains(name) && !voice.listed.contains(address))
        };
        let names = |voice: &Voice| voice.listed.contains(address);
        self.voices
            .values()
            .any(|voice| voice.fresh && names(voice))
            || (self.voices.values().any(names) && !taken_back())
    }

    fn named_freshly(&self, address: &SocketAddr) -> bool {
        let names =
            |voice: &Voice| voice.listed.contains(address) || voice.standby.contains(address);
        self.voices
            .values()
            .any(|voice| voice.fresh && names(voice))
    }

    /// The addresses of a word that may be taken at all.
    fn screen(&self, word: &[SocketAddr], refused: &mut Vec<Refused>) -> BTreeSet<SocketAddr> {
        let private = self.rules.private
            || self
                .rules
                .literal
                .iter()
                .any(|literal| is_private(literal.ip()))
            || self.private != Some(false);
        let mut taken = BTreeSet::new();
        for address in word {
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            if !is_usable(address.ip()) || address.port() == 0 {
                refused.push((address, AddressRefusal::Unusable));
            } else if is_private(address.ip()) && !private {
                refused.push((address, AddressRefusal::Private));
            } else {
                taken.insert(address);
            }
        }
        taken
    }

    /// Takes no more than there is room for: those that are known first, so that no answer, however
    /// long, drives out what works.
    fn make_room(
        &self,
        name: &str,
        listed: &mut BTreeSet<SocketAddr>,
        standby: &mut BTreeSet<SocketAddr>,
        refused: &mut Vec<Refused>,
    ) {
        let others = self.voices.iter().filter(|(other, _)| *other != name);
        let others: BTreeSet<SocketAddr> = others
            .flat_map(|(_, voice)| voice.listed.iter().copied())
            .collect();
        let taken = others.len() + self.rules.literal.len();
        let mut room = MOST_ADDRESSES.saturating_sub(taken);
        for list in [listed, standby] {
            let (known, new): (Vec<_>, Vec<_>) = list
                .iter()
                .copied()
                .partition(|address| self.known.contains_key(address));
            for address in known.into_iter().chain(new) {
                if others.contains(&address) || self.rules.literal.contains(&address) {
                    continue;
                }
                match room.checked_sub(1) {
                    Some(left) => room = left,
                    None => {
                        list.remove(&address);
                        refused.push((address, AddressRefusal::TooMany));
                    }
                }
            }
        }
    }

    /// Once every voice was heard: private addresses are right where every one that answered began
    /// with one. Where they are not, those that were taken meanwhile go.
    fn decide_private(&mut self) -> Vec<Refused> {
        let allowed = self.rules.private
            || self
                .rules
                .literal
                .iter()
                .any(|literal| is_private(literal.ip()));
        let mut first = self
            .voices
            .values()
            .filter_map(|voice| voice.private)
            .peekable();
        if allowed || self.private.is_some() || first.peek().is_none() {
            return Vec::new();
        }
        let all = first.all(|private| private);
        if !all || self.voices.values().all(|voice| voice.heard) {
            self.private = Some(all);
        }
        if all {
            return Vec::new();
        }
        let private = |address: &SocketAddr| is_private(address.ip());
        let mixed: BTreeSet<SocketAddr> = self.known.keys().copied().filter(private).collect();
        for voice in self.voices.values_mut() {
            voice.listed.retain(|address| !private(address));
            voice.standby.retain(|address| !private(address));
        }
        self.known.retain(|address, _| !private(address));
        mixed
            .into_iter()
            .map(|address| (address, AddressRefusal::Private))
            .collect()
    }
}

/// Whether anybody could be there.
fn is_usable(ip: IpAddr) -> bool {
    let special = match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    !(special || ip.is_unspecified() || ip.is_multicast())
}

/// Whether an address means something else in each network: private (RFC 1918, RFC 4193), shared
/// (RFC 6598), link-local or loopback.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && b & 0xc0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => {
            ip == Ipv6Addr::LOCALHOST || ip.is_unique_local() || ip.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
