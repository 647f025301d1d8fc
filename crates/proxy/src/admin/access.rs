//! Who may use the admin side, ready to be asked: tokens as digests, TLS as a configuration.
//!
//! Built with each policy (`serving`), so that files of tokens and certificates reload with it.
//! A token is held as its digest and compared in constant time; its text is neither kept nor logged.

use crate::error::StartError;
use crate::tls;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use leeward_config::policy::{AdminAccess, AdminToken, Role};
use rustls::ServerConfig;
use std::path::Path;
use std::sync::Arc;

/// Characters of a token: fewer could be guessed, more is no token.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=512;

/// Who may use the admin side.
pub(crate) struct Access {
    tokens: Vec<Token>,
    tls: Option<Arc<ServerConfig>>,
    /// DNS names whose certificates may operate; `None` where certificates mean nothing.
    operators: Option<Vec<String>>,
}

struct Token {
    name: String,
    role: Role,
    digest: Digest,
}

impl Access {
    /// Reads every file that `wanted` names.
    ///
    /// # Errors
    /// A file that cannot be read, or holds no token; two tokens that are the same.
    pub(crate) fn new(wanted: &AdminAccess) -> Result<Self, StartError> {
        let mut tokens: Vec<Token> = Vec::new();
        for token in &wanted.tokens {
            let new = read(token)?;
            if let Some(known) = tokens.iter().find(|known| same(&known.digest, &new.digest)) {
                let text = format!("admin: tokens {} and {} are the same", known.name, new.name);
                return Err(StartError::policy(text));
            }
            tokens.push(new);
        }
        let clients = wanted.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        let ca = clients.map(|clients| clients.ca.as_path());
        let tls = wanted.tls.as_ref();
        let tls = tls.map(|tls| tls::admin_server(&tls.certificate, ca));
        Ok(Self {
            tokens,
            tls: tls.transpose()?,
            operators: clients.map(|clients| clients.operate.clone()),
        })
    }

    /// Whether everybody has to show something.
    pub(super) fn is_guarded(&self) -> bool {
        !self.tokens.is_empty() || self.operators.is_some()
    }

    /// TLS for the next connection to the admin bind.
    pub(super) fn tls(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref()
    }

    /// Whose token this is. Takes as long for one that is nobody's.
    pub(super) fn token(&self, shown: &[u8]) -> Option<(&str, Role)> {
        let shown = digest(&SHA256, shown);
        let mut found = None;
        for token in &self.tokens {
            if same(&token.digest, &shown) {
                found = Some((token.name.as_str(), token.role));
            }
        }
        found
    }

    /// What a verified certificate with these names allows; `None` where certificates mean nothing.
    pub(super) fn certificate(&self, names: &[String]) -> Option<Role> {
        let operators = self.operators.as_ref()?;
        match names.iter().any(|name| operators.contains(name)) {
            true => Some(Role::Operate),
            false => Some(Role::Read),
        }
    }
}

fn same(a: &Digest, b: &Digest) -> bool {
    verify_slices_are_equal(a.as_ref(), b.as_ref()).is_ok()
}

fn read(token: &AdminToken) -> Result<Token, StartError> {
    let bad = |what: &str| {
        let (name, file) = (&token.name, token.file.display());
        StartError::policy(format!("admin: token {name}: {file}: {what}"))
    };
    let text =
        read_bounded(&token.file).map_err(|error| bad(&format!("cannot be read: {error}")))?;
    let line = text.trim_ascii();
    if !line.iter().all(u8::is_ascii_graphic) {
        return Err(bad("a token is one line of visible ASCII without spaces"));
    }
    if !LENGTHS.contains(&line.len()) {
        let (low, high) = (LENGTHS.start(), LENGTHS.end());
        let hint = "`openssl rand -hex 32` makes a good one";
        return Err(bad(&format!(
            "a token has {low} to {high} characters; {hint}"
        )));
    }
    Ok(Token {
        name: token.name.clone(),
        role: token.role,
        digest: digest(&SHA256, line),
    })
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(4096).read_to_end(&mut bytes)?;
    Ok(bytes)
}
