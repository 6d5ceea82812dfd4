//! What a login is, and how long it is believed.

use crate::store::User;
use core::time::Duration;
use std::sync::Arc;

/// How old the record of a user may get before it is read again: two seconds is one read per user and
/// two seconds at most, and soon enough for an operator who waits for a change to take effect.
pub const RECORD_AGE_MAX: Duration = Duration::from_secs(2);

/// How long users verified before keep getting in while the store is away: long enough for a
/// restart or repair, short enough that a user deleted meanwhile does not stay.
pub const STORE_AWAY_MAX: Duration = Duration::from_secs(600);

/// How long one answer of the store is waited for. Together with [`RECORD_AGE_MAX`] it bounds how long
/// a deleted user may still get in.
pub(super) const STORE_WAIT_MAX: Duration = Duration::from_secs(1);

/// The longest user name, in bytes.
const USER_NAME_MAX: usize = 64;

/// The longest password, in bytes: the longest that SOCKS5 can carry (RFC 1929).
pub const PASSWORD_MAX: usize = 255;

/// Returns whether `name` may name a user: 1 to 64 of `A-Z a-z 0-9 . _ @`, the first a letter or
/// digit. `-` and `:` separate the parts of extended user names and Basic credentials.
#[must_use]
pub fn is_user_name(name: &str) -> bool {
    (1..=USER_NAME_MAX).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._@".contains(&byte))
}

/// What a client proved: the user as whom it got in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The user's name. Holding a clone keeps `index` the user's.
    pub name: Arc<str>,
    /// A small number that is this user's and no other's in this process while any clone of `name` is
    /// held.
    pub index: u32,
    /// The record the user got in by; at most [`RECORD_AGE_MAX`] old unless the store is away.
    pub record: Arc<User>,
    /// Whether clients of this user are answered only once the exit has dialled.
    pub truthful: bool,
}

pub(super) type Fingerprint = [u8; 32];
