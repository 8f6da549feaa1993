//! The head that a worker has read last, and what it was read from: a client that asks for the same again has it compared
//! instead of decoded and read (docs/why.md, 311).

use super::head::{Refusal, RequestHead};
use super::hpack::Block;
use tine_common::config::Limits;

/// A longer block is not kept.
const CODED_BYTES_MAX: usize = 512;

/// A decoder's table at a time: no other connection of the worker has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    pub connection: u64,
    pub changes: u64,
}

/// A header block as it came.
#[derive(Debug, Clone, Copy)]
pub struct Coded<'a> {
    pub bytes: &'a [u8],
    /// The table before it; `None`: it has changed that, so that it would mean something else now.
    pub table: Option<Table>,
    /// It stands for the last head, and is not decoded.
    pub is_last: bool,
}

#[derive(Default)]
pub struct LastHead {
    head: RequestHead,
    /// Of no field, if there is no head.
    block: Block,
    ends_stream: bool,
    coded: Vec<u8>,
    table: Option<Table>,
}

impl LastHead {
    /// Whether these bytes stand for it. `ends_stream`: no DATA follows.
    #[inline]
    pub fn is_of(&self, coded: &[u8], table: Table, ends_stream: bool) -> bool {
        self.table == Some(table) && self.ends_stream == ends_stream && self.coded == coded
    }

    /// Reads a block that is decoded, if it is not the last; its content may be exchanged for another. `limits`: always the same.
    pub fn read(
        &mut self,
        coded: Coded<'_>,
        block: &mut Block,
        ends_stream: bool,
        limits: &Limits,
    ) -> Result<&RequestHead, Refusal> {
        if coded.is_last {
            return Ok(&self.head);
        }
        let is_same = self.ends_stream == ends_stream && self.block == *block && block.count() > 0;
        if !is_same {
            self.table = None;
            self.block.clear();
            self.head.read(block, ends_stream, limits)?;
            std::mem::swap(&mut self.block, block);
            self.ends_stream = ends_stream;
        }
        self.table = coded.table.filter(|_| coded.bytes.len() <= CODED_BYTES_MAX);
        if self.table.is_some() {
            self.coded.clear();
            self.coded.extend_from_slice(coded.bytes);
        }
        Ok(&self.head)
    }
}

#[cfg(test)]
#[path = "last_head_tests.rs"]
mod tests;
