//! The settings of both sides (RFC 9113, 6.5; RFC 8441, 3; RFC 9218, 2.1).

use super::error::{Code, Violation};
use super::frame::MAX_31_BITS;
use super::hpack::Encoder;

/// An identifier and a value.
pub const SETTING_BYTES: usize = 6;

/// The identifiers.
pub mod id {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    pub const NO_RFC7540_PRIORITIES: u16 = 9;
}

/// The values that a setting may have, and the error for others.
struct Range {
    id: u16,
    min: u32,
    max: u32,
    code: Code,
}

/// Settings that are not listed may have any value; unknown ones are ignored (RFC 9113, 6.5.2).
const RANGES: [Range; 5] = [
    Range { id: id::ENABLE_PUSH, min: 0, max: 1, code: Code::Protocol },
    Range { id: id::INITIAL_WINDOW_SIZE, min: 0, max: MAX_31_BITS, code: Code::FlowControl },
    Range { id: id::MAX_FRAME_SIZE, min: 16_384, max: 16_777_215, code: Code::Protocol },
    Range { id: id::ENABLE_CONNECT_PROTOCOL, min: 0, max: 1, code: Code::Protocol },
    Range { id: id::NO_RFC7540_PRIORITIES, min: 0, max: 1, code: Code::Protocol },
];

/// What a client has set, as far as a server needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The window of each new stream, for what we send.
    pub initial_window: u32,
    /// The longest payload that we may send.
    pub payload_bytes_max: u32,
}

impl Default for Settings {
    /// Before the client's first SETTINGS.
    fn default() -> Self {
        Settings { initial_window: 65_535, payload_bytes_max: 16_384 }
    }
}

impl Settings {
    /// Applies the payload of a SETTINGS frame, in its order: to the encoder, too, for which a size of its table counts even
    /// if another follows. The caller changes all streams' windows by the difference of `initial_window` (RFC 9113, 6.9.2).
    pub fn apply(&mut self, payload: &[u8], encoder: &mut Encoder) -> Result<(), Violation> {
        for setting in payload.as_chunks::<SETTING_BYTES>().0 {
            let [i0, i1, v0, v1, v2, v3] = *setting;
            let (id, value) = (u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3]));
            if let Some(range) = RANGES.iter().find(|range| range.id == id)
                && !(range.min..=range.max).contains(&value)
            {
                return Err(Violation::of_connection(range.code, "a setting has a value out of its range"));
            }
            match id {
                id::HEADER_TABLE_SIZE => encoder.set_table_size(value as usize),
                id::INITIAL_WINDOW_SIZE => self.initial_window = value,
                id::MAX_FRAME_SIZE => self.payload_bytes_max = value,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(settings: &[(u16, u32)]) -> Result<Settings, Code> {
        let one = |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let mut all = Settings::default();
        all.apply(&settings.iter().flat_map(one).collect::<Vec<u8>>(), &mut Encoder::new())
            .map(|()| all)
            .map_err(|e| e.code)
    }

    #[test]
    fn values_out_of_their_range_end_the_connection() {
        let good = Ok(Settings::default());
        for (id, value, expected) in [
            (2, 0, good),
            (2, 1, good),
            (2, 2, Err(Code::Protocol)),
            (3, 0, good),
            (3, u32::MAX, good),
            (4, 0x8000_0000, Err(Code::FlowControl)),
            (5, 16_383, Err(Code::Protocol)),
            (5, 16_777_216, Err(Code::Protocol)),
            (6, u32::MAX, good),
            (8, 2, Err(Code::Protocol)),
            (9, 2, Err(Code::Protocol)),
            (0, 7, good),
            (7, 7, good),
            (0xffff, u32::MAX, good),
        ] {
            assert_eq!(applied(&[(id, value)]), expected, "{id} = {value}");
        }
    }

    #[test]
    fn the_last_value_counts() {
        let set = applied(&[(1, 0), (4, 0), (5, 16_777_215), (1, 100), (4, MAX_31_BITS)]);
        assert_eq!(set, Ok(Settings { initial_window: MAX_31_BITS, payload_bytes_max: 16_777_215 }));
        assert_eq!(applied(&[]), Ok(Settings::default()));
    }

    #[test]
    fn each_size_of_the_table_counts() {
        let mut encoder = Encoder::new();
        encoder.begin(&mut Vec::new());
        let payload = [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0x10, 0];
        assert_eq!(Settings::default().apply(&payload, &mut encoder), Ok(()));
        // To 0, and back to the encoder's own limit.
        let mut out = Vec::new();
        encoder.begin(&mut out);
        assert_eq!(out, [0x20, 0x3f, 0xe1, 0x07]);
    }
}
