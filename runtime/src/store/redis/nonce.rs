//! Telling attempts and runs apart.

use crate::store::StoreError;

/// Returns a text that nobody else has: 64 random bits.
pub(super) fn nonce() -> Result<String, StoreError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(StoreError::unavailable)?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}
