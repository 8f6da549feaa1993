//! The client of a connection or a request behind proxies. This is the only place that decides it; `Cx` answers by it.
//!
//! Most connections have no caller: their client is the other end of their socket. A connection has one if its peer is trusted
//! (`--trusted-proxies`), or if it began with a header of the PROXY protocol, whose source is then its peer. A request of a trusted peer
//! has one of its own if fields of its head say more. What is not known is that of the connection.

mod fields;
mod forwarded;
mod node;
mod peer;

#[cfg(test)]
mod tests;

pub use peer::called;

use crate::app::Tls;
use crate::http::Headers;
use crate::proxy_header::{Announced, Ends};
use std::borrow::Cow;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_common::config::ProxyConfig;
use tine_common::log::Burst;

/// Further connections without a header are not logged before there was none for this long.
const BURST_QUIET: Duration = Duration::from_secs(60);

/// The client, as a proxy describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    client: Option<SocketAddr>,
    local: Option<SocketAddr>,
    is_https: bool,
    host: Option<Box<str>>,
    announced: Option<Rc<Announcement>>,
    /// The fields of its requests count.
    is_proxy: bool,
}

/// What the header of the PROXY protocol says besides the addresses.
#[derive(Debug, Default, PartialEq, Eq)]
struct Announcement {
    /// That of the client with the proxy, if it is not our own.
    tls: Option<Rc<Tls>>,
    authority: Option<String>,
    alpn: Option<String>,
    unique_id: Option<Vec<u8>>,
}

impl Caller {
    /// The client's address; its port is 0 if that is not known. `None`: it is on a Unix socket.
    pub fn client(&self) -> Option<SocketAddr> {
        self.client
    }

    /// The address that the client connected to, if it is not this end of the connection.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// The client's scheme is https.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host that the client asked for, perhaps with a port, where it is not that of the request.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The session of the client with a proxy that has announced the connection.
    pub(crate) fn tls(&self) -> Option<&Rc<Tls>> {
        self.announced.as_ref()?.tls.as_ref()
    }

    /// From the header of the PROXY protocol (PP2_TYPE_AUTHORITY): the name that the client asked for.
    pub fn authority(&self) -> Option<&str> {
        self.announced.as_ref()?.authority.as_deref()
    }

    /// From the same (PP2_TYPE_ALPN): the protocol that the client and the proxy have agreed on.
    pub fn alpn(&self) -> Option<&str> {
        self.announced.as_ref()?.alpn.as_deref()
    }

    /// From the same (PP2_TYPE_UNIQUE_ID): up to 128 bytes of any kind.
    pub fn unique_id(&self) -> Option<&[u8]> {
        self.announced.as_ref()?.unique_id.as_deref()
    }

    /// The connection is not a client's, but a proxy's for any number of clients.
    pub(crate) fn is_proxy(&self) -> bool {
        self.is_proxy
    }
}

/// What a worker believes of proxies.
pub struct Proxies {
    config: ProxyConfig,
    /// Connections that were closed for want of a header.
    unannounced: RefCell<Burst>,
}

impl Proxies {
    /// `None`: there is nothing to ask. `announces`: there is an address marked `proxy:`.
    pub fn of(config: &ProxyConfig, announces: bool) -> Option<Proxies> {
        let unannounced = RefCell::new(Burst::new(1, BURST_QUIET));
        (announces || !config.trusted.is_empty()).then(|| Proxies { config: config.clone(), unannounced })
    }

    /// Of a connection just accepted. `peer`: the address of its other end. `None`: that is its client.
    pub fn of_connection(&self, peer: Option<SocketAddr>, is_tls: bool) -> Option<Rc<Caller>> {
        let is_proxy = self.trusts(peer);
        is_proxy.then(|| Rc::new(Caller { client: peer, is_https: is_tls, is_proxy, ..Caller::default() }))
    }

    /// Whether a connection is a trusted proxy's.
    pub fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        self.config.trusts(peer.map(|peer| peer.ip()))
    }

    /// Whether a peer may announce connections: any, unless some are trusted.
    pub fn may_announce(&self, peer: Option<SocketAddr>) -> bool {
        self.config.trusted.is_empty() || self.trusts(peer)
    }

    /// Of a connection that was announced. `peer`: the address of its other end.
    pub fn of_announced(&self, announced: Announced, peer: Option<SocketAddr>, is_tls: bool) -> Rc<Caller> {
        let Announced { ends, authority, alpn, unique_id, tls } = announced;
        let client = ends.client_or(peer);
        let (local, is_proxy) = match ends {
            Ends::Own => (None, self.trusts(peer)),
            Ends::Known { client, local } => (Some(local), self.config.has_proxy(client.ip())),
            // Not one of this machine.
            Ends::Unix => (None, false),
        };
        let is_https = is_tls || tls.is_some();
        let tls = tls.map(|tls| {
            let text = |text: Option<String>| text.map_or(Cow::Borrowed("unknown"), Cow::Owned);
            Rc::new(Tls {
                version: text(tls.version),
                cipher: text(tls.cipher),
                server_name: authority.clone(),
                is_resumed: false,
                client: tls.client_name.map(|name| crate::tls::ClientCertificate::named(&name)),
            })
        });
        let announcement = Announcement { tls, authority, alpn, unique_id };
        let announced = (announcement != Announcement::default()).then(|| Rc::new(announcement));
        Rc::new(Caller { client, local, is_https, host: None, announced, is_proxy })
    }

    /// Of a request of a connection with a caller. `None`: the same, as nothing in its head says more. No memory is allocated then.
    #[inline(never)]
    pub fn of_request(&self, headers: Headers<'_>, connection: &Caller) -> Option<Rc<Caller>> {
        fields::read(headers, connection, &self.config).map(Rc::new)
    }

    /// A connection was closed for want of a header: one line, and no other soon.
    pub fn on_unannounced(&self, peer: Option<SocketAddr>, local: Option<SocketAddr>, why: &str, now: Instant) {
        let mut burst = self.unannounced.borrow_mut();
        let before = burst.ended(now).map_or(0, |ended| ended.count - 1);
        if burst.admits(now) {
            let name = |end: Option<SocketAddr>| end.map_or("a Unix socket".to_string(), |end| end.to_string());
            let before = if before > 0 { format!(" ({before} more before)") } else { String::new() };
            log::warn!(
                "closed a connection from {} to {}{before}: {why}; further ones are counted (tine_proxy_headers_failed_total)",
                name(peer),
                name(local)
            );
        }
    }
}
