//! What both ends say about themselves in HELLO.

use crate::config::Config;
use crate::tunnel::PeerLimits;
use titan_proto::{Code, limits, wire};

/// Smallest limits that a peer may set: below, every frame would be a special case.
const RESEND_MIN: u64 = 64 << 10;
const DATA_MIN: u32 = 1 << 10;

/// Reads what the peer says about itself, within what makes sense.
pub(super) fn peer_limits(hello: &wire::Hello) -> Result<PeerLimits, Code> {
    let told = hello.limits.as_ref().ok_or(Code::Malformed)?;
    if told.resend_max < RESEND_MIN || told.data_max < DATA_MIN {
        return Err(Code::Malformed);
    }
    Ok(PeerLimits {
        data_max: (told.data_max as usize).min(limits::DATA_MAX),
        early_max: told.early_max,
        resend_max: told.resend_max,
        sessions_max: told.sessions_max,
    })
}

/// Returns what this side tells about itself.
pub(super) fn own_limits(config: &Config) -> wire::Limits {
    wire::Limits {
        data_max: u32::try_from(limits::DATA_MAX).unwrap_or(u32::MAX),
        resend_max: config.resend_max,
        early_max: config.early_max,
        sessions_max: config.sessions_max,
    }
}
