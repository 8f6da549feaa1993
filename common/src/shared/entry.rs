//! An entry: what it is made of, and how many cells it takes.

/// Bytes of a cell.
pub(super) const CELL_BYTES: usize = CELL * 8;
/// Words of a cell.
pub(super) const CELL: usize = 8;

// The words of an entry's first cell; see `table`.
pub(super) const LINK: usize = 0;
pub(super) const ORDER: usize = 1;
pub(super) const EXPIRY: usize = 2;
pub(super) const TAG: usize = 3;
pub(super) const SHAPE: usize = 4;
pub(super) const PAYLOAD: usize = 5;
/// Words of payload in the first cell, and in the others.
const FIRST: usize = CELL - PAYLOAD;
const FURTHER: usize = CELL - 1;

pub(super) const KEY_BYTES_MAX: usize = u16::MAX as usize;
pub(super) const STRING_BYTES_MAX: usize = u32::MAX as usize;

/// What kind of value an entry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Integer,
    Number,
    Boolean,
}

/// All of an entry but the bytes of its key and of its string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub kind: Kind,
    pub key_bytes: usize,
    /// Of a string.
    pub value_bytes: usize,
}

/// An entry, by its first cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(pub u32);

/// An entry that is to be stored.
#[derive(Clone, Copy)]
pub(super) struct New<'a> {
    pub hash: u32,
    pub key: &'a [u8],
    pub kind: Kind,
    /// Of a number or boolean.
    pub bits: u64,
    /// Of a string.
    pub bytes: &'a [u8],
    pub expiry_ms: u64,
    pub flags: u32,
}

pub(super) const fn both(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

impl Shape {
    /// Of the word that [`Shape::word`] has made.
    pub fn of_word(word: u64) -> Shape {
        let kind = match word >> 48 {
            0 => Kind::String,
            1 => Kind::Integer,
            2 => Kind::Number,
            _ => Kind::Boolean,
        };
        Shape { kind, key_bytes: (word >> 32) as usize & 0xffff, value_bytes: word as u32 as usize }
    }

    /// Words of payload before the key.
    pub fn before(self) -> usize {
        usize::from(self.kind != Kind::String)
    }

    pub fn word(self) -> u64 {
        (self.kind as u64) << 48 | both(self.key_bytes as u32, self.value_bytes as u32)
    }

    pub fn cells(self) -> usize {
        let words = self.before() + words_of(self.key_bytes) + words_of(self.value_bytes);
        1 + words.saturating_sub(FIRST).div_ceil(FURTHER)
    }
}

impl New<'_> {
    pub fn shape(&self) -> Shape {
        Shape { kind: self.kind, key_bytes: self.key.len(), value_bytes: self.bytes.len() }
    }

    pub fn cells(&self) -> usize {
        self.shape().cells()
    }
}

pub(super) fn words_of(bytes: usize) -> usize {
    bytes.div_ceil(8)
}
