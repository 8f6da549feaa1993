//! Decodes header blocks (RFC 7541, 3, 6), strictly: what the RFC calls a decoding error is one.

use super::block::{Block, Bounds};
use super::dynamic_table::DynamicTable;
use super::{CompressionError, DEFAULT_TABLE_BYTES, huffman, integer, static_table};

/// A block that is larger than its bounds by this factor is a bomb: a few bytes of it refer to kilobytes in the table,
/// again and again.
const BOMB: usize = 8;

/// Why a connection cannot go on: the table is not the client's any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// COMPRESSION_ERROR
    Malformed,
    /// ENHANCE_YOUR_CALM: it is many times larger than allowed.
    Bomb,
}

impl From<CompressionError> for DecodeError {
    fn from(_: CompressionError) -> Self {
        DecodeError::Malformed
    }
}

/// The decoder of a connection. Its table has the default size, so SETTINGS_HEADER_TABLE_SIZE need not be sent.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
}

/// A literal's representation (RFC 7541, 6.2).
#[derive(Clone, Copy)]
struct Literal {
    /// The bits of the name's index.
    index_bits: u32,
    enters_table: bool,
}

impl Decoder {
    pub fn new() -> Self {
        Decoder { table: DynamicTable::new(DEFAULT_TABLE_BYTES) }
    }

    /// As long as this is the same, a block that does not change it stands for the same fields.
    pub fn changes(&self) -> u64 {
        self.table.changes()
    }

    /// Decodes a whole block into `block`, in place of what it had.
    pub fn decode(&mut self, mut coded: &[u8], bounds: Bounds, block: &mut Block) -> Result<(), DecodeError> {
        block.clear();
        self.resize(&mut coded)?;
        while let Some(&first) = coded.first() {
            match first {
                0x80.. => {
                    let index = integer::take(&mut coded, 7)?;
                    let (name, value) = self.entry(index)?;
                    block.add(name, value, bounds);
                }
                0x40.. => self.literal(&mut coded, Literal { index_bits: 6, enters_table: true }, bounds, block)?,
                // A change of the table's size after a field (RFC 7541, 4.2).
                0x20.. => return Err(DecodeError::Malformed),
                // Whether it must never be indexed is said to intermediaries.
                _ => self.literal(&mut coded, Literal { index_bits: 4, enters_table: false }, bounds, block)?,
            }
            if block.excess().is_some()
                && (block.size() > BOMB * bounds.bytes_max || block.count() > BOMB * bounds.fields_max)
            {
                return Err(DecodeError::Bomb);
            }
        }
        Ok(())
    }

    /// Changes of the table's size, which precede the fields.
    fn resize(&mut self, coded: &mut &[u8]) -> Result<(), CompressionError> {
        while let Some(0x20..0x40) = coded.first() {
            let size_max = integer::take(coded, 5)?;
            if size_max > DEFAULT_TABLE_BYTES {
                return Err(CompressionError);
            }
            self.table.resize(size_max);
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), CompressionError> {
        match index.checked_sub(static_table::TABLE.len() + 1) {
            None => static_table::get(index).ok_or(CompressionError),
            Some(after) => self.table.get(after + 1).ok_or(CompressionError),
        }
    }

    fn literal(
        &mut self,
        coded: &mut &[u8],
        literal: Literal,
        bounds: Bounds,
        block: &mut Block,
    ) -> Result<(), CompressionError> {
        let name = block.bytes.len();
        match integer::take(coded, literal.index_bits)? {
            0 => string(coded, &mut block.bytes)?,
            index => block.bytes.extend_from_slice(self.entry(index)?.0),
        }
        let value = block.bytes.len();
        string(coded, &mut block.bytes)?;
        if literal.enters_table {
            self.table.add(&block.bytes[name..value], &block.bytes[value..]);
        }
        block.add_last(name, value, bounds);
        Ok(())
    }
}

/// Takes a string off the front (RFC 7541, 5.2), and appends what it stands for.
fn string(coded: &mut &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let is_huffman = coded.first().is_some_and(|&first| first & 0x80 != 0);
    let length = integer::take(coded, 7)?;
    let (string, rest) = coded.split_at_checked(length).ok_or(CompressionError)?;
    *coded = rest;
    if is_huffman {
        return huffman::decode(string, out);
    }
    out.extend_from_slice(string);
    Ok(())
}
