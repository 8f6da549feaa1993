//! Precompressed siblings: `app.js.br` beside `app.js` is the same file in a coding, made once instead of at each
//! request.

use super::root::{Found, Root};
use std::fs::{File, Metadata};
use tine_worker::http::Headers;
use tine_worker::http::accept_encoding::{Choice, choose};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

/// In order of preference: the first is usually the smallest.
const CODINGS: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

impl Coding {
    /// Its name in Accept-Encoding and Content-Encoding.
    pub fn token(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// The suffix of a sibling's name.
    fn suffix(self) -> &'static [u8] {
        match self {
            Coding::Brotli => b".br",
            Coding::Zstd => b".zst",
            Coding::Gzip => b".gz",
        }
    }
}

/// What is sent to the client.
pub enum Chosen {
    Sibling(Coding, File, Metadata),
    /// The file as it is.
    Plain,
    /// 406: no form of the file is acceptable to the client.
    Nothing,
}

/// The sibling of the file at `path` that the client prefers. A sibling older than its file belongs to an older version
/// and is ignored, as is one that cannot be opened or is not a regular file. Without Accept-Encoding the file is sent
/// as it is: the client may not know any coding.
pub fn choose_sibling(root: &Root, path: &[u8], of: &Metadata, headers: Headers<'_>) -> Chosen {
    if !headers.has("accept-encoding") {
        return Chosen::Plain;
    }
    let mut best: Option<(Coding, File, Metadata)> = None;
    for coding in CODINGS {
        // Open only a sibling that would be preferred to the best so far.
        let is_wanted = match &best {
            Some((rival, ..)) => choose(headers, &[rival.token(), coding.token()]),
            None => choose(headers, &[coding.token()]),
        };
        if is_wanted != Choice::Coding(coding.token()) {
            continue;
        }
        if let Ok(Found::File(file, metadata)) = root.find(&[path, coding.suffix()].concat()) {
            let is_current = metadata.modified().ok().zip(of.modified().ok()).is_some_and(|(its, files)| its >= files);
            if is_current {
                best = Some((coding, file, metadata));
            }
        }
    }
    match best {
        Some((coding, file, metadata)) => Chosen::Sibling(coding, file, metadata),
        None if choose(headers, &[]) == Choice::NotAcceptable => Chosen::Nothing,
        None => Chosen::Plain,
    }
}
