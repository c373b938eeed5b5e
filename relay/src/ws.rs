//! Sessions: what a device and the relay say to each other over one WebSocket. Must not know HTTP, or how a log keeps
//! its rows. Works on any stream of bytes, so a simulated network can carry it.

mod compare;
mod comparison;
mod exchange;
mod follow;
mod kinds;
mod meter;
mod pass;
mod pushes;
mod session;
mod socket;

use crate::audit::{Audit, Deed};
use crate::auth::{Auth, Grant};
use crate::config::Config;
use crate::limits::Limits;
use crate::lobby::Guest;
use crate::log::LogError;
use crate::room::{EnterError, Hub};
use comptoir_engine::codec::CodecError;
use comptoir_engine::wire::message::{Denial, FromDevice, FromRelay, Hello};
use pass::Pass;
use session::Session;
use socket::{Incoming, Outgoing};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::{Instrument as _, Span};

pub use comparison::Comparison;
pub use exchange::{Due, Exchange, Task};

/// How a session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The device left, or its connection broke.
    Gone,
    /// The device let a deadline pass.
    Silent,
    /// The relay ends it and says why.
    Denied(Denial),
}

impl From<CodecError> for End {
    fn from(error: CodecError) -> Self {
        Self::Denied(Denial::Unreadable(error.to_string()))
    }
}

impl From<LogError> for End {
    fn from(error: LogError) -> Self {
        if error != LogError::Unavailable {
            tracing::error!(%error, "a session ends because the log cannot be read or written");
        }
        Self::Denied(Denial::Unavailable)
    }
}

impl From<EnterError> for End {
    fn from(error: EnterError) -> Self {
        match error {
            EnterError::Log(error) => error.into(),
            EnterError::Full { sessions_max } => over_limit("sessions in a workspace", u64::from(sessions_max)),
        }
    }
}

fn over_limit(limit: &str, limit_max: u64) -> End {
    End::Denied(Denial::OverLimit { limit: limit.to_owned(), limit_max })
}

/// A session's deadlines.
#[derive(Debug, Clone, Copy)]
struct Deadlines {
    hello: Duration,
    idle: Duration,
    ping: Duration,
    write: Duration,
}

/// What every session needs: who may enter, where to, and within which limits.
pub struct Door {
    auth: Auth,
    audit: Audit,
    hub: Arc<Hub>,
    reconciles: Arc<Semaphore>,
    shutdown: watch::Receiver<bool>,
    deadlines: Deadlines,
    limits: Option<Arc<Limits>>,
}

impl Door {
    /// Lets sessions into `hub` until `shutdown` turns true.
    pub fn new(auth: Auth, audit: Audit, hub: Arc<Hub>, config: &Config, shutdown: watch::Receiver<bool>) -> Self {
        let deadlines = Deadlines {
            hello: Duration::from_millis(config.hello_timeout_ms),
            idle: Duration::from_millis(config.idle_timeout_ms),
            ping: Duration::from_millis(config.ping_interval_ms),
            write: Duration::from_millis(config.write_timeout_ms),
        };
        let reconciles = Arc::new(Semaphore::new(config.reconciles_max as usize));
        Self { auth, audit, hub, reconciles, shutdown, deadlines, limits: None }
    }

    /// Lets sessions push no more than these limits.
    pub fn with_limits(self, limits: Arc<Limits>) -> Self {
        Self { limits: Some(limits), ..self }
    }

    /// Where its sessions go.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Whether sessions can be served now.
    pub fn is_ready(&self) -> bool {
        self.hub.log().is_ready() && !*self.shutdown.borrow()
    }

    /// Serves one session on a stream that has been upgraded to WebSocket, to its end.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, guest: &Guest) {
        self.serve_within(stream, guest, self.limits.clone()).await;
    }

    /// As [`Door::serve`], for a device of the relay's own, whose callers have kept to the limits already.
    pub async fn serve_own<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, guest: &Guest) {
        self.serve_within(stream, guest, None).await;
    }

    async fn serve_within<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        guest: &Guest,
        limits: Option<Arc<Limits>>,
    ) {
        let (mut outgoing, mut incoming) = socket::open(stream, self.deadlines.write).await;
        let greeted = tokio::select! {
            biased;
            greeted = self.greet(&mut outgoing, &mut incoming, limits) => greeted,
            () = guest.asked_to_go() => {
                self.hub.log().metrics().connection_refused("crowded");
                Err(over_limit("connections without a token", guest.guests_max() as u64))
            }
        };
        guest.welcome();
        let end = match greeted {
            Ok((session, span)) => {
                let (grant, device) = (session.grant().clone(), session.device().to_owned());
                let end =
                    session.run(&mut outgoing, &mut incoming, self.shutdown.clone()).instrument(span.clone()).await;
                span.in_scope(|| tracing::debug!(?end, "a session ended"));
                self.note("session.ended", &grant, &format!("{device}: {}", why(&end)));
                end
            }
            Err(end) => {
                tracing::debug!(?end, "no session began");
                end
            }
        };
        self.hub.log().metrics().session_ended(kinds::end(&end));
        socket::close(outgoing, incoming, end).await;
    }

    /// A message of a device that was not welcomed yet.
    async fn first<S: AsyncRead + AsyncWrite + Unpin>(&self, incoming: &mut Incoming<S>) -> Result<FromDevice, End> {
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            biased;
            () = stopped(&mut shutdown) => Err(End::Denied(Denial::ShuttingDown)),
            first = timeout(self.deadlines.hello, incoming.next()) => first.map_err(|_| End::Silent)?,
        }
    }

    /// The first message, its token, the welcome.
    async fn greet<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        outgoing: &mut Outgoing<S>,
        incoming: &mut Incoming<S>,
        limits: Option<Arc<Limits>>,
    ) -> Result<(Session, Span), End> {
        let mut hello = match self.first(incoming).await? {
            FromDevice::Hello(hello) => hello,
            FromDevice::Pair { code } => return Err(self.pair(outgoing, &code).await?),
            _ => return Err(End::Denied(Denial::OutOfTurn)),
        };
        match self.auth.spell_out(std::mem::take(&mut hello.token)) {
            Some(token) => hello.token = token,
            None => {
                outgoing.start(&FromRelay::TokenWanted).await?;
                outgoing.flushed().await?;
                let FromDevice::Hello(again) = self.first(incoming).await? else {
                    return Err(End::Denied(Denial::OutOfTurn));
                };
                hello = again;
            }
        }
        let grant = self.auth.check(&hello.token, &hello.workspace).map_err(|fault| {
            tracing::info!(%fault, "a device was turned away");
            // Whoever has no good token writes no lines into a file that is kept.
            if let Some(grant) = self.auth.read(&hello.token) {
                self.note("session.denied", &grant, &format!("{}: {fault}", named(&hello)));
            }
            End::Denied(fault.into())
        })?;
        if !grant.reads_any() {
            return Err(End::Denied(Denial::TokenTooNarrow));
        }
        self.auth.remember(&hello.token);
        let entered = timeout(self.deadlines.hello, self.hub.enter_as_shown(&grant)).await;
        let seat = entered.map_err(|_| LogError::Unavailable)??;
        incoming.welcome(seat.whole().clone());
        if let Some(readable) = grant.readable() {
            outgoing.start(&FromRelay::Readable(readable)).await?;
        }
        let (exchange, welcome) = Exchange::begin(&hello, &grant, seat.room());
        outgoing.start(&welcome).await?;
        let (workspace, device, device_name) = (grant.workspace(), hello.device(), named(&hello));
        let span = tracing::info_span!("session", %workspace, %device, %device_name, token_name = grant.name());
        span.in_scope(|| tracing::debug!("a session begins"));
        self.note("session.begun", &grant, exchange.device());
        let log = self.hub.log().clone();
        let pass = Pass::new(self.auth.clone(), grant);
        let session = Session::new(exchange, pass, seat, log, self.reconciles.clone(), (self.deadlines, limits));
        Ok((session, span))
    }

    fn note(&self, deed: &str, grant: &Grant, detail: &str) {
        let subject = grant.subject().map(ToString::to_string);
        let who = subject.as_deref().unwrap_or(grant.name());
        let (workspace, token) = (Some(grant.workspace()), Some(grant.id()));
        self.audit.note(&Deed { deed, who, workspace, token, detail });
    }

    /// A device comes with a code instead of a token, and goes with a token.
    async fn pair<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        outgoing: &mut Outgoing<S>,
        code: &str,
    ) -> Result<End, End> {
        let paired = timeout(self.deadlines.hello, self.auth.pair(code)).await;
        match paired.map_err(|_| End::Denied(Denial::Unavailable))? {
            Ok((paired, grant)) => {
                self.note("device.paired", &grant, "");
                outgoing.start(&FromRelay::Paired(paired)).await?;
                outgoing.flushed().await?;
                Ok(End::Gone)
            }
            Err(fault) => {
                tracing::info!(%fault, "a device came with a pairing code and was turned away");
                Err(End::Denied(fault.into()))
            }
        }
    }
}

fn why(end: &End) -> String {
    match end {
        End::Gone => "it left".to_owned(),
        End::Silent => "it went silent".to_owned(),
        End::Denied(denial) => denial.to_string(),
    }
}

fn named(hello: &Hello) -> String {
    hello.device_name.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

/// Returns when the relay stops, or nobody is left who could stop it.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means the sender is gone: the relay has stopped.
    let _ = shutdown.wait_for(|stopped| *stopped).await;
}
