//! Certificates of an authority that exists for one test. Must not know who shows or checks them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Certificate {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
    /// The certificate as it is shown.
    pub der: Vec<u8>,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }

    /// Its own certificate, in a file.
    pub fn write(&self, path: &Path) {
        fs::write(path, self.issuer.pem()).expect("written");
    }

    /// A certificate for 127.0.0.1.
    pub fn certify(&self) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate { cert: cert.pem(), key: key.serialize_pem(), der: cert.der().to_vec() }
    }

    /// The certificate that is shown at this address; `None` where no handshake comes about.
    pub fn shown_at(&self, address: SocketAddr) -> Option<Vec<u8>> {
        let mut stream = self.connect(address)?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        // The other side may end without a word of TLS.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        Some(stream.conn.peer_certificates()?.first()?.to_vec())
    }

    /// A TLS connection whose other side this authority vouches for.
    pub fn connect(&self, address: SocketAddr) -> Option<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::from(address.ip());
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let stream = TcpStream::connect_timeout(&address, crate::wait::DEADLINE).ok()?;
        stream.set_read_timeout(Some(crate::wait::DEADLINE)).expect("a timeout");
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).ok()?;
        }
        Some(stream)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a relay finds its certificate and key.
pub struct Files {
    /// The certificate's file.
    pub cert: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

impl Files {
    /// In a folder, not written yet.
    pub fn in_folder(folder: &Path) -> Self {
        Self { cert: folder.join("relay-cert.pem"), key: folder.join("relay-key.pem") }
    }

    /// Puts a certificate there, as those who renew certificates do: a new file takes the old one's place.
    pub fn write(&self, certificate: &Certificate) {
        for (path, text) in [(&self.cert, &certificate.cert), (&self.key, &certificate.key)] {
            let new = path.with_extension("new");
            fs::write(&new, text).and_then(|()| fs::rename(&new, path)).expect("written");
        }
    }

    /// The arguments of `serve`.
    pub fn args(&self) -> [&str; 4] {
        ["--tls-cert", text(&self.cert), "--tls-key", text(&self.key)]
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
