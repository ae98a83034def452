//! `auto.offset.reset`: where to begin without a position.

use std::time::Duration;

/// Where to begin when there is no committed offset, or when the log does not reach to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetReset {
    /// With the first record.
    Earliest,
    /// After the last record.
    Latest,
    /// With the first record that is no older than this, at the time of the reset (KIP-1106).
    ByDuration(Duration),
    /// Nowhere: the poll fails.
    None,
}

impl OffsetReset {
    /// Reads `earliest`, `latest`, `none`, or `by_duration:` with an ISO-8601 duration.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            "none" => Ok(Self::None),
            _ => text
                .strip_prefix("by_duration:")
                .and_then(parse_duration)
                .map(Self::ByDuration)
                .ok_or_else(|| {
                    "earliest, latest, none or by_duration:<ISO-8601 duration, as in P1DT2H>".into()
                }),
        }
    }

    /// The timestamp that a `ListOffsets` request asks with, at the time `now_ms`.
    pub(super) fn timestamp(self, now_ms: i64) -> Option<i64> {
        match self {
            Self::Earliest => Some(super::offsets::EARLIEST),
            Self::Latest => Some(super::offsets::LATEST),
            Self::ByDuration(duration) => {
                let back = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                Some(now_ms.saturating_sub(back).max(0))
            }
            Self::None => None,
        }
    }
}

/// An ISO-8601 duration of days, hours, minutes and seconds, as `java.time.Duration` reads it, not
/// negative.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, time)) if !time.is_empty() => (days, time),
        Some(_) => return None,
        None => (text.strip_prefix('P')?, ""),
    };
    let mut seconds = 0.0_f64;
    let mut parts = 0;
    let mut take = |text: &str, units: &[(char, f64)]| -> Option<()> {
        let mut rest = text;
        for &(unit, factor) in units {
            let Some((number, after)) = rest.split_once(unit) else { continue };
            let is_number =
                number.bytes().all(|b| b.is_ascii_digit() || (unit == 'S' && b == b'.'));
            if !is_number {
                return None;
            }
            seconds += number.parse::<f64>().ok()? * factor;
            parts += 1;
            rest = after;
        }
        rest.is_empty().then_some(())
    };
    take(days, &[('D', 86_400.0)])?;
    take(time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)])?;
    (parts > 0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_java_reads_them() {
        let cases = [
            ("P1D", Some(86_400_000)),
            ("PT1H30M", Some(5_400_000)),
            ("P2DT3H4M5.5S", Some(183_845_500)),
            ("pt0.25s", Some(250)),
            ("PT", None),
            ("P", None),
            ("1D", None),
            ("PT1D", None),
            ("P-1D", None),
            ("PT1M1H", None),
        ];
        for (text, ms) in cases {
            assert_eq!(parse_duration(text).map(|d| d.as_millis()), ms, "{text}");
        }
    }

    #[test]
    fn a_reset_is_one_of_four_and_an_error_says_which() {
        assert_eq!(OffsetReset::parse("earliest"), Ok(OffsetReset::Earliest));
        let hour = OffsetReset::ByDuration(Duration::from_secs(3600));
        assert_eq!(OffsetReset::parse("by_duration:PT1H"), Ok(hour));
        assert_eq!(hour.timestamp(3_600_005), Some(5));
        assert!(OffsetReset::parse("smallest").unwrap_err().contains("by_duration"));
    }
}
