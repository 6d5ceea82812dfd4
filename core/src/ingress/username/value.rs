//! What each parameter may be.

use crate::exit::lease::SessionName;
use crate::ingress::wishes::{Answering, Mode, Parameter, Wishes};
use crate::time::Duration;
use alloc::boxed::Box;
use titan_proto::wire::create::Family;

/// The longest value, in bytes.
pub(super) const VALUE_LEN_MAX: usize = 64;

/// The longest time that a name may be bound, in seconds: 30 days.
const TTL_MAX: u64 = 30 * 86_400;

/// Reads a value into its wish; none if it is not a possible one.
pub(super) fn read(parameter: Parameter, value: &str, wishes: &mut Wishes) -> Option<()> {
    let fits = value.len() <= VALUE_LEN_MAX && value.bytes().all(is_of_value);
    if !fits {
        return None;
    }
    match parameter {
        Parameter::Session => wishes.session = Some(session(value)?),
        Parameter::Ttl => wishes.ttl = Some(ttl(value)?),
        Parameter::Country => wishes.country = Some(country(value)?),
        Parameter::City => wishes.city = Some(text(value)),
        Parameter::Asn => wishes.asn = Some(asn(value)?),
        Parameter::Node => wishes.node = Some(text(value)),
        Parameter::Tag => wishes.tag = Some(text(value)),
        Parameter::Mode => {
            let modes = [
                ("flexible", Mode::Flexible),
                ("strict", Mode::Strict),
                ("rotate", Mode::Rotate),
            ];
            wishes.mode = Some(one_of(value, modes)?);
        }
        Parameter::Reply => {
            let modes = [("fast", Answering::Fast), ("truthful", Answering::Truthful)];
            wishes.reply = Some(one_of(value, modes)?);
        }
        Parameter::Ip => {
            wishes.ip = Some(one_of(value, [("4", Family::Ipv4), ("6", Family::Ipv6)])?)
        }
        Parameter::Zone => wishes.zone = Some(text(value)),
    }
    Some(())
}

const fn is_of_value(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~')
}

/// Puts `-` where it could not be written.
fn text(value: &str) -> Box<str> {
    value.replace('~', "-").into()
}

fn one_of<T: Copy, const N: usize>(value: &str, choices: [(&str, T); N]) -> Option<T> {
    let mut choices = choices.into_iter();
    let (_, choice) = choices.find(|(name, _)| value.eq_ignore_ascii_case(name))?;
    Some(choice)
}

/// Session names tell sessions apart, so their case counts; a dot is kept for names of ours.
fn session(value: &str) -> Option<SessionName> {
    if value.contains('.') {
        return None;
    }
    SessionName::new(&text(value))
}

/// A count of seconds, minutes, hours or days; without a unit, of minutes.
fn ttl(value: &str) -> Option<Duration> {
    let end = value.find(|digit: char| !digit.is_ascii_digit());
    let (count, unit) = value.split_at(end.unwrap_or(value.len()));
    let unit = if unit.is_empty() {
        60
    } else {
        one_of(unit, [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)])?
    };
    let seconds = count.parse::<u64>().ok()?.checked_mul(unit)?;
    let possible = (1..=TTL_MAX).contains(&seconds);
    possible.then(|| Duration::from_secs(seconds))
}

fn country(value: &str) -> Option<[u8; 2]> {
    let letters: [u8; 2] = value.as_bytes().try_into().ok()?;
    let is_code = letters.iter().all(u8::is_ascii_alphabetic);
    is_code.then(|| letters.map(|letter| letter.to_ascii_uppercase()))
}

fn asn(value: &str) -> Option<u32> {
    let is_number = value.bytes().all(|digit| digit.is_ascii_digit());
    let number = value.parse().ok().filter(|number| *number > 0);
    number.filter(|_| is_number)
}
