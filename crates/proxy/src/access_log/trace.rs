//! The trace id of a request, by W3C Trace Context level 1 (`traceparent`).
//!
//! Reads only: the field passes unchanged, valid or not, and leeward makes none.

use http::HeaderMap;

const FIELD: &str = "traceparent";
/// Version, trace id, parent id and flags with their dashes.
const LENGTH: usize = 55;

/// The trace id; `None` without a valid `traceparent`, or with more than one.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<Box<str>> {
    let mut fields = headers.get_all(FIELD).iter();
    let (field, None) = (fields.next()?, fields.next()) else {
        return None;
    };
    parse(field.as_bytes()).map(Into::into)
}

/// `version-traceid-parentid-flags`, of version 00 exactly, of a later one at its beginning.
fn parse(field: &[u8]) -> Option<&str> {
    let (known, rest) = field.split_at_checked(LENGTH)?;
    let mut parts = known.split(|byte| *byte == b'-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let (parent, flags) = (parts.next()?, parts.next()?);
    let good = is_hex(version, 2)
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && version != b"ff"
        && !is_zero(trace)
        && !is_zero(parent)
        && (rest.is_empty() || (version != b"00" && rest.starts_with(b"-")));
    if good {
        std::str::from_utf8(trace).ok()
    } else {
        None
    }
}

fn is_hex(part: &[u8], len: usize) -> bool {
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    part.len() == len && part.iter().all(hex)
}

fn is_zero(part: &[u8]) -> bool {
    part.iter().all(|byte| *byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn of(fields: &[&str]) -> Option<Box<str>> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(FIELD, HeaderValue::from_str(field).unwrap());
        }
        trace_id(&headers)
    }

    #[test]
    fn the_trace_id_is_read_from_this_version_and_from_later_ones() {
        for good in [
            format!("00-{ID}-00f067aa0ba902b7-01"),
            format!("00-{ID}-00f067aa0ba902b7-00"),
            format!("cc-{ID}-00f067aa0ba902b7-01"),
            format!("cc-{ID}-00f067aa0ba902b7-01-what the future brings"),
        ] {
            assert_eq!(of(&[&good]).as_deref(), Some(ID), "{good}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_has_no_trace_id() {
        for bad in [
            String::new(),
            format!("ff-{ID}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{ID}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase()),
            format!("00-{ID}-00f067aa0ba902b7-0"),
            format!("00-{ID}-00f067aa0ba902b7-01-more"),
            format!("cc-{ID}-00f067aa0ba902b7-01.more"),
            format!("00-{ID}x-0f067aa0ba902b7-01"),
            format!("00_{ID}_00f067aa0ba902b7_01"),
            format!("0-0{ID}-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(of(&[&bad]), None, "{bad}");
        }
        let good = format!("00-{ID}-00f067aa0ba902b7-01");
        assert_eq!(of(&[&good, &good]), None, "two of them say nothing");
        assert_eq!(of(&[]), None);
    }
}
