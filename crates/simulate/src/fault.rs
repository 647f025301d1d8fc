//! What goes wrong in a world, where and when: phases of failure modes.
//!
//! The vocabulary of published incidents, as far as a proxy can see it. A phase says what is true
//! of some servers or names for a while; what an exchange meets because of it is `server`'s.

use crate::dice::Dice;
use leeward_failover::{Class, Time};
use serde::Deserialize;
use std::time::Duration;

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing is wrong; written down because the incident says so.
    Ok,
    /// The name has no addresses.
    DnsEmpty,
    /// The resolver fails, does not answer, or says that the name is unknown.
    DnsServfail,
    /// The answer shrinks to a part (`keep`) of the addresses and grows again.
    DnsFlap,
    /// The name moves to new addresses; the old ones refuse after `after`.
    DnsMove,
    /// Connections are refused, and those that stand are reset.
    TcpRefused,
    /// Packets are dropped, both ways.
    TcpBlackhole,
    /// A part of the packets (`loss`) is dropped.
    TcpLoss,
    /// Connections are reset once a request was sent.
    TcpReset,
    /// The TLS handshake never ends.
    TlsHang,
    /// The TLS handshake fails.
    TlsFail,
    /// Connections are accepted, and nothing is ever answered.
    AcceptHang,
    /// The first byte is late by `ms`.
    SlowTtfb,
    /// The body breaks off before its end.
    BodyTrunc,
    /// An answer with one of `codes`, after `ms` where given.
    Http,
    /// A right status over wrong or old data: requests look well, a probe that asserts does not.
    Stale200,
    /// New orders are refused with a 4xx, everything else works.
    CancelOnly,
    /// The health endpoint says that all is well, whatever requests meet.
    HealthGreen,
    /// The health endpoint says that all is bad, whatever requests meet.
    HealthRed,
    /// What a server can carry is multiplied by `factor`.
    Capacity,
    /// The offered load is multiplied by `factor`.
    Surge,
    /// The process pauses: every answer is late by up to `ms`, all of them together.
    Pause,
}

impl Mode {
    /// Whether it is about names rather than servers.
    pub const fn is_dns(self) -> bool {
        matches!(
            self,
            Mode::DnsEmpty | Mode::DnsServfail | Mode::DnsFlap | Mode::DnsMove
        )
    }

    /// Whether requests can fail because of it. Refusals by a 4xx are no failures.
    pub const fn hurts(self) -> bool {
        !matches!(
            self,
            Mode::Ok
                | Mode::DnsEmpty
                | Mode::DnsServfail
                | Mode::DnsFlap
                | Mode::CancelOnly
                | Mode::HealthGreen
                | Mode::Pause
        )
    }

    /// Whether nothing at all gets through, on connections that stand neither.
    pub const fn is_total(self) -> bool {
        matches!(
            self,
            Mode::TcpRefused | Mode::TcpBlackhole | Mode::TcpReset | Mode::AcceptHang
        )
    }

    /// The word of scenario files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Ok => "ok",
            Mode::DnsEmpty => "dns_empty",
            Mode::DnsServfail => "dns_servfail",
            Mode::DnsFlap => "dns_flap",
            Mode::DnsMove => "dns_move",
            Mode::TcpRefused => "tcp_refused",
            Mode::TcpBlackhole => "tcp_blackhole",
            Mode::TcpLoss => "tcp_loss",
            Mode::TcpReset => "tcp_reset",
            Mode::TlsHang => "tls_hang",
            Mode::TlsFail => "tls_fail",
            Mode::AcceptHang => "accept_hang",
            Mode::SlowTtfb => "slow_ttfb",
            Mode::BodyTrunc => "body_trunc",
            Mode::Http => "http",
            Mode::Stale200 => "stale200",
            Mode::CancelOnly => "cancel_only",
            Mode::HealthGreen => "health_green",
            Mode::HealthRed => "health_red",
            Mode::Capacity => "capacity",
            Mode::Surge => "surge",
            Mode::Pause => "pause",
        }
    }
}

/// How much of a phase is felt at a moment of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// All the time alike.
    Flat,
    /// Less and less.
    LinearToZero,
    /// On for `duty` of each period, then off.
    Square {
        /// Its length.
        period: Duration,
        /// The part of it that is bad, 0 to 1.
        duty: f64,
    },
}

/// Who asks: what for, and which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// What is asked.
    pub class: Class,
    /// Whose it is.
    pub client: u64,
}

/// A failure mode at some servers for a while.
#[derive(Clone, Debug)]
pub struct Phase {
    /// When it begins.
    pub from: Time,
    /// When it is over.
    pub to: Time,
    /// Positions in the world's servers; for a mode of DNS those whose names are hit.
    pub servers: Vec<usize>,
    /// How it fails.
    pub mode: Mode,
    /// The part of the exchanges that it hits, 0 to 1.
    pub share: f64,
    /// How the part changes over time.
    pub shape: Shape,
    /// What an answer says.
    pub codes: Vec<u16>,
    /// How late it is, in milliseconds.
    pub ms: (u64, u64),
    /// What loads and capacities are multiplied by, what is lost or kept.
    pub factor: f64,
    /// The only classes that are hit; all where empty.
    pub classes: Vec<Class>,
    /// The only clients whose orders are hit; all where empty.
    pub clients: Vec<u64>,
    /// How it is called in the timeline.
    pub label: String,
}

impl Phase {
    /// A phase in which everything fails alike.
    pub fn new(mode: Mode, from: Time, to: Time, servers: Vec<usize>) -> Phase {
        Phase {
            from,
            to,
            servers,
            mode,
            share: 1.0,
            shape: Shape::Flat,
            codes: vec![503],
            ms: (0, 0),
            factor: 1.0,
            classes: Vec::new(),
            clients: Vec::new(),
            label: String::new(),
        }
    }

    /// The part of the exchanges that is hit now.
    pub fn felt(&self, now: Time) -> f64 {
        if now < self.from || now >= self.to {
            return 0.0;
        }
        match self.shape {
            Shape::Flat => self.share,
            Shape::LinearToZero => {
                let all = self.to.since(self.from).as_secs_f64().max(1e-9);
                self.share * (1.0 - now.since(self.from).as_secs_f64() / all)
            }
            Shape::Square { period, duty } => {
                let within = now.since(self.from).as_secs_f64() % period.as_secs_f64().max(1e-3);
                if within < duty * period.as_secs_f64() {
                    self.share
                } else {
                    0.0
                }
            }
        }
    }

    /// When it begins to be felt, and when it ceases: each edge with what it is.
    pub fn edges(&self) -> Vec<Time> {
        let mut edges = vec![self.from, self.to];
        if let Shape::Square { period, duty } = self.shape {
            let mut at = self.from;
            while at < self.to {
                edges.push(at);
                edges.push((at + period.mul_f64(duty)).min(self.to));
                at = at + period.max(Duration::from_millis(100));
            }
        }
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    /// Whether an exchange is hit now: by whom it is (`None` for a probe).
    pub fn hits(&self, asker: Option<Asker>, now: Time, dice: &mut Dice) -> bool {
        let felt = self.felt(now);
        let of = |asker: Asker| {
            (self.classes.is_empty() || self.classes.contains(&asker.class))
                && (self.clients.is_empty() || self.clients.contains(&asker.client))
        };
        felt > 0.0 && (self.is_everybodys() || asker.is_some_and(of)) && dice.chance(felt)
    }

    /// Whether nothing gets through while it is felt, for any class.
    pub fn is_hard(&self) -> bool {
        let http = self.mode == Mode::Http && self.codes.iter().all(|code| *code >= 500);
        (self.mode.is_total() || http) && self.share >= 1.0 && self.is_everybodys()
    }

    /// Whether it hits whoever comes, for whatever.
    fn is_everybodys(&self) -> bool {
        self.classes.is_empty() && self.clients.is_empty()
    }

    /// Whether a request may fail because of it, and not for its client's own fault.
    pub fn hurts(&self) -> bool {
        if !self.clients.is_empty() {
            return false;
        }
        // A refusal is an answer, unless it is slow.
        let refuses = self.mode == Mode::Http && self.codes.iter().all(|c| *c < 500);
        self.mode.hurts() && !(refuses && self.ms.1 == 0)
    }

    /// What it looks like in the timeline.
    pub fn spoken(&self) -> String {
        let share = if self.share < 1.0 {
            format!(" {:.0}%", self.share * 100.0)
        } else {
            String::new()
        };
        format!("{}{share} at {}", self.mode.as_str(), self.label)
    }
}
