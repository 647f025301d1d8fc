//! `leeward demo`: an outage in one process, with nothing faked.
//!
//! Three small providers, the proxy, the admin side and mixed load, all over real sockets on
//! loopback. One provider dies in front of your eyes. What is shown is what clients saw, what the
//! providers recorded and what the journal says; the verdict never uses the proxy's own counters.

mod http;
mod load;
mod provider;
mod screen;

use crate::args::Demo;
use crate::run::BUILD;
use load::{Load, Seen};
use provider::Provider;
use screen::Screen;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the parts of the story take.
struct Pace {
    calm: Duration,
    outage: Duration,
    /// After the return, at most: it ends when the provider has its traffic back.
    way_back: Duration,
    after: Duration,
    hold_down: &'static str,
    ramp: &'static str,
}

const ONCE: Pace = Pace {
    calm: Duration::from_millis(1500),
    outage: Duration::from_secs(3),
    way_back: Duration::from_secs(30),
    after: Duration::from_secs(1),
    hold_down: "2s",
    ramp: "2s",
};

const SHOW: Pace = Pace {
    calm: Duration::from_secs(4),
    outage: Duration::from_secs(8),
    way_back: Duration::from_secs(60),
    after: Duration::from_secs(4),
    hold_down: "6s",
    ramp: "8s",
};

/// Plays the story; 0 when no read failed and no order ran twice or was labelled wrongly.
pub(crate) fn run(args: &Demo) -> u8 {
    let pace = if args.once { ONCE } else { SHOW };
    match play(&pace) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(text) => {
            eprintln!("leeward: {text}");
            1
        }
    }
}

fn play(pace: &Pace) -> Result<bool, String> {
    let mut providers = ["aws", "gcp", "metal"]
        .into_iter()
        .map(Provider::start)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("a provider cannot be started: {error}"))?;
    let text = policy(pace, &providers);
    println!("The policy (providers listen on loopback):\n\n{text}");
    let loaded = leeward_config::parse("demo.yaml", &text, Path::new("."));
    let Some(policy) = loaded.policy else {
        let words: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        return Err(format!(
            "the demo's policy has problems:\n{}",
            words.join("\n")
        ));
    };
    let running = leeward_proxy::start(policy, &BUILD, 1).map_err(|error| error.to_string())?;
    let (Some((_, listener)), Some(admin)) =
        (running.listeners().into_iter().next(), running.admin())
    else {
        return Err("the demo's policy has no listener".into());
    };
    println!(
        "Proxy on http://{listener}, admin on http://{admin} (the page; try /metrics, /api/v1/status)\n"
    );
    let told = story(pace, &mut providers, listener, admin);
    running.stop().map_err(|error| error.to_string())?;
    let seen = told?;
    Ok(screen::verdict(&seen, &providers))
}

fn policy(pace: &Pace, providers: &[Provider]) -> String {
    let (aws, gcp, metal) = (
        providers[0].address(),
        providers[1].address(),
        providers[2].address(),
    );
    let Pace {
        hold_down, ramp, ..
    } = pace;
    format!(
        "version: 1
workers: 1
admin: {{ bind: 127.0.0.1:0 }}
listeners: {{ public: {{ bind: 127.0.0.1:0 }} }}
providers:
  aws:   {{ kind: cloud, sites: [us-east-1] }}
  gcp:   {{ kind: cloud, sites: [us-east4] }}
  metal: {{ kind: self_hosted, sites: [ld4] }}
pools:
  trading:
    backends:
      - {{ url: http://{aws}, site: aws/us-east-1 }}
      - {{ url: http://{gcp}, site: gcp/us-east4 }}
      - {{ url: http://{metal}, site: metal/ld4 }}
    probe: {{ path: /healthz, interval: 250ms, timeout: 200ms }}
    failover:
      tiers: [[aws], [gcp], [metal]]
      hold_down: {{ first: {hold_down}, max: 60s }}
      ramp: {ramp}
    orders: {{ failback: automatic, fenced: true }}
routes:
  - {{ match: {{ path: /order, methods: [POST] }}, class: order, pool: trading }}
  - {{ match: {{ path: /stream }}, class: stream, pool: trading }}
  - {{ match: {{ path_prefix: /ticker }}, class: public_read, pool: trading }}
"
    )
}

/// What the story waits for beside time.
const LOOK: Duration = Duration::from_millis(500);

fn story(
    pace: &Pace,
    providers: &mut [Provider],
    listener: SocketAddr,
    admin: SocketAddr,
) -> Result<Seen, String> {
    let mut screen = Screen::new(admin);
    if !screen.wait_ready(Duration::from_secs(10)) {
        return Err("the proxy did not get ready".into());
    }
    let load = Load::start(listener).map_err(|error| format!("no load: {error}"))?;
    screen.say("calm: reads, orders and a stream, all on aws");
    screen.watch(&load, providers, pace.calm, |_| false);
    screen.say("aws dies: its process is gone, its connections are reset");
    providers[0].kill();
    screen.watch(&load, providers, pace.outage, |_| false);
    screen.say("aws is back; leeward does not trust it yet");
    providers[0]
        .revive()
        .map_err(|error| format!("aws cannot come back: {error}"))?;
    let home = screen.watch(&load, providers, pace.way_back, |shares| shares[0] > 0.9);
    if home {
        screen.say("aws has its traffic back");
        screen.watch(&load, providers, pace.after, |_| false);
    } else {
        screen.say("aws has not got its traffic back in time");
    }
    let mut seen = load.stop();
    seen.came_home = home;
    Ok(seen)
}

impl Screen {
    /// Shows what happens for `span`, or until the shares of traffic that the providers saw in the
    /// last moments are as wanted. Whether they were.
    fn watch(
        &mut self,
        load: &Load,
        providers: &[Provider],
        span: Duration,
        wanted: impl Fn(&[f64]) -> bool,
    ) -> bool {
        let end = Instant::now() + span;
        while Instant::now() < end {
            std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
            let shares = self.show(load, providers);
            if wanted(&shares) {
                return true;
            }
        }
        false
    }
}
