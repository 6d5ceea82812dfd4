//! Node tokens.

use super::{Secret, SecretError, is_id, write_file};
use core::time::Duration;
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The longest token looked at, in bytes; real ones have about 300.
const TOKEN_MAX: usize = 1_024;

/// Binds a signature to its purpose, so that no other thing this key may ever sign passes for a node
/// token.
const PURPOSE: &[u8] = b"titan node token";

const KEY_FILE: &str = "node-token.key";
const PUBLIC_FILE: &str = "node-token.pub";

/// What a node token says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeClaims {
    /// The node it was issued to.
    pub node: String,
    /// The POP it is good for.
    pub pop: String,
    /// When it was issued, in Unix seconds.
    pub issued: u64,
    /// From when on it is no longer good, in Unix seconds.
    pub expires: u64,
    /// It was issued although the node is on a blacklist, for the POP of such nodes.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub confined: bool,
}

/// Why a token was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// It is no node token.
    #[error("the token is malformed")]
    Malformed,
    /// It was not signed by the manager, or was changed.
    #[error("the token's signature is wrong")]
    Forged,
    /// Its time has passed.
    #[error("the token has expired")]
    Expired,
}

/// Signs node tokens; the manager's.
pub struct Signer {
    key: AsymmetricSecretKey<V4>,
    public: [u8; 32],
}

/// Verifies node tokens; a POP's.
#[derive(Clone, Debug)]
pub struct Verifier {
    key: AsymmetricPublicKey<V4>,
}

impl Signer {
    /// Creates the signer of 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(seed));
        Self {
            key: AsymmetricSecretKey::from(&*pair.sk).expect("an Ed25519 key has the right length"),
            public: *pair.pk,
        }
    }

    /// Loads the key of a data directory, or makes one of `random` on the first run. Beside the
    /// private `node-token.key` it keeps `node-token.pub`, which POPs read.
    ///
    /// # Errors
    /// Fails if a file cannot be read or written, or the key file holds no key.
    pub fn load_or_create(data: &Path, random: [u8; 32]) -> Result<Self, SecretError> {
        let path = data.join(KEY_FILE);
        let secret = Secret::load_or_create(&path, random)?;
        let seed = secret.to_bytes().ok_or(SecretError::Malformed { path })?;
        let signer = Self::from_seed(seed);
        let path = data.join(PUBLIC_FILE);
        let public = format!("{}\n", signer.public_key());
        if std::fs::read_to_string(&path).is_ok_and(|current| current == public) {
            return Ok(signer);
        }
        write_file(&path, public.as_bytes(), false)
            .map_err(|error| SecretError::File { path, error })?;
        Ok(signer)
    }

    /// Puts the key that [`from_seed`](Self::from_seed) makes of `random` into a data directory, in the place of
    /// the one that is there.
    ///
    /// # Errors
    /// Fails if a file cannot be written.
    pub fn replace(data: &Path, random: [u8; 32]) -> Result<Self, SecretError> {
        let path = data.join(KEY_FILE);
        let secret = format!("{}\n", Secret::from_random(random).expose());
        write_file(&path, secret.as_bytes(), true)
            .map_err(|error| SecretError::File { path, error })?;
        Self::load_or_create(data, random)
    }

    /// Returns the public key as 64 hexadecimal digits.
    #[must_use]
    pub fn public_key(&self) -> String {
        Secret::from_random(self.public).expose().to_owned()
    }

    /// Issues a token for a node at a POP, good from `now` (Unix seconds) for `lifetime`.
    #[must_use]
    pub fn issue(&self, node: &str, pop: &str, now: u64, lifetime: Duration) -> String {
        self.sign(&NodeClaims::new(node, pop, now, lifetime))
    }

    /// Issues a token as [`issue`](Self::issue) does, for a node on a blacklist at the POP of such nodes.
    #[must_use]
    pub fn issue_confined(&self, node: &str, pop: &str, now: u64, lifetime: Duration) -> String {
        let confined = true;
        self.sign(&NodeClaims {
            confined,
            ..NodeClaims::new(node, pop, now, lifetime)
        })
    }

    fn sign(&self, claims: &NodeClaims) -> String {
        let message = serde_json::to_vec(claims).expect("claims are texts and numbers");
        PublicToken::sign(&self.key, &message, None, Some(PURPOSE))
            .expect("the key is valid and the message is not empty")
    }
}

impl NodeClaims {
    fn new(node: &str, pop: &str, now: u64, lifetime: Duration) -> Self {
        Self {
            node: node.to_owned(),
            pop: pop.to_owned(),
            issued: now,
            expires: now.saturating_add(lifetime.as_secs()),
            confined: false,
        }
    }
}

impl core::fmt::Debug for Signer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Signer")
            .field("public", &self.public_key())
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Creates a verifier from a public key of 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] if it is no such key.
    pub fn new(public_key: &str) -> Result<Self, TokenError> {
        let bytes = Secret::new(public_key.trim().to_owned()).to_bytes();
        let key = bytes.and_then(|bytes| AsymmetricPublicKey::from(&bytes).ok());
        Ok(Self {
            key: key.ok_or(TokenError::Malformed)?,
        })
    }

    /// Loads `node-token.pub` from a data directory.
    ///
    /// # Errors
    /// Fails if the file cannot be read or holds no key.
    pub fn load(data: &Path) -> Result<Self, SecretError> {
        let path = data.join(PUBLIC_FILE);
        let text = Secret::load(&path)?;
        Self::new(text.expose()).map_err(|_| SecretError::Malformed { path })
    }

    /// Returns the public key as 64 hexadecimal digits.
    #[must_use]
    pub fn public_key(&self) -> String {
        let bytes = self.key.as_bytes().try_into();
        let bytes = bytes.expect("an Ed25519 key has 32 bytes");
        Secret::from_random(bytes).expose().to_owned()
    }

    /// Returns what a token says if the manager signed it and it is good at `now` (Unix seconds).
    /// The caller compares node and POP with those it deals with. Takes about 40 µs.
    ///
    /// # Errors
    /// Says what is wrong with the token.
    pub fn verify(&self, token: &str, now: u64) -> Result<NodeClaims, TokenError> {
        if token.len() > TOKEN_MAX {
            return Err(TokenError::Malformed);
        }
        let untrusted = UntrustedToken::try_from(token).map_err(|_| TokenError::Malformed)?;
        let trusted = PublicToken::verify(&self.key, &untrusted, None, Some(PURPOSE))
            .map_err(|_| TokenError::Forged)?;
        let claims: NodeClaims =
            serde_json::from_str(trusted.payload()).map_err(|_| TokenError::Malformed)?;
        if !is_id(&claims.node) || !is_id(&claims.pop) {
            return Err(TokenError::Malformed);
        }
        // One that was issued in this clock's future is good: only the manager can have signed it, so
        // this clock is behind, and every token that is fresh would be refused.
        if claims.expires <= now {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;
    const HOUR: Duration = Duration::from_secs(3_600);

    fn pair() -> (Signer, Verifier) {
        let signer = Signer::from_seed([3; 32]);
        let verifier = Verifier::new(&signer.public_key()).unwrap();
        (signer, verifier)
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_expires() {
        let (signer, verifier) = pair();
        let token = signer.issue("edge-1", "pop-1", NOW, HOUR);
        assert!(token.starts_with("v4.public.") && token.len() < TOKEN_MAX);
        let claims = verifier.verify(&token, NOW).unwrap();
        assert_eq!((&*claims.node, &*claims.pop), ("edge-1", "pop-1"));
        assert_eq!((claims.issued, claims.expires), (NOW, NOW + 3_600));
        assert!(!claims.confined);
        let confined = signer.issue_confined("edge-1", "pop-1", NOW, HOUR);
        assert!(verifier.verify(&confined, NOW).unwrap().confined);
        assert!(verifier.verify(&token, NOW + 3_599).is_ok());
        assert_eq!(
            verifier.verify(&token, NOW + 3_600),
            Err(TokenError::Expired)
        );
        // A clock that is far behind costs nobody the tunnel.
        assert!(verifier.verify(&token, NOW - 48 * 3_600).is_ok());
    }

    #[test]
    fn the_longest_ids_fit() {
        let (signer, verifier) = pair();
        let id = "x".repeat(super::super::ID_MAX);
        let token = signer.issue(&id, &id, NOW, HOUR);
        assert_eq!(verifier.verify(&token, NOW).unwrap().node, id);
    }

    #[test]
    fn no_changed_token_is_accepted() {
        let (signer, verifier) = pair();
        let token = signer.issue("edge-1", "pop-1", NOW, HOUR);
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(verifier.verify(&changed, NOW).is_err(), "byte {index}");
            assert!(
                verifier.verify(&token[..index], NOW).is_err(),
                "length {index}"
            );
        }
        assert!(verifier.verify(&format!("{token}.AAAA"), NOW).is_err());
        assert!(verifier.verify(&token.repeat(9), NOW).is_err());
    }

    #[test]
    fn other_keys_purposes_and_payloads_are_refused() {
        let (signer, verifier) = pair();
        let other = Signer::from_seed([4; 32]).issue("edge-1", "pop-1", NOW, HOUR);
        assert_eq!(verifier.verify(&other, NOW), Err(TokenError::Forged));
        let message = br#"{"node":"a","pop":"b","issued":1,"expires":9999999999}"#;
        let purpose = PublicToken::sign(&signer.key, message, None, None).unwrap();
        assert_eq!(verifier.verify(&purpose, NOW), Err(TokenError::Forged));
        for message in [
            &b"{}"[..],
            b"not json",
            br#"{"node":"a b","pop":"b","issued":1,"expires":9999999999}"#,
            br#"{"node":"a","pop":"b","issued":1,"expires":9999999999,"admin":true}"#,
        ] {
            let token = PublicToken::sign(&signer.key, message, None, Some(PURPOSE)).unwrap();
            assert_eq!(verifier.verify(&token, NOW), Err(TokenError::Malformed));
        }
    }

    #[test]
    fn the_key_outlives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let first = Signer::load_or_create(directory.path(), [1; 32]).unwrap();
        let second = Signer::load_or_create(directory.path(), [2; 32]).unwrap();
        assert_eq!(first.public_key(), second.public_key());
        let verifier = Verifier::load(directory.path()).unwrap();
        assert!(
            verifier
                .verify(&second.issue("n", "p", NOW, HOUR), NOW)
                .is_ok()
        );
        let replaced = Signer::replace(directory.path(), [3; 32]).unwrap();
        let loaded = Signer::load_or_create(directory.path(), [4; 32]).unwrap();
        let verifier = Verifier::load(directory.path()).unwrap();
        assert_ne!(replaced.public_key(), first.public_key());
        for key in [loaded.public_key(), verifier.public_key()] {
            assert_eq!(key, replaced.public_key());
        }
        std::fs::write(directory.path().join(KEY_FILE), "short").unwrap();
        assert!(Signer::load_or_create(directory.path(), [1; 32]).is_err());
        assert!(Verifier::new("short").is_err());
    }
}
