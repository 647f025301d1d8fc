//! What the kernel says of this process, read from `/proc`.
//!
//! Owns the reading of these few files; the names are the ones that every Prometheus client library
//! uses. What cannot be read is left out. Called at each scrape.

use crate::family;
use crate::series::Reading;
use std::fs;

/// Ticks a second in `/proc`. The kernel's USER_HZ, which is 100 on every processor that leeward is
/// built for, whatever rate the kernel itself runs at.
const TICKS: f64 = 100.0;

/// The families that could be read.
pub(crate) fn read() -> Vec<Reading> {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let stat = Stat::parse(&stat);
    let boot = boot_time(&fs::read_to_string("/proc/stat").unwrap_or_default());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    // One of them is the folder that is being listed.
    let open = fs::read_dir("/proc/self/fd")
        .ok()
        .map(|fds| fds.count().saturating_sub(1) as f64);
    let found = [
        (
            &family::PROCESS_CPU,
            stat.as_ref().map(|stat| stat.cpu_seconds),
        ),
        (&family::PROCESS_OPEN_FDS, open),
        (&family::PROCESS_MAX_FDS, max_open_files(&limits)),
        (&family::PROCESS_RESIDENT, status_bytes(&status, "VmRSS:")),
        (&family::PROCESS_VIRTUAL, status_bytes(&status, "VmSize:")),
        (
            &family::PROCESS_THREADS,
            stat.as_ref().map(|stat| stat.threads),
        ),
        (
            &family::PROCESS_START,
            stat.zip(boot).map(|(stat, boot)| boot + stat.start_seconds),
        ),
    ];
    let found = found.into_iter();
    found
        .filter_map(|(family, number)| Some(Reading::of_one(family, number?)))
        .collect()
}

/// What is taken from `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    /// User and system time together.
    cpu_seconds: f64,
    /// How many threads there are.
    threads: f64,
    /// When the process started, in seconds since the machine did.
    start_seconds: f64,
}

impl Stat {
    /// See proc_pid_stat(5). The second field is the name in brackets and may hold anything, so the
    /// fields are counted from the last bracket: the state is the third.
    fn parse(text: &str) -> Option<Stat> {
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<f64>().ok();
        Some(Stat {
            cpu_seconds: (field(14)? + field(15)?) / TICKS,
            threads: field(20)?,
            start_seconds: field(22)? / TICKS,
        })
    }
}

/// When the machine started, in seconds since 1970. From `/proc/stat`.
fn boot_time(stat: &str) -> Option<f64> {
    value(stat, "btime ")?.trim().parse().ok()
}

/// A size from `/proc/self/status`, which gives it in KiB.
fn status_bytes(status: &str, name: &str) -> Option<f64> {
    let kib: f64 = value(status, name)?
        .trim()
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    Some(kib * 1024.0)
}

/// The soft limit of open files, from `/proc/self/limits`. None when there is no limit.
fn max_open_files(limits: &str) -> Option<f64> {
    value(limits, "Max open files")?
        .split_ascii_whitespace()
        .next()?
        .parse()
        .ok()
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let text =
            "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 12345 1000 200 1\n";
        let expected = Stat {
            cpu_seconds: 3.0,
            threads: 7.0,
            start_seconds: 123.45,
        };
        assert_eq!(Stat::parse(text), Some(expected));
    }

    #[test]
    fn files_that_make_no_sense_give_nothing() {
        for text in [
            "",
            ")",
            "1 (x) S",
            "btime x",
            "VmRSS: 3 MB",
            "Max open files unlimited unlimited files",
        ] {
            assert_eq!(Stat::parse(text), None);
            assert_eq!(boot_time(text), None);
            assert_eq!(status_bytes(text, "VmRSS:"), None);
            assert_eq!(max_open_files(text), None);
        }
    }

    #[test]
    fn sizes_limits_and_times_are_in_base_units() {
        assert_eq!(
            status_bytes("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:"),
            Some(2_097_152.0)
        );
        assert_eq!(
            max_open_files("Max open files            1024                 4096   files\n"),
            Some(1024.0)
        );
        assert_eq!(
            boot_time("cpu 1 2\nbtime 1700000000\n"),
            Some(1_700_000_000.0)
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_can_be_read() {
        let found = read();
        assert_eq!(found.len(), 7);
        assert!(found.iter().all(|reading| reading.series.len() == 1));
    }
}
