//! Windows of a week, in UTC: when places may come home.
//!
//! Owns what a window is. Read by `compile/failback`; the control task in `proxy` asks with the wall
//! clock, which the engine does not have.

use std::time::Duration;

/// Minutes of a day.
pub(crate) const DAY: u32 = 24 * 60;
/// 1970-01-01 was a Thursday.
const FIRST_DAY: u64 = 3;

/// A window of some days of the week, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// On which days it opens, Monday first.
    pub days: [bool; 7],
    /// When it opens, in minutes since midnight.
    pub from: u32,
    /// When it closes, in minutes since midnight, up to 24 hours: on the next day where it is not
    /// after `from`.
    pub to: u32,
}

impl Window {
    /// Whether it is open at a time since 1970, by the wall clock.
    pub fn is_open(&self, since_1970: Duration) -> bool {
        let minutes = since_1970.as_secs() / 60;
        let (days, minute) = (minutes / u64::from(DAY), minutes % u64::from(DAY));
        let opens = |day: u64| self.days[((day + FIRST_DAY) % 7) as usize];
        let minute = minute as u32;
        if self.from < self.to {
            return opens(days) && (self.from..self.to).contains(&minute);
        }
        // It goes on into the next day.
        opens(days) && minute >= self.from || opens(days + 6) && minute < self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time in the week of Monday, 2024-01-01.
    fn at(day: u64, hour: u64, minute: u64) -> Duration {
        Duration::from_secs(1_704_067_200 + ((day * 24 + hour) * 60 + minute) * 60)
    }

    const WEEKEND: [bool; 7] = [false, false, false, false, false, true, true];

    #[test]
    fn a_window_opens_on_its_days_and_closes_before_its_end() {
        let window = Window {
            days: WEEKEND,
            from: 120,
            to: 360,
        };
        for (time, open) in [
            (at(5, 1, 59), false),
            (at(5, 2, 0), true),
            (at(6, 5, 59), true),
            (at(6, 6, 0), false),
            (at(4, 3, 0), false),
            (at(7, 3, 0), false),
        ] {
            assert_eq!(window.is_open(time), open, "{time:?}");
        }
    }

    #[test]
    fn a_window_may_go_on_into_the_next_day() {
        let window = Window {
            days: WEEKEND,
            from: 22 * 60,
            to: 2 * 60,
        };
        for (time, open) in [
            (at(5, 1, 0), false),
            (at(5, 22, 0), true),
            (at(6, 1, 59), true),
            (at(6, 2, 0), false),
            (at(7, 1, 0), true),
            (at(7, 22, 0), false),
        ] {
            assert_eq!(window.is_open(time), open, "{time:?}");
        }
    }

    #[test]
    fn a_window_up_to_midnight_is_open_to_the_last_minute() {
        let window = Window {
            days: [true; 7],
            from: 0,
            to: DAY,
        };
        assert!(window.is_open(at(2, 23, 59)) && window.is_open(at(3, 0, 0)));
    }
}
