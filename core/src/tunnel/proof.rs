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

/// Checks a proof in constant time, and for a tunnel that is not theirs to resume as well: whoever asks
/// cannot tell by the time it takes which tunnels there are.
pub(crate) fn verify(key: Option<&[u8; 32]>, claim: Claim, proof: &[u8]) -> bool {
    let proves = mac(key.unwrap_or(&NOBODYS), claim)
        .verify_slice(proof)
        .is_ok();
    proves && key.is_some()
}

/// Stands in for a key. Nothing is proved by it.
const NOBODYS: [u8; 32] = [0; 32];

fn mac(key: &[u8; 32], claim: Claim) -> Hmac<Sha256> {
    #[cfg(test)]
    tests::count();
    let mut mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(b"titan resume v2");
    mac.update(&claim.nonce);
    mac.update(&claim.tunnel.to_be_bytes());
    mac.update(&claim.epoch.to_be_bytes());
    mac.update(&claim.attempt.to_be_bytes());
    mac
}

#[cfg(test)]
pub(crate) mod tests {
    extern crate std;

    use super::{Claim, NOBODYS, prove, verify};
    use core::cell::Cell;

    std::thread_local! {
        static MADE: Cell<u32> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        MADE.set(MADE.get() + 1);
    }

    const CLAIM: Claim = Claim {
        nonce: [2; 16],
        tunnel: 3,
        epoch: 4,
        attempt: 5,
    };

    /// Returns how many codes were made in this thread since the last call.
    pub(crate) fn made() -> u32 {
        MADE.take()
    }

    #[test]
    fn nothing_is_proved_of_a_tunnel_that_is_not_there() {
        let proof = prove(&NOBODYS, CLAIM);
        assert!(verify(Some(&NOBODYS), CLAIM, &proof));
        assert!(!verify(None, CLAIM, &proof));
    }

    #[test]
    fn every_part_is_covered() {
        let key = [1; 32];
        let proof = prove(&key, CLAIM);
        assert!(verify(Some(&key), CLAIM, &proof));
        assert!(!verify(Some(&[9; 32]), CLAIM, &proof));
        assert!(!verify(
            Some(&key),
            Claim {
                nonce: [9; 16],
                ..CLAIM
            },
            &proof
        ));
        assert!(!verify(Some(&key), Claim { tunnel: 9, ..CLAIM }, &proof));
        assert!(!verify(Some(&key), Claim { epoch: 9, ..CLAIM }, &proof));
        assert!(!verify(
            Some(&key),
            Claim {
                attempt: 9,
                ..CLAIM
            },
            &proof
        ));
        assert!(!verify(Some(&key), CLAIM, &proof[..31]));
        assert!(!verify(Some(&key), CLAIM, &[]));
    }
}
