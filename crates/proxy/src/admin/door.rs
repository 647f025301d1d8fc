//! Who is asking, and whether a page of another site made them ask.
//!
//! Where the policy names tokens or clients' certificates, everybody has to show one. Where it names
//! none, whoever connects from this machine may do everything and nobody else anything. A web page
//! that somebody looks at must not get in on their behalf: without a token, Host has to name this
//! machine (a name that was rebound does not), `Origin` may only be the admin side itself, and
//! `Sec-Fetch-Site` its own. There are no cookies, and no answer permits another site anything.

use super::connections::Peer;
use super::{Access, Admin};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use leeward_config::policy::Role;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};

/// Somebody who may use the admin side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    /// `token oncall`, `certificate oncall.ops.example`, `this machine`.
    pub(super) name: String,
    pub(super) role: Role,
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) text: &'static str,
}

const fn forbidden(text: &'static str) -> Refused {
    let status = StatusCode::FORBIDDEN;
    Refused { status, text }
}

const fn unknown(text: &'static str) -> Refused {
    let status = StatusCode::UNAUTHORIZED;
    Refused { status, text }
}

const OTHER_SITE: Refused = forbidden("pages of other sites may not ask the admin side");

/// Lets those through who may read; for everything but words, which look for themselves.
pub(super) async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>();
    let serving = admin.shared.snapshot.load().serving.clone();
    match admit(&serving.access, peer, request.headers()) {
        Ok(_) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = axum::Json(json!({ "error": self.text }));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"leeward\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Who is asking, if they may.
pub(super) fn admit(
    access: &Access,
    peer: Option<&Peer>,
    headers: &HeaderMap,
) -> Result<Who, Refused> {
    let peer = peer.ok_or(forbidden("nobody knows where this comes from"))?;
    let host = one(headers, header::HOST).ok_or(forbidden("Host is needed, once"))?;
    comes_from_own_page(headers, host, peer.secure)?;
    if !access.is_guarded() {
        if !peer.address.to_canonical().is_loopback() {
            let text = "without a token the admin side is only for this machine";
            return Err(forbidden(text));
        }
        if !is_local(host) {
            let text = "Host has to be localhost or a loopback address";
            return Err(forbidden(text));
        }
        return Ok(Who {
            name: "this machine".to_owned(),
            role: Role::Operate,
        });
    }
    if headers.contains_key(header::AUTHORIZATION) {
        let shown = one(headers, header::AUTHORIZATION).and_then(bearer);
        let (name, role) = shown
            .and_then(|shown| access.token(shown.as_bytes()))
            .ok_or(unknown("the admin side does not know this token"))?;
        return Ok(Who {
            name: format!("token {name}"),
            role,
        });
    }
    let shown = peer.certificate.as_deref();
    if let Some((names, role)) = shown.and_then(|names| Some((names, access.certificate(names)?))) {
        let name = names.first().map_or("without a name", String::as_str);
        return Ok(Who {
            name: format!("certificate {name}"),
            role,
        });
    }
    Err(unknown(
        "the admin side wants a token: `Authorization: Bearer …`",
    ))
}

/// The one value of a field; nothing where it is there twice.
fn one(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Refuses what a page of another site asks for.
fn comes_from_own_page(headers: &HeaderMap, host: &str, secure: bool) -> Result<(), Refused> {
    if headers.contains_key(header::ORIGIN) {
        let scheme = if secure { "https://" } else { "http://" };
        let own = one(headers, header::ORIGIN)
            .and_then(|origin| origin.strip_prefix(scheme))
            .is_some_and(|rest| rest.eq_ignore_ascii_case(host));
        if !own {
            return Err(OTHER_SITE);
        }
    }
    let site = headers.get("sec-fetch-site");
    match site.is_some_and(|site| site != "same-origin" && site != "none") {
        true => Err(OTHER_SITE),
        false => Ok(()),
    }
}

fn is_local(host: &str) -> bool {
    let by_address = host.parse().map(|whole: SocketAddr| whole.ip());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = by_address.or_else(|_| bare.parse::<IpAddr>());
    if let Ok(address) = address {
        return address.is_loopback();
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests;
