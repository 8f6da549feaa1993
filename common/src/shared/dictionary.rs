//! What can be done with a dictionary. Each operation takes its lock once and is atomic: other processes see all of it or
//! nothing, also if this one dies in it.
//!
//! Where an entry needs room, those that were not used for the longest time are evicted. An expired entry is as good as none;
//! it is removed when it is found, by an operation on its key or at the old end of the order of use.

use super::Region;
use super::entry::{CELL_BYTES, Entry, KEY_BYTES_MAX, Kind, New, STRING_BYTES_MAX};
use super::lock::{Guard, Lock, Stuck};
use super::table::{Header, Table};
use std::hash::BuildHasher;
use std::time::Instant;

/// Expired entries at the old end that each new entry removes, at most.
const EXPIRED_PER_STORE: usize = 2;

#[derive(Clone, Copy)]
pub struct Dictionary {
    lock: Lock,
    table: Table,
    region: &'static Region,
}

/// A value; the bytes of a string are passed beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    String,
    Integer(i64),
    Number(f64),
    Boolean(bool),
}

/// When a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Always,
    /// If the key has no value.
    Add,
    /// If it has one.
    Replace,
}

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A process that is stopped holds the lock.
    Busy,
    /// It needs more than all that may be evicted for it.
    NoMemory,
    Exists,
    NotFound,
    NotANumber,
    EmptyKey,
    KeyTooLong,
    /// A message.
    TooLong,
}

impl From<Stuck> for Refused {
    fn from(Stuck: Stuck) -> Refused {
        Refused::Busy
    }
}

/// What is stored under a key.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    pub value: Value,
    /// Of a string.
    pub bytes: &'a [u8],
    /// `None`: it does not expire.
    pub ttl_ms: Option<u64>,
    /// The application's own.
    pub flags: u32,
}

impl Dictionary {
    pub(super) fn new(region: &'static Region, at: usize, size_lines: usize) -> Dictionary {
        let lines = &region.lines[at..at + size_lines];
        let table = Table::new(lines);
        let is_stuck = &lines[1].words[Header::IsStuck as usize];
        Dictionary { lock: Lock::new(&lines[0], is_stuck), table, region }
    }

    /// By the process that makes it, before any other uses it.
    pub(super) fn make(&self) {
        self.table.empty();
    }

    /// The value of a key with its flags; the bytes of a string are appended to `into`.
    pub fn get(&self, key: &[u8], into: &mut Vec<u8>) -> Result<Option<(Value, u32)>, Refused> {
        let hash = self.hash(key)?;
        let held = self.take()?;
        let Some(entry) = held.find(hash, key) else { return Ok(None) };
        let value = held.value(entry);
        if value == Value::String {
            held.table.read_value(entry, into);
        }
        held.table.touch(entry);
        held.table.commit();
        Ok(Some((value, held.table.flags(entry))))
    }

    /// Stores a value. True: others were evicted for it that had not expired. Without `may_evict` none is.
    pub fn store(&self, how: Store, key: &[u8], item: &Item<'_>, may_evict: bool) -> Result<bool, Refused> {
        let hash = self.hash(key)?;
        if item.bytes.len() > STRING_BYTES_MAX {
            return Err(Refused::NoMemory);
        }
        let held = self.take()?;
        let old = held.find(hash, key);
        match (how, old) {
            (Store::Add, Some(_)) => return Err(Refused::Exists),
            (Store::Replace, None) => return Err(Refused::NotFound),
            _ => {}
        }
        let (table, expiry_ms) = (&held.table, held.expiry_ms(item.ttl_ms));
        let (kind, bits) = item.value.parts();
        if let Some(entry) = old
            && kind != Kind::String
            && table.shape(entry).kind != Kind::String
        {
            table.set_bits(entry, kind, bits);
            table.set_expiry(entry, expiry_ms);
            table.set_flags(entry, item.flags);
            table.touch(entry);
            table.commit();
            return Ok(false);
        }
        held.put(&New { hash, key, kind, bits, bytes: item.bytes, expiry_ms, flags: item.flags }, may_evict)
    }

    /// Adds to a number. `init`: what a key without a value counts as; it is stored with `ttl_ms` then. Returns the sum, and
    /// whether others were evicted for it.
    pub fn incr(
        &self,
        key: &[u8],
        by: Value,
        init: Option<Value>,
        ttl_ms: Option<u64>,
    ) -> Result<(Value, bool), Refused> {
        let hash = self.hash(key)?;
        let held = self.take()?;
        let table = &held.table;
        if let Some(entry) = held.find(hash, key) {
            let sum = held.value(entry).plus(by).ok_or(Refused::NotANumber)?;
            let (kind, bits) = sum.parts();
            table.set_bits(entry, kind, bits);
            table.touch(entry);
            table.commit();
            return Ok((sum, false));
        }
        let sum = init.ok_or(Refused::NotFound)?.plus(by).ok_or(Refused::NotANumber)?;
        let ((kind, bits), expiry_ms) = (sum.parts(), held.expiry_ms(ttl_ms));
        let is_evicted = held.put(&New { hash, key, kind, bits, bytes: &[], expiry_ms, flags: 0 }, true)?;
        Ok((sum, is_evicted))
    }

    /// Whether there was a value.
    pub fn delete(&self, key: &[u8]) -> Result<bool, Refused> {
        let hash = self.hash(key)?;
        let held = self.take()?;
        let Some(entry) = held.find(hash, key) else { return Ok(false) };
        held.remove(entry);
        Ok(true)
    }

    /// The time until it expires, in ms; `None`: it does not.
    pub fn ttl_ms(&self, key: &[u8]) -> Result<Option<u64>, Refused> {
        let hash = self.hash(key)?;
        let held = self.take()?;
        let entry = held.find(hash, key).ok_or(Refused::NotFound)?;
        let expiry_ms = held.table.expiry_ms(entry);
        Ok((expiry_ms != 0).then(|| expiry_ms.saturating_sub(held.now_ms())))
    }

    /// Changes when it expires.
    pub fn expire(&self, key: &[u8], ttl_ms: Option<u64>) -> Result<(), Refused> {
        let hash = self.hash(key)?;
        let held = self.take()?;
        let entry = held.find(hash, key).ok_or(Refused::NotFound)?;
        held.table.set_expiry(entry, held.expiry_ms(ttl_ms));
        held.table.commit();
        Ok(())
    }

    /// The keys, those used last first, at most as many as asked for. All other operations wait for it.
    pub fn keys(&self, keys_max: usize) -> Result<Vec<Vec<u8>>, Refused> {
        let held = self.take()?;
        let all = std::iter::successors(held.table.newest(), |&entry| held.table.next_older(entry));
        let keys = all.filter(|&entry| !held.is_expired(entry)).take(keys_max).map(|entry| {
            let mut key = Vec::new();
            held.table.read_key(entry, &mut key);
            key
        });
        Ok(keys.collect())
    }

    /// Removes all entries.
    pub fn flush_all(&self) -> Result<(), Refused> {
        self.take()?.table.empty();
        Ok(())
    }

    /// Removes expired entries, those not used for the longest time first; returns their number.
    pub fn flush_expired(&self, entries_max: usize) -> Result<usize, Refused> {
        let held = self.take()?;
        let mut next = held.table.oldest();
        let mut removed = 0;
        while let Some(entry) = next
            && removed < entries_max
        {
            next = held.table.next_newer(entry);
            if held.is_expired(entry) {
                held.remove(entry);
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Entries, those included that have expired and were not removed yet.
    pub fn count(&self) -> Result<usize, Refused> {
        Ok(self.take()?.table.entries())
    }

    /// The bytes of all cells.
    pub fn capacity_bytes(&self) -> usize {
        self.table.cells_max() * CELL_BYTES
    }

    /// The bytes of those that are free.
    pub fn free_bytes(&self) -> Result<usize, Refused> {
        Ok(self.take()?.table.free_cells() * CELL_BYTES)
    }

    fn hash(&self, key: &[u8]) -> Result<u32, Refused> {
        match key.len() {
            0 => Err(Refused::EmptyKey),
            1..=KEY_BYTES_MAX => Ok(self.region.keys.hash_one(key) as u32),
            _ => Err(Refused::KeyTooLong),
        }
    }

    fn take(&self) -> Result<Held, Refused> {
        let guard = self.lock.take()?;
        self.table.restore();
        Ok(Held { table: self.table, region: self.region, _guard: guard })
    }
}

/// The dictionary while its lock is held.
struct Held {
    table: Table,
    region: &'static Region,
    _guard: Guard,
}

impl Held {
    fn now_ms(&self) -> u64 {
        // Not 0, which stands for never.
        Instant::now().saturating_duration_since(self.region.epoch).as_millis() as u64 + 1
    }

    fn expiry_ms(&self, ttl_ms: Option<u64>) -> u64 {
        ttl_ms.map_or(0, |ttl_ms| self.now_ms().saturating_add(ttl_ms))
    }

    fn is_expired(&self, entry: Entry) -> bool {
        let expiry_ms = self.table.expiry_ms(entry);
        expiry_ms != 0 && expiry_ms <= self.now_ms()
    }

    /// The entry of this key, unless it has expired.
    fn find(&self, hash: u32, key: &[u8]) -> Option<Entry> {
        let entry = self.table.find(hash, key)?;
        if self.is_expired(entry) {
            self.remove(entry);
            return None;
        }
        Some(entry)
    }

    fn remove(&self, entry: Entry) {
        self.table.remove(entry);
        self.table.commit();
    }

    fn value(&self, entry: Entry) -> Value {
        match self.table.shape(entry).kind {
            Kind::String => Value::String,
            Kind::Integer => Value::Integer(self.table.bits(entry) as i64),
            Kind::Number => Value::Number(f64::from_bits(self.table.bits(entry))),
            Kind::Boolean => Value::Boolean(self.table.bits(entry) != 0),
        }
    }

    /// Stores an entry in place of one of the same key, if there is one. True: others were evicted.
    fn put(&self, new: &New<'_>, may_evict: bool) -> Result<bool, Refused> {
        let cells = new.cells();
        if cells > self.table.cells_max() {
            return Err(Refused::NoMemory);
        }
        for _ in 0..EXPIRED_PER_STORE {
            match self.table.oldest().filter(|&oldest| self.is_expired(oldest)) {
                Some(oldest) => self.remove(oldest),
                None => break,
            }
        }
        let mut is_evicted = false;
        while self.table.free_cells() < cells {
            let oldest = self.table.oldest().expect("what is not free belongs to an entry");
            let is_live = !self.is_expired(oldest);
            if is_live && !may_evict {
                return Err(Refused::NoMemory);
            }
            is_evicted |= is_live;
            self.remove(oldest);
        }
        // The one to be replaced may have been evicted.
        self.table.store(new, self.table.find(new.hash, new.key));
        Ok(is_evicted)
    }
}

impl Value {
    fn parts(self) -> (Kind, u64) {
        match self {
            Value::String => (Kind::String, 0),
            Value::Integer(number) => (Kind::Integer, number as u64),
            Value::Number(number) => (Kind::Number, number.to_bits()),
            Value::Boolean(is) => (Kind::Boolean, is.into()),
        }
    }

    /// `None`: one of them is not a number. Integers whose sum is too large for one become a number.
    fn plus(self, other: Value) -> Option<Value> {
        let number = |value: Value| match value {
            Value::Integer(number) => Some(number as f64),
            Value::Number(number) => Some(number),
            Value::String | Value::Boolean(_) => None,
        };
        if let (Value::Integer(one), Value::Integer(two)) = (self, other)
            && let Some(sum) = one.checked_add(two)
        {
            return Some(Value::Integer(sum));
        }
        Some(Value::Number(number(self)? + number(other)?))
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Refused::Busy => "busy",
            Refused::NoMemory => "no memory",
            Refused::Exists => "exists",
            Refused::NotFound => "not found",
            Refused::NotANumber => "not a number",
            Refused::EmptyKey => "empty key",
            Refused::KeyTooLong => "key too long",
            Refused::TooLong => "too long",
        })
    }
}

#[cfg(test)]
impl Dictionary {
    pub(super) fn table(&self) -> Table {
        self.table
    }

    pub(super) fn lock(&self) -> Lock {
        self.lock
    }
}
