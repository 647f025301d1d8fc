//! A second attempt beside a first one: a hedge where the first is slow, a rescue where its endpoint
//! falls silent or is left.
//!
//! Whichever answers first is relayed, the other is ended. Only requests that may be repeated come
//! here, and only once they have waited longer than usual: the usual way of a request pays for one
//! timer. Called by `turn`; everything that decides is in `leeward_failover`.

use crate::access_log::Flag;
use crate::admit::{Permit, Placed};
use crate::attempt::{Answer, Ended};
use crate::classify;
use crate::error::{AttemptError, Step};
use crate::job::Job;
use crate::leaving::Watch;
use crate::turn::Moment;
use crate::upstream::Upstream;
use crate::usual::Usual;
use leeward_failover::Leaving;
use leeward_failover::retry::Sent;
use leeward_failover::select::Reach;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Where nothing is known of a route, its requests look after themselves after this long.
const LOOK_AFTER: Duration = Duration::from_millis(10);

/// How an attempt ended, and at which endpoint.
pub(crate) type Finish = (Rc<Upstream>, Result<Box<Answer>, Ended>);

/// What waiting for a first attempt came to.
enum Waited {
    Ended(Result<Box<Answer>, Ended>),
    Beside(Rc<Upstream>, Permit),
}

/// Why a second attempt is made beside the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// It takes long.
    Hedge,
    /// Its endpoint says nothing to anybody.
    Rescue,
}

impl Job {
    /// From when on an attempt at `one` that begins now is not waited for alone; `None` where it always is.
    pub(crate) fn alone_until(&self, one: &Upstream, started: Instant) -> Option<Instant> {
        self.exchange.class.is_rescued().then(|| {
            let hedge = self.ask_usual(Usual::hedge_after);
            started + hedge.unwrap_or(LOOK_AFTER) + one.io.further()
        })
    }

    /// Waits on for an attempt at `one` that began at `started` and takes longer than usual.
    pub(crate) async fn race<F>(
        &self,
        one: &Rc<Upstream>,
        mut first: Pin<&mut Option<F>>,
        started: Instant,
    ) -> Finish
    where
        F: Future<Output = Result<Box<Answer>, Ended>>,
    {
        let watch = self.exchange.worker.departures.watch(one.io.id);
        let (two, permit) = match self.wait_on(one, first.as_mut(), &watch).await {
            Waited::Ended(ended) => return (one.clone(), ended),
            Waited::Beside(two, permit) => (two, permit),
        };
        let mut second = std::pin::pin!(Some(self.attempt(&two, permit, Moment::now())));
        let mut spare: Option<(Rc<Upstream>, Box<Answer>)> = None;
        loop {
            let (other_runs, finish) = tokio::select! {
                biased;
                ended = running(first.as_mut()) => {
                    first.set(None);
                    (second.is_some(), (one.clone(), ended))
                }
                ended = running(second.as_mut()) => {
                    second.set(None);
                    (first.is_some(), (two.clone(), ended))
                }
                () = watch.left(), if first.is_some() && second.is_some() => {
                    self.remember(Sent::Maybe);
                    first.set(None);
                    self.exchange.log(|account| account.left(one.io.id));
                    continue;
                }
            };
            match finish {
                (upstream, Ok(answer)) if other_runs && self.is_poor(&answer) => {
                    spare = Some((upstream, answer));
                }
                (upstream, Err(Ended::Failed(error) | Ended::Left(error, _))) if other_runs => {
                    self.failed(&upstream, &error);
                }
                finish => {
                    if first.is_some() {
                        self.outrun(one, started);
                    }
                    return self.better(finish, spare);
                }
            }
        }
    }

    /// Waits for the first attempt alone until it ends, is left, or gets another one beside it.
    async fn wait_on<F>(
        &self,
        one: &Rc<Upstream>,
        mut first: Pin<&mut Option<F>>,
        watch: &Watch,
    ) -> Waited
    where
        F: Future<Output = Result<Box<Answer>, Ended>>,
    {
        let mut hedged = false;
        loop {
            let leaving = watch.leaving();
            if leaving == Leaving::AtOnce && self.may_be_rescued(one) {
                first.set(None);
                self.count_rescue();
                return Waited::Ended(Err(left()));
            }
            let why = match leaving {
                Leaving::Detour | Leaving::AtOnce => Some(Beside::Rescue),
                _ if hedged => None,
                _ => Some(Beside::Hedge),
            };
            hedged = true;
            if let Some((two, permit)) = why.and_then(|why| self.beside(one, why)) {
                return Waited::Beside(two, permit);
            }
            tokio::select! {
                biased;
                ended = running(first.as_mut()) => return Waited::Ended(ended),
                () = watch.changes() => {}
            }
        }
    }

    /// The first attempt had not answered when the second one did: that is something to learn, or
    /// only what is fast would count, and it speaks of silence.
    fn outrun(&self, one: &Upstream, started: Instant) {
        self.learn_outrun(one, started.elapsed());
        if let Some(usual) = self.usual(one) {
            one.waiting.give_up(started.into_std(), usual);
        }
    }

    /// The last attempt of a race has ended; the other one may have brought an answer of sorts.
    fn better(&self, last: Finish, spare: Option<(Rc<Upstream>, Box<Answer>)>) -> Finish {
        let Some((upstream, answer)) = spare else {
            return last;
        };
        match last {
            (better, Ok(best)) => {
                self.exchange.note(&upstream, answer.says(), answer.head);
                self.remember(Sent::Maybe);
                self.tried.borrow_mut().push(upstream.io.id);
                (better, Ok(best))
            }
            (failed, Err(Ended::Failed(error) | Ended::Left(error, _))) => {
                self.failed(&failed, &error);
                (upstream, Ok(answer))
            }
        }
    }

    /// Whether another answer would be better than this one.
    fn is_poor(&self, answer: &Answer) -> bool {
        classify::repeatable(self.exchange.class, answer.means)
    }

    /// Where a second attempt goes beside one at `one`; `None` where there is none to be made.
    fn beside(&self, one: &Rc<Upstream>, why: Beside) -> Option<(Rc<Upstream>, Permit)> {
        let may = self.exchange.class.goes_beside()
            && self.in_time()
            && self.body.is_complete()
            && self.body.replayable()
            && self.attempts() + 1 < self.allowed()
            && !self.in_panic();
        if !may {
            return None;
        }
        let now = Instant::now().into_std();
        if why == Beside::Hedge {
            self.ask_usual(Usual::hedge_after)?;
            let worker = &self.exchange.worker;
            let at = worker.shared.at(now);
            if !worker.budgets.spend_hedge(self.pool, at) {
                return None;
            }
        }
        let Placed::At(two, permit) = self.select(Reach::Provider, Some(one.io.id), now) else {
            return None;
        };
        match why {
            Beside::Hedge => {
                let slots = &self.exchange.held.serving.pools[self.pool.index()];
                self.exchange.worker.cells.inc(slots.hedges);
                self.exchange.log(|account| account.flag(Flag::Hedged));
            }
            Beside::Rescue => self.count_rescue(),
        }
        Some((two, permit))
    }

    /// Whether an attempt at an endpoint that is left may be made elsewhere: within the attempts that
    /// its class has, and without a question to the retry budget.
    fn may_be_rescued(&self, one: &Upstream) -> bool {
        self.body.replayable()
            && self.attempts() + 1 < self.allowed()
            && self.is_elsewhere(one.io.id)
    }

    fn count_rescue(&self) {
        let Self { exchange, pool, .. } = self;
        let slots = &exchange.held.serving.pools[pool.index()];
        exchange.worker.cells.inc(slots.rescues(exchange.class));
        exchange.log(|account| account.flag(Flag::Rescued));
    }
}

/// An attempt that is given up because its endpoint is left.
fn left() -> Ended {
    let error = AttemptError {
        step: Step::Left,
        sent: Sent::Maybe,
        detail: "the endpoint was left while the request waited".into(),
    };
    Ended::Left(error, Reach::Provider)
}

/// The end of an attempt, if it still runs.
pub(crate) async fn running<F: Future>(mut attempt: Pin<&mut Option<F>>) -> F::Output {
    poll_fn(|cx| match attempt.as_mut().as_pin_mut() {
        Some(attempt) => attempt.poll(cx),
        None => Poll::Pending,
    })
    .await
}
