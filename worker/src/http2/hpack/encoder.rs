//! Encodes header blocks of responses (RFC 7541, 6).
//!
//! Fields that are likely to be the same in the next response enter the table: those of the server, the content type, and
//! some others by their names. Cookies and credentials never do, not in a proxy either. All others are literals, so that
//! values that change do not evict those that stay.

use super::dynamic_table::{DynamicTable, ENTRY_OVERHEAD};
use super::static_table::{self, Habit, TABLE, names};
use super::{DEFAULT_TABLE_BYTES, huffman, integer};

/// The table's own limit: room for some fifteen fields, which also bounds what a connection's encoder allocates.
const TABLE_BYTES_MAX: usize = 1024;
/// A shorter string is not worth the search for a shorter code.
const HUFFMAN_BYTES_MIN: usize = 5;

/// `Thu, 01 Jan 1970 00:00:00 GMT`
const DATE_BYTES: usize = 29;

const INDEXED: u8 = 0x80;
const ENTERS_TABLE: u8 = 0x40;
const RESIZES_TABLE: u8 = 0x20;
const NEVER_INDEXED: u8 = 0x10;
const NOT_INDEXED: u8 = 0;

/// The encoder of a connection.
#[derive(Debug)]
pub struct Encoder {
    table: DynamicTable,
    resized: Option<Resized>,
    start: Start,
}

/// What [`Encoder::start`] has written last, if it is indexes alone: it is the same for the same values while the table has
/// changed so often.
#[derive(Debug, Default)]
struct Start {
    changes: u64,
    status: u16,
    date: [u8; DATE_BYTES],
    content_type: Option<Box<[u8]>>,
    /// One of status, server, date and content type; none: nothing is kept.
    coded: [u8; 4],
    coded_len: u8,
}

/// Changes of the table's size that the next block has to begin with: the smallest since the last block, as it may have
/// evicted entries, and the size now (RFC 7541, 4.2).
#[derive(Debug, Clone, Copy)]
struct Resized {
    smallest: usize,
    size: usize,
}

impl Encoder {
    pub fn new() -> Self {
        let mut encoder =
            Encoder { table: DynamicTable::new(DEFAULT_TABLE_BYTES), resized: None, start: Start::default() };
        encoder.set_table_size(DEFAULT_TABLE_BYTES);
        encoder
    }

    /// The client's SETTINGS_HEADER_TABLE_SIZE.
    pub fn set_table_size(&mut self, bytes_max: usize) {
        let size = bytes_max.min(TABLE_BYTES_MAX);
        if size != self.table.size_max() {
            self.table.resize(size);
            let smallest = self.resized.map_or(size, |resized| resized.smallest.min(size));
            self.resized = Some(Resized { smallest, size });
        }
    }

    /// Precedes the first field of each block.
    #[inline]
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(Resized { smallest, size }) = self.resized.take() {
            if smallest < size {
                integer::put(smallest, RESIZES_TABLE, 5, out);
            }
            integer::put(size, RESIZES_TABLE, 5, out);
        }
    }

    /// Precedes all other fields of a response.
    #[inline]
    pub fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        match static_table::of_status(status) {
            Some(index) => out.push(INDEXED | index),
            None => self.known(names::STATUS, itoa::Buffer::new().format(status).as_bytes(), out),
        }
    }

    /// The status, the fields that the server adds unless the application does, and the content type: for a second, they are
    /// often the same in each response. `server` is always the same.
    pub fn start(
        &mut self,
        status: u16,
        server: Option<&[u8]>,
        date: Option<&[u8]>,
        content_type: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        let (changes, last) = (self.table.changes(), &self.start);
        if (last.changes, last.status) == (changes, status)
            && server.is_some()
            && date.is_some_and(|date| last.date == *date)
            && last.content_type.as_deref() == content_type
        {
            return out.extend_from_slice(&last.coded[..last.coded_len.into()]);
        }
        let at = out.len();
        self.status(status, out);
        for (name, value) in [(names::SERVER, server), (names::DATE, date), (names::CONTENT_TYPE, content_type)] {
            if let Some(value) = value {
                self.known(name, value, out);
            }
        }
        let (Some(_), Some(date)) = (server, date) else { return };
        let coded = &out[at..];
        // A field that entered the table, and changed it, would have more bytes than all of these.
        if let (Some(kept), Ok(date)) = (self.start.coded.get_mut(..coded.len()), date.try_into()) {
            kept.copy_from_slice(coded);
            let last = &mut self.start;
            (last.changes, last.status, last.date, last.coded_len) = (changes, status, date, coded.len() as u8);
            last.content_type = content_type.map(Box::from);
        }
    }

    /// A field whose name is an entry of the static table: one of [`names`](super::names).
    pub fn known(&mut self, name: u8, value: &[u8], out: &mut Vec<u8>) {
        let kind = match static_table::HABITS[name as usize] {
            Habit::Same => return self.indexed(TABLE[name as usize - 1].0.as_bytes(), Some(name), value, out),
            Habit::Changing => NOT_INDEXED,
            Habit::Secret => NEVER_INDEXED,
        };
        integer::put(name.into(), kind, 4, out);
        string(value, out);
    }

    /// A field of any name but a pseudo-field's; it is written in lower case (RFC 9113, 8.2.1).
    pub fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if let Some(known) = static_table::find(name) {
            return self.known(known, value, out);
        }
        if let Some(name) = static_table::other_that_stays(name) {
            return self.indexed(name, None, value, out);
        }
        out.push(NOT_INDEXED);
        lower_case(name, out);
        string(value, out);
    }

    /// A field as it is, valid or not, which enters no table.
    pub fn literal(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        out.push(NOT_INDEXED);
        string(name, out);
        string(value, out);
    }

    /// A field that the table has, or has from now on.
    fn indexed(&mut self, name: &[u8], known: Option<u8>, value: &[u8], out: &mut Vec<u8>) {
        if let Some(index) = self.table.find(name, value) {
            return integer::put(TABLE.len() + index, INDEXED, 7, out);
        }
        // One that takes more than half of the table would evict too many others.
        let enters = name.len() + value.len() + ENTRY_OVERHEAD <= self.table.size_max() / 2;
        let (kind, bits) = if enters { (ENTERS_TABLE, 6) } else { (NOT_INDEXED, 4) };
        integer::put(known.unwrap_or(0).into(), kind, bits, out);
        if known.is_none() {
            string(name, out);
        }
        string(value, out);
        if enters {
            self.table.add(name, value);
        }
    }
}

/// A string (RFC 7541, 5.2), in the shorter form.
fn string(string: &[u8], out: &mut Vec<u8>) {
    if string.len() >= HUFFMAN_BYTES_MIN {
        let coded = huffman::coded_len(string);
        if coded < string.len() {
            integer::put(coded, 0x80, 7, out);
            return huffman::encode(string, out);
        }
    }
    integer::put(string.len(), 0, 7, out);
    out.extend_from_slice(string);
}

fn lower_case(name: &[u8], out: &mut Vec<u8>) {
    integer::put(name.len(), 0, 7, out);
    out.extend(name.iter().map(u8::to_ascii_lowercase));
}
