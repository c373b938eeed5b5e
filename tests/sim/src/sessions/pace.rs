//! A loop that a thread runs in the shipped programs: here it is a task that gets its turn late now and then. Must not know
//! what the loop does.

use rand::RngExt as _;
use rand::rngs::StdRng;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// The longest wait for a turn, in milliseconds.
const WAIT_MS_MAX: u64 = 20;

/// Runs `work` to its end.
pub(super) async fn paced(work: impl Future<Output = ()>, mut rng: StdRng) {
    let mut work = pin!(work);
    let mut wait: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if wait.is_none() && rng.random_bool(0.3) {
            // wait: simulated; a thread that gets its turn late
            wait = Some(Box::pin(sleep(Duration::from_millis(rng.random_range(1..=WAIT_MS_MAX)))));
        }
        if let Some(wait) = &mut wait {
            ready!(wait.as_mut().poll(cx));
        }
        wait = None;
        match work.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
}
