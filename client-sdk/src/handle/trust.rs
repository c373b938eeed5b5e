//! Whom a store believes when it connects. Must not know TLS.

use super::Comptoir;
use crate::error::Error;
use crate::worker::Command;

impl Comptoir {
    /// From the next connection on a relay at a `wss://` address is believed only if one of these certificates, in PEM,
    /// vouches for it: those of a shop's own authority, or the relay's own. `None`: those the system believes, as at first.
    /// Kept beside the store, 1 MiB at most; a backup of the store does not hold them.
    pub async fn trust_relay(&self, certificates: Option<Vec<u8>>) -> Result<(), Error> {
        if let Some(pem) = &certificates {
            crate::tls::check(pem)?;
        }
        let keep = move |machine: &mut dyn crate::machine::Machine| machine.keep_relay_ca(certificates.as_deref());
        self.ask(|reply| Command::Use(Box::new(move |worker| drop(reply.send(worker.with_machine(keep)))))).await
    }
}
