//! What each workspace and each token may take in a second, and how long a workspace's log may be. Must not know sessions or
//! requests.
//!
//! A rate is a bucket (GCRA) that holds one second's worth: whoever has not used it for a second finds it full. What is more than
//! that at once is taken in parts, one after the other.

use crate::auth::{Auth, Grant};
use crate::catalog::Allowance;
use crate::config::LimitSettings;
use comptoir_engine::id::WorkspaceId;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Workspaces and tokens whose buckets are kept. Where there are more, those that are full are forgotten.
const KEPT_MAX: usize = 4_096;
/// The token's buckets, and the workspace's.
const WHOSE: usize = 2;
/// Whoever waits looks at the limits again after so long.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// After so long without use a bucket is full.
const FULL_AFTER: Duration = Duration::from_secs(2);

/// Time since the relay began, as tokio counts it.
#[derive(Debug, Clone)]
struct Ticks(Instant);

impl Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

type Bucket = RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Nanos>>;

/// What is asked for at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Changes.
    pub changes: u32,
    /// Their bytes.
    pub bytes: u32,
    /// Requests.
    pub requests: u32,
}

impl Load {
    fn parts(self) -> [u32; 3] {
        [self.changes, self.bytes, self.requests]
    }
}

/// The buckets of one workspace or token, each with its rate, in the order of [`Load::parts`]; none where there is no limit.
struct Buckets {
    of: Allowance,
    each: [Option<(Bucket, u32)>; 3],
}

impl Buckets {
    fn new(of: Allowance, ticks: &Ticks) -> Self {
        let rates = [of.changes_per_second, of.bytes_per_second, of.requests_per_second];
        let each = rates.map(|rate| {
            let rate = NonZeroU32::new(rate?)?;
            Some((Bucket::direct_with_clock(Quota::per_second(rate), ticks.clone()), rate.get()))
        });
        Self { of, each }
    }
}

/// Takes so many, at most a second's worth; how long to wait where they are not there yet.
fn take(bucket: &Bucket, ticks: &Ticks, asked: u32) -> Result<(), Duration> {
    let Some(asked) = NonZeroU32::new(asked) else { return Ok(()) };
    match bucket.check_n(asked) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(early)) => Err(early.wait_time_from(ticks.now()).max(Duration::from_millis(1))),
        // More than fits is asked for in parts by the callers here.
        Err(_) => Ok(()),
    }
}

/// All limits of a relay.
pub struct Limits {
    settings: Allowance,
    auth: Auth,
    ticks: Ticks,
    kept: Mutex<HashMap<String, (Arc<Buckets>, Instant)>>,
}

impl Limits {
    /// As the settings say, and where the operator has decided otherwise for a workspace, so.
    pub fn new(settings: &LimitSettings, auth: Auth) -> Arc<Self> {
        let settings = Allowance {
            changes_per_second: Some(settings.changes_per_second),
            bytes_per_second: Some(settings.bytes_per_second),
            requests_per_second: Some(settings.requests_per_second),
            log_bytes_max: Some(settings.log_bytes_max),
        };
        Arc::new(Self { settings, auth, ticks: Ticks(Instant::now()), kept: Mutex::default() })
    }

    /// How long a workspace's log may be, in bytes; `None`: as long as there is room.
    pub fn log_bytes_max(&self, workspace: &WorkspaceId) -> Option<u64> {
        self.of(workspace).log_bytes_max.filter(|bytes_max| *bytes_max > 0)
    }

    /// Whether what this grant's sessions push is limited.
    pub fn slows(&self, grant: &Grant) -> bool {
        self.buckets(grant).iter().any(|buckets| buckets.each[..2].iter().any(Option::is_some))
    }

    /// Takes what is asked for, and waits while it is not there; a limit that changes meanwhile counts from then on.
    pub async fn pass(&self, grant: &Grant, load: Load) {
        for whose in 0..WHOSE {
            for (kind, mut asked) in load.parts().into_iter().enumerate() {
                while asked > 0 {
                    let buckets = &self.buckets(grant)[whose];
                    let Some((bucket, rate)) = &buckets.each[kind] else { break };
                    let part = asked.min(*rate);
                    match take(bucket, &self.ticks, part) {
                        Ok(()) => asked -= part,
                        // wait: until the bucket holds as much, or the limit may have changed
                        Err(early) => sleep(early.min(LOOK_AGAIN)).await,
                    }
                }
            }
        }
    }

    /// Takes what is asked for, a second's worth at most; how long to wait where it is not there.
    pub fn try_pass(&self, grant: &Grant, load: Load) -> Result<(), Duration> {
        for buckets in self.buckets(grant) {
            for (bucket, asked) in buckets.each.iter().zip(load.parts()) {
                let Some((bucket, rate)) = bucket else { continue };
                take(bucket, &self.ticks, asked.min(*rate))?;
            }
        }
        Ok(())
    }

    fn of(&self, workspace: &WorkspaceId) -> Allowance {
        self.auth.allowance(workspace).or(self.settings)
    }

    /// Of the token first: a token that is too fast takes nothing of its workspace's.
    fn buckets(&self, grant: &Grant) -> [Arc<Buckets>; WHOSE] {
        let workspace = grant.workspace();
        let token = self.kept(format!("token {}", grant.id()), grant.allowance());
        [token, self.kept(format!("workspace {workspace}"), self.of(workspace))]
    }

    fn kept(&self, name: String, of: Allowance) -> Arc<Buckets> {
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((buckets, used)) = kept.get_mut(&name).filter(|(buckets, _)| buckets.of == of) {
            *used = now;
            return buckets.clone();
        }
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (_, used)| now.duration_since(*used) < FULL_AFTER);
        }
        let buckets = Arc::new(Buckets::new(of, &self.ticks));
        kept.insert(name, (buckets.clone(), now));
        buckets
    }
}
