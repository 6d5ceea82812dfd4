//! Argon2id.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};

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
