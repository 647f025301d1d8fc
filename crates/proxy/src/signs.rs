//! Errors in disguise: answers whose status says success and whose fields or body say otherwise.
//!
//! Some venues answer every error with 200 and a code in the body; by their status alone such a
//! backend looks well while nothing works. Bounded: only bodies that are held whole are looked into.
//! What such an answer means for the endpoint is the engine's to say; the client gets it as it is.

use crate::attempt::Answer;
use crate::probe::holds;
use leeward_config::policy::ErrorSigns;

/// Whether an answer shows one of the signs.
pub(crate) fn shows_error(signs: &ErrorSigns, answer: &Answer) -> bool {
    if !answer.response.status().is_success() {
        return false;
    }
    let headers = answer.response.headers();
    let in_headers = signs.headers.iter().any(|(name, wanted)| match wanted {
        None => headers.contains_key(name),
        Some(wanted) => headers.get_all(name).iter().any(|value| value == wanted),
    });
    in_headers
        || answer
            .whole
            .as_ref()
            .is_some_and(|whole| shows_in_body(signs, whole.data()))
}

/// A body that is not JSON shows nothing; neither does a pointer to nothing.
fn shows_in_body(signs: &ErrorSigns, body: &[u8]) -> bool {
    if signs.json.is_empty() {
        return false;
    }
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(body) else {
        return false;
    };
    signs.json.iter().any(|(pointer, wanted)| {
        document
            .pointer(pointer)
            .is_some_and(|found| holds(found, wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use leeward_config::policy::{Comparison, JsonCheck};

    fn shows(body: &str) -> bool {
        let code = JsonCheck::Number(Comparison::NotEqual, 0.0);
        let signs = ErrorSigns {
            headers: Vec::new(),
            json: vec![
                ("/code".to_owned(), code),
                ("/error/0".to_owned(), JsonCheck::Present),
            ],
        };
        shows_in_body(&signs, body.as_bytes())
    }

    #[test]
    fn an_error_in_a_body_is_seen_and_nothing_else_is() {
        assert!(shows(r#"{"code": 50001}"#));
        assert!(shows(
            r#"{"error": ["EService:Unavailable"], "result": {}}"#
        ));
        for body in [
            r#"{"code": 0, "error": []}"#,
            "{}",
            "not JSON",
            "",
            r#"{"code": "x"}"#,
        ] {
            assert!(!shows(body), "{body}");
        }
    }
}
