//! Siblings: `app.js.br` beside `app.js` is the same file in a coding, made once instead of at each request.

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

/// The one that we prefer first, as it is mostly the smallest.
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

    /// What a sibling's name has behind the file's.
    fn ending(self) -> &'static [u8] {
        match self {
            Coding::Brotli => b".br",
            Coding::Zstd => b".zst",
            Coding::Gzip => b".gz",
        }
    }
}

/// What a client is sent.
pub enum Chosen {
    Sibling(Coding, File, Metadata),
    /// The file as it is.
    Plain,
    /// 406: it wants the file in no form that we have.
    Nothing,
}

/// The sibling of the file at `path` that the client wants most. One that is older than its file is of an older version,
/// and passed over; so is what cannot be opened or is no regular file. Without Accept-Encoding a client gets the file as
/// it is: it may, but need not, know any coding.
pub fn choose_sibling(root: &Root, path: &[u8], of: &Metadata, headers: Headers<'_>) -> Chosen {
    if !headers.has("accept-encoding") {
        return Chosen::Plain;
    }
    let mut best: Option<(Coding, File, Metadata)> = None;
    for coding in CODINGS {
        // Only what would win is looked for.
        let is_wanted = match &best {
            Some((rival, ..)) => choose(headers, &[rival.token(), coding.token()]),
            None => choose(headers, &[coding.token()]),
        };
        if is_wanted != Choice::Coding(coding.token()) {
            continue;
        }
        if let Ok(Found::File(file, metadata)) = root.find(&[path, coding.ending()].concat()) {
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
