//! A real S3 server on loopback, with one bucket in a folder. Must not know what is kept in it.

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use s3s_fs::FileSystem;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

const BUCKET: &str = "shop-backups";
/// Who may use the bucket.
pub const KEY: &str = "AKIDTESTS";
/// What only they know.
pub const SECRET: &str = "a-secret-of-the-tests";

/// The server. It ends when dropped.
pub struct Server {
    address: SocketAddr,
    folder: PathBuf,
    keeps_all: Arc<AtomicBool>,
    /// The file with the certificate that it shows, where it speaks TLS.
    certificate: Option<PathBuf>,
    /// Its tasks end with it.
    _runtime: Runtime,
}

/// What its users may do.
struct Access {
    keeps_all: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, asked: &mut S3AccessContext<'_>) -> S3Result<()> {
        let is_known = asked.credentials().is_some();
        let is_kept = self.keeps_all.load(Ordering::Relaxed) && asked.s3_op().name().starts_with("Delete");
        if is_known && !is_kept { Ok(()) } else { Err(s3_error!(AccessDenied)) }
    }
}

impl Server {
    /// Serves the folder `root`, which is made, on a free port.
    pub fn start(root: &Path) -> Self {
        Self::serve(root, None)
    }

    /// As [`Server::start`], with TLS; its certificate is in the file `certificate`.
    pub fn start_with_tls(root: &Path, certificate: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        fs::write(certificate, made.cert.pem()).expect("written");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.into()], key);
        Self::serve(root, Some((Arc::new(config.expect("a key of the certificate")).into(), certificate.to_owned())))
    }

    fn serve(root: &Path, tls: Option<(TlsAcceptor, PathBuf)>) -> Self {
        let folder = root.join(BUCKET);
        fs::create_dir_all(&folder).expect("a folder");
        let keeps_all = Arc::new(AtomicBool::new(false));
        let mut builder = S3ServiceBuilder::new(FileSystem::new(root).expect("a folder"));
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        builder.set_access(Access { keeps_all: keeps_all.clone() });
        let service = builder.build().into_shared();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (acceptor, certificate) = tls.unzip();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), service.clone());
                tokio::spawn(async move {
                    // Who asks hears of what went wrong.
                    let _ = match acceptor {
                        None => http1::Builder::new().serve_connection(TokioIo::new(stream), service).await,
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
                        }
                    };
                });
            }
        });
        Self { address, folder, keeps_all, certificate, _runtime: runtime }
    }

    /// The bucket, with a prefix.
    pub fn place(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("{}://{}", if self.certificate.is_some() { "https" } else { "http" }, self.address)
    }

    /// The bucket's files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on nobody may remove anything.
    pub fn keep_all(&self) {
        self.keeps_all.store(true, Ordering::Relaxed);
    }

    /// What a program is told to find it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let keys = [("AWS_ACCESS_KEY_ID", KEY.to_owned()), ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned())];
        let trust = match &self.certificate {
            Some(certificate) => ("SSL_CERT_FILE", certificate.display().to_string()),
            None => ("AWS_ALLOW_HTTP", "true".to_owned()),
        };
        [("AWS_ENDPOINT", self.endpoint()), trust].into_iter().chain(keys).collect()
    }
}
