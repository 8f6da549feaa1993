//! Whether the invariants hold, as the tests of all of `shared` ask.

use super::*;
use std::collections::HashSet;

impl Table {
    /// Panics if one of the invariants does not hold.
    pub fn check(&self) {
        assert_eq!((self.get(Header::Changes), self.get(Header::Emptying)), (0, 0), "nothing is half done");
        let fresh = self.get(Header::Fresh) as usize;
        assert!((1..=self.cell_count).contains(&fresh), "{fresh}");
        let mut seen = HashSet::new();
        let mut chain = |first: u32, whose: &str| {
            let cells = std::iter::successors(Some(first), |&cell| Some(low(self.of(cell, LINK))));
            let cells: Vec<u32> = cells.take_while(|&cell| cell != 0).take(fresh).collect();
            for &cell in &cells {
                assert!((cell as usize) < fresh && seen.insert(cell), "cell {cell} of {whose} has another use");
            }
            cells.len()
        };
        let free = chain(low(self.get(Header::Free)), "the free ones");
        assert_eq!(free as u64, self.get(Header::FreeCount));
        let by_bucket: Vec<Entry> = (0..self.bucket_count as u32).flat_map(|bucket| self.in_bucket(bucket)).collect();
        for &entry in &by_bucket {
            let shape = self.shape(entry);
            assert_eq!(chain(entry.0, "an entry"), shape.cells(), "{shape:?}");
            let mut key = Vec::new();
            self.read_key(entry, &mut key);
            assert_eq!(self.find(high(self.of(entry.0, TAG)), &key), Some(entry), "it is in the bucket of its hash");
        }
        assert_eq!(seen.len() + 1, fresh, "each cell that was used is free or an entry's");
        let by_age: Vec<u32> = std::iter::successors(self.newest(), |&entry| self.next_older(entry))
            .map(|entry| entry.0)
            .take(fresh)
            .collect();
        let mut backwards: Vec<u32> = std::iter::successors(self.oldest(), |&entry| self.next_newer(entry))
            .map(|entry| entry.0)
            .take(fresh)
            .collect();
        backwards.reverse();
        assert_eq!(by_age, backwards);
        assert_eq!(by_age.len() as u64, self.get(Header::Entries));
        let by_bucket: HashSet<u32> = by_bucket.iter().map(|entry| entry.0).collect();
        assert_eq!(by_bucket, by_age.iter().copied().collect());
    }
}
