//! How long the client of a call waits: `grpc-timeout`, read strictly and passed on truly.
//!
//! It shortens the deadline of a request and never lengthens it (`job`); what an attempt is sent with
//! says what is left (`turn`). What breaks the grammar is left as it is: the server has the last word
//! on it. Source: gRPC's PROTOCOL-HTTP2.md, `Timeout`.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Digits of a value at most.
const MOST_DIGITS: usize = 8;
/// The most that they can say.
const MOST: u128 = 99_999_999;
/// What leeward itself takes is no reason to change what a client wrote.
const SLACK: Duration = Duration::from_millis(5);

/// The time that the client of a call gives it; `None` where it says nothing, or nothing that can be
/// understood. Zero is time that is up: clients send it for deadlines that have passed.
pub(crate) fn of_call(headers: &HeaderMap) -> Option<Duration> {
    if !super::is_call(headers) {
        return None;
    }
    let mut values = headers.get_all(TIMEOUT).iter();
    let value = values.next()?;
    match values.next() {
        None => read(value.as_bytes()),
        Some(_) => None,
    }
}

fn read(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=MOST_DIGITS).contains(&digits.len()) {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        Some(number * 10 + u64::from(digit))
    })?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Has a message that says `said` say what is left, where that is less: its receiver must not work
/// for nobody.
pub(crate) fn pass_on(headers: &mut HeaderMap, said: Duration, left: Duration) {
    if said <= left.saturating_add(SLACK) {
        return;
    }
    if let Ok(value) = HeaderValue::try_from(written(left)) {
        headers.insert(TIMEOUT, value);
    }
}

/// In the finest unit that holds it, and never more than it is.
fn written(left: Duration) -> String {
    let micros = left.as_micros().max(1);
    let units = [(1, 'u'), (1000, 'm'), (1_000_000, 'S'), (60_000_000, 'M')];
    let fits = units.into_iter().find(|(size, _)| micros / size <= MOST);
    let (size, unit) = fits.unwrap_or((3_600_000_000, 'H'));
    format!("{}{unit}", (micros / size).min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(values: &[&str]) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        for value in values {
            let value = HeaderValue::from_str(value).expect("a value");
            headers.append(TIMEOUT, value);
        }
        of_call(&headers)
    }

    #[test]
    fn each_unit_is_understood_and_nothing_else_is() {
        for (value, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
            ("0n", Duration::ZERO),
            ("007m", Duration::from_millis(7)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            assert_eq!(said(&[value]), Some(expected), "{value}");
        }
        for wrong in [
            "",
            "m",
            "1",
            "123456789m",
            "000000001m",
            "-1m",
            "+1m",
            "1.5S",
            "1 m",
            " 1m",
            "1s",
            "1h",
            "1us",
            "1mm",
            "\u{661}m",
            "1e3m",
            "0x1m",
        ] {
            let value = HeaderValue::from_bytes(wrong.as_bytes()).expect("a value");
            assert_eq!(read(value.as_bytes()), None, "{wrong}");
        }
        assert_eq!(said(&[]), None);
        assert_eq!(said(&["1S", "1S"]), None, "which of them holds?");
        let mut page = HeaderMap::new();
        page.insert(TIMEOUT, HeaderValue::from_static("1S"));
        assert_eq!(of_call(&page), None, "no call");
    }

    #[test]
    fn what_is_passed_on_is_what_is_left_and_never_more_than_that() {
        let passed = |said, left| {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, HeaderValue::from_static("as it came"));
            pass_on(&mut headers, said, left);
            headers[TIMEOUT].to_str().expect("text").to_owned()
        };
        let seconds = Duration::from_secs;
        assert_eq!(passed(seconds(1), seconds(1)), "as it came");
        assert_eq!(passed(seconds(1), seconds(2)), "as it came");
        let nearly = seconds(1) - Duration::from_millis(4);
        assert_eq!(passed(seconds(1), nearly), "as it came");
        assert_eq!(
            passed(seconds(9), Duration::from_micros(1_500_000)),
            "1500000u"
        );
        assert_eq!(passed(seconds(9), Duration::from_nanos(1)), "1u");
        assert_eq!(
            passed(seconds(9000), Duration::from_millis(100_001)),
            "100001m"
        );
        for micros in [
            1,
            99_999_999,
            100_000_000,
            123_456_789_012,
            1 << 60,
            1 << 62,
        ] {
            let left = Duration::from_micros(micros);
            let read = read(written(left).as_bytes()).expect("its own grammar");
            assert!(
                read <= left && read >= left / 2 || micros > 1 << 59,
                "{micros}"
            );
        }
    }
}
