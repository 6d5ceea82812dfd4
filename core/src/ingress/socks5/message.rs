//! The messages of the handshake, byte by byte.
//!
//! A parser takes its message off the front of the slice it is lent, and fails as early as the bytes
//! prove a fault: whatever a client sends after it, and in how many pieces, changes nothing.

use super::failure::Failure;
use crate::ingress::contract::{AuthMode, Credentials};
use crate::target::{Host, HostError, Target};
use bytes::{BufMut as _, BytesMut};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use titan_proto::Code;

pub(super) const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const TYPE_V4: u8 = 1;
const TYPE_NAME: u8 = 3;
const TYPE_V6: u8 = 4;

/// The answer to a greeting without acceptable method (RFC 1928 section 3).
pub(super) const NO_METHOD: [u8; 2] = [VERSION, 0xff];

/// Why a parser has nothing to return.
#[derive(Debug)]
pub(super) enum Stop {
    /// The message goes on beyond the bytes at hand.
    Wait,
    /// The message cannot become a good one.
    Broken(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Broken(failure)
    }
}

/// An authentication method that we know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    None = 0x00,
    Password = 0x02,
}

/// Parses a greeting (RFC 1928 section 3) and chooses a method, whatever the order of the offer: the
/// password wherever it is offered.
pub(super) fn greeting(input: &mut &[u8], auth: AuthMode) -> Result<Method, Stop> {
    version(input)?;
    let methods = prefixed(input)?;
    let offers = |method: Method| methods.contains(&(method as u8));
    if offers(Method::Password) {
        Ok(Method::Password)
    } else if auth == AuthMode::Open && offers(Method::None) {
        Ok(Method::None)
    } else {
        Err(Failure::Methods.into())
    }
}

/// Parses user name and password (RFC 1929 section 2).
pub(super) fn login(input: &mut &[u8], auth: AuthMode) -> Result<Credentials, Stop> {
    let version = byte(input)?;
    if version != LOGIN_VERSION {
        return Err(Failure::LoginVersion(version).into());
    }
    let user = prefixed(input)?;
    let password = prefixed(input)?;
    match str::from_utf8(user) {
        Ok(user) if !user.is_empty() && (!password.is_empty() || auth == AuthMode::Open) => {
            Ok(Credentials {
                user: user.into(),
                password: password.into(),
            })
        }
        Ok(_) | Err(_) => Err(Failure::Credentials.into()),
    }
}

/// Parses a request (RFC 1928 section 4). The reserved byte is ignored: it has no meaning to get wrong.
pub(super) fn request(input: &mut &[u8]) -> Result<Target, Stop> {
    version(input)?;
    let command = byte(input)?;
    if command != CONNECT {
        return Err(Failure::Command(command).into());
    }
    byte(input)?;
    let host = match byte(input)? {
        TYPE_V4 => Ok(Host::Ip(Ipv4Addr::from(array(input)?).into())),
        TYPE_V6 => Ok(Host::Ip(Ipv6Addr::from(array::<16>(input)?).into())),
        // Bytes that are not UTF-8 are not ASCII either, which is all that a name may have.
        TYPE_NAME => {
            str::from_utf8(prefixed(input)?).map_or(Err(HostError::Character), Host::parse)
        }
        other => return Err(Failure::AddressType(other).into()),
    };
    let port = u16::from_be_bytes(array(input)?);
    let host = host.map_err(Failure::Host)?;
    if port == 0 {
        return Err(Failure::Port.into());
    }
    Ok(Target { host, port })
}

/// Returns the choice of a method (RFC 1928 section 3).
pub(super) const fn method(method: Method) -> [u8; 2] {
    [VERSION, method as u8]
}

/// Returns the verdict on credentials (RFC 1929 section 2). The RFC knows zero and failure; the numbers
/// of failures are ours and show in clients' messages.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "few outcomes are about a user"
)]
pub(super) const fn login_status(code: Code) -> [u8; 2] {
    let status = match code {
        Code::Ok => 0,
        Code::BadCredentials => 1,
        Code::QuotaExceeded => 2,
        Code::UserDisabled => 3,
        Code::BadParameters => 4,
        // Too many tries: the POP takes no more of them for now.
        Code::Overloaded => 5,
        Code::NotInForce => 6,
        _ => 0xff,
    };
    [LOGIN_VERSION, status]
}

/// Appends a reply (RFC 1928 section 6). An unknown address is the unspecified one.
pub(super) fn reply(code: Code, bound: Option<SocketAddr>, output: &mut BytesMut) {
    let bound = bound.unwrap_or_else(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
    output.extend_from_slice(&[VERSION, code.socks(), 0]);
    match bound.ip().to_canonical() {
        IpAddr::V4(address) => {
            output.put_u8(TYPE_V4);
            output.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            output.put_u8(TYPE_V6);
            output.extend_from_slice(&address.octets());
        }
    }
    output.put_u16(bound.port());
}

fn version(input: &mut &[u8]) -> Result<(), Stop> {
    match byte(input)? {
        VERSION => Ok(()),
        other => Err(Failure::Version(other).into()),
    }
}

/// Takes a length byte and as many bytes.
fn prefixed<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Stop> {
    let len = byte(input)?;
    input.split_off(..usize::from(len)).ok_or(Stop::Wait)
}

fn byte(input: &mut &[u8]) -> Result<u8, Stop> {
    input.split_off_first().copied().ok_or(Stop::Wait)
}

fn array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Stop> {
    let (array, rest) = input.split_first_chunk().ok_or(Stop::Wait)?;
    *input = rest;
    Ok(*array)
}
