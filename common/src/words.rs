//! Bytes in the words of shared memory.

/// The bytes as words, the last one with zeros after them.
pub(crate) fn words_from(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks(8).map(|bytes| match bytes.try_into() {
        Ok(word) => u64::from_ne_bytes(word),
        Err(_) => {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_ne_bytes(word)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_ends_with_zeros() {
        for (bytes, expected) in [
            (&b""[..], &[][..]),
            (b"a", &[*b"a\0\0\0\0\0\0\0"]),
            (b"12345678", &[*b"12345678"]),
            (b"123456789", &[*b"12345678", *b"9\0\0\0\0\0\0\0"]),
        ] {
            assert_eq!(words_from(bytes).map(u64::to_ne_bytes).collect::<Vec<_>>(), expected);
        }
    }
}
