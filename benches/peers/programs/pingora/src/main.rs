//! A proxy as one writes it with Pingora: two tiers of two backends, a check of each every second,
//! kept-alive connections, X-Forwarded-For, one thread.
//!
//!     pingora PLAIN_PORT TLS_PORT CERTIFICATE KEY BACKEND BACKEND BACKEND BACKEND

use async_trait::async_trait;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::background::background_service;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType};
use pingora_http::RequestHeader;
use pingora_load_balancing::LoadBalancer;
use pingora_load_balancing::health_check::HttpHealthCheck;
use pingora_load_balancing::selection::RoundRobin;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Tier = LoadBalancer<RoundRobin>;
type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [plain, tls, certificate, key, backends @ ..] = &arguments[..] else {
        return Err("PLAIN_PORT TLS_PORT CERTIFICATE KEY BACKEND BACKEND BACKEND BACKEND".into());
    };
    let mut server = Server::new_with_opt_and_conf(
        None,
        ServerConf {
            threads: 1,
            work_stealing: false,
            upstream_keepalive_pool_size: 256,
            ..ServerConf::default()
        },
    );
    server.bootstrap();
    let first = background_service("first tier", tier(&backends[..2])?);
    let second = background_service("second tier", tier(&backends[2..])?);
    let tiers = [first.task(), second.task()];
    let mut service = http_proxy_service(&server.configuration, Proxy { tiers });
    service.add_tcp(&format!("127.0.0.1:{plain}"));
    let mut settings = TlsSettings::intermediate(certificate, key)?;
    settings.enable_h2();
    service.add_tls_with_settings(&format!("127.0.0.1:{tls}"), None, settings);
    server.add_service(service);
    server.add_service(first);
    server.add_service(second);
    server.run_forever()
}

/// Backends that stand in for each other, each asked every second whether it is well.
fn tier(backends: &[String]) -> Result<Tier, Failure> {
    let mut tier = LoadBalancer::try_from_iter(backends.iter().map(String::as_str))?;
    let mut check = HttpHealthCheck::new("localhost", false);
    check.req.set_uri("/health".parse()?);
    tier.set_health_check(Box::new(check));
    tier.health_check_frequency = Some(Duration::from_secs(1));
    Ok(tier)
}

struct Proxy {
    tiers: [Arc<Tier>; 2],
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _context: &mut (),
    ) -> pingora_core::Result<Box<HttpPeer>> {
        let found = self.tiers.iter().find_map(|tier| tier.select(b"", 16));
        let backend =
            found.ok_or_else(|| Error::explain(ErrorType::HTTPStatus(503), "no backend"))?;
        let mut peer = HttpPeer::new(backend, false, String::new());
        peer.options.connection_timeout = Some(Duration::from_secs(1));
        peer.options.read_timeout = Some(Duration::from_secs(30));
        peer.options.write_timeout = Some(Duration::from_secs(30));
        peer.options.idle_timeout = Some(Duration::from_secs(60));
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _context: &mut (),
    ) -> pingora_core::Result<()> {
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            request.insert_header("X-Forwarded-For", client.ip().to_string())?;
        }
        Ok(())
    }
}
