//! Times as people write them, in UTC.

use anyhow::bail;

const MS_A_DAY: i64 = 86_400_000;

/// A moment of the calendar.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    /// Since midnight.
    ms: i64,
}

/// Of ms since 1970, in the proleptic Gregorian calendar.
fn civil(ms: i64) -> Civil {
    // Years begin in March, so that a leap day is the last one; eras have 400 years.
    let shifted = ms.div_euclid(MS_A_DAY) + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Civil { year, month, day, ms: ms.rem_euclid(MS_A_DAY) }
}

/// The days since 1970 of a date.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `2026-01-31 23:59:59.000`, with `before_ms` before the last three digits.
pub(crate) fn shown(ms: i64, between: char, before_ms: char) -> String {
    let Civil { year, month, day, ms } = civil(ms);
    let (seconds, millis) = (ms / 1000, ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        "{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{before_ms}{millis:03}"
    )
}

/// A time by a pattern of Java's `SimpleDateFormat`: `yyyy`, `MM`, `dd`, `HH`, `mm`, `ss`, `SSS`, and what is
/// no letter; in UTC.
///
/// # Errors
/// Which letters are not there.
pub(crate) fn written(ms: i64, pattern: &str) -> Result<String, String> {
    let Civil { year, month, day, ms } = civil(ms);
    let (seconds, millis) = (ms / 1000, ms % 1000);
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        let count = rest.chars().take_while(|&other| other == letter).count();
        let number = match letter {
            'y' => Some(year),
            'M' => Some(month),
            'd' => Some(day),
            'H' => Some(seconds / 3600),
            'm' => Some(seconds / 60 % 60),
            's' => Some(seconds % 60),
            'S' => Some(millis),
            _ => None,
        };
        let run = &rest[..count * letter.len_utf8()];
        match number {
            Some(number) if letter == 'y' && count == 2 => {
                text.push_str(&format!("{:02}", number % 100));
            }
            Some(number) => text.push_str(&format!("{number:0count$}")),
            None if letter.is_ascii_alphabetic() || letter == '\'' => {
                return Err(format!("{run} means nothing here; yyyy MM dd HH mm ss SSS do"));
            }
            None => text.push_str(run),
        }
        rest = &rest[run.len()..];
    }
    Ok(text)
}

/// A time as it is typed: ms since 1970; `90s`, `10m`, `2h`, `7d` before `now`; a date; a date and a
/// time, in UTC unless a zone such as `Z` or `-03:00` follows.
///
/// # Errors
/// What the forms are, if it has none of them.
pub(crate) fn parse(text: &str, now_ms: i64) -> anyhow::Result<i64> {
    let text = text.trim();
    if text == "now" {
        return Ok(now_ms);
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    if let Some(unit) = text.chars().last()
        && let Ok(count) = text[..text.len() - unit.len_utf8()].parse::<i64>()
        && let Some(unit_ms) = unit_ms(unit)
    {
        return Ok(now_ms.saturating_sub(count.saturating_mul(unit_ms)));
    }
    match date_and_time(text) {
        Some(ms) => Ok(ms),
        None => bail!(
            "{text:?} is no time: 2026-01-31, 2026-01-31T10:00, 2026-01-31T10:00:00-03:00, 90s, \
             10m, 2h, 7d (ago), now, or ms since 1970"
        ),
    }
}

fn unit_ms(unit: char) -> Option<i64> {
    Some(match unit {
        's' => 1000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => MS_A_DAY,
        _ => return None,
    })
}

fn date_and_time(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    let [year, month, day] = numbers(date, '-')?;
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day) && year < 10_000;
    if !is_date {
        return None;
    }
    let midnight = days(year, month, day) * MS_A_DAY;
    if time.is_empty() {
        return Some(midnight);
    }
    let (time, zone_ms) = match (time.strip_suffix('Z'), time.rfind(['+', '-'])) {
        (Some(time), _) => (time, 0),
        (None, Some(at)) => {
            let (hours, minutes) = time[at + 1..].split_once(':').unwrap_or((&time[at + 1..], "0"));
            let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let ms = i64::from(hours) * 3_600_000 + i64::from(minutes) * 60_000;
            (&time[..at], if time[at..].starts_with('-') { -ms } else { ms })
        }
        (None, None) => (time, 0),
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hour, minute, second] = match time.matches(':').count() {
        1 => {
            let [hour, minute] = numbers(time, ':')?;
            [hour, minute, 0]
        }
        _ => numbers(time, ':')?,
    };
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let millis = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
    let of_day = (hour * 3600 + minute * 60 + second) * 1000 + millis;
    Some(midnight + of_day - zone_ms)
}

fn numbers<const N: usize>(text: &str, between: char) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(between);
    for number in &mut numbers {
        *number = parts.next()?.parse().ok().filter(|number| *number >= 0)?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc() {
        assert_eq!(shown(0, ' ', ':'), "1970-01-01 00:00:00:000");
        assert_eq!(shown(951_827_696_789, ' ', ':'), "2000-02-29 12:34:56:789");
        assert_eq!(shown(1_767_225_599_999, 'T', '.'), "2025-12-31T23:59:59.999");
    }

    #[test]
    fn times_are_read_in_each_of_their_forms() {
        let now = 1_000_000_000;
        for (text, expected) in [
            ("1700000000123", 1_700_000_000_123),
            ("now", now),
            ("90s", now - 90_000),
            ("10m", now - 600_000),
            ("2h", now - 7_200_000),
            ("1970-01-02", MS_A_DAY),
            ("2000-02-29 12:34", 951_827_640_000),
            ("2000-02-29T12:34:56.789Z", 951_827_696_789),
            ("2000-02-29T09:34:56.789-03:00", 951_827_696_789),
            ("2000-02-29T14:34:56+02", 951_827_696_000),
        ] {
            assert_eq!(parse(text, now).unwrap(), expected, "{text}");
        }
        for text in ["", "tomorrow", "2026-13-01", "2026-01-01T25:00", "10x", "2026-01-01T10", "é"]
        {
            assert!(parse(text, now).is_err(), "{text}");
        }
    }
}
