//! Amounts and times as people write them, and texts as URLs carry them.

/// Reads an amount of bytes: `1500`, `10k`, `10MB`, `2.5G`; the units are powers of 1000, with `i` of
/// 1024. A small `b` would be bits, in which nobody counts amounts: it is refused.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no amount of bytes such as 1500, 10MB or 2GiB");
    let (number, unit) = split(text);
    if unit.ends_with('b') {
        return Err(format!("{}; `b` is bits, `B` bytes", wrong()));
    }
    let prefix = unit.strip_suffix('B').unwrap_or(unit);
    let amount = amount(number, prefix).ok_or_else(wrong)?;
    u64::try_from(amount).map_err(|_| wrong())
}

/// Reads a rate and returns bytes per second: bytes as [`bytes()`] reads them, or bits with a small `b` or
/// `bit`, as in `10Mb` or `10Mbit`; `/s` or `ps` may stand behind.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("`{text}` is no rate such as 10MB (bytes), 10Mbit or 10Mb (bits) in a second");
    let plain = text.strip_suffix("/s").or_else(|| text.strip_suffix("ps"));
    let plain = plain.unwrap_or(text);
    let (number, unit) = split(plain);
    let bits = unit.strip_suffix("bit").or_else(|| unit.strip_suffix('b'));
    let Some(prefix) = bits else {
        return bytes(plain).map_err(|_| wrong());
    };
    let bits = amount(number, prefix).ok_or_else(wrong)?;
    u64::try_from(bits / 8).map_err(|_| wrong())
}

/// Parts a number from its unit.
fn split(text: &str) -> (&str, &str) {
    let digits = text.find(|one: char| !one.is_ascii_digit() && one != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    (number, unit.trim())
}

/// Multiplies a number by what its prefix stands for.
fn amount(number: &str, prefix: &str) -> Option<u128> {
    let (letter, base) = match prefix.strip_suffix('i') {
        Some("") => return None,
        Some(letter) => (letter, 1_024_u128),
        None => (prefix, 1_000),
    };
    let power = match letter {
        "" => 0,
        "k" | "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    let factor = base.pow(power);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let mut amount = u128::from(whole) * factor;
    if !part.is_empty() {
        let digits: u64 = part.parse().ok()?;
        let scale = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
        amount += u128::from(digits) * factor / u128::from(scale);
    }
    Some(amount)
}

/// A value, or the word `none`, which removes what is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrNone<T>(pub(super) Option<T>);

/// Reads an amount of bytes or `none`.
pub(super) fn bytes_or_none(text: &str) -> Result<OrNone<u64>, String> {
    or_none(text, bytes)
}

/// Reads a rate or `none`.
pub(super) fn rate_or_none(text: &str) -> Result<OrNone<u64>, String> {
    or_none(text, rate)
}

/// Reads a plain number or `none`.
pub(super) fn count_or_none(text: &str) -> Result<OrNone<u64>, String> {
    let count = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number"));
    or_none(text, count)
}

fn or_none(
    text: &str,
    read: impl FnOnce(&str) -> Result<u64, String>,
) -> Result<OrNone<u64>, String> {
    if text == "none" {
        return Ok(OrNone(None));
    }
    read(text).map(|value| OrNone(Some(value)))
}

/// A point in time as written on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct When {
    /// Whether it counts from now.
    relative: bool,
    seconds: u64,
}

impl When {
    /// The point in Unix seconds.
    pub(super) const fn at(self, now: u64) -> u64 {
        if self.relative {
            now.saturating_add(self.seconds)
        } else {
            self.seconds
        }
    }
}

/// Reads a time: Unix seconds, or a wait from now such as `+30d`, `+12h` or `+90m`; `none` is no time.
pub(super) fn when(text: &str) -> Result<OrNone<When>, String> {
    if text == "none" {
        return Ok(OrNone(None));
    }
    let wrong = || format!("`{text}` is no time such as 1767225600, +30d or none");
    let Some(wait) = text.strip_prefix('+') else {
        let seconds = text.parse().map_err(|_| wrong())?;
        return Ok(OrNone(Some(When {
            relative: false,
            seconds,
        })));
    };
    let (number, unit) =
        wait.split_at(wait.len() - usize::from(wait.is_ascii() && !wait.is_empty()));
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    Ok(OrNone(Some(When {
        relative: true,
        seconds: number.checked_mul(unit).ok_or_else(wrong)?,
    })))
}

/// Writes Unix seconds as a date of UTC (the civil calendar by days since 0000-03-01).
pub(super) fn time_text(unix: u64) -> String {
    let (days, rest) = (unix / 86_400, unix % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Encodes a text as one segment of a path or value of a query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        for (text, expected) in [
            ("0", 0),
            ("1500", 1_500),
            ("10k", 10_000),
            ("2.5G", 2_500_000_000),
            ("1KiB", 1_024),
            ("1.5MiB", 1_572_864),
            ("10MB", 10_000_000),
            ("10 MB", 10_000_000),
            ("3TB", 3_000_000_000_000),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "x",
            "-1",
            "1x",
            "1.2.3",
            "99999999999T",
            ".",
            "1i",
            "1 k k",
            "10Mb",
            "1b",
            "1BB",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(bytes_or_none("none"), Ok(OrNone(None)));
        assert_eq!(count_or_none("12"), Ok(OrNone(Some(12))));
        assert!(count_or_none("12M").is_err(), "sessions have no unit");
    }

    #[test]
    fn a_small_b_is_bits() {
        for (text, expected) in [
            ("1500", 1_500),
            ("10M", 10_000_000),
            ("10MB", 10_000_000),
            ("10MB/s", 10_000_000),
            ("1MiB/s", 1_048_576),
            ("10Mb", 1_250_000),
            ("10Mbit", 1_250_000),
            ("10Mbit/s", 1_250_000),
            ("10Mbps", 1_250_000),
            ("2.5Gb", 312_500_000),
            ("8b", 1),
        ] {
            assert_eq!(rate(text), Ok(expected), "{text}");
        }
        for text in ["", "b", "ps", "10Mbb", "10bits", "x/s", "10B/m"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_and_written() {
        let at = |text| when(text).unwrap().0.unwrap().at(1_000);
        assert_eq!((at("5"), at("+90m"), at("+30d")), (5, 6_400, 2_593_000));
        for text in ["", "+", "+d", "+5", "+5y", "tomorrow", "-5", "+é"] {
            assert!(when(text).is_err(), "{text}");
        }
        assert_eq!(time_text(0), "1970-01-01 00:00:00Z");
        assert_eq!(time_text(951_782_400), "2000-02-29 00:00:00Z");
        assert_eq!(time_text(1_798_761_599), "2026-12-31 23:59:59Z");
    }

    #[test]
    fn texts_are_encoded() {
        assert_eq!(encode("a/b c@é"), "a%2Fb%20c@%C3%A9");
    }
}
