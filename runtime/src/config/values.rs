//! Values with a form of their own, and checks that several configurations share.

use super::ConfigError;
use core::fmt;
use core::time::Duration;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use titan_core::exit::guard::Network;

/// Reads durations such as `"500ms"`, `"30s"`, `"5m"`, `"24h"` or `"7d"`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as \"500ms\", \"30s\", \"5m\", \"24h\" or \"7d\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            parse_duration(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    deserializer.deserialize_str(Text)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.find(|digit: char| !digit.is_ascii_digit())?;
    let (count, unit) = text.split_at(unit);
    let count: u64 = count.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(count)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    count.checked_mul(seconds).map(Duration::from_secs)
}

/// Reads a list: a TOML array or, as an environment variable can only be a text, one text with
/// commas.
pub(super) fn list<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: de::DeserializeOwned + std::str::FromStr<Err: fmt::Display>,
{
    struct List<T>(core::marker::PhantomData<T>);

    impl<'de, T> Visitor<'de> for List<T>
    where
        T: de::DeserializeOwned + std::str::FromStr<Err: fmt::Display>,
    {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array, or a text with commas")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            items.map(|item| item.parse().map_err(E::custom)).collect()
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(item) = items.next_element()? {
                all.push(item);
            }
            Ok(all)
        }
    }

    deserializer.deserialize_any(List(core::marker::PhantomData))
}

/// Checks an id of a node or POP.
pub(super) fn check_id(key: &'static str, id: &str) -> Result<(), ConfigError> {
    if id.is_empty() {
        return Err(ConfigError::invalid(key, "is required"));
    }
    if !crate::token::is_id(id) {
        return Err(ConfigError::invalid(
            key,
            format!("must be 1 to 64 letters, digits, `.`, `_` or `-`, not `{id}`"),
        ));
    }
    Ok(())
}

/// Checks a URL: one of the two schemes, of which the second is in clear, a host, and perhaps a path.
pub(super) fn check_url(
    key: &'static str,
    url: &str,
    [protected, clear]: [&str; 2],
    insecure: bool,
) -> Result<(), ConfigError> {
    if url.is_empty() {
        return Err(ConfigError::invalid(key, "is required"));
    }
    let parsed = url.parse::<http::Uri>().ok().filter(|uri| {
        uri.authority().is_some_and(|authority| {
            !authority.host().is_empty() && !authority.as_str().contains('@')
        }) && uri.query().is_none()
            && matches!(uri.path(), "" | "/")
    });
    let Some(scheme) = parsed.as_ref().and_then(http::Uri::scheme_str) else {
        return Err(ConfigError::invalid(
            key,
            format!("must be a URL such as {protected}://host:port, not `{url}`"),
        ));
    };
    if scheme == protected || scheme == clear && insecure {
        Ok(())
    } else if scheme == clear {
        Err(ConfigError::invalid(
            key,
            format!("is {clear}://, in clear, which has to be asked for by `insecure = true`"),
        ))
    } else {
        Err(ConfigError::invalid(
            key,
            format!("must start with {protected}://, not {scheme}://"),
        ))
    }
}

/// Checks address blocks such as `10.0.0.0/8`; a lone address is a block of one.
pub(super) fn check_blocks(key: &'static str, blocks: &[String]) -> Result<(), ConfigError> {
    for block in blocks {
        if let Err(error) = block.parse::<Network>() {
            return Err(ConfigError::invalid(
                key,
                format!("must hold address blocks such as 10.0.0.0/8, not `{block}`: {error}"),
            ));
        }
    }
    Ok(())
}

/// Checks that a number is not below the least that works.
pub(super) fn check_min<T: PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    min: T,
) -> Result<(), ConfigError> {
    if value < min {
        return Err(ConfigError::invalid(
            key,
            format!("must be at least {min}, not {value}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("7d"), Some(Duration::from_secs(604_800)));
        for text in [
            "",
            "s",
            "5",
            "-5s",
            "5 s",
            "5y",
            "1.5h",
            "99999999999999999999s",
            "9999999999999999999d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn blocks_are_checked() {
        let check = |block: &str| check_blocks("allow_targets", &[block.to_owned()]).is_ok();
        for block in [
            "10.0.0.0/8",
            "127.0.0.1",
            "::1",
            "fd00::/8",
            "0.0.0.0/0",
            "::/128",
        ] {
            assert!(check(block), "{block}");
        }
        for block in [
            "",
            "x",
            "10.0.0.0/33",
            "10.0.0.0/",
            "::/129",
            "10.0.0.0/-1",
            "10.0.0.1/8",
            "10.0.0/8",
        ] {
            assert!(!check(block), "{block}");
        }
    }

    #[test]
    fn urls_in_clear_must_be_asked_for() {
        let check = |url: &str, insecure| check_url("u", url, ["wss", "ws"], insecure).is_ok();
        for url in ["wss://pop.example", "wss://[::1]:41005", "wss://pop:1/"] {
            assert!(check(url, false) && check(url, true), "{url}");
        }
        assert!(!check("ws://pop", false) && check("ws://pop", true));
        for url in [
            "",
            "pop",
            "wss://",
            "https://pop",
            "wss://user@pop",
            "wss://pop?x=1",
            "wss://pop:1/path",
        ] {
            assert!(!check(url, true), "{url}");
        }
    }
}
