//! The content codings that the origin makes itself: bytes in, coded bytes out, in memory.
//!
//! The levels allowed are those at which [`SLICE_BYTES`] of any content cost at most about five milliseconds. Measured
//! on a core of an AMD EPYC, the worst of noise, words and escaped control characters: gzip 6 0.8 ms, br 3 0.5 ms, zstd
//! 3 0.8 ms (the defaults); gzip 9 2.5 ms, br 5 4.6 ms, zstd 6 3.1 ms (the highest). Further up, an encoder works on
//! blocks that cost 50 ms and more (br 9, zstd 12), in 30 MB and more.

use brotli::CompressorWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};
use std::ops::RangeInclusive;

/// What is coded in one step.
pub const SLICE_BYTES: usize = 16 << 10;
/// A window of 256 KiB, for which brotli needs a fraction of the memory that its default of 4 MiB takes.
const BROTLI_WINDOW_BITS: u32 = 18;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

impl Coding {
    /// As Content-Encoding names it (the registry of RFC 9110, 16.6.1).
    pub fn token(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }

    pub fn levels(self) -> RangeInclusive<u64> {
        match self {
            Coding::Gzip => 1..=9,
            Coding::Brotli => 0..=5,
            Coding::Zstd => 1..=6,
        }
    }

    pub fn default_level(self) -> u64 {
        match self {
            Coding::Gzip => 6,
            Coding::Brotli | Coding::Zstd => 3,
        }
    }
}

pub enum Coder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Coder {
    /// `level`: within the coding's levels; `length`: of everything that will be written, in bytes.
    pub fn new(coding: Coding, level: u64, length: u64) -> io::Result<Coder> {
        Ok(match coding {
            Coding::Gzip => Coder::Gzip(GzEncoder::new(Vec::new(), Compression::new(level as u32))),
            Coding::Brotli => {
                let writer = CompressorWriter::new(Vec::new(), 4096, level as u32, BROTLI_WINDOW_BITS);
                Coder::Brotli(Box::new(writer))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level as i32)?;
                // Limits the memory to what this length needs.
                encoder.set_pledged_src_size(Some(length))?;
                Coder::Zstd(encoder)
            }
        })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Coder::Gzip(encoder) => encoder.write_all(bytes),
            Coder::Brotli(encoder) => encoder.write_all(bytes),
            Coder::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Coder::Gzip(encoder) => encoder.finish(),
            Coder::Brotli(encoder) => Ok(encoder.into_inner()),
            Coder::Zstd(encoder) => encoder.finish(),
        }
        .map(|mut coded| {
            coded.shrink_to_fit();
            coded
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(coded).read_to_end(&mut bytes),
            Coding::Brotli => brotli::Decompressor::new(coded, 4096).read_to_end(&mut bytes),
            Coding::Zstd => zstd::stream::read::Decoder::new(coded).and_then(|mut read| read.read_to_end(&mut bytes)),
        };
        read.expect("what was coded can be decoded");
        bytes
    }

    #[test]
    fn every_level_can_be_decoded() {
        let bytes: Vec<u8> = (0..50_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            for (length, slice) in [(0, 1), (1, 1), (100, 7), (50_000, 16_384)] {
                for level in coding.levels() {
                    let mut coder = Coder::new(coding, level, length).expect("an encoder");
                    for slice in bytes[..length as usize].chunks(slice) {
                        coder.write(slice).expect("memory takes it");
                    }
                    let coded = coder.finish().expect("all was written");
                    assert!(decoded(coding, &coded) == bytes[..length as usize], "{coding:?} {level}: {length} bytes");
                }
            }
            assert!(coding.levels().contains(&coding.default_level()));
        }
    }
}
