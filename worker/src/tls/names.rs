//! Which certificate a client gets: the one whose names have the name that it asks for (SNI), exactly or by a wildcard for one
//! label, or else the first.

use super::Pair;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Debug)]
pub struct Names {
    pairs: Vec<Arc<CertifiedKey>>,
    /// Places in `pairs`, in the order of the options: a name may have certificates with different kinds of keys. In lower case;
    /// a wildcard is without its `*`.
    by_name: HashMap<String, Vec<usize>>,
}

impl Names {
    pub fn new(pairs: Vec<Pair>) -> Names {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, pair) in pairs.iter().enumerate() {
            for name in &pair.names {
                let name = name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase();
                by_name.entry(name).or_default().push(place);
            }
        }
        Names { pairs: pairs.into_iter().map(|pair| Arc::new(pair.certified)).collect(), by_name }
    }

    /// The certificates of a name, which is in lower case.
    fn of(&self, name: &str) -> Option<&[usize]> {
        let wildcard = || name.find('.').filter(|&at| at > 0).and_then(|at| self.by_name.get(&name[at..]));
        self.by_name.get(name).filter(|_| !name.starts_with('.')).or_else(wildcard).map(Vec::as_slice)
    }

    /// Whether a certificate has the name of a request's host, which may have a port. IP addresses are never refused: clients
    /// that use them have accepted the certificate as it is.
    pub fn cover(&self, host: &str) -> bool {
        if host.starts_with('[') {
            return true;
        }
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        name.parse::<IpAddr>().is_ok() || self.of(&name).is_some()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let of_name = hello.server_name().and_then(|name| self.of(&name.to_ascii_lowercase()));
        let suits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(hello.signature_schemes()).is_some();
        let mut candidates = of_name.into_iter().flatten().map(|&place| &self.pairs[place]);
        candidates.find(suits).or_else(|| self.pairs.iter().find(suits)).or_else(|| self.pairs.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_exactly_or_by_one_label() {
        let by_name = [("a.test", 0), (".a.test", 1), ("b.a.test", 2)];
        let by_name = by_name.map(|(name, place)| (name.to_string(), vec![place])).into();
        let names = Names { pairs: Vec::new(), by_name };
        for (name, place) in [
            ("a.test", Some(0)),
            ("b.a.test", Some(2)),
            ("c.a.test", Some(1)),
            ("d.c.a.test", None),
            (".a.test", None),
            ("test", None),
            ("", None),
        ] {
            assert_eq!(names.of(name).map(|places| places[0]), place, "{name}");
        }
        for (host, is_covered) in [
            ("A.test", true),
            ("a.test:8443", true),
            ("a.test.:443", true),
            ("x.A.TEST", true),
            ("x.y.a.test", false),
            ("127.0.0.1:8443", true),
            ("[::1]:8443", true),
            ("other.test", false),
            ("", false),
        ] {
            assert_eq!(names.cover(host), is_covered, "{host}");
        }
    }
}
