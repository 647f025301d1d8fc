use super::super::standing::{Flow, Share};
use super::*;
use leeward_failover::{Cause, OperatorWord, PlaceStatus, PoolStatus, Time, Verdict};

/// 03:00:00 on some day.
const BEGAN: f64 = 20_000.0 * 86_400.0 + 3.0 * 3600.0;

fn place(name: &str, verdict: Verdict, cause: Cause) -> PlaceStatus {
    PlaceStatus {
        ramp_at: None,
        name: name.to_owned(),
        verdict,
        cause,
        evidence: Vec::new(),
        since: Time::from_millis(728_000),
        operator: OperatorWord::Active,
        operator_lapses_in_ms: None,
        operator_reason: String::new(),
        hold_down_left_ms: None,
        ramp_left_ms: None,
        endpoints_down: 0,
        endpoints: 1,
    }
}

fn well(name: &str) -> PlaceStatus {
    place(name, Verdict::Healthy, Cause::ProbesPassed)
}

/// aws with two sites, gcp with one; reads and orders as told.
struct World {
    status: Status,
    standing: Vec<Standing>,
    shed: f64,
    unknown: u64,
    rejected: bool,
}

impl World {
    fn calm() -> Self {
        let pool = PoolStatus {
            name: "trading".to_owned(),
            panic: false,
            active_tier: 1,
            writer: Some("aws".to_owned()),
            orders_held: false,
            shares: Vec::new(),
            demand: None,
            capacity: Vec::new(),
            endpoints: Vec::new(),
        };
        let status = Status {
            at: Time::from_millis(1_000_000),
            providers: vec![well("aws"), well("gcp")],
            sites: vec![well("aws/one"), well("aws/two"), well("gcp/one")],
            pools: vec![pool],
        };
        let standing = Standing {
            pool: "trading".to_owned(),
            capacity: Some(4800.0),
            capacity_left: Some(4800.0),
            endpoints: 3,
            serving: 3,
            sites: ["aws/one", "aws/two", "gcp/one"]
                .map(str::to_owned)
                .to_vec(),
            flow: Vec::new(),
        };
        let mut world = Self {
            status,
            standing: vec![standing],
            shed: 0.0,
            unknown: 0,
            rejected: false,
        };
        world.goes(&[("aws/one", 0.98), ("gcp/one", 0.02)], &["aws/one"]);
        world
    }

    /// Reads and orders go there now.
    fn goes(&mut self, reads: &[(&str, f64)], orders: &[&str]) {
        let share = |site: &str, share| Share {
            site: site.to_owned(),
            provider: String::new(),
            share,
        };
        let flow = |class, to| Flow {
            class,
            routes: 1,
            to,
        };
        let reads = reads
            .iter()
            .map(|(site, part)| share(site, *part))
            .collect();
        let orders = orders.iter().map(|site| share(site, 1.0)).collect();
        self.standing[0].flow = vec![flow("public_read", reads), flow("order", orders)];
    }

    fn says(&self) -> (Level, String) {
        let headline = Headline::of(&Facts {
            status: &self.status,
            standing: &self.standing,
            began: BEGAN,
            shed: self.shed,
            unknown: self.unknown,
            rejected: self.rejected,
        });
        (headline.level, headline.text)
    }
}

#[test]
fn calm_is_said_in_few_words() {
    let (level, text) = World::calm().says();
    assert_eq!(level, Level::Calm);
    assert_eq!(
        text,
        "All 3 sites serve; orders go to aws/one; nothing is shed."
    );
}

#[test]
fn a_site_that_is_down_is_said_with_what_was_done_and_what_is_left() {
    let mut world = World::calm();
    world.status.sites[0] = place("aws/one", Verdict::Down, Cause::ConnectFailures);
    world.status.providers[0] = place("aws", Verdict::Suspect, Cause::EndpointsDown);
    world.goes(&[("gcp/one", 1.0)], &["gcp/one"]);
    world.standing[0].capacity_left = Some(2928.0);
    let (level, text) = world.says();
    assert_eq!(level, Level::Outage);
    assert_eq!(
        text,
        "aws/one is down since 03:12:08 UTC (connections fail); its reads and orders go to gcp/one; \
         61 % of the capacity is left; nothing is shed."
    );
}

#[test]
fn a_provider_stands_for_its_sites() {
    let mut world = World::calm();
    world.status.providers[0] = place("aws", Verdict::Down, Cause::ProbesFailed);
    for site in &mut world.status.sites[..2] {
        *site = place(&site.name.clone(), Verdict::Down, Cause::ProviderDown);
    }
    world.goes(&[("gcp/one", 1.0)], &[]);
    world.standing[0].capacity = None;
    world.standing[0].serving = 1;
    world.shed = 12.4;
    world.unknown = 2;
    let (level, text) = world.says();
    assert_eq!(level, Level::Outage);
    assert_eq!(
        text,
        "aws is down since 03:12:08 UTC (probes fail); orders have no place to go; their reads go to \
         gcp/one; 1 of 3 endpoints serve; 12 requests/s are turned away; 2 requests ended as unknown \
         in the last ten minutes."
    );
}

#[test]
fn the_way_home_and_operators_words_are_to_be_watched() {
    let mut world = World::calm();
    let mut home = place("aws/one", Verdict::Recovering, Cause::HoldDownOver);
    home.ramp_left_ms = Some(47_200);
    world.status.sites[0] = home;
    let (level, text) = world.says();
    assert_eq!(level, Level::Watch);
    assert!(
        text.starts_with("aws/one comes home since 03:12:08 UTC: 98 % of reads go there, its ramp ends in 48 s; orders go"),
        "{text}"
    );
    let mut said = well("gcp/one");
    said.operator = OperatorWord::Evacuated;
    said.operator_reason = "a test".to_owned();
    world.status.sites = vec![well("aws/one"), said];
    let (level, text) = world.says();
    assert_eq!(level, Level::Watch);
    assert!(
        text.starts_with(
            "gcp/one is evacuated by an operator (“a test”); its reads and orders go to aws/one;"
        ),
        "{text}"
    );
    let waits = place("aws/one", Verdict::Down, Cause::AwaitsOperator);
    world.status.sites = vec![waits];
    let (level, text) = world.says();
    assert_eq!(level, Level::Watch);
    assert!(
        text.contains("waits for an operator to restore it"),
        "{text}"
    );
}

#[test]
fn distrust_shedding_and_a_refused_reload_are_never_calm() {
    let mut world = World::calm();
    world.rejected = true;
    let (level, text) = world.says();
    assert_eq!(level, Level::Watch);
    assert!(
        text.ends_with("the last reload was refused, the policy from before serves."),
        "{text}"
    );
    world.shed = 0.2;
    assert_eq!(world.says().0, Level::Outage);
    let mut world = World::calm();
    world.status.pools[0].panic = true;
    let (level, text) = world.says();
    assert_eq!(level, Level::Outage);
    assert!(
        text.starts_with("Everything in pool trading looks bad"),
        "{text}"
    );
}

#[test]
fn long_lists_and_long_times_stay_short() {
    assert_eq!(words::list(&["a", "b", "c", "d"]), "a, b, c and d");
    assert_eq!(
        words::list(&["a", "b", "c", "d", "e"]),
        "a, b, c and 2 more"
    );
    let day = std::time::Duration::from_secs(25 * 3600);
    let told = words::clock(BEGAN, Time::ZERO, Time::ZERO + day);
    assert_eq!(told, "1 day ago");
    assert_eq!(words::percent(0.999), "99 %");
    assert_eq!(words::percent(0.0), "0 %");
}
