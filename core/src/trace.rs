//! By which name a session is found again, in the logs of POP and edge and in records (requirement B14).

use core::fmt;

/// The 128 bits that name a session at its POP and at its edge. Written as 32 hexadecimal digits, as in
/// <https://www.w3.org/TR/trace-context/#trace-id>; all zero names nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// Names nothing.
    pub const NONE: Self = Self([0; 16]);

    /// Makes the name of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads what a CREATE has. What is not 16 bytes long names nothing: a session is no worse for it.
    pub(crate) fn from_wire(bytes: &[u8]) -> Self {
        bytes.try_into().map_or(Self::NONE, Self)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::TraceId;
    use alloc::string::ToString as _;

    #[test]
    fn a_trace_id_has_32_digits_and_what_is_no_id_names_nothing() {
        let mut bytes = [0; 16];
        (bytes[0], bytes[15]) = (0x0a, 0xf1);
        let id = TraceId::new(bytes);
        assert_eq!(id.to_string(), "0a0000000000000000000000000000f1");
        assert_eq!(TraceId::from_wire(id.as_bytes()), id);
        for wrong in [&[][..], &[1; 15], &[1; 17]] {
            assert_eq!(TraceId::from_wire(wrong), TraceId::NONE);
        }
    }
}
