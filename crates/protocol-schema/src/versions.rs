//! Ranges of message versions.

use std::fmt;

/// A range of versions, both ends included; empty if `low > high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The first version.
    pub low: i16,
    /// The last version.
    pub high: i16,
}

impl Versions {
    /// No version at all.
    pub const NONE: Self = Self { low: 0, high: -1 };
    /// Every version, past and to come.
    pub const ALL: Self = Self { low: 0, high: i16::MAX };

    /// Parses `3`, `3-7` or `3+`; `none` is the empty range.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |digits: &str| {
            let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            if all_digits { digits.parse::<i16>().ok() } else { None }
        };
        if text == "none" {
            Some(Self::NONE)
        } else if let Some(low) = text.strip_suffix('+') {
            Some(Self { low: number(low)?, high: i16::MAX })
        } else if let Some((low, high)) = text.split_once('-') {
            let range = Self { low: number(low)?, high: number(high)? };
            if range.is_empty() { None } else { Some(range) }
        } else {
            let only = number(text)?;
            Some(Self { low: only, high: only })
        }
    }

    /// Whether there is no version in it.
    pub fn is_empty(self) -> bool {
        self.low > self.high
    }

    /// Whether `version` is in it.
    pub fn contains(self, version: i16) -> bool {
        (self.low..=self.high).contains(&version)
    }

    /// The versions that are in both.
    pub fn clip(self, within: Self) -> Self {
        let both = Self { low: self.low.max(within.low), high: self.high.min(within.high) };
        if both.is_empty() { Self::NONE } else { both }
    }

    /// Each version in turn.
    pub fn iter(self) -> impl Iterator<Item = i16> {
        self.low..=self.high
    }

    /// The shortest text that gives this range back once it is clipped to `within`.
    pub fn relative_to(self, within: Self) -> String {
        if self.high == within.high && self.low != self.high {
            format!("{}+", self.low)
        } else {
            self.to_string()
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            _ if self.is_empty() => f.write_str("none"),
            Self { low, high: i16::MAX } => write!(f, "{low}+"),
            Self { low, high } if low == high => write!(f, "{low}"),
            Self { low, high } => write!(f, "{low}-{high}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_clips_and_prints() {
        let message = Versions { low: 4, high: 18 };
        for (text, clipped) in [
            ("0+", "4+"),
            ("12+", "12+"),
            ("0-3", "none"),
            ("5-7", "5-7"),
            ("18", "18"),
            ("none", "none"),
        ] {
            let versions = Versions::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(versions.to_string(), text);
            assert_eq!(versions.clip(message).relative_to(message), clipped);
        }
        for text in ["", "+", "-1", "3-2", "1-", "a", "1,2", "99999"] {
            assert_eq!(Versions::parse(text), None, "{text}");
        }
    }
}
