//! User names that carry wishes: `alice-session-abc1-reply-truthful`.
//!
//! A name is the account and pairs of key and value, all separated by `-`:
//!
//! ```text
//! name    = account *( "-" key "-" value )     at most 255 bytes
//! key     = any of the table below, in either case, each at most once
//! value   = 1*64( ALPHA / DIGIT / "." / "_" / "~" )     "~" stands for "-"
//! ```
//!
//! The account is whatever stands before the first `-`; whether there is such a user is not judged
//! here. What is wrong with the rest is for those to hear whose password was right.

mod value;
mod wishes;

pub use wishes::{Mode, Wishes};

use super::Answering;
use alloc::boxed::Box;
use core::fmt;
use titan_proto::Code;

/// The longest user name, in bytes: what RFC 1929 can carry.
pub const USER_NAME_LEN_MAX: usize = 255;

/// The longest value, in bytes.
pub const VALUE_LEN_MAX: usize = 64;

/// What a user name can ask for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Parameter {
    /// [`Wishes::session`].
    Session,
    /// [`Wishes::ttl`].
    Ttl,
    /// [`Wishes::country`].
    Country,
    /// [`Wishes::city`].
    City,
    /// [`Wishes::asn`].
    Asn,
    /// [`Wishes::node`].
    Node,
    /// [`Wishes::tag`].
    Tag,
    /// [`Wishes::mode`].
    Mode,
    /// [`Wishes::reply`].
    Reply,
    /// [`Wishes::ip`].
    Ip,
    /// [`Wishes::zone`].
    Zone,
}

/// The keys in lower case. The first one of a parameter is its name.
const KEYS: [(&str, Parameter); 13] = [
    ("session", Parameter::Session),
    ("ttl", Parameter::Ttl),
    ("sesstime", Parameter::Ttl),
    ("country", Parameter::Country),
    ("region", Parameter::Country),
    ("city", Parameter::City),
    ("asn", Parameter::Asn),
    ("node", Parameter::Node),
    ("tag", Parameter::Tag),
    ("mode", Parameter::Mode),
    ("reply", Parameter::Reply),
    ("ip", Parameter::Ip),
    ("zone", Parameter::Zone),
];

/// A user name taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserName<'a> {
    /// Whose password must be right.
    pub account: &'a str,
    /// What else the name says.
    pub wishes: Result<Wishes, BadParameter>,
}

impl<'a> UserName<'a> {
    /// Takes a name apart, in time linear in its length.
    #[must_use]
    pub fn parse(name: &'a str) -> Self {
        let (account, rest) = match name.split_once('-') {
            Some((account, rest)) => (account, Some(rest)),
            None => (name, None),
        };
        let wishes = if name.len() > USER_NAME_LEN_MAX {
            Err(BadParameter::new("", Problem::TooLong))
        } else {
            rest.map_or_else(|| Ok(Wishes::default()), parse_wishes)
        };
        Self { account, wishes }
    }
}

fn parse_wishes(pairs: &str) -> Result<Wishes, BadParameter> {
    let mut wishes = Wishes::default();
    let mut seen = [false; KEYS.len()];
    let mut parts = pairs.split('-');
    while let Some(key) = parts.next() {
        let known = KEYS.iter().find(|(name, _)| key.eq_ignore_ascii_case(name));
        let Some(&(_, parameter)) = known else {
            return Err(BadParameter::new(key, Problem::Unknown));
        };
        if core::mem::replace(&mut seen[parameter as usize], true) {
            return Err(BadParameter::of(parameter, Problem::Repeated));
        }
        let value = parts.next().filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| BadParameter::of(parameter, Problem::Missing))?;
        value::read(parameter, value, &mut wishes)
            .ok_or_else(|| BadParameter::of(parameter, Problem::Value(value.into())))?;
    }
    wishes.check()?;
    Ok(wishes)
}

impl Parameter {
    /// Returns its name, as in user names.
    #[must_use]
    pub fn name(self) -> &'static str {
        KEYS.iter()
            .find(|(_, parameter)| *parameter == self)
            .map_or("", |(name, _)| name)
    }
}

/// What is wrong with a user name whose account may be right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadParameter {
    parameter: Box<str>,
    problem: Problem,
}

/// What is wrong with a parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// There is no such parameter.
    Unknown,
    /// It is given twice, perhaps by two of its names.
    Repeated,
    /// It has no value.
    Missing,
    /// It cannot have this value.
    Value(Box<str>),
    /// It means nothing without another one.
    Needs(Parameter),
    /// It and another one cannot both be obeyed.
    Contradicts(Parameter),
    /// It cannot be obeyed yet.
    NotInForce,
    /// The whole name is longer than [`USER_NAME_LEN_MAX`].
    TooLong,
}

impl BadParameter {
    fn new(parameter: &str, problem: Problem) -> Self {
        let parameter = parameter.into();
        Self { parameter, problem }
    }

    fn of(parameter: Parameter, problem: Problem) -> Self {
        Self::new(parameter.name(), problem)
    }

    /// Returns the parameter as it was called; empty if none is to blame.
    #[must_use]
    pub const fn parameter(&self) -> &str {
        &self.parameter
    }

    /// Returns what is wrong with it.
    #[must_use]
    pub const fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Returns the outcome that stands for it.
    #[must_use]
    pub fn code(&self) -> Code {
        if self.problem == Problem::NotInForce {
            Code::NotInForce
        } else {
            Code::BadParameters
        }
    }
}

/// Escapes what a client wrote.
impl fmt::Display for BadParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameter = self.parameter.escape_debug();
        match &self.problem {
            Problem::Unknown => write!(f, "there is no parameter `{parameter}`"),
            Problem::Repeated => write!(f, "`{parameter}` is given twice"),
            Problem::Missing => write!(f, "`{parameter}` has no value"),
            Problem::Value(value) => {
                write!(f, "`{parameter}` cannot be `{}`", value.escape_debug())
            }
            Problem::Needs(other) => write!(f, "`{parameter}` needs `{}`", other.name()),
            Problem::Contradicts(other) => {
                write!(f, "`{parameter}` contradicts `{}`", other.name())
            }
            Problem::NotInForce => write!(f, "`{parameter}` is not in force yet"),
            Problem::TooLong => write!(f, "the name is longer than {USER_NAME_LEN_MAX} bytes"),
        }
    }
}

impl core::error::Error for BadParameter {}

#[cfg(test)]
mod tests;
