//! Causes, times and lists in words.

use leeward_failover::{Cause, Time};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A cause as somebody would say it.
pub(super) const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::New => "new",
        Cause::ProbeFailed => "a probe failed",
        Cause::ProbesFailed => "probes fail",
        Cause::ProbesPassed => "probes pass",
        Cause::RequestFailed => "a request failed",
        Cause::ConnectFailures => "connections fail",
        Cause::ConsecutiveFailures => "one request after another fails",
        Cause::FailureRatio => "too many requests fail",
        Cause::OrdersFail => "orders fail",
        Cause::Overdue => "requests are overdue",
        Cause::Silent => "it went silent",
        Cause::PathDead => "what is sent does not arrive",
        Cause::Slow => "too many answers are late",
        Cause::TrafficSucceeds => "requests succeed",
        Cause::EndpointsDown => "its endpoints are down",
        Cause::SitesDown => "its sites are down",
        Cause::ProviderDown => "its provider is down",
        Cause::HoldDownOver => "its hold-down is over",
        Cause::AwaitsOperator => "it waits for an operator",
        Cause::AwaitsWindow => "it waits for a window",
        Cause::RampOver => "its ramp is over",
        Cause::FailedInRamp => "it failed again on its ramp",
        Cause::Operator => "an operator said so",
        Cause::OperatorWordLapsed => "an operator's word lapsed",
        Cause::WriterLost => "the writer is lost",
        Cause::WriterHome => "the writer is home",
        Cause::AllBad => "everything looks bad",
        Cause::NotAllBad => "not everything looks bad any more",
        Cause::PolicyLoaded => "a policy was loaded",
        Cause::AddressesChanged => "addresses changed",
        Cause::Remembered => "known from before a restart",
        Cause::DemandChanged => "demand changed",
    }
}

/// `03:12:08 UTC`, or how long ago where that is more than a day.
pub(super) fn clock(began: f64, then: Time, now: Time) -> String {
    let ago = now.since(then);
    if ago >= DAY {
        let days = ago.as_secs() / DAY.as_secs();
        return format!("{days} {} ago", if days == 1 { "day" } else { "days" });
    }
    let seconds = began + then.since(Time::ZERO).as_secs_f64();
    let of_day = (seconds.max(0.0) as u64) % DAY.as_secs();
    let (hours, minutes) = (of_day / 3600, of_day / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02} UTC", of_day % 60)
}

/// `a, b and c`; of many only the first.
pub(super) fn list(names: &[&str]) -> String {
    match names {
        [] => "nowhere".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] if names.len() <= 4 => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", names[..3].join(", "), names.len() - 3),
    }
}

/// `61 %`; never all or nothing where it is not.
pub(super) fn percent(share: f64) -> String {
    let whole = (share * 100.0).round();
    let whole = match share {
        share if share > 0.0 && share < 1.0 => whole.clamp(1.0, 99.0),
        _ => whole,
    };
    format!("{whole} %")
}

/// An operator's reason, where there is one.
pub(super) fn reason(text: &str) -> String {
    match text.trim() {
        "" => String::new(),
        text => format!(" (“{text}”)"),
    }
}
