//! The compiled policy: what was meant, resolved and validated. No `Option` here means "default".

pub use crate::access::{AdminAccess, AdminClients, AdminTls, AdminToken, Role};
pub use crate::clients::{
    Clients, ForwardingFields, Networks, ProxyProtocol, Trusted, TrustedFields,
};

pub use crate::access_log::{AccessLog, LogTarget};
pub use crate::windows::Window;

use http::header::HeaderName;
use leeward_failover::{BackendId, Class, Policy as EnginePolicy, PoolId};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A whole policy, ready to serve.
#[derive(Clone, Debug)]
pub struct Policy {
    /// First 16 hex digits of the SHA-256 of the file's bytes: which policy is running.
    pub hash: String,
    /// The folder that paths in it are relative to.
    pub base: PathBuf,
    /// The engine's part. `PoolId` and `BackendId` below are positions in it.
    pub engine: EnginePolicy,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// What requests match, first match wins.
    pub routes: Vec<Route>,
    /// The I/O side of each pool, by `PoolId`.
    pub pools: Vec<Pool>,
    /// The I/O side of each backend, by `BackendId`.
    pub backends: Vec<Backend>,
    /// Where people and Prometheus connect; `None` switches the admin side off.
    pub admin: Option<SocketAddr>,
    /// Where kubelet and Prometheus connect, for metrics and the proxy's own health alone.
    pub admin_read_only: Option<SocketAddr>,
    /// Who may use the admin side.
    pub admin_access: AdminAccess,
    /// Data workers, at least 1.
    pub workers: usize,
    /// How a SIGTERM ends.
    pub drain: Drain,
    /// Bounds and time limits on everything that faces a client.
    pub limits: Limits,
    /// The folder of what outlives the process; `None` where nothing does.
    pub state_dir: Option<PathBuf>,
    /// Where what the engine is told is recorded; `None` for nowhere but in memory.
    pub record: Option<Record>,
    /// What is said of each request, and where; `None` where nothing is.
    pub access_log: Option<AccessLog>,
    /// How names are looked up, and how long what they said is kept.
    pub dns: Dns,
}

/// A file in which a run is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes of it at most; when it is full, the record ends.
    pub size: u64,
}

/// Bytes of a record at most, where the policy does not say.
pub const DEFAULT_RECORD_SIZE: u64 = 256 * 1024 * 1024;

/// Where clients connect.
#[derive(Clone, Debug)]
pub struct Listener {
    /// As in the policy.
    pub name: String,
    /// Where it listens.
    pub bind: SocketAddr,
    /// Certificates, in order; the first also serves clients that name no host or an unknown one.
    /// Empty for a plain listener.
    pub certificates: Vec<Certificate>,
    /// Open connections at most; more are accepted and closed at once.
    pub max_connections: usize,
    /// Open connections of one client at most: of an IPv4 address or of an IPv6 network of 64 bits.
    /// `None` for no bound of its own. Peers that are trusted to speak for others are no clients.
    pub max_connections_per_client: Option<usize>,
    /// How it knows who its clients are, and what it tells backends of them.
    pub clients: Clients,
    /// Whether HTTP/2 is agreed to in the TLS handshake (ALPN). Never on a plain listener.
    pub http2: bool,
    /// Whether a plain listener takes HTTP/2 by prior knowledge: from clients that begin with its
    /// preface.
    pub h2c: bool,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// What a request matches, and what that means.
#[derive(Clone, Debug)]
pub struct Route {
    /// For labels and logs: `name:` of the policy, or its match in short.
    pub name: String,
    /// What has to hold.
    pub matches: Match,
    /// What such a request means.
    pub class: Class,
    /// Where it goes.
    pub pool: PoolId,
    /// The time that all attempts share; `None` for no limit.
    pub deadline: Option<Duration>,
}

/// What has to hold for a route to match; all that is given.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// Names of listeners; empty for any.
    pub listeners: Vec<String>,
    /// Lower-case host names without port, `*.example.com` for exactly one label; empty for any.
    pub hosts: Vec<String>,
    /// The path, byte for byte as the client wrote it.
    pub path: PathMatch,
    /// Methods; empty for any. Case matters.
    pub methods: Vec<http::Method>,
    /// Header fields that must be present, or have exactly this value.
    pub headers: Vec<(HeaderName, Option<String>)>,
}

/// How a path is compared. No normalisation: `//a` is not `/a`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PathMatch {
    /// Any path.
    #[default]
    Any,
    /// Exactly this.
    Exact(String),
    /// This, or anything below it: `/api` matches `/api` and `/api/v3`, not `/apis`. One that ends
    /// with a slash matches everything that begins with it.
    Prefix(String),
}

/// The I/O side of a pool.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Where the affinity key of a request is found.
    pub affinity: Affinity,
    /// What a probe sends and expects.
    pub probe: Probe,
    /// Time for TCP and TLS together until a connection stands.
    pub connect_timeout: Duration,
    /// An upstream connection that was idle for longer is not reused.
    pub idle_timeout: Duration,
    /// Idle upstream connections kept per endpoint and worker at most.
    pub max_idle: usize,
    /// An order reuses a connection only when it proved itself alive within this time.
    pub order_reuse_within: Duration,
    /// What orders and cancels travel by, where their backend speaks it. Never `Auto`.
    pub order_protocol: Protocol,
    /// Requests at a time on one HTTP/2 connection at most; the backend may allow fewer.
    pub max_streams: usize,
    /// How an error shows in an answer whose status says success; `None` where it does not.
    pub error_if: Option<ErrorSigns>,
    /// Over how long streams are ended where an operator drains.
    pub drain_streams: Duration,
    /// When its places may come home, where the engine's part says that windows decide.
    pub windows: Vec<Window>,
}

/// How an error shows in an answer whose status says success. One sign is enough.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorSigns {
    /// Fields that the answer has, or has with exactly this value.
    pub headers: Vec<(HeaderName, Option<String>)>,
    /// JSON pointers into a body that is held whole, and what holds there.
    pub json: Vec<(String, JsonCheck)>,
}

/// What is spoken to a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: over TLS when the backend agrees to it, by prior knowledge over plain TCP.
    Http2,
    /// What the backend prefers in the TLS handshake (ALPN).
    Auto,
}

/// Where the affinity key of a request is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// The client's address for orders and cancels, nothing for reads.
    #[default]
    Client,
    /// The value of this header for every class; the client's address where it is absent and the
    /// class is order or cancel.
    Header(HeaderName),
}

/// What a probe sends and expects.
#[derive(Clone, Debug)]
pub enum Probe {
    /// A connection that stands, TLS included where the backend has it, is enough.
    Tcp,
    /// A GET and its answer.
    Http(HttpProbe),
    /// `Check` of `grpc.health.v1.Health`. Only where every backend of the pool may speak HTTP/2.
    Grpc(GrpcProbe),
}

/// A question for a gRPC server's health.
#[derive(Clone, Debug, Default)]
pub struct GrpcProbe {
    /// The full name of the service; empty for the server as a whole.
    pub service: String,
    /// The authority; the backend's own when absent.
    pub host: Option<String>,
    /// Fields to send.
    pub headers: Vec<(HeaderName, http::HeaderValue)>,
}

/// A GET and what its answer must be.
#[derive(Clone, Debug)]
pub struct HttpProbe {
    /// Path and query.
    pub path: String,
    /// The Host field; the backend's own when absent.
    pub host: Option<String>,
    /// Fields to send.
    pub headers: Vec<(HeaderName, http::HeaderValue)>,
    /// Status codes that pass, as inclusive ranges.
    pub status: Vec<(u16, u16)>,
    /// Fields that the answer must have, or have with exactly this value.
    pub expect_headers: Vec<(HeaderName, Option<String>)>,
    /// A text that the body must contain.
    pub body_contains: Option<String>,
    /// JSON pointers into the body and what must hold there.
    pub json: Vec<(String, JsonCheck)>,
    /// Bytes of the body that are read at most; a longer one fails where the body is looked at.
    pub max_body: usize,
}

/// What must hold at a JSON pointer.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonCheck {
    /// A number that compares so.
    Number(Comparison, f64),
    /// Exactly this text.
    Text(String),
    /// Exactly this truth.
    Bool(bool),
    /// Anything but null.
    Present,
}

/// How numbers compare: `"< 500"` in the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

/// The I/O side of a backend.
#[derive(Clone, Debug)]
pub struct Backend {
    /// As in the engine's policy, for messages.
    pub id: BackendId,
    /// Host of its URL in lower case: a name, or a literal address (IPv6 without brackets).
    pub host: String,
    /// Port of its URL.
    pub port: u16,
    /// Where its addresses come from, beside the literal ones.
    pub sources: Sources,
    /// TLS towards it; `None` for plain.
    pub tls: Option<UpstreamTls>,
    /// What is spoken to it. `Auto` only with TLS.
    pub protocol: Protocol,
    /// The Host field that it gets.
    pub host_header: HostHeader,
}

/// Where the addresses of a backend come from, beside the literal ones. All of them add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The host of its URL is a name that is looked up.
    pub resolve: bool,
    /// A service whose SRV records are looked up; they bring their own ports.
    pub srv: Option<String>,
    /// A file in one of Prometheus' formats.
    pub file: Option<FileSd>,
    /// An HTTP service that speaks Prometheus' format.
    pub http: Option<HttpSd>,
}

/// A file of addresses in Prometheus' `file_sd` formats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSd {
    /// JSON, or YAML where it ends in `.yaml` or `.yml`.
    pub path: PathBuf,
    /// How often it is read.
    pub refresh: Duration,
}

/// An HTTP service that gives addresses in Prometheus' `http_sd` format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSd {
    /// Host of its URL in lower case: a name, or a literal address (IPv6 without brackets).
    pub host: String,
    /// Port of its URL.
    pub port: u16,
    /// Path and query of its URL.
    pub target: String,
    /// TLS towards it; `None` for plain.
    pub tls: Option<UpstreamTls>,
    /// How often it is asked.
    pub refresh: Duration,
    /// Longest wait for its whole answer.
    pub timeout: Duration,
}

/// How names are looked up, and how long what they said is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Asked independently of each other; those of the system where there is none.
    pub resolvers: Vec<SocketAddr>,
    /// Longest wait for the answer to one question.
    pub timeout: Duration,
    /// An answer is used for this long at least, whatever its TTL.
    pub min_ttl: Duration,
    /// An answer is used for this long at most.
    pub max_ttl: Duration,
    /// How long an address is kept after it was last named.
    pub keep: Duration,
    /// The same at a decentralised provider, which gives addresses to strangers sooner.
    pub keep_decentralized: Duration,
    /// Private addresses are taken also where public ones were.
    pub private: bool,
}

/// TLS towards a backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// The name sent as SNI and required of the certificate.
    pub server_name: String,
    /// A PEM file of CAs to trust; the system's roots when absent.
    pub ca: Option<PathBuf>,
}

/// The Host field that a backend gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's, byte for byte: clients sign it.
    #[default]
    Client,
    /// The backend's own authority.
    Backend,
    /// This one.
    Literal(String),
}

/// How a SIGTERM ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Not ready, but still accepting, so that load balancers in front can notice.
    pub linger: Duration,
    /// What is in flight may take this long after that.
    pub timeout: Duration,
}

/// Bounds and time limits on everything that faces a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From accept to the end of the TLS handshake.
    pub tls_handshake: Duration,
    /// From the first byte of a request head to its last.
    pub header_timeout: Duration,
    /// Request line and fields together, bytes.
    pub header_bytes: usize,
    /// Number of fields of a request.
    pub header_count: usize,
    /// An idle client connection is closed after this.
    pub idle_timeout: Duration,
    /// A request body that makes no progress for this long ends the request.
    pub body_idle: Duration,
    /// Least rate of a request body over its whole length, bytes per second, after a grace of
    /// `body_idle`.
    pub body_min_rate: u64,
    /// A client that takes no byte of its answer for this long is cut off.
    pub write_stall: Duration,
    /// Bytes of a request body that are kept so that it can be sent again.
    pub keep_body: usize,
    /// An answer of a declared length up to this many bytes is held until it is whole: one that is
    /// cut can be fetched elsewhere, or is told as unknown.
    pub hold_answer: usize,
    /// Bytes of a request body at all; more is 413.
    pub max_body: u64,
    /// Requests at a time on one HTTP/2 connection of a client at most.
    pub max_streams: u32,
}

/// Open connections of a listener at most, where the policy names no number.
pub const DEFAULT_MAX_CONNECTIONS: usize = 10_000;

/// Where the admin side listens, where the policy does not say.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

impl Default for Pool {
    fn default() -> Self {
        Self {
            affinity: Affinity::Client,
            probe: Probe::Tcp,
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(15),
            max_idle: 256,
            order_reuse_within: Duration::from_secs(1),
            error_if: None,
            order_protocol: Protocol::Http1,
            max_streams: 100,
            drain_streams: Duration::from_secs(60),
            windows: Vec::new(),
        }
    }
}

impl Default for HttpProbe {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            host: None,
            headers: Vec::new(),
            status: vec![(200, 299)],
            expect_headers: Vec::new(),
            body_contains: None,
            json: Vec::new(),
            max_body: 64 * 1024,
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(2),
            timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            resolvers: Vec::new(),
            timeout: Duration::from_millis(500),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(60),
            keep: Duration::from_secs(24 * 3600),
            keep_decentralized: Duration::from_secs(10 * 60),
            private: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tls_handshake: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            header_bytes: 64 * 1024,
            header_count: 100,
            idle_timeout: Duration::from_secs(60),
            body_idle: Duration::from_secs(30),
            body_min_rate: 100,
            write_stall: Duration::from_secs(30),
            keep_body: 64 * 1024,
            hold_answer: 32 * 1024,
            max_body: 1024 * 1024 * 1024,
            max_streams: 100,
        }
    }
}
