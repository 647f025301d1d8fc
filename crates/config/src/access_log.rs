//! What is said of each request, and where: the compiled side of `access_log`.

use http::header::HeaderName;
use std::path::PathBuf;

/// What is said of each request, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Where the lines go.
    pub to: LogTarget,
    /// Share of the good requests that is logged, 0 to 1. All others always are.
    pub sample: f64,
    /// Whether the query of a `public_read` is shown. That of another class never is.
    pub query: bool,
    /// Fields of the request whose values are shown, in this order.
    pub fields: Vec<HeaderName>,
}

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Behind what is in this file; it is made where it is missing.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// To whoever listens on this unix socket, a stream.
    Unix(PathBuf),
}
