//! What a user wants of the way a session takes.

mod parameter;

pub(super) use parameter::KEYS;
pub use parameter::{BadParameter, Parameter, Problem};

use crate::exit::index::Country;
use crate::exit::lease::{SessionName, Sticky};
use crate::target::{Host, Target};
use crate::time::Duration;
use alloc::boxed::Box;
use titan_proto::Code;
use titan_proto::wire::create::Family;

/// Wishes about a session; each is optional. None is ignored: whoever opens the session asks
/// [`Self::check_in_force`] first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wishes {
    /// Leave where other sessions of this name leave.
    pub session: Option<SessionName>,
    /// How long the name is bound to its exit.
    pub ttl: Option<Duration>,
    /// Leave in this country; two capital letters of ISO 3166.
    pub country: Option<Country>,
    /// Leave in this city.
    pub city: Option<Box<str>>,
    /// Leave from this autonomous system.
    pub asn: Option<u32>,
    /// Leave by this node.
    pub node: Option<Box<str>>,
    /// Leave by a node with this tag.
    pub tag: Option<Box<str>>,
    /// When the exit may change.
    pub mode: Option<Mode>,
    /// When to be answered.
    pub reply: Option<Answering>,
    /// The family of addresses to leave with.
    pub ip: Option<Family>,
    /// A name of older systems for a part of the exits.
    pub zone: Option<Box<str>>,
}

/// When a client is answered (requirement W13).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answering {
    /// Before the exit has dialled.
    Fast,
    /// After the exit has dialled, with the dial's outcome.
    Truthful,
}

/// When the exit of a session may change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// When the one there was is gone.
    Flexible,
    /// Never: rather no exit than another one.
    Strict,
    /// With every connection.
    Rotate,
}

impl Wishes {
    /// Refuses what cannot be obeyed yet.
    ///
    /// # Errors
    /// Names the first wish that is not in force.
    pub fn check_in_force(&self) -> Result<(), BadParameter> {
        // Taken apart, so that a new wish does not compile before it is judged here.
        let Self {
            session: _,
            mode: _,
            reply: _,
            ip: _,
            ttl,
            country,
            city,
            asn,
            node,
            tag,
            zone,
        } = self;
        let wished = [
            (ttl.is_some(), Parameter::Ttl),
            (country.is_some(), Parameter::Country),
            (city.is_some(), Parameter::City),
            (asn.is_some(), Parameter::Asn),
            (node.is_some(), Parameter::Node),
            (tag.is_some(), Parameter::Tag),
            (zone.is_some(), Parameter::Zone),
        ];
        match wished.into_iter().find(|(is_wished, _)| *is_wished) {
            Some((_, parameter)) => Err(BadParameter::of(parameter, Problem::NotInForce)),
            None => Ok(()),
        }
    }

    /// Returns what the owner's sessions of one name share.
    #[must_use]
    pub fn sticky(&self, owner: u64) -> Option<Sticky> {
        let name = self.session.clone()?;
        let strict = self.is_strict();
        Some(Sticky {
            owner,
            name,
            strict,
        })
    }

    /// Tells whether the exit may never change.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.mode == Some(Mode::Strict)
    }

    /// Returns the family of addresses to leave with.
    #[must_use]
    pub fn family(&self) -> Family {
        self.ip.unwrap_or(Family::Any)
    }

    /// Refuses a target that cannot be reached as wished: an address is of the family it is of, while
    /// a name may have both.
    ///
    /// # Errors
    /// [`Code::AddressUnsupported`] for an address of the other family.
    pub fn check_target(&self, target: &Target) -> Result<(), Code> {
        let Host::Ip(address) = &target.host else {
            return Ok(());
        };
        let is_v4 = address.to_canonical().is_ipv4();
        match self.family() {
            Family::Ipv4 if !is_v4 => Err(Code::AddressUnsupported),
            Family::Ipv6 if is_v4 => Err(Code::AddressUnsupported),
            Family::Any | Family::Ipv4 | Family::Ipv6 => Ok(()),
        }
    }

    /// Fills what is not wished here with what is wished there.
    #[must_use]
    pub fn or(self, there: Self) -> Self {
        let Self {
            session,
            ttl,
            country,
            city,
            asn,
            node,
            tag,
            mode,
            reply,
            ip,
            zone,
        } = self;
        Self {
            session: session.or(there.session),
            ttl: ttl.or(there.ttl),
            country: country.or(there.country),
            city: city.or(there.city),
            asn: asn.or(there.asn),
            node: node.or(there.node),
            tag: tag.or(there.tag),
            mode: mode.or(there.mode),
            reply: reply.or(there.reply),
            ip: ip.or(there.ip),
            zone: zone.or(there.zone),
        }
    }

    /// Checks wishes against each other.
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        if self.session.is_none() && self.ttl.is_some() {
            let problem = Problem::Needs(Parameter::Session);
            return Err(BadParameter::of(Parameter::Ttl, problem));
        }
        if self.session.is_some() && self.mode == Some(Mode::Rotate) {
            let problem = Problem::Contradicts(Parameter::Session);
            return Err(BadParameter::of(Parameter::Mode, problem));
        }
        Ok(())
    }
}
