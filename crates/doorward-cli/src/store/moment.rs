//! A moment in UTC, to the second, in the words of RFC 3339; dates a caller cannot believe do not make it panic.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime};

/// The last second of the year 9999: later ones have no words.
const LAST: u64 = 253_402_300_799;

/// Seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Moment(u64);

impl Moment {
    /// What the clock of the host says, right or wrong.
    pub(crate) fn now() -> Moment {
        Moment::of(SystemTime::now())
    }

    /// This time; the nearest that has words.
    pub(crate) fn of(time: SystemTime) -> Moment {
        Moment(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(LAST))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.min(LAST));
        humantime::format_rfc3339_seconds(time).fmt(f)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> String {
        moment.to_string()
    }
}

impl TryFrom<String> for Moment {
    type Error = humantime::TimestampError;

    fn try_from(text: String) -> Result<Moment, humantime::TimestampError> {
        humantime::parse_rfc3339(&text).map(Moment::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_752_580, "2026-11-27T04:09:40Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Moment(seconds).to_string(), text);
            assert_eq!(Moment::try_from(text.to_owned()).ok(), Some(Moment(seconds)));
        }
        for text in ["", "2026-11-27", "2026-11-27T04:09:40", "2026-13-27T04:09:40Z", "now"] {
            assert!(Moment::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    /// A clock that was never set, and one that broke.
    #[test]
    fn clocks_that_are_wrong() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let after = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST + 1_000_000);
        assert_eq!(Moment::of(before).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Moment::of(after).to_string(), "9999-12-31T23:59:59Z");
    }
}
