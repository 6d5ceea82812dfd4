//! Proof that who resumes a tunnel is who opened it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a proof covers besides the key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// The POP's nonce for this carrier.
    pub(crate) nonce: [u8; 16],
    pub(crate) tunnel: u64,
    pub(crate) epoch: u64,
    pub(crate) attempt: u64,
}

/// Returns HMAC-SHA256 of the claim under the tunnel's resume key.
pub(crate) fn prove(key: &[u8; 32], claim: Claim) -> [u8; 32] {
    mac(key, claim).finalize().into_bytes().into()
}

/// Checks a proof in constant time.
pub(crate) fn verify(key: &[u8; 32], claim: Claim, proof: &[u8]) -> bool {
    mac(key, claim).verify_slice(proof).is_ok()
}

fn mac(key: &[u8; 32], claim: Claim) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(b"titan resume v2");
    mac.update(&claim.nonce);
    mac.update(&claim.tunnel.to_be_bytes());
    mac.update(&claim.epoch.to_be_bytes());
    mac.update(&claim.attempt.to_be_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::{Claim, prove, verify};

    #[test]
    fn every_part_is_covered() {
        let key = [1; 32];
        let claim = Claim {
            nonce: [2; 16],
            tunnel: 3,
            epoch: 4,
            attempt: 5,
        };
        let proof = prove(&key, claim);
        assert!(verify(&key, claim, &proof));
        assert!(!verify(&[9; 32], claim, &proof));
        assert!(!verify(
            &key,
            Claim {
                nonce: [9; 16],
                ..claim
            },
            &proof
        ));
        assert!(!verify(&key, Claim { tunnel: 9, ..claim }, &proof));
        assert!(!verify(&key, Claim { epoch: 9, ..claim }, &proof));
        assert!(!verify(
            &key,
            Claim {
                attempt: 9,
                ..claim
            },
            &proof
        ));
        assert!(!verify(&key, claim, &proof[..31]));
        assert!(!verify(&key, claim, &[]));
    }
}
