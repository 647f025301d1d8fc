//! What an explanation is made of: data that goes over the admin side as JSON and comes back as the
//! same, so that a running proxy and a policy on a desk are shown alike.
//!
//! Owns the shape. Whoever reads it finds the words: `leeward explain` for a terminal.

use leeward_failover::{Cause, Class, Mover, OperatorWord, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What becomes of one request, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Which policy is explained: its hash.
    pub policy: String,
    /// Whether a running proxy says it, with what it holds now. Otherwise everything is taken for well.
    pub live: bool,
    /// The method, as asked.
    pub method: String,
    /// The request target, as asked.
    pub target: String,
    /// The host that routes look at: without port; empty where there is none.
    pub host: String,
    /// Where it comes in.
    pub listener: ListenerSays,
    /// Why leeward would answer it itself; nothing where it goes to a pool.
    pub refused: Option<RefusedSays>,
    /// Routes before the one that matches, or all of them where none does, in their order.
    pub passed_over: Vec<PassedOver>,
    /// The route that matches.
    pub route: Option<RouteSays>,
    /// Where it goes from there.
    pub pool: Option<PoolSays>,
}

/// Where the request comes in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerSays {
    /// As in the policy.
    pub name: String,
    /// Where it listens, by the policy.
    pub bind: String,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// How many listeners there are.
    pub of: usize,
    /// Other listeners by which the request would meet another route, and that route; nothing where
    /// it would meet none.
    pub elsewhere: Vec<(String, Option<String>)>,
}

/// An answer of leeward's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedSays {
    /// The status.
    pub status: u16,
    /// Why, in words.
    pub reason: String,
    /// What was probably meant.
    pub hint: Option<String>,
}

/// A route that does not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Its name.
    pub name: String,
    /// The conditions that do not hold, in words.
    pub why: Vec<String>,
}

/// The route that matches, and what its class allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteSays {
    /// Its name.
    pub name: String,
    /// Its position in the policy, from 1.
    pub position: usize,
    /// How many routes there are.
    pub of: usize,
    /// Its conditions, in words; none where it matches anything.
    pub because: Vec<String>,
    /// What the request means.
    pub class: Class,
    /// The time that all attempts share, in milliseconds; `None` for no limit.
    pub deadline_ms: Option<u64>,
    /// Attempts in all, where something may have been received of those before.
    pub attempts: u32,
    /// Attempts in all, where it is proven that nothing was.
    pub attempts_unsent: u32,
    /// Part of requests that may be tried again over time, 0 to 1, and how many a second in any case;
    /// `None` where no budget is asked.
    pub budget: Option<(f64, f64)>,
    /// Part of such requests that may get a second attempt beside a slow one, 0 to 1; 0 for none.
    pub hedge: f64,
    /// Whether it is placed elsewhere at once when the endpoint that it waits for is left.
    pub rescued: bool,
    /// Bytes of its body that are kept for another attempt at most.
    pub keep_body: usize,
}

/// The pool of the route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolSays {
    /// Its name.
    pub name: String,
    /// Who takes orders; `None` where they go where reads go, or the class does not ask.
    pub writer: Option<WriterSays>,
    /// What keeps one client's requests on one path, in words.
    pub affinity: Option<String>,
    /// Requests per second that it has now, by a running proxy.
    pub needed: Option<u64>,
    /// As it is.
    pub now: Standing,
    /// As it would be with places down.
    pub then: Option<Then>,
}

/// Who takes a pool's orders, by the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterSays {
    /// Who moves them away from a provider that is down.
    pub moves: Mover,
    /// Who brings them home.
    pub failback: Mover,
    /// The operator's word that backends refuse a writer that was replaced.
    pub fenced: bool,
}

/// A pool with places down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Then {
    /// Which, by the names of the journal.
    pub down: Vec<String>,
    /// Whether all of it was found down; otherwise probes alone did not find it in time.
    pub complete: bool,
    /// What would be decided of them and of the pool, in order.
    pub decisions: Vec<Decided>,
    /// As it would be.
    pub standing: Standing,
}

/// A decision that would be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// How long after the places fell silent, in milliseconds.
    pub after_ms: u64,
    /// As in the journal.
    pub event: Value,
}

/// Where requests of the class go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The pool distrusts its detector (P4).
    pub panic: bool,
    /// The provider that takes orders; `None` where they go where reads go.
    pub writer: Option<String>,
    /// Its sites in tier order.
    pub sites: Vec<SiteSays>,
    /// Providers of these sites that are not simply healthy.
    pub providers: Vec<PlaceSays>,
    /// Sites that one such request tries one after the other, where each attempt fails in the way
    /// that lets another one follow.
    pub way: Vec<String>,
    /// Share of such requests that no endpoint may take, 0 to 1.
    pub unplaced: f64,
    /// Requests per second that its endpoints can carry; `None` where not all backends say.
    pub capacity: Option<u64>,
}

/// A site of the pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteSays {
    /// What is held of it.
    pub place: PlaceSays,
    /// Its rank in the failover order, from 1.
    pub tier: u32,
    /// Share of first attempts of the class, 0 to 1.
    pub share: f64,
    /// Requests per second that it can carry now, where that is declared; 0 where nothing goes there.
    pub rate: Option<f64>,
    /// Whether so much is expected there that the rate is enforced request by request.
    pub tight: bool,
    /// Share of first attempts that it gets at most, 0 to 1.
    pub most: f64,
    /// Endpoints of this pool there.
    pub endpoints: usize,
    /// Those of them that are not healthy, the first few.
    pub troubled: Vec<EndpointSays>,
}

/// A provider or a site as it is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaceSays {
    /// `aws` or `aws/us-east-1`.
    pub name: String,
    /// What is held of it.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// The facts that the verdict rests on.
    pub evidence: Vec<(String, String)>,
    /// For how long, in milliseconds.
    pub for_ms: u64,
    /// The operator's word.
    pub operator: OperatorWord,
    /// The reason that came with it.
    pub operator_reason: String,
    /// When it lapses, in milliseconds from now.
    pub operator_lapses_in_ms: Option<u64>,
    /// What is left of the hold-down, in milliseconds.
    pub hold_down_left_ms: Option<u64>,
    /// What is left of the ramp, in milliseconds.
    pub ramp_left_ms: Option<u64>,
    /// Share of its normal load that the ramp lets it have, 0 to 1.
    pub ramp_at: Option<f64>,
}

/// An endpoint that is not healthy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointSays {
    /// Its address.
    pub address: String,
    /// The backend's URL.
    pub backend: String,
    /// What is held of it.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// The facts that the verdict rests on.
    pub evidence: Vec<(String, String)>,
    /// The last probe in words; empty before the first.
    pub last_probe: String,
    /// What is left of the hold-down, in milliseconds.
    pub hold_down_left_ms: Option<u64>,
}
