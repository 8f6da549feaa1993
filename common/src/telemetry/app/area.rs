//! The part of a seat that holds an application's metrics: blocks one after another, which describe themselves, so that
//! any process can read them.
//!
//! Only the seat's worker appends, and a block is visible once it is complete. Blocks are never removed: the next worker
//! of the slot finds those of the last one and continues. A block is a header, a text, and words: the bounds of a
//! histogram, or the values of a series.

use crate::sys::mmap::Line;
use crate::words::words_from;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// 32 KiB: some 500 series of ordinary names.
pub const LINES: usize = 256;
const WORDS: usize = LINES * 16;
/// The number of words used, this one included; 0: none is.
const USED: usize = 0;
pub const TEXT_BYTES_MAX: usize = u16::MAX as usize;

/// A block, by the position of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Block(usize);

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// The metric that these series belong to has this kind, as its own code.
    Family(u8),
    /// Of the family at this position.
    Series(usize),
}

#[derive(Clone, Copy)]
pub struct Area(pub &'static [Line]);

impl Area {
    fn word(self, at: usize) -> &'static AtomicU64 {
        &self.0[at / 16].words[at % 16]
    }

    fn used(self) -> usize {
        (self.word(USED).load(Acquire) as usize).clamp(1, WORDS)
    }

    /// Appends a block; `None`: there is no room. Of the only writer.
    pub fn append(self, tag: Tag, text: &str, values: &[u64]) -> Option<Block> {
        let at = self.used();
        let text_words = text.len().div_ceil(8);
        let end = at + 1 + text_words + values.len();
        if end > WORDS || text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (is_family, of) = match tag {
            Tag::Family(code) => (1, u64::from(code)),
            Tag::Series(family) => (0, family as u64),
        };
        let header = is_family << 63 | of << 32 | (values.len() as u64) << 16 | text.len() as u64;
        self.word(at).store(header, Relaxed);
        for (place, word) in words_from(text.as_bytes()).enumerate() {
            self.word(at + 1 + place).store(word, Relaxed);
        }
        for (place, value) in values.iter().enumerate() {
            self.word(at + 1 + text_words + place).store(*value, Relaxed);
        }
        self.word(USED).store(end as u64, Release);
        Some(Block(at))
    }

    pub fn blocks(self) -> impl Iterator<Item = Block> {
        let used = self.used();
        let first = Some(1).filter(|&at| at < used);
        std::iter::successors(first, move |&at| Some(self.end(Block(at))).filter(|&next| next < used)).map(Block)
    }

    fn header(self, block: Block) -> u64 {
        self.word(block.0).load(Relaxed)
    }

    fn end(self, block: Block) -> usize {
        self.values_at(block) + self.values(block)
    }

    pub fn tag(self, block: Block) -> Tag {
        let header = self.header(block);
        let of = (header >> 32) & 0x7fff_ffff;
        if header >> 63 == 1 { Tag::Family(of as u8) } else { Tag::Series(of as usize) }
    }

    pub fn text(self, block: Block) -> String {
        let length = self.header(block) as usize & 0xffff;
        let words = (0..length.div_ceil(8)).map(|place| self.word(block.0 + 1 + place).load(Relaxed));
        let mut bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        bytes.truncate(length);
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// The number of its values.
    pub fn values(self, block: Block) -> usize {
        (self.header(block) >> 16) as usize & 0xffff
    }

    fn values_at(self, block: Block) -> usize {
        block.0 + 1 + (self.header(block) as usize & 0xffff).div_ceil(8)
    }

    pub fn value(self, block: Block, place: usize) -> &'static AtomicU64 {
        self.word(self.values_at(block) + place)
    }
}

impl Block {
    pub fn position(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mmap::shared_lines;

    #[test]
    fn blocks_are_read_as_they_were_appended_until_the_area_is_full() {
        let area = Area(shared_lines(LINES).expect("memory"));
        assert_eq!(area.blocks().count(), 0);
        let family = area.append(Tag::Family(2), "name\0help", &[7, 8]).expect("room");
        let mut series = 0;
        while let Some(block) = area.append(Tag::Series(family.position()), &"x".repeat(series % 20), &[series as u64])
        {
            assert_eq!(area.value(block, 0).load(Relaxed), series as u64);
            series += 1;
        }
        assert!(series > 1000, "{series}");
        let blocks: Vec<Block> = area.blocks().collect();
        assert_eq!((blocks.len(), area.tag(blocks[0]), area.values(blocks[0])), (series + 1, Tag::Family(2), 2));
        assert_eq!(area.text(blocks[0]), "name\0help");
        assert_eq!(area.tag(blocks[5]), Tag::Series(family.position()));
        assert_eq!(area.text(blocks[5]), "xxxx");
    }
}
