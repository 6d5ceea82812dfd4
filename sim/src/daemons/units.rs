//! Times, sizes and rates as a scenario file writes them.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use titan_core::rng::Rng;

/// Makes a type that a file writes as text.
macro_rules! written {
    ($($type:ty)*) => {$(
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )*};
}
written!(Time Span Size Rate Jump);

/// A time such as `250ms`, `5s`, `2m` or `1h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(u64);

impl Time {
    /// Creates a time.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the number of milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns it as a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text)?;
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(format!("{text:?} is no time: 250ms, 5s, 2m or 1h")),
        };
        let millis = number.checked_mul(unit);
        millis
            .map(Self)
            .ok_or_else(|| format!("{text:?} is too long"))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0s"),
            millis if millis % 3_600_000 == 0 => write!(f, "{}h", millis / 3_600_000),
            millis if millis % 60_000 == 0 => write!(f, "{}m", millis / 60_000),
            millis if millis % 1_000 == 0 => write!(f, "{}s", millis / 1_000),
            millis => write!(f, "{millis}ms"),
        }
    }
}

/// A time, or a range from which the seed draws one: `5s` or `5s..7s`, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    /// The earliest.
    pub min: Time,
    /// The latest.
    pub max: Time,
}

impl Span {
    /// Creates a range of one time.
    #[must_use]
    pub const fn at(time: Time) -> Self {
        Self {
            min: time,
            max: time,
        }
    }

    /// Draws a time.
    pub fn draw(self, rng: &mut Rng) -> Time {
        Time(self.min.0 + rng.below(self.max.0 - self.min.0 + 1))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((min, max)) = text.split_once("..") else {
            return text.parse().map(Self::at);
        };
        let (min, max) = (min.parse()?, max.parse()?);
        if min > max {
            return Err(format!("{text:?} is no range: its end comes first"));
        }
        Ok(Self { min, max })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return self.min.fmt(f);
        }
        write!(f, "{}..{}", self.min, self.max)
    }
}

/// A number of bytes such as `512B`, `64KiB` or `4MiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

impl Size {
    /// Returns whether it is nothing.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text)?;
        let unit = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return Err(format!("{text:?} is no size: 512B, 64KiB or 4MiB")),
        };
        let bytes = number.checked_mul(unit);
        bytes
            .map(Self)
            .ok_or_else(|| format!("{text:?} is too much"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0B"),
            bytes if bytes % (1 << 20) == 0 => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes % (1 << 10) == 0 => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

/// A number of bytes per second such as `64KiB/s`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(pub Size);

impl Rate {
    /// Returns how long this many bytes take.
    #[must_use]
    pub const fn time(self, len: u64) -> Duration {
        let bytes = if self.0.0 == 0 { 1 } else { self.0.0 };
        Duration::from_millis(len * 1_000 / bytes)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.strip_suffix("/s");
        let size = size.ok_or_else(|| format!("{text:?} is no rate: 64KiB/s"))?;
        match size.parse()? {
            Size(0) => Err(format!("{text:?} never ends")),
            size => Ok(Self(size)),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// How a clock jumps: `+1h` or `-30s`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Jump {
    /// Back, not forth.
    pub back: bool,
    /// How far.
    pub by: Time,
}

impl FromStr for Jump {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (back, by) = match text.split_at_checked(1) {
            Some(("+", by)) => (false, by),
            Some(("-", by)) => (true, by),
            _ => return Err(format!("{text:?} is no jump: +1h or -30s")),
        };
        let by = by.parse()?;
        Ok(Self { back, by })
    }
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.back { "-" } else { "+" }, self.by)
    }
}

fn split(text: &str) -> Result<(u64, &str), String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number = number.parse();
    let number = number.map_err(|_| format!("{text:?} does not begin with a number"))?;
    Ok((number, unit))
}

/// Tells whether a value need not be written.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
