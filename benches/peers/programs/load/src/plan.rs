//! What is asked of the load generator.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde::Deserialize;
use std::sync::Arc;

/// One run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// On 127.0.0.1.
    pub(crate) port: u16,
    #[serde(default)]
    pub(crate) tls: bool,
    /// The longest time.
    pub(crate) seconds: f64,
    /// Ends after so many answers, if that is sooner.
    #[serde(default)]
    pub(crate) requests: Option<u64>,
    /// Requests a second, whatever the answers do (open loop). Without it each connection asks again
    /// once it has its answer (closed loop).
    #[serde(default)]
    pub(crate) rate: Option<f64>,
    /// A new connection for each request.
    #[serde(default)]
    pub(crate) fresh: bool,
    /// One request on each connection, which then stays open until standard input ends.
    #[serde(default)]
    pub(crate) hold: bool,
    pub(crate) kinds: Vec<Kind>,
}

/// Requests of one kind, on connections of their own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kind {
    pub(crate) name: String,
    #[serde(default = "get")]
    pub(crate) method: String,
    pub(crate) path: String,
    /// Bytes of the request's body.
    #[serde(default)]
    pub(crate) body: usize,
    /// Bytes of the answer's body.
    pub(crate) expect: u64,
    pub(crate) connections: usize,
    /// Its part of the rate.
    #[serde(default = "one")]
    pub(crate) share: f64,
}

fn get() -> String {
    "GET".into()
}

fn one() -> f64 {
    1.0
}

impl Kind {
    /// The bytes of a request.
    pub(crate) fn request(&self, fresh: bool) -> Vec<u8> {
        let connection = if fresh { "Connection: close\r\n" } else { "" };
        let length = match self.body {
            0 => String::new(),
            bytes => format!("Content-Type: application/json\r\nContent-Length: {bytes}\r\n"),
        };
        let mut request = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n{connection}{length}\r\n",
            self.method, self.path
        )
        .into_bytes();
        request.resize(request.len() + self.body, b'x');
        request
    }
}

/// TLS 1.3, X25519, AES-128-GCM, never resumed: every server does the same cryptography. Which
/// certificate it has is of no interest.
pub(crate) fn tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    });
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 was not offered".into()))
    }

    // A client that checks nothing is cheaper, and the load shares its core with the backends.
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
