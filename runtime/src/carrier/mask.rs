//! Masking of WebSocket payloads (RFC 6455 section 5.3).

/// Masks or unmasks `data`, which starts `offset` bytes into the payload.
pub(super) fn apply(data: &mut [u8], key: [u8; 4], offset: usize) {
    let mut turned = key;
    turned.rotate_left(offset % 4);
    let [a, b, c, d] = turned;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    // Whole words without bounds checks: the compiler makes vector instructions of this loop.
    let (words, rest) = data.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::apply;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_agree_with_bytes(
            data in proptest::collection::vec(any::<u8>(), 0..100),
            key: [u8; 4],
            offset in 0usize..9,
        ) {
            let mut got = data.clone();
            apply(&mut got, key, offset);
            let want: Vec<u8> =
                data.iter().enumerate().map(|(i, byte)| byte ^ key[(i + offset) % 4]).collect();
            prop_assert_eq!(got, want);
        }
    }
}
