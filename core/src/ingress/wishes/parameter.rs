//! What can be wished for, by which keys, and what may be wrong with it.

use alloc::boxed::Box;
use core::fmt;
use titan_proto::Code;

/// What can be wished for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Parameter {
    /// [`Wishes::session`](super::Wishes::session).
    Session,
    /// [`Wishes::ttl`](super::Wishes::ttl).
    Ttl,
    /// [`Wishes::country`](super::Wishes::country).
    Country,
    /// [`Wishes::city`](super::Wishes::city).
    City,
    /// [`Wishes::asn`](super::Wishes::asn).
    Asn,
    /// [`Wishes::node`](super::Wishes::node).
    Node,
    /// [`Wishes::tag`](super::Wishes::tag).
    Tag,
    /// [`Wishes::mode`](super::Wishes::mode).
    Mode,
    /// [`Wishes::reply`](super::Wishes::reply).
    Reply,
    /// [`Wishes::ip`](super::Wishes::ip).
    Ip,
    /// [`Wishes::zone`](super::Wishes::zone).
    Zone,
}

/// The keys in lower case. The first one of a parameter is its name.
pub(in crate::ingress) const KEYS: [(&str, Parameter); 13] = [
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

impl Parameter {
    /// Returns its name: its first key.
    #[must_use]
    pub fn name(self) -> &'static str {
        KEYS.iter()
            .find(|(_, parameter)| *parameter == self)
            .map_or("", |(name, _)| name)
    }
}

/// Why wishes cannot be obeyed.
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
    /// All of them together are longer than so many bytes.
    TooLong(usize),
}

impl BadParameter {
    pub(in crate::ingress) fn new(parameter: &str, problem: Problem) -> Self {
        let parameter = parameter.into();
        Self { parameter, problem }
    }

    pub(in crate::ingress) fn of(parameter: Parameter, problem: Problem) -> Self {
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
            Problem::TooLong(len_max) => write!(f, "the name is longer than {len_max} bytes"),
        }
    }
}

impl core::error::Error for BadParameter {}
