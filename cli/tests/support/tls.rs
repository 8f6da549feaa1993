//! Certificates for tests, servers that have them, and a client of TLS.

use super::{Server, connections_on, eventually, patience, scratch_folder, sockets_of};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

/// Files of a certificate and its key.
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    /// Self-signed, for these names.
    pub fn of(names: &[&str]) -> Pair {
        Pair::with(names, |_| {})
    }

    /// The same, with changes.
    pub fn with(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let (mut params, key) = params_of(names);
        change(&mut params);
        let certificate = params.self_signed(&key).expect("a certificate");
        Pair::write(&certificate.pem(), &key.serialize_pem())
    }

    pub fn write(certificate: &str, key: &str) -> Pair {
        let folder = scratch_folder();
        let pair = Pair { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        fs::write(&pair.cert, certificate).expect("written");
        fs::write(&pair.key, key).expect("written");
        pair
    }

    /// This one's files get the contents of the other's.
    pub fn become_like(&self, other: &Pair) {
        fs::copy(&other.cert, &self.cert).expect("copied");
        fs::copy(&other.key, &self.key).expect("copied");
    }

    pub fn options(&self) -> [&str; 4] {
        ["--tls-cert", text(&self.cert), "--tls-key", text(&self.key)]
    }

    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let all = CertificateDer::pem_file_iter(&self.cert).expect("a file");
        all.map(|one| one.expect("a certificate")).collect()
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn params_of(names: &[&str]) -> (CertificateParams, KeyPair) {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut params = CertificateParams::new(names.clone()).expect("names");
    params.distinguished_name.push(DnType::CommonName, names[0].clone());
    let days = |count: u64| Duration::from_secs(count * 24 * 3600);
    (params.not_before, params.not_after) =
        ((SystemTime::now() - days(1)).into(), (SystemTime::now() + days(90)).into());
    (params, KeyPair::generate().expect("a key"))
}

/// An authority that issues certificates.
pub struct Authority {
    pub certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let (mut params, key) = params_of(&[name]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// The certificate and the key of a subject with these names, in PEM.
    pub fn issue(&self, names: &[&str]) -> (String, String) {
        let (params, key) = params_of(names);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// The certificate of all servers of a test program whose transport is TLS.
pub fn pair_of_all() -> &'static Pair {
    static PAIR: LazyLock<Pair> = LazyLock::new(|| Pair::of(&["127.0.0.1"]));
    &PAIR
}

impl Server {
    /// `tine run 0 --tls-listen 127.0.0.1:0` with this pair and these options.
    pub fn start_https(pair: &Pair, options: &[&str]) -> Server {
        let all = ["--tls-listen", "127.0.0.1:0"].into_iter().chain(pair.options()).chain(options.iter().copied());
        Server::start(&all.collect::<Vec<_>>())
    }

    /// Its address of HTTPS.
    #[track_caller]
    pub fn https(&self) -> SocketAddr {
        let said = self.stdout();
        let line = said.lines().find_map(|line| line.trim().strip_prefix("https://"));
        line.and_then(|address| address.parse().ok()).expect("an address of HTTPS")
    }
}

/// A client that trusts one certificate, and its sessions.
#[derive(Clone)]
pub struct TlsClients(Arc<ClientConfig>);

pub type TlsClient = StreamOwned<ClientConnection, TcpStream>;

impl TlsClients {
    pub fn trusting(pair: &Pair) -> TlsClients {
        TlsClients::trusting_as(pair, None, &[])
    }

    pub fn of_version(pair: &Pair, version: &'static SupportedProtocolVersion) -> TlsClients {
        TlsClients::made(pair, None, &[], &[version])
    }

    /// With a certificate of their own, and these protocols.
    pub fn trusting_as(pair: &Pair, own: Option<&Pair>, protocols: &[&str]) -> TlsClients {
        TlsClients::made(pair, own, protocols, ALL_VERSIONS)
    }

    fn made(
        pair: &Pair,
        own: Option<&Pair>,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsClients {
        let mut roots = RootCertStore::empty();
        roots.add(pair.certificates().pop().expect("the last one")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let builder = builder.expect("versions").with_root_certificates(roots);
        let mut config = match own {
            Some(own) => {
                let key = PrivateKeyDer::from_pem_file(&own.key).expect("a key");
                builder.with_client_auth_cert(own.certificates(), key).expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(64);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsClients(Arc::new(config))
    }

    pub fn session(&self, name: ServerName<'static>) -> ClientConnection {
        ClientConnection::new(self.0.clone(), name).expect("a client")
    }

    /// Connects; the handshake is made with the first read or write.
    pub fn connect(&self, address: SocketAddr, name: &str) -> TlsClient {
        let socket = TcpStream::connect(address).expect("connect");
        socket.set_read_timeout(Some(patience())).expect("a timeout");
        let name = ServerName::try_from(name.to_string()).expect("a name");
        StreamOwned::new(self.session(name), socket)
    }

    /// One request on a connection of its own: all of the response. The error may be that of a session that was cut.
    pub fn try_get(&self, address: SocketAddr, name: &str, path: &str) -> io::Result<(String, TlsClient)> {
        let mut client = self.connect(address, name);
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut response = Vec::new();
        client.read_to_end(&mut response)?;
        Ok((String::from_utf8_lossy(&response).into_owned(), client))
    }

    #[track_caller]
    pub fn get(&self, address: SocketAddr, name: &str, path: &str) -> String {
        self.try_get(address, name, path).unwrap_or_else(|e| panic!("{path}: {e}")).0
    }

    /// Connects and gets `path` again and again, on connections that are kept, until each of these workers has one of them.
    #[track_caller]
    pub fn reach_all(&self, address: SocketAddr, path: &str, workers: &[i32]) -> Vec<TlsClient> {
        let mut clients = Vec::new();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        eventually("each worker has a connection", || {
            let mut client = self.connect(address, "localhost");
            client.write_all(request.as_bytes()).expect("sent");
            // The tickets have come before it.
            client.read_exact(&mut [0; 15]).expect("a response");
            clients.push(client);
            let open: Vec<String> = connections_on(address.port()).into_iter().map(|(_, inode)| inode).collect();
            let has_one = |pid: &i32| sockets_of(*pid).iter().any(|inode| open.contains(inode));
            workers.iter().all(has_one).then_some(())
        });
        clients
    }
}

pub type TlsServer = StreamOwned<ServerConnection, TcpStream>;

/// A server that treats each connection like this, in a thread of its own, once `greet` has done with its cleartext; its port.
pub fn tls_peer_after(
    pair: &Pair,
    greet: impl Fn(&mut TcpStream) + Send + Sync + 'static,
    treat: impl Fn(TlsServer) + Send + Sync + 'static,
) -> u16 {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
    let config = builder.expect("versions").with_no_client_auth().with_single_cert(pair.certificates(), key);
    let config = Arc::new(config.expect("a pair"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let does = Arc::new((greet, treat));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Tests wait for what was sent: it does not wait in turn for the acknowledgement of what was sent before.
            stream.set_nodelay(true).expect("no delay");
            let (does, config) = (Arc::clone(&does), Arc::clone(&config));
            std::thread::spawn(move || {
                does.0(&mut stream);
                does.1(StreamOwned::new(ServerConnection::new(config).expect("a session"), stream));
            });
        }
    });
    port
}

/// The same, without cleartext.
pub fn tls_peer(pair: &Pair, treat: impl Fn(TlsServer) + Send + Sync + 'static) -> u16 {
    tls_peer_after(pair, |_| {}, treat)
}
