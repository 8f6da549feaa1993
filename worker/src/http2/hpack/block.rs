//! The fields of a decoded header block, in one piece of memory.

/// How much a block may have. One with more is decoded all the same, as the table has to change as the client's does,
/// but what is too much is not kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Names and values, and 32 for each field: SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113, 6.5.2).
    pub bytes_max: usize,
    /// All fields: pseudo-fields, and each part of a cookie, too. Without it, fields of one byte on the wire, each of
    /// which costs memory in an app, would be bounded by their bytes alone (CVE-2026-49975).
    pub fields_max: usize,
}

/// What a block has too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    Bytes,
    Fields,
}

/// What each field counts for besides its bytes (RFC 9113, 6.5.2).
const FIELD_OVERHEAD: usize = 32;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    pub(super) bytes: Vec<u8>,
    fields: Vec<Field>,
    /// With the overhead of each field, and with what was not kept.
    size: usize,
    count: usize,
    excess: Option<Excess>,
}

/// A name, and its value up to `end`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Field {
    name: u32,
    value: u32,
    end: u32,
}

impl Block {
    /// Each name with its value, in the order of their arrival; up to the bounds, if there is an excess.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| {
            let (name, value, end) = (field.name as usize, field.value as usize, field.end as usize);
            (&self.bytes[name..value], &self.bytes[value..end])
        })
    }

    /// How many fields it has; with those that were not kept.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The size of all fields as [`Bounds::bytes_max`] counts it; with those that were not kept.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Why fields are missing.
    pub fn excess(&self) -> Option<Excess> {
        self.excess
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        (self.size, self.count, self.excess) = (0, 0, None);
    }

    /// Adds a field, if it fits.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8], bounds: Bounds) {
        if self.has_room(name.len() + value.len(), bounds) {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(name);
            self.bytes.extend_from_slice(value);
            self.note(start, start + name.len());
        }
    }

    /// Adds the field whose name is at `name` and whose value is at `value`, up to the end of the bytes, if it fits.
    pub(super) fn add_last(&mut self, name: usize, value: usize, bounds: Bounds) {
        if self.has_room(self.bytes.len() - name, bounds) {
            self.note(name, value);
        } else {
            self.bytes.truncate(name);
        }
    }

    fn note(&mut self, name: usize, value: usize) {
        self.fields.push(Field { name: name as u32, value: value as u32, end: self.bytes.len() as u32 });
    }

    /// Counts a field; whether it is to be kept.
    fn has_room(&mut self, bytes: usize, bounds: Bounds) -> bool {
        self.size += bytes + FIELD_OVERHEAD;
        self.count += 1;
        if self.size > bounds.bytes_max {
            self.excess.get_or_insert(Excess::Bytes);
        } else if self.count > bounds.fields_max {
            self.excess.get_or_insert(Excess::Fields);
        }
        self.excess.is_none()
    }
}
