//! What can be wrong with a handshake.

use crate::target::HostError;
use core::fmt;
use titan_proto::Code;

/// Why a handshake came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// A message starts with this byte instead of version 5; the client gets no answer, as it would not
    /// understand one.
    Version(u8),
    /// The credentials start with this byte instead of version 1; the client gets no answer.
    LoginVersion(u8),
    /// The client offers no method that is acceptable; it is answered `05 FF`.
    Methods,
    /// The user name is empty or not UTF-8, or the password is empty; the client is answered as if they
    /// were wrong.
    Credentials,
    /// The client wants this command instead of CONNECT; reply 07.
    Command(u8),
    /// The target has this address type, which does not exist; reply 08.
    AddressType(u8),
    /// The target's host is not valid. Reply 04, as for a name that does not resolve: it cannot.
    Host(HostError),
    /// The target's port is zero. Reply 01: the request is malformed, and no target refused anything.
    Port,
    /// The driver rejected the credentials.
    Rejected(Code),
    /// The driver refused the request.
    Refused(Code),
}

impl Failure {
    /// Returns the outcome that stands for the failure, never [`Code::Ok`].
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Version(_) | Self::LoginVersion(_) => Code::Protocol,
            Self::Methods | Self::Credentials => Code::BadCredentials,
            Self::Command(_) => Code::CommandUnsupported,
            Self::AddressType(_) => Code::AddressUnsupported,
            Self::Host(_) => Code::NotResolved,
            Self::Port => Code::Malformed,
            Self::Rejected(Code::Ok) | Self::Refused(Code::Ok) => Code::Internal,
            Self::Rejected(code) | Self::Refused(code) => code,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(0x04) => f.write_str("the client speaks SOCKS4"),
            Self::Version(0x16) => f.write_str("the client speaks TLS"),
            Self::Version(byte) if byte.is_ascii_uppercase() => {
                f.write_str("the client speaks HTTP")
            }
            Self::Version(byte) => write!(f, "the client speaks version {byte:#04x} of SOCKS"),
            Self::LoginVersion(byte) => write!(f, "the credentials have version {byte:#04x}"),
            Self::Methods => f.write_str("the client offers no acceptable method"),
            Self::Credentials => f.write_str("the credentials are empty or not UTF-8"),
            Self::Command(byte) => write!(f, "the command {byte:#04x} is not CONNECT"),
            Self::AddressType(byte) => write!(f, "the address type {byte:#04x} does not exist"),
            Self::Host(error) => error.fmt(f),
            Self::Port => f.write_str("the port is zero"),
            Self::Rejected(_) => write!(f, "the credentials were rejected: {}", self.code().tag()),
            Self::Refused(_) => write!(f, "the request was refused: {}", self.code().tag()),
        }
    }
}

impl core::error::Error for Failure {}
