//! Who may administrate.

use super::{Listing, Page, StoreError};
use serde::{Deserialize, Serialize};

subject! {
    /// Admin tokens.
    pub trait Tokens {
        /// Keeps an admin token.
        ///
        /// # Errors
        /// [`StoreError::Exists`] if there is one of this id or hash.
        fn create_token(&self, token: AdminToken) -> ();

        /// Returns the token with this hash, also a revoked or expired one.
        fn token(&self, hash: [u8; 32]) -> Option<AdminToken>;

        /// Lists the tokens by id, also revoked and expired ones.
        fn tokens(&self, page: Page) -> Listing<AdminToken>;

        /// Revokes a token, for good, and returns it; none if there is no such token.
        fn revoke_token(&self, id: &str, at: u64) -> Option<AdminToken>;
    }
}

/// What the bearer of a token may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    ReadOnly,
    /// Look, and change users, nodes and blacklists.
    Operator,
    /// Everything, tokens included.
    Admin,
}

/// An admin token, without the secret itself.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// The token's id, which is no secret.
    pub id: String,
    /// The SHA-256 of the secret. The secret is random, so it needs no salt and no slow hash.
    pub hash: [u8; 32],
    /// What it is called by people.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// When it was created, in Unix seconds.
    pub created_at: u64,
    /// Who created it: a token's id, or another name of who acted.
    pub created_by: String,
    /// From when on it is no longer good, in Unix seconds.
    pub expires_at: Option<u64>,
    /// When it was revoked, in Unix seconds.
    pub revoked_at: Option<u64>,
}

impl AdminToken {
    /// Returns whether it is good at `now`.
    #[must_use]
    pub fn is_good(&self, now: u64) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

impl core::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AdminToken")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("expires_at", &self.expires_at)
            .field("revoked_at", &self.revoked_at)
            .finish_non_exhaustive()
    }
}
