//! The request that is asked about: from words to a head, checked by the framing that checks the heads
//! of clients.
//!
//! Refuses what cannot be sent at all, or would be another request than the one that was meant. Called
//! by `explain`.

use super::Question;
use super::says::RefusedSays;
use crate::framing::{Framer, FramingLimits, Refusal};
use http::header::{HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use leeward_config::policy::Limits;

/// Bytes of a question at most: more than any request line and fields that are served by default.
const MOST_BYTES: usize = 64 * 1024;

/// A request in parts.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    version: String,
    /// The Host field; empty where nothing names one.
    pub(super) host: String,
    /// Other fields, in order.
    fields: Vec<(String, String)>,
}

/// A head that may pass.
pub(super) struct Head {
    pub(super) method: Method,
    uri: Uri,
    pub(super) headers: HeaderMap,
}

impl Head {
    /// The path, as routes see it.
    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }
}

impl Request {
    /// Takes a question apart.
    ///
    /// # Errors
    /// It is no request, or has another one hidden in it.
    pub(super) fn of(question: &Question) -> Result<Request, String> {
        let texts = [&question.request].into_iter().chain(&question.headers);
        let size: usize = texts.clone().map(String::len).sum();
        let host = question.host.as_deref().unwrap_or_default();
        let is_odd = |text: &str| text.contains(|c: char| c.is_control() && c != '\t');
        if size + host.len() > MOST_BYTES {
            return Err(format!("a request of more than {MOST_BYTES} bytes"));
        }
        if texts.clone().any(|text| is_odd(text)) || is_odd(host) {
            return Err("control characters in a request".to_owned());
        }
        let parts: Vec<&str> = question.request.split_whitespace().collect();
        let (method, target, version) = match parts[..] {
            [method, target] => (method, target, "HTTP/1.1"),
            [method, target, version] if version.starts_with("HTTP/") => (method, target, version),
            _ => {
                return Err(format!(
                    "`{}` is no request line such as 'POST /api/v3/order'",
                    question.request
                ));
            }
        };
        let mut fields = Vec::new();
        for field in &question.headers {
            let Some((name, value)) = field.split_once(':') else {
                return Err(format!("`{field}` is no field such as 'X-API-KEY: abc'"));
            };
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        let is_host = |(name, _): &(String, String)| name.eq_ignore_ascii_case("host");
        let given = fields.iter().filter(|field| is_host(field)).count();
        if given > usize::from(question.host.is_none()) {
            return Err("the host is named twice".to_owned());
        }
        let by_field = fields.iter().find(|field| is_host(field));
        let by_target = target.parse().ok().and_then(|uri: Uri| {
            let authority = uri.authority().filter(|_| uri.scheme().is_some())?;
            Some(authority.to_string())
        });
        let host = question.host.clone();
        let host = host.or_else(|| by_field.map(|(_, value)| value.clone()));
        let host = host.or(by_target).unwrap_or_default();
        fields.retain(|field| !is_host(field));
        Ok(Request {
            method: method.to_owned(),
            target: target.to_owned(),
            version: version.to_owned(),
            host,
            fields,
        })
    }

    /// The head as a client would send it, if it may pass.
    pub(super) fn check(&self, limits: &Limits) -> Result<Head, RefusedSays> {
        // HTTP/1.0 has requests without a host; nothing else here knows the version.
        let version = if self.host.is_empty() {
            "HTTP/1.0"
        } else {
            &self.version
        };
        let mut text = format!("{} {} {version}\r\n", self.method, self.target);
        let host = ("Host".to_owned(), self.host.clone());
        let host = Some(&host).filter(|_| !self.host.is_empty());
        for (name, value) in host.into_iter().chain(&self.fields) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut framer = Framer::new(FramingLimits {
            header_bytes: limits.header_bytes,
            header_count: limits.header_count,
            max_body: limits.max_body,
        });
        framer
            .accept(text.as_bytes())
            .map_err(|refused| told(refused.refusal))?;
        self.parse().ok_or_else(|| told(Refusal::Target))
    }

    /// As the HTTP library holds it.
    fn parse(&self) -> Option<Head> {
        let mut headers = HeaderMap::new();
        if !self.host.is_empty() {
            headers.insert(HOST, HeaderValue::from_str(&self.host).ok()?);
        }
        for (name, value) in &self.fields {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_str(value).ok()?);
        }
        Some(Head {
            method: Method::from_bytes(self.method.as_bytes()).ok()?,
            uri: self.target.parse().ok()?,
            headers,
        })
    }
}

fn told(refusal: Refusal) -> RefusedSays {
    RefusedSays {
        status: refusal.status(),
        reason: refusal.reason().to_owned(),
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: &str, headers: &[&str]) -> Result<Request, String> {
        Request::of(&Question {
            request: request.to_owned(),
            headers: headers.iter().map(ToString::to_string).collect(),
            ..Question::default()
        })
    }

    #[test]
    fn a_request_line_is_a_method_and_a_target() {
        for good in ["GET /", "GET / HTTP/1.0", "  DELETE   /order?id=1 "] {
            assert!(asked(good, &[]).is_ok(), "{good}");
        }
        for bad in [
            "",
            "GET",
            "GET / POST",
            "a b c d",
            "GET /\r\nX: y",
            "GET /\u{0}",
        ] {
            assert!(asked(bad, &[]).is_err(), "{bad}");
        }
        assert!(asked("GET /", &["no colon"]).is_err());
        assert!(asked(&format!("GET /{}", "a".repeat(MOST_BYTES)), &[]).is_err());
    }

    #[test]
    fn the_host_is_named_once_by_whichever_way() {
        let host = |request, headers| asked(request, headers).map(|asked| asked.host);
        assert_eq!(host("GET /", &[]), Ok(String::new()));
        assert_eq!(host("GET /", &["HOST:  a.test"]), Ok("a.test".to_owned()));
        let absolute = host("GET http://b.test:81/x", &[]);
        assert_eq!(absolute, Ok("b.test:81".to_owned()));
        assert!(host("GET /", &["Host: a", "host: b"]).is_err());
        let twice = Question {
            request: "GET /".to_owned(),
            host: Some("a.test".to_owned()),
            headers: vec!["Host: b.test".to_owned()],
            ..Question::default()
        };
        assert!(Request::of(&twice).is_err());
    }
}
