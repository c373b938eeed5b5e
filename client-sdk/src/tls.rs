//! TLS to the relay: whom this device believes. Must not know what travels over it.

use crate::error::Error;
use crate::machine::Stream;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// The longest file of certificates that may vouch for a relay, in bytes.
pub(crate) const RELAY_CA_BYTES_MAX: u64 = 1 << 20;

/// Why there is no TLS connection.
pub(crate) enum Fault {
    /// Nobody this device believes vouches for the other side.
    Untrusted(String),
    /// Anything else.
    Broken(String),
}

/// Whether these certificates can vouch for a relay.
pub(crate) fn check(relay_ca: &[u8]) -> Result<(), Error> {
    roots(relay_ca).map(drop).map_err(|cause| Error::RelayCa { cause })
}

/// The certificates in a PEM text, as the only ones that may vouch for the relay.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err("it holds no certificate in PEM".to_owned()),
        false => Ok(roots),
    }
}

/// TLS 1.2 or later. With `relay_ca` only what it vouches for is believed, else what the system believes.
fn config(relay_ca: Option<&[u8]>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let mut config = match relay_ca {
        Some(pem) => builder.with_root_certificates(roots(pem)?).with_no_client_auth(),
        None => builder.with_platform_verifier().map_err(|error| error.to_string())?.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The handshake; whoever calls has the deadline.
pub(crate) async fn open<S: Stream + 'static>(
    stream: S,
    host: String,
    relay_ca: Option<Vec<u8>>,
) -> Result<Box<dyn Stream>, Fault> {
    let config = config(relay_ca.as_deref()).map_err(Fault::Untrusted)?;
    let name = ServerName::try_from(host).map_err(|error| Fault::Broken(error.to_string()))?;
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) if is_distrust(&error) => Err(Fault::Untrusted(error.to_string())),
        Err(error) => Err(Fault::Broken(error.to_string())),
    }
}

fn is_distrust(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}
