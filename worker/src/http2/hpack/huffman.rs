//! Huffman coding of strings (RFC 7541, 5.2). Decoding takes four bits at a time, by tables that are made at compile time.

use super::CompressionError;
use super::huffman_code::{CODE, EOS};

/// The inner nodes of the code's tree; the leaves are the octets and EOS.
const NODES: usize = 256;
/// Where the tables lead from EOS, and stay: the string is malformed.
const FAILED: u16 = NODES as u16;

/// What four more bits lead to from a node. No code has fewer than five bits, so they complete at most one octet.
#[derive(Clone, Copy)]
struct Step {
    next: u16,
    octet: u8,
    /// 1 if the octet is complete, else 0.
    octets: u8,
}

static STEPS: [[Step; 16]; NODES + 1] = {
    let tree = tree();
    let mut steps = [[Step { next: FAILED, octet: 0, octets: 0 }; 16]; NODES + 1];
    let mut node = 0;
    while node < NODES {
        let mut nibble = 0;
        while nibble < 16 {
            steps[node][nibble] = step(&tree, node as u16, nibble);
            nibble += 1;
        }
        node += 1;
    }
    steps
};

/// Whether a string may end at a node: after at most seven bits, all of them ones, the beginning of EOS.
static MAY_END: [bool; NODES + 1] = {
    let tree = tree();
    let mut may_end = [false; NODES + 1];
    let mut node = 0;
    let mut bits = 0;
    while bits < 8 {
        may_end[node as usize] = true;
        node = tree[node as usize][1];
        bits += 1;
    }
    may_end
};

/// A child that is a leaf: its octet, or EOS, is added to this.
const LEAF: u16 = 0x8000;

/// The two children of each inner node; the root is the first.
const fn tree() -> [[u16; 2]; NODES] {
    let mut tree = [[0; 2]; NODES];
    let mut nodes = 1;
    let mut symbol = 0;
    while symbol < CODE.len() {
        let (code, bits) = CODE[symbol];
        let mut node = 0;
        let mut bit = bits;
        while bit > 1 {
            bit -= 1;
            let side = (code >> bit & 1) as usize;
            if tree[node][side] == 0 {
                tree[node][side] = nodes;
                nodes += 1;
            }
            node = tree[node][side] as usize;
        }
        tree[node][(code & 1) as usize] = LEAF + symbol as u16;
        symbol += 1;
    }
    tree
}

const fn step(tree: &[[u16; 2]; NODES], from: u16, nibble: usize) -> Step {
    let mut step = Step { next: from, octet: 0, octets: 0 };
    let mut bit = 4;
    while bit > 0 {
        bit -= 1;
        step.next = tree[step.next as usize][nibble >> bit & 1];
        if step.next == LEAF + EOS as u16 {
            step.next = FAILED;
            break;
        }
        if step.next >= LEAF {
            step.octet = (step.next - LEAF) as u8;
            step.octets = 1;
            step.next = 0;
        }
    }
    step
}

/// Appends the string that these bytes stand for. After an error the rest of `out` is undefined.
pub fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let start = out.len();
    // No code has fewer than five bits. One more, as each step writes, and only then counts.
    out.resize(start + coded.len() * 8 / 5 + 1, 0);
    let room = &mut out[start..];
    let mut length = 0;
    let mut node = 0;
    for &byte in coded {
        for nibble in [byte >> 4, byte & 0xf] {
            let step = STEPS[node as usize][nibble as usize];
            room[length] = step.octet;
            length += step.octets as usize;
            node = step.next;
        }
    }
    out.truncate(start + length);
    if MAY_END[node as usize] { Ok(()) } else { Err(CompressionError) }
}

/// The length of a string's code in bytes, with its padding.
pub fn coded_len(string: &[u8]) -> usize {
    let bits: usize = string.iter().map(|&octet| CODE[octet as usize].1 as usize).sum();
    bits.div_ceil(8)
}

/// Appends the code of a string, padded with ones.
pub fn encode(string: &[u8], out: &mut Vec<u8>) {
    // The last `held` bits are not written yet.
    let mut bits = 0u64;
    let mut held = 0;
    for &octet in string {
        let (code, length) = CODE[octet as usize];
        bits = bits << length | u64::from(code);
        held += u32::from(length);
        if held >= 32 {
            held -= 32;
            out.extend_from_slice(&((bits >> held) as u32).to_be_bytes());
        }
    }
    let padding = held.wrapping_neg() % 8;
    bits = bits << padding | ((1 << padding) - 1);
    held += padding;
    while held > 0 {
        held -= 8;
        out.push((bits >> held) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, CompressionError> {
        let mut out = b"before".to_vec();
        decode(coded, &mut out)?;
        Ok(out.split_off(6))
    }

    /// The same, bit by bit, by the code alone.
    fn decoded_plainly(coded: &[u8]) -> Result<Vec<u8>, CompressionError> {
        let mut out = Vec::new();
        let (mut code, mut bits) = (0u64, 0u8);
        for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
            (code, bits) = (code << 1 | u64::from(bit), bits + 1);
            match CODE.iter().position(|&(known, length)| (u64::from(known), length) == (code, bits)) {
                Some(EOS) => return Err(CompressionError),
                Some(octet) => {
                    out.push(octet as u8);
                    (code, bits) = (0, 0);
                }
                None => {}
            }
        }
        if bits < 8 && code == (1 << bits) - 1 { Ok(out) } else { Err(CompressionError) }
    }

    #[test]
    fn every_octet_has_its_code() {
        for octet in 0..=255 {
            for string in [vec![octet], vec![octet; 9], [b"a", &[octet][..], b"z"].concat()] {
                let mut coded = Vec::new();
                encode(&string, &mut coded);
                assert_eq!(coded.len(), coded_len(&string));
                assert_eq!(decoded(&coded), Ok(string.clone()));
                assert_eq!(decoded_plainly(&coded), Ok(string));
            }
        }
    }

    #[test]
    fn padding_is_at_most_seven_ones_and_no_string_has_eos() {
        for (coded, expected) in [
            (&[][..], Ok(&b""[..])),
            (&[0x1f], Ok(b"a")),
            // Zeros; eight ones; ones after a whole octet.
            (&[0x18], Err(CompressionError)),
            (&[0x1e], Err(CompressionError)),
            (&[0xff], Err(CompressionError)),
            (&[0x1f, 0xff], Err(CompressionError)),
            (&[0xfc, 0xff], Err(CompressionError)),
            // `&` of eight bits, no padding.
            (&[0xf8], Ok(b"&")),
            // EOS, alone and between octets.
            (&[0xff, 0xff, 0xff, 0xff], Err(CompressionError)),
            (&[0xff, 0xff, 0xff, 0xfc], Err(CompressionError)),
            (&[0x1f, 0xff, 0xff, 0xff, 0xe1, 0x1f], Err(CompressionError)),
        ] {
            assert_eq!(decoded(coded).as_deref(), expected.as_deref(), "{coded:x?}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_the_same_after_both(string in vec(any::<u8>(), 0..300)) {
            let mut coded = b"before".to_vec();
            encode(&string, &mut coded);
            prop_assert_eq!(coded.len() - 6, coded_len(&string));
            prop_assert_eq!(decoded(&coded[6..]), Ok(string));
        }

        #[test]
        fn the_tables_decode_what_the_code_says(
            coded in prop_oneof![vec(any::<u8>(), 0..60), vec(prop_oneof![Just(0xff), any::<u8>()], 0..9)],
        ) {
            prop_assert_eq!(decoded(&coded), decoded_plainly(&coded));
        }
    }
}
