//! TLS on both sides, by rustls with aws-lc-rs.
//!
//! Reads certificates and keys from PEM files, chooses among them by SNI, and builds client
//! configurations for backends. Called when a policy becomes a snapshot; nothing here runs on the
//! way of a request.

use crate::certificate;
use crate::error::StartError;
use leeward_config::policy::Certificate;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// HTTP/2 over TLS, as the two sides agree to it (RFC 7301, RFC 9113 section 3.1).
pub(crate) const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// What is offered or accepted, the preferred one first.
fn alpn(http2: bool, http1: bool) -> Vec<Vec<u8>> {
    let offered = [(http2, ALPN_H2), (http1, ALPN_HTTP1)];
    let offered = offered.iter().filter(|(wanted, _)| *wanted);
    offered.map(|(_, protocol)| protocol.to_vec()).collect()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Files of certificates, and when the first one in each ends, in seconds since 1970.
pub(crate) type Ends = Vec<(String, i64)>;

/// The server side of a listener, and which files it was made of.
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) ends: Ends,
    content: u64,
    http2: bool,
}

/// The client side towards backends that trust one CA file, or the system's roots.
pub(crate) struct ClientTls {
    ca: Option<PathBuf>,
    config: Arc<ClientConfig>,
    content: u64,
}

/// The server side of a listener; the one from before when no file has changed, so that clients
/// can resume their sessions.
pub(crate) fn server(
    certificates: &[Certificate],
    http2: bool,
    before: Option<&ServerTls>,
) -> Result<ServerTls, StartError> {
    let files = certificates
        .iter()
        .flat_map(|pair| [pair.cert.as_path(), pair.key.as_path()]);
    let content = content(files)?;
    let (config, ends) = match before {
        Some(before) if before.content == content && before.http2 == http2 => {
            (before.config.clone(), before.ends.clone())
        }
        _ => server_config(certificates, http2)?,
    };
    Ok(ServerTls {
        config,
        ends,
        content,
        http2,
    })
}

/// The client side towards backends with this CA file; one configuration a file, the one from
/// before when the file has not changed.
pub(crate) fn client(
    ca: Option<&Path>,
    before: &[ClientTls],
    made: &mut Vec<ClientTls>,
) -> Result<Arc<ClientConfig>, StartError> {
    if let Some(made) = made.iter().find(|made| made.ca.as_deref() == ca) {
        return Ok(made.config.clone());
    }
    let content = content(ca)?;
    let same = |known: &&ClientTls| known.ca.as_deref() == ca && known.content == content;
    let config = match before.iter().find(same) {
        Some(known) => known.config.clone(),
        None => client_config(ca)?,
    };
    made.push(ClientTls {
        ca: ca.map(Path::to_owned),
        config: config.clone(),
        content,
    });
    Ok(config)
}

/// What stands in some files, names and order among it, in short.
fn content<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<u64, StartError> {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        let bytes = std::fs::read(path).map_err(|error| {
            StartError::policy(format!("{}: cannot be read: {error}", path.display()))
        })?;
        path.hash(&mut hasher);
        bytes.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// Every certificate serves the DNS names that it carries; the first also serves clients that name
/// no host or an unknown one.
fn server_config(
    certificates: &[Certificate],
    http2: bool,
) -> Result<(Arc<ServerConfig>, Ends), StartError> {
    let provider = provider();
    let mut ends = Vec::new();
    let mut by_name = HashMap::new();
    let mut first = None;
    for certificate in certificates {
        let key = Arc::new(certified_key(&provider, certificate)?);
        if let Some(end) = certificate::first_end(&key.cert) {
            ends.push((certificate.cert.display().to_string(), end));
        }
        for name in dns_names(&key, &certificate.cert)? {
            by_name.entry(name).or_insert_with(|| key.clone());
        }
        first.get_or_insert(key);
    }
    let first = first.ok_or_else(|| StartError::policy("a TLS listener needs a certificate"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StartError::policy(format!("TLS: {error}")))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(BySni { by_name, first }));
    config.alpn_protocols = alpn(http2, true);
    Ok((Arc::new(config), ends))
}

/// The server side of the admin bind. With `clients`, certificates of that CA are asked for and
/// verified, and may be absent: whoever shows none needs a token.
pub(crate) fn admin_server(
    certificate: &Certificate,
    clients: Option<&Path>,
) -> Result<Arc<ServerConfig>, StartError> {
    let bad = |error: &dyn std::fmt::Display| StartError::policy(format!("admin: TLS: {error}"));
    let provider = provider();
    let key = Arc::new(certified_key(&provider, certificate)?);
    let verifier = match clients {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in read_chain(ca)? {
                roots
                    .add(certificate)
                    .map_err(|error| unreadable(ca, &error))?;
            }
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .allow_unauthenticated()
                .build()
                .map_err(|error| bad(&error))?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(BySni {
            by_name: HashMap::new(),
            first: key,
        }));
    config.alpn_protocols = alpn(false, true);
    Ok(Arc::new(config))
}

/// The DNS names of a certificate that was verified, in lower case.
pub(crate) fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let leaf = webpki::EndEntityCert::try_from(certificate);
    leaf.map(|leaf| {
        leaf.valid_dns_names()
            .map(str::to_ascii_lowercase)
            .collect()
    })
    .unwrap_or_default()
}

#[derive(Debug)]
struct BySni {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().and_then(|name| self.lookup(name));
        Some(found.unwrap_or(&self.first).clone())
    }
}

impl BySni {
    /// The exact name first, then the wildcard one label up (RFC 9525 section 6.3).
    fn lookup(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        self.by_name.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.by_name.get(&format!("*.{parent}"))
        })
    }
}

fn certified_key(
    provider: &CryptoProvider,
    files: &Certificate,
) -> Result<CertifiedKey, StartError> {
    let chain = read_chain(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| {
        StartError::policy(format!(
            "{}: no private key can be read: {error}",
            files.key.display()
        ))
    })?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| {
            StartError::policy(format!(
                "{}: the private key is not usable: {error}",
                files.key.display()
            ))
        })?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|error| {
        StartError::policy(format!(
            "{} does not belong to {}: {error}",
            files.key.display(),
            files.cert.display()
        ))
    })?;
    Ok(certified)
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| {
            StartError::policy(format!(
                "{}: no certificate can be read: {error}",
                path.display()
            ))
        })?;
    if chain.is_empty() {
        return Err(StartError::policy(format!(
            "{}: holds no certificate",
            path.display()
        )));
    }
    Ok(chain)
}

fn dns_names(key: &CertifiedKey, path: &Path) -> Result<Vec<String>, StartError> {
    let leaf = key
        .end_entity_cert()
        .map_err(|error| unreadable(path, &error))?;
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|error| unreadable(path, &error))?;
    Ok(leaf
        .valid_dns_names()
        .map(str::to_ascii_lowercase)
        .collect())
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> StartError {
    StartError::policy(format!(
        "{}: the certificate cannot be read: {error}",
        path.display()
    ))
}

/// The client side towards what is trusted by `ca`, or by the system. Resumption is on, early data is
/// off: an order must never be replayable (RFC 8470).
pub(crate) fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, StartError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in read_chain(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| unreadable(path, &error))?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            if roots.is_empty() {
                return Err(StartError::policy(
                    "the system has no trusted certificates (install ca-certificates, or name a \
                     `ca` file for the backend)",
                ));
            }
        }
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| StartError::policy(format!("TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn(false, true);
    Ok(Arc::new(config))
}

/// The same towards a backend that is asked for HTTP/2; `http1` lets it choose.
pub(crate) fn with_http2(config: &ClientConfig, http1: bool) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = alpn(true, http1);
    Arc::new(config)
}
