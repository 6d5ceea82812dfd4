//! Hashes of passwords: Argon2id for those that people choose, and a keyed hash for those that were drawn at
//! random, which nobody finds by trying however fast that is.

use crate::token::Secret;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What the hash of a drawn password begins with; its salt and the HMAC-SHA-256 under that salt follow, in
/// hexadecimal digits with `$` between them.
const DRAWN: &str = "$drawn-hmac-sha256$";

/// What hashing one password costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// Memory in KiB, at least 8.
    pub memory_kib: u32,
    /// Passes over the memory, at least 1.
    pub passes: u32,
}

impl Default for Cost {
    /// 19 MiB and two passes: what OWASP's Password Storage Cheat Sheet recommends; about 15 ms.
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1_024,
            passes: 2,
        }
    }
}

impl Cost {
    fn params(self) -> Params {
        Params::new(self.memory_kib.max(8), self.passes.max(1), 1, None)
            .expect("both are at least the least allowed")
    }
}

/// Hashes a password with a salt of 16 random bytes into a PHC string. Takes `cost`: run it where
/// such work belongs.
#[must_use]
pub fn hash_password(password: &str, salt: [u8; 16], cost: Cost) -> String {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params())
        .hash_password_with_salt(password.as_bytes(), &salt)
        .expect("parameters and salt are valid, and the password is far below 4 GiB")
        .to_string()
}

/// Hashes a password that was drawn at random with at least 96 bits, within a few microseconds.
#[must_use]
pub fn hash_drawn_password(password: &str, salt: [u8; 32]) -> String {
    let mac = keyed(&salt, password.as_bytes()).finalize().into_bytes();
    let [salt, mac] = [salt, mac.into()].map(Secret::from_random);
    format!("{DRAWN}{}${}", salt.expose(), mac.expose())
}

fn keyed(salt: &[u8], password: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(salt).expect("HMAC takes keys of any length");
    mac.update(password);
    mac
}

/// What a look at a hash that costs nothing says about a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Glance {
    /// It is of this password.
    Right,
    /// It is of no such password, or cannot be read.
    Wrong,
    /// It is one that takes long: [`is_right`] has to be asked.
    Chosen,
}

/// Looks whether `hash` is of `password`, if that is soon done.
pub(super) fn glance(password: &[u8], hash: &str) -> Glance {
    let Some(parts) = hash.strip_prefix(DRAWN) else {
        return Glance::Chosen;
    };
    let bytes = |digits: &str| Secret::new(digits.to_owned()).to_bytes();
    let parts = parts.split_once('$');
    let parts = parts.and_then(|(salt, mac)| Some((bytes(salt)?, bytes(mac)?)));
    let Some((salt, mac)) = parts else {
        tracing::error!("the store holds a password hash that cannot be read");
        return Glance::Wrong;
    };
    match keyed(&salt, password).verify_slice(&mac) {
        Ok(()) => Glance::Right,
        Err(_) => Glance::Wrong,
    }
}

/// Returns whether `hash` is of `password`. Takes what the hash cost.
pub(super) fn is_right(password: &[u8], hash: &str) -> bool {
    let Ok(hash) = PasswordHash::new(hash) else {
        tracing::error!("the store holds a password hash that cannot be read");
        return false;
    };
    Argon2::default().verify_password(password, &hash).is_ok()
}

/// Returns a hash that no password has, as costly to verify as a real one: unknown users are verified
/// against it, so that they take as long as wrong passwords.
pub(super) fn of_nobody(cost: Cost) -> String {
    // The all-zero salt and result, in unpadded base64.
    let (salt, result) = ("A".repeat(22), "A".repeat(43));
    let (memory, passes) = (cost.params().m_cost(), cost.params().t_cost());
    format!("$argon2id$v=19$m={memory},t={passes},p=1${salt}${result}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost {
        memory_kib: 8,
        passes: 1,
    };

    #[test]
    fn only_the_password_is_right() {
        let hash = hash_password("correct horse", [1; 16], CHEAP);
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert!(is_right(b"correct horse", &hash));
        assert!(!is_right(b"correct horsf", &hash) && !is_right(b"", &hash));
        assert_ne!(hash, hash_password("correct horse", [2; 16], CHEAP));
        assert!(!is_right(b"correct horse", "nonsense"));
    }

    #[test]
    fn a_drawn_password_is_known_at_a_glance() {
        let hash = hash_drawn_password("0123456789abcdef", [7; 32]);
        assert_eq!(glance(b"0123456789abcdef", &hash), Glance::Right);
        for wrong in [&b"0123456789abcdee"[..], b"", b"0123456789abcdef0"] {
            assert_eq!(glance(wrong, &hash), Glance::Wrong);
        }
        assert_ne!(hash, hash_drawn_password("0123456789abcdef", [8; 32]));
        assert_eq!(
            glance(b"x", &hash_password("x", [1; 16], CHEAP)),
            Glance::Chosen
        );
        for broken in [
            &hash[..hash.len() - 1],
            &hash[..DRAWN.len() + 9],
            DRAWN,
            "$drawn-hmac-sha256$xy$zz",
        ] {
            assert_eq!(
                glance(b"0123456789abcdef", broken),
                Glance::Wrong,
                "{broken}"
            );
        }
    }

    #[test]
    fn nobody_costs_what_a_real_user_costs() {
        for cost in [CHEAP, Cost::default()] {
            let (nobody, real) = (of_nobody(cost), hash_password("x", [1; 16], cost));
            let (nobody, real) = (
                PasswordHash::new(&nobody).unwrap(),
                PasswordHash::new(&real).unwrap(),
            );
            assert_eq!(
                (nobody.algorithm, nobody.version),
                (real.algorithm, real.version)
            );
            assert_eq!(nobody.params.to_string(), real.params.to_string());
            assert_eq!(
                nobody.hash.map(|hash| hash.as_ref().len()),
                real.hash.map(|hash| hash.as_ref().len())
            );
        }
        assert!(!is_right(b"", &of_nobody(CHEAP)));
    }
}
