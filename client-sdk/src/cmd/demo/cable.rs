//! The network of the demo: a TCP proxy that can be cut. Must not know what flows through it.

use crate::error::Error;
use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Everything the devices say goes through it.
pub(super) struct Cable {
    pub(super) address: SocketAddr,
    whole: watch::Sender<bool>,
}

impl Cable {
    /// Lays it to the relay.
    pub(super) async fn lay(relay: &str) -> Result<Self, Error> {
        let failed = |cause: std::io::Error| Error::Demo { what: cause.to_string() };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (whole, watched) = watch::channel(true);
        tokio::spawn(forward(listener, relay.to_owned(), watched));
        Ok(Self { address, whole })
    }

    /// Ends every connection and lets none through.
    pub(super) fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub(super) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn forward(listener: TcpListener, relay: String, whole: watch::Receiver<bool>) {
    while let Ok((mut device, _)) = listener.accept().await {
        let (relay, mut whole) = (relay.clone(), whole.clone());
        if !*whole.borrow() {
            continue;
        }
        tokio::spawn(async move {
            let Ok(mut relay) = TcpStream::connect(relay).await else { return };
            let _ = relay.set_nodelay(true).and_then(|()| device.set_nodelay(true));
            tokio::select! {
                _ = copy_bidirectional(&mut device, &mut relay) => {}
                _ = whole.wait_for(|whole| !whole) => {}
            }
        });
    }
}
