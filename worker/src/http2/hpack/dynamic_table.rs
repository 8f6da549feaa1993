//! The dynamic table of one direction of a connection (RFC 7541, 2.3.2 and 4): what was added last has the index 1, and
//! what was added first is evicted first.
//!
//! The entries' bytes are in one piece, in the order of their arrival, so that none is allocated by itself. Evicted
//! bytes stay in front until they are at least half of all. So the table allocates at most twice its size.

use std::collections::VecDeque;

/// What an entry counts for besides its bytes (RFC 7541, 4.1).
pub const ENTRY_OVERHEAD: usize = 32;

#[derive(Debug)]
pub struct DynamicTable {
    bytes: Vec<u8>,
    /// The oldest is at the front.
    entries: VecDeque<Entry>,
    /// By the RFC's count: with the overhead of each entry.
    size: usize,
    size_max: usize,
    /// How often it has changed: as long as this is the same, so are the entries and their indexes.
    changes: u64,
}

/// A name, and its value after it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    name_bytes: u32,
    value_bytes: u32,
}

impl Entry {
    fn size(self) -> usize {
        (self.name_bytes + self.value_bytes) as usize + ENTRY_OVERHEAD
    }
}

impl DynamicTable {
    pub fn new(size_max: usize) -> Self {
        DynamicTable { bytes: Vec::new(), entries: VecDeque::new(), size: 0, size_max, changes: 0 }
    }

    pub fn size_max(&self) -> usize {
        self.size_max
    }

    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Changes the largest size; entries that no longer fit are evicted.
    pub fn resize(&mut self, size_max: usize) {
        self.changes += 1;
        self.size_max = size_max;
        self.evict();
    }

    /// The entry of an index, from 1: its name and its value.
    #[inline]
    pub fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let at = self.entries.len().checked_sub(index)?;
        self.entries.get(at).map(|&entry| self.field(entry))
    }

    /// The index of the newest entry with this name and value.
    #[inline]
    pub fn find(&self, name: &[u8], value: &[u8]) -> Option<usize> {
        let at = self.entries.iter().rposition(|&entry| {
            // Most differ in their lengths.
            entry.value_bytes as usize == value.len()
                && entry.name_bytes as usize == name.len()
                && self.field(entry) == (name, value)
        })?;
        Some(self.entries.len() - at)
    }

    /// Adds an entry. One that is larger than the table empties it (RFC 7541, 4.4).
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.changes += 1;
        let (name_bytes, value_bytes) = (name.len() as u32, value.len() as u32);
        let mut entry = Entry { start: 0, name_bytes, value_bytes };
        self.size += entry.size();
        self.evict();
        if self.size > self.size_max {
            self.size = 0;
            return;
        }
        self.compact();
        entry.start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.entries.push_back(entry);
    }

    #[inline]
    fn field(&self, entry: Entry) -> (&[u8], &[u8]) {
        let start = entry.start as usize;
        let bytes = &self.bytes[start..start + (entry.name_bytes + entry.value_bytes) as usize];
        bytes.split_at(entry.name_bytes as usize)
    }

    fn evict(&mut self) {
        while self.size > self.size_max
            && let Some(oldest) = self.entries.pop_front()
        {
            self.size -= oldest.size();
        }
    }

    /// Drops the evicted bytes, once they are as many as those in use.
    fn compact(&mut self) {
        let evicted = self.entries.front().map_or(self.bytes.len(), |oldest| oldest.start as usize);
        if evicted == 0 || evicted < self.bytes.len() - evicted {
            return;
        }
        self.bytes.drain(..evicted);
        for entry in &mut self.entries {
            entry.start -= evicted as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Change {
        Add(Vec<u8>, Vec<u8>),
        Resize(usize),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            20 => (vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..80)).prop_map(|(name, value)| Change::Add(name, value)),
            1 => (0usize..400).prop_map(Change::Resize),
        ]
    }

    proptest! {
        /// Against a list of pairs.
        #[test]
        fn entries_are_those_that_fit(changes in vec(change(), 0..200)) {
            let mut table = DynamicTable::new(300);
            let mut model: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            let mut size_max = 300;
            for change in changes {
                match change {
                    Change::Add(name, value) => {
                        table.add(&name, &value);
                        model.insert(0, (name, value));
                    }
                    Change::Resize(size) => {
                        table.resize(size);
                        size_max = size;
                    }
                }
                let size = |model: &[(Vec<u8>, Vec<u8>)]| model.iter().map(|(n, v)| n.len() + v.len() + 32).sum::<usize>();
                while size(&model) > size_max {
                    model.pop();
                }
                prop_assert_eq!((table.size, table.entries.len()), (size(&model), model.len()));
                prop_assert!(table.bytes.len() <= 2 * 400);
                prop_assert_eq!((table.get(0), table.get(model.len() + 1)), (None, None));
                for (at, (name, value)) in model.iter().enumerate() {
                    prop_assert_eq!(table.get(at + 1), Some((&name[..], &value[..])));
                    let first = model.iter().position(|(n, v)| n == name && v == value).map(|at| at + 1);
                    prop_assert_eq!(table.find(name, value), first);
                }
            }
        }
    }
}
