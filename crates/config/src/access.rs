//! Who may use the admin side, as the policy says it.
//!
//! Shapes only: the files that they name are read by whoever serves the policy.

use crate::policy::Certificate;
use std::path::PathBuf;

/// Who may use the admin side. With neither tokens nor clients' certificates, whoever connects from
/// this machine may do everything, and nobody else may do anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminAccess {
    /// Tokens, by name.
    pub tokens: Vec<AdminToken>,
    /// TLS on the admin bind.
    pub tls: Option<AdminTls>,
}

impl AdminAccess {
    /// Whether everybody has to show something, from this machine too.
    pub fn is_guarded(&self) -> bool {
        let clients = self.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        !self.tokens.is_empty() || clients.is_some()
    }
}

/// A token that a client shows as `Authorization: Bearer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// Who it belongs to, for the journal.
    pub name: String,
    /// The file whose one line it is.
    pub file: PathBuf,
    /// What it allows.
    pub role: Role,
}

/// What somebody may do on the admin side. A later one may do what an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See everything, and ask what a word would lead to.
    Read,
    /// Say words: evacuate, drain, restore.
    Operate,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 2] = [Role::Read, Role::Operate];

    /// The word of the policy and of the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Operate => "operate",
        }
    }
}

/// TLS on the admin bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTls {
    /// The admin side's own certificate.
    pub certificate: Certificate,
    /// Whose certificates are taken in place of a token; `None` where none is asked for.
    pub clients: Option<AdminClients>,
}

/// Clients that show a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminClients {
    /// Who signs them: PEM.
    pub ca: PathBuf,
    /// DNS names whose certificates may operate, in lower case; all others of that CA may read.
    pub operate: Vec<String>,
}
