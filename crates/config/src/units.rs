//! Durations, sizes, percentages and rates as the policy writes them.
//!
//! Owns their spelling, both ways. Knows no bounds and no keys. Called by [`crate::fields`]; an
//! `Err` is a hint for whoever wrote the text, `None` in it where there is nothing to say.

use std::time::Duration;

/// What could not be read, and perhaps what was meant.
pub(crate) type Misread = Option<String>;

/// `250ms`, `1.5s`, `5m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, Misread> {
    let (number, unit) = split(text).ok_or(None)?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        "" if number == 0.0 => 0.0,
        "" => return Err(Some(format!("add a unit, as in `{text}ms` or `{text}s`"))),
        "sec" | "secs" | "second" | "seconds" => return Err(meant(number, "s")),
        "min" | "mins" | "minute" | "minutes" => return Err(meant(number, "m")),
        _ => return Err(Some("units are ms, s, m and h".to_owned())),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| None)
}

/// `64KiB`, `10MiB`, `1GiB`, or a plain number of bytes.
pub(crate) fn size(text: &str) -> Result<u64, Misread> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text.get(..end).unwrap_or("").parse().map_err(|_| None)?;
    let unit: u64 = match text.get(end..).unwrap_or("").trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "K" | "k" | "KB" | "kB" | "kb" => return Err(meant(number as f64, "KiB")),
        "M" | "MB" | "mb" => return Err(meant(number as f64, "MiB")),
        "G" | "GB" | "gb" => return Err(meant(number as f64, "GiB")),
        _ => return Err(Some("units are KiB, MiB and GiB".to_owned())),
    };
    number.checked_mul(unit).ok_or(None)
}

/// `50%` or `0.5`; 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, Misread> {
    let (number, unit) = split(text).ok_or(None)?;
    match unit {
        "%" if number <= 100.0 => Ok(number / 100.0),
        "" if number <= 1.0 => Ok(number),
        "" if number <= 100.0 => Err(meant(number, "%")),
        _ => Err(None),
    }
}

/// `2000/s`, `0.5/s`.
pub(crate) fn rate(text: &str) -> Result<f64, Misread> {
    let (number, unit) = split(text).ok_or(None)?;
    match unit {
        "/s" => Ok(number),
        "" | "rps" | "/sec" | "/second" => Err(meant(number, "/s")),
        "/m" | "/min" | "/h" => Err(Some("rates are per second, as in `20/s`".to_owned())),
        _ => Err(None),
    }
}

/// The shortest spelling that [`duration`] reads as the same.
pub(crate) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

/// The shortest spelling that [`size`] reads as the same.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units
        .iter()
        .find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit))
    {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// A share as a percentage.
pub(crate) fn show_share(share: f64) -> String {
    // Binary fractions of shares that were written in decimals end somewhere behind the fourth place.
    format!("{}%", (share * 1e6).round() / 1e4)
}

fn meant(number: f64, unit: &str) -> Misread {
    Some(format!("did you mean `{number}{unit}`?"))
}

/// A number without sign or exponent, and what follows it.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return None;
    }
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        let ms = |ms| Ok(Duration::from_millis(ms));
        assert_eq!(duration("250ms"), ms(250));
        assert_eq!(duration("1s"), ms(1000));
        assert_eq!(duration("1.5s"), ms(1500));
        assert_eq!(duration("0.1s"), ms(100));
        assert_eq!(duration("5m"), ms(300_000));
        assert_eq!(duration("1h"), ms(3_600_000));
        assert_eq!(duration("2 s"), ms(2000));
        assert_eq!(duration("0"), ms(0));
        for bad in [
            "500", "1d", "s", "", "-1s", "1e3s", ".5s", "1.s", "1.2.3s", "1m30s", "1S",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(duration(&format!("{}h", "9".repeat(400))).is_err());
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("10MiB"), Ok(10 << 20));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("100"), Ok(100));
        for bad in [
            "64KB",
            "1.5MiB",
            "MiB",
            "-1",
            "",
            "1TiB",
            "99999999999999999999",
            "9999999999999GiB",
        ] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_are_percentages_or_fractions() {
        assert_eq!(share("50%"), Ok(0.5));
        assert_eq!(share("0.5"), Ok(0.5));
        assert_eq!(share("1"), Ok(1.0));
        assert_eq!(share("0%"), Ok(0.0));
        for bad in ["101%", "50", "-1%", "%", "", "half", "1.1"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_are_per_second() {
        assert_eq!(rate("2000/s"), Ok(2000.0));
        assert_eq!(rate("0.5/s"), Ok(0.5));
        for bad in ["2000", "20/m", "/s", "-1/s", ""] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        for ms in [0, 1, 250, 1000, 1500, 60_000, 90_000, 3_600_000, 5_400_000] {
            let shown = show_duration(Duration::from_millis(ms));
            assert_eq!(duration(&shown), Ok(Duration::from_millis(ms)), "{shown}");
        }
        for bytes in [0, 1, 1024, 1500, 1 << 20, 3 << 30] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
    }
}
