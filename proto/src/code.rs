//! The one table of outcomes.
//!
//! Every refusal, failure and end in Titan has exactly one [`Code`]. The table maps it to what each
//! audience sees: the number on the wire, the SOCKS5 reply (RFC 1928 section 6), the HTTP status
//! (RFC 9110), the `Proxy-Status` error type (RFC 9209 section 2.3) and the tag in logs.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $wire:literal, $socks:literal, $http:literal, $status:literal, $tag:literal;)*) => {
        /// Why something ended or was refused.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, in the order of its wire number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the number that stands for this code in frames.
            #[must_use]
            pub const fn wire(self) -> u32 {
                match self { $(Self::$name => $wire,)* }
            }

            /// Returns the code of a wire number; an unknown number reads as [`Code::Internal`], so
            /// that an older peer can still end a session for a reason invented later.
            #[must_use]
            pub const fn from_wire(number: u32) -> Self {
                match number { $($wire => Self::$name,)* _ => Self::Internal }
            }

            /// Returns the SOCKS5 reply byte.
            #[must_use]
            pub const fn socks(self) -> u8 {
                match self { $(Self::$name => $socks,)* }
            }

            /// Returns the HTTP status.
            #[must_use]
            pub const fn http(self) -> u16 {
                match self { $(Self::$name => $http,)* }
            }

            /// Returns the `Proxy-Status` error type; empty for [`Code::Ok`].
            #[must_use]
            pub const fn proxy_status(self) -> &'static str {
                match self { $(Self::$name => $status,)* }
            }

            /// Returns the stable tag used in logs, metrics and problem documents.
            #[must_use]
            pub const fn tag(self) -> &'static str {
                match self { $(Self::$name => $tag,)* }
            }
        }
    };
}

codes! {
    /// It worked.
    Ok = 0, 0x00, 200, "", "ok";
    /// A fault of ours, or a code this version does not know.
    Internal = 1, 0x01, 500, "proxy_internal_error", "internal";
    /// The target is private, local or otherwise denied (requirement B8).
    Forbidden = 2, 0x02, 403, "destination_ip_prohibited", "forbidden";
    /// The exit has no route to the target's network.
    NetworkUnreachable = 3, 0x03, 502, "destination_ip_unroutable", "network_unreachable";
    /// The exit cannot reach the target's host.
    HostUnreachable = 4, 0x04, 502, "destination_ip_unroutable", "host_unreachable";
    /// The target's name does not resolve.
    NotResolved = 5, 0x04, 502, "dns_error", "not_resolved";
    /// The target refused the connection.
    Refused = 6, 0x05, 502, "connection_refused", "refused";
    /// The target did not answer within the dial timeout.
    TimedOut = 7, 0x06, 504, "connection_timeout", "timed_out";
    /// The client asked for a command that is not offered.
    CommandUnsupported = 8, 0x07, 501, "proxy_configuration_error", "command_unsupported";
    /// The client named an address type that does not exist.
    AddressUnsupported = 9, 0x08, 400, "http_request_error", "address_unsupported";
    /// No exit matches.
    NoExit = 10, 0x01, 503, "destination_unavailable", "no_exit";
    /// The exit this session is bound to is away.
    ExitAway = 11, 0x01, 503, "destination_unavailable", "exit_away";
    /// POP or exit is short of memory or sessions; safe to try elsewhere.
    Overloaded = 12, 0x01, 503, "connection_limit_reached", "overloaded";
    /// The user's traffic is used up.
    QuotaExceeded = 13, 0x01, 402, "http_request_denied", "quota_exceeded";
    /// User name or password is wrong.
    BadCredentials = 14, 0x01, 407, "http_request_denied", "bad_credentials";
    /// The user is switched off or expired.
    UserDisabled = 15, 0x01, 403, "http_request_denied", "user_disabled";
    /// The socket at the far side failed.
    Reset = 16, 0x01, 502, "connection_terminated", "reset";
    /// The near side went away first.
    Cancelled = 17, 0x01, 502, "connection_terminated", "cancelled";
    /// An operator ended the session.
    Kicked = 18, 0x01, 503, "connection_terminated", "kicked";
    /// Nothing moved for longer than the idle limit.
    IdleTimeout = 19, 0x01, 504, "connection_terminated", "idle_timeout";
    /// A socket took no bytes for longer than the write deadline.
    WriteTimeout = 20, 0x01, 504, "connection_write_timeout", "write_timeout";
    /// The process ran out of its memory budget.
    Memory = 21, 0x01, 503, "connection_limit_reached", "memory";
    /// The tunnel did not come back within its grace time.
    TunnelLost = 22, 0x01, 502, "connection_terminated", "tunnel_lost";
    /// The host of the exit set a limit.
    ExitLimit = 23, 0x01, 503, "connection_limit_reached", "exit_limit";
    /// The process is shutting down.
    ShuttingDown = 24, 0x01, 503, "destination_unavailable", "shutting_down";
    /// The user has as many sessions as allowed.
    SessionLimit = 25, 0x02, 429, "connection_limit_reached", "session_limit";
    /// The user name asks for something that does not exist or cannot be.
    BadParameters = 26, 0x01, 400, "http_request_error", "bad_parameters";
    /// The user name asks for something that is not offered yet.
    NotInForce = 27, 0x01, 501, "proxy_configuration_error", "not_in_force";
    /// The peer broke the protocol.
    Protocol = 64, 0x01, 502, "proxy_internal_error", "protocol";
    /// A frame could not be parsed.
    Malformed = 65, 0x01, 502, "proxy_internal_error", "malformed";
    /// A frame exceeds its limit.
    TooLarge = 66, 0x01, 502, "proxy_internal_error", "too_large";
    /// The peer sent more than it was granted.
    CreditExceeded = 67, 0x01, 502, "proxy_internal_error", "credit_exceeded";
    /// The two ends disagree on what was received.
    Desync = 68, 0x01, 502, "proxy_internal_error", "desync";
    /// The peer takes frames without acknowledging them.
    AckWithheld = 69, 0x01, 502, "proxy_internal_error", "ack_withheld";
    /// A HELLO that is not newer than the last accepted one.
    StaleAttempt = 70, 0x01, 502, "proxy_internal_error", "stale_attempt";
    /// Another process took over this node id.
    DuplicateNode = 71, 0x01, 502, "proxy_internal_error", "duplicate_node";
    /// The tunnel cannot be resumed.
    ResumeRefused = 72, 0x01, 502, "proxy_internal_error", "resume_refused";
    /// No HELLO arrived in time.
    HelloTimeout = 73, 0x01, 504, "proxy_internal_error", "hello_timeout";
    /// Nothing was received for the keepalive's limit.
    Silent = 74, 0x01, 504, "connection_timeout", "silent";
    /// A newer carrier took this one's place.
    Replaced = 75, 0x01, 502, "proxy_internal_error", "replaced";
    /// The token does not name this node and this POP.
    Unauthorized = 76, 0x01, 401, "http_request_denied", "unauthorized";
    /// The peers speak no common version.
    VersionUnsupported = 77, 0x01, 505, "proxy_internal_error", "version_unsupported";
    /// The node, or the address it comes from, is on a blacklist.
    Blacklisted = 78, 0x01, 403, "http_request_denied", "blacklisted";
    /// An operator sent the node to another POP.
    Migrated = 79, 0x01, 503, "connection_terminated", "migrated";
}

impl Code {
    /// Tells whether an operator had the node go: its sessions end as [`Code::Kicked`].
    #[must_use]
    pub const fn is_of_operator(self) -> bool {
        matches!(self, Self::Kicked | Self::Blacklisted | Self::Migrated)
    }

    /// Tells whether a BYE with this code is about the carrier alone: its tunnel may go on over
    /// another.
    #[must_use]
    pub const fn is_of_carrier(self) -> bool {
        matches!(
            self,
            Self::StaleAttempt | Self::Replaced | Self::HelloTimeout | Self::Silent
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn every_code_survives_the_wire() {
        for &code in Code::ALL {
            assert_eq!(Code::from_wire(code.wire()), code);
        }
        assert_eq!(Code::from_wire(63), Code::Internal);
    }

    #[test]
    fn truthful_replies_follow_rfc_1928() {
        assert_eq!(Code::Refused.socks(), 5);
        assert_eq!(Code::TimedOut.socks(), 6);
        assert_eq!(Code::NotResolved.socks(), 4);
        assert_eq!(Code::Forbidden.socks(), 2);
        assert_eq!(Code::CommandUnsupported.socks(), 7);
        assert_eq!(Code::AddressUnsupported.socks(), 8);
    }
}
