//! A policy in the making, from the lines of a story.

use super::script::span;
use leeward_failover::{
    Backend, FailoverParams, HealthParams, Mover, OrderParams, Policy, Pool, PoolId, ProbeParams,
    Provider, ProviderId, ProviderKind, RetryParams, Site, SiteId, Suspicion, TierSite, Writer,
};

/// Builds a policy. Providers and sites are named by the tiers that hold them.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    policy: Policy,
    /// Every name that any policy had, by the number that stands for it in addresses.
    names: Vec<String>,
}

impl Draft {
    pub(crate) fn pool(&mut self, name: String) {
        self.policy.pools.push(Pool {
            name,
            tiers: Vec::new(),
            probe: ProbeParams::default(),
            health: HealthParams::default(),
            failover: FailoverParams::default(),
            orders: OrderParams::default(),
            retry: RetryParams::default(),
        });
    }

    pub(crate) fn tier(&mut self, sites: Vec<(String, usize)>) -> Result<(), String> {
        let mut tier = Vec::new();
        for (name, endpoints) in sites {
            let site = self.site(&name)?;
            tier.push(TierSite { site, weight: 1 });
            self.backends(&name, site, endpoints)?;
        }
        self.last()?.tiers.push(tier);
        Ok(())
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let pool = self.last()?;
        let number = || {
            value
                .parse::<f64>()
                .map_err(|_| format!("not a number: {value}"))
        };
        let mover = || match value {
            "automatic" => Ok(Mover::Automatic),
            "operator" => Ok(Mover::Operator),
            _ => Err(format!("no such mover: {value}")),
        };
        match key {
            "interval" => pool.probe.interval = span(value)?,
            "window" => pool.health.window = span(value)?,
            "failing" => pool.health.failing = number()?,
            "site_failing" => pool.failover.site_failing = number()?,
            "provider_failing_sites" => {
                pool.failover.provider_failing_sites = number()? as u32;
            }
            "hold_down_first" => pool.failover.hold_down_first = span(value)?,
            "hold_down_max" => pool.failover.hold_down_max = span(value)?,
            "ramp" => pool.failover.ramp = span(value)?,
            "keep_warm" => pool.failover.keep_warm = number()?,
            "moves" => pool.orders.moves = mover()?,
            "failback" => pool.orders.failback = mover()?,
            "suspicion" if value == "lower" => pool.failover.suspicion = Suspicion::Lower,
            "fenced" => pool.orders.fenced = value == "yes",
            "writer" if value == "any" => pool.orders.writer = Writer::Any,
            _ => return Err(format!("no such parameter: {key}")),
        }
        Ok(())
    }

    /// The policy; the next one begins empty, and the same names get the same addresses.
    pub(crate) fn finish(&mut self) -> Policy {
        std::mem::take(&mut self.policy)
    }

    fn last(&mut self) -> Result<&mut Pool, String> {
        self.policy
            .pools
            .last_mut()
            .ok_or_else(|| "there is no pool yet".to_owned())
    }

    fn site(&mut self, name: &str) -> Result<SiteId, String> {
        if let Some(known) = self.policy.sites.iter().position(|site| site.name == name) {
            return Ok(SiteId::from(known));
        }
        let (provider, _) = name.split_once('/').ok_or("a site is PROVIDER/NAME")?;
        let known = self
            .policy
            .providers
            .iter()
            .position(|known| known.name == provider);
        let provider = known.unwrap_or_else(|| {
            let name = provider.to_owned();
            self.policy.providers.push(Provider {
                name,
                kind: ProviderKind::Cloud,
                max_share: None,
            });
            self.policy.providers.len() - 1
        });
        self.policy.sites.push(Site {
            name: name.to_owned(),
            provider: ProviderId::from(provider),
        });
        Ok(SiteId::from(self.policy.sites.len() - 1))
    }

    /// One backend for each endpoint; one without an address where there is none.
    fn backends(&mut self, name: &str, site: SiteId, endpoints: usize) -> Result<(), String> {
        let pool = PoolId::from(self.policy.pools.len() - 1);
        let host = name.replace('/', "-");
        let pool_name = self.last()?.name.clone();
        for number in 1..=endpoints.max(1) {
            let address = format!(
                "10.{}.{}.{number}:443",
                self.number(&pool_name),
                self.number(name)
            );
            let address = address.parse().map_err(|_| "too many endpoints")?;
            self.policy.backends.push(Backend {
                name: format!("https://{host}-{number}.example"),
                pool,
                site,
                weight: 1,
                capacity: None,
                addresses: if endpoints == 0 {
                    Vec::new()
                } else {
                    vec![address]
                },
            });
        }
        Ok(())
    }

    fn number(&mut self, name: &str) -> usize {
        if let Some(known) = self.names.iter().position(|known| known == name) {
            return known;
        }
        self.names.push(name.to_owned());
        self.names.len() - 1
    }
}
