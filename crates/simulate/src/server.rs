//! One address of one backend: what connecting to it and asking it comes to, at a moment.
//!
//! Owns the truth of the world about it: its place, its speed, what it can carry. It knows phases
//! and dice, and nothing of proxies.

use crate::dice::Dice;
use crate::fault::{Asker, Mode, Phase};
use leeward_failover::{Class, Time};
use std::net::SocketAddr;
use std::time::Duration;

/// One address of one backend.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The pool that it serves, by name.
    pub pool: String,
    /// The backend's URL.
    pub backend: String,
    /// Its site: `aws/use1`.
    pub site: String,
    /// From here to there and back.
    pub rtt: Duration,
    /// How long an answer takes there when nothing is wrong; doubled now and then.
    pub work: Duration,
    /// Requests a second that it can carry; what comes beyond waits, then gets a 503.
    pub capacity: Option<f64>,
    /// Until when what came so far keeps it busy.
    pub busy_until: Time,
    /// Connections that wait for use: when each proved itself last. The newest is at the end.
    pub idle: Vec<Time>,
}

impl Server {
    /// Who runs it.
    pub fn provider(&self) -> &str {
        self.site.split('/').next().unwrap_or_default()
    }
}

/// What making a connection comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialled {
    /// It stands after this long.
    Stands(Duration),
    /// It was refused, or broke, after this long.
    Refused(Duration),
    /// TLS said no after this long.
    TlsFailed(Duration),
    /// Nothing comes back.
    Silence,
}

/// What a request that arrived comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// An answer with a status, this long after it arrived; whether its body is whole.
    Status {
        code: u16,
        after: Duration,
        whole: bool,
        /// Whether it says that there is no room now (503 with `Retry-After`).
        full: bool,
    },
    /// A probe's answer with a right status and data that is too old.
    Stale(Duration),
    /// The connection breaks after this long.
    Reset(Duration),
    /// Nothing ever comes.
    Silence,
    /// It never got there, and nothing ever comes.
    Lost,
}

/// How long a request waits for its turn at most before a server says that it is full.
const LONGEST_QUEUE: Duration = Duration::from_millis(250);
/// The first retransmission of what was lost on a standing connection.
const RETRANSMIT: Duration = Duration::from_millis(220);

/// The phases at one server.
pub(crate) struct Sky<'a> {
    pub phases: &'a [Phase],
    /// Positions of the phases that are about this server.
    pub here: &'a [usize],
    pub now: Time,
}

impl Sky<'_> {
    fn modes(&self) -> impl Iterator<Item = &Phase> {
        let now = self.now;
        self.here
            .iter()
            .filter_map(|index| self.phases.get(*index))
            .filter(move |phase| phase.felt(now) > 0.0)
    }

    fn hit(&self, mode: Mode, asker: Option<Asker>, dice: &mut Dice) -> Option<&Phase> {
        let now = self.now;
        self.modes()
            .filter(|phase| phase.mode == mode)
            .find(|phase| phase.hits(asker, now, dice))
    }

    fn has(&self, mode: Mode) -> bool {
        self.modes().any(|phase| phase.mode == mode)
    }

    fn loss(&self) -> f64 {
        let losses = self.modes().filter(|phase| phase.mode == Mode::TcpLoss);
        losses.map(|phase| phase.factor).fold(0.0, f64::max)
    }
}

/// A new connection: TCP, then TLS, a round trip each.
pub(crate) fn dial(server: &Server, sky: &Sky<'_>, dice: &mut Dice) -> Dialled {
    let rtt = server.rtt;
    if sky.hit(Mode::TcpBlackhole, None, dice).is_some()
        || sky.hit(Mode::TlsHang, None, dice).is_some()
    {
        return Dialled::Silence;
    }
    if sky.hit(Mode::TcpRefused, None, dice).is_some() {
        return Dialled::Refused(rtt);
    }
    if sky.hit(Mode::TlsFail, None, dice).is_some() {
        return Dialled::TlsFailed(rtt * 2);
    }
    // A lost SYN is repeated after a second: later than anybody waits.
    if dice.chance(sky.loss()) {
        return Dialled::Silence;
    }
    Dialled::Stands(rtt * 2 + late(sky.loss(), dice))
}

/// A request that reaches the server. `asker` is `None` for a probe.
pub(crate) fn ask(
    server: &mut Server,
    sky: &Sky<'_>,
    asker: Option<Asker>,
    dice: &mut Dice,
) -> Answered {
    if sky.hit(Mode::TcpBlackhole, None, dice).is_some() {
        return Answered::Lost;
    }
    if sky.hit(Mode::TcpRefused, None, dice).is_some() {
        return Answered::Reset(Duration::ZERO);
    }
    if sky.hit(Mode::AcceptHang, asker, dice).is_some() {
        return Answered::Silence;
    }
    if sky.hit(Mode::TcpReset, asker, dice).is_some() {
        return Answered::Reset(server.rtt / 2);
    }
    let mut after = server.work.mul_f64(0.8 + 0.4 * dice.fraction()) + server.rtt / 2;
    after += late(sky.loss(), dice);
    if asker.is_none() {
        return probed(sky, after, dice);
    }
    if let Some(pause) = sky.hit(Mode::Pause, asker, dice) {
        after += pause
            .to
            .since(sky.now)
            .min(Duration::from_millis(pause.ms.1));
    }
    if let Some(slow) = sky.hit(Mode::SlowTtfb, asker, dice) {
        after += dice.millis(slow.ms.0, slow.ms.1);
    }
    if let Some(storm) = sky.hit(Mode::Http, asker, dice) {
        let code = dice.pick(&storm.codes).copied().unwrap_or(503);
        after += dice.millis(storm.ms.0, storm.ms.1);
        return status(code, after);
    }
    if asker.is_some_and(|a| a.class == Class::Order) && sky.has(Mode::CancelOnly) {
        return status(400, after);
    }
    match queue(server, sky) {
        Some(waits) => after += waits,
        None => {
            return Answered::Status {
                code: 503,
                after,
                whole: true,
                full: true,
            };
        }
    }
    Answered::Status {
        code: 200,
        after,
        whole: sky.hit(Mode::BodyTrunc, asker, dice).is_none(),
        full: false,
    }
}

/// A probe meets what requests meet, but for a health endpoint that lies.
fn probed(sky: &Sky<'_>, mut after: Duration, dice: &mut Dice) -> Answered {
    if sky.has(Mode::HealthRed) {
        return status(503, after);
    }
    if sky.has(Mode::HealthGreen) {
        return status(200, after);
    }
    if sky.hit(Mode::Stale200, None, dice).is_some() {
        return Answered::Stale(after);
    }
    if let Some(slow) = sky.hit(Mode::SlowTtfb, None, dice) {
        after += dice.millis(slow.ms.0, slow.ms.1);
    }
    // Refusals below 500 are for callers, and probes are none.
    match sky
        .hit(Mode::Http, None, dice)
        .filter(|s| s.codes.iter().any(|c| *c >= 500))
    {
        Some(storm) => status(dice.pick(&storm.codes).copied().unwrap_or(503), after),
        None => status(200, after),
    }
}

const fn status(code: u16, after: Duration) -> Answered {
    Answered::Status {
        code,
        after,
        whole: true,
        full: false,
    }
}

/// How long a request waits for its turn; `None` where it is too long.
fn queue(server: &mut Server, sky: &Sky<'_>) -> Option<Duration> {
    let factors = sky.modes().filter(|phase| phase.mode == Mode::Capacity);
    let Some(capacity) = server.capacity else {
        return Some(Duration::ZERO);
    };
    let capacity = capacity * factors.map(|phase| phase.factor).product::<f64>();
    let begins = server.busy_until.max(sky.now);
    let waits = begins.since(sky.now);
    if waits > LONGEST_QUEUE {
        return None;
    }
    server.busy_until = begins + Duration::from_secs_f64(1.0 / capacity.max(1e-3));
    Some(waits)
}

fn late(loss: f64, dice: &mut Dice) -> Duration {
    let mut late = Duration::ZERO;
    while dice.chance(loss) && late < Duration::from_secs(5) {
        late = late * 2 + RETRANSMIT;
    }
    late
}
