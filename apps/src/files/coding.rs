//! Precompressed siblings: `app.js.br` beside `app.js` is the same file in a coding, made once instead of at each
//! request.

use tine_worker::http::Headers;
use tine_worker::http::accept_encoding::{Choice, choose};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Brotli,
    Zstd,
    Gzip,
}

/// In order of preference: the first is usually the smallest.
pub const CODINGS: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

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
    pub fn suffix(self) -> &'static [u8] {
        match self {
            Coding::Brotli => b".br",
            Coding::Zstd => b".zst",
            Coding::Gzip => b".gz",
        }
    }
}

/// What is sent to the client.
pub enum Chosen<T> {
    Sibling(T),
    /// The file as it is.
    Plain,
    /// 406: no form of the file is acceptable to the client.
    Nothing,
}

/// The sibling that the client prefers; `find` looks for one that can be served. Without Accept-Encoding the file is sent
/// as it is: the client may not know any coding.
pub fn choose_sibling<T>(headers: Headers<'_>, mut find: impl FnMut(Coding) -> Option<T>) -> Chosen<T> {
    if !headers.has("accept-encoding") {
        return Chosen::Plain;
    }
    let mut best: Option<(Coding, T)> = None;
    for coding in CODINGS {
        // Look only for a sibling that would be preferred to the best so far.
        let is_wanted = match &best {
            Some((rival, _)) => choose(headers, &[rival.token(), coding.token()]),
            None => choose(headers, &[coding.token()]),
        };
        if is_wanted == Choice::Coding(coding.token())
            && let Some(sibling) = find(coding)
        {
            best = Some((coding, sibling));
        }
    }
    match best {
        Some((_, sibling)) => Chosen::Sibling(sibling),
        None if choose(headers, &[]) == Choice::NotAcceptable => Chosen::Nothing,
        None => Chosen::Plain,
    }
}
