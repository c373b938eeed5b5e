//! The change feed as JSON, with a long poll, and as Server-Sent Events. Must not know what a change is.

use super::RestError;
use super::caller::Caller;
use super::payload::{Asked, Named};
use super::records::page_limit;
use super::transactions::OfWorkspace;
use crate::feed::{Feed, FeedChange, FeedError, FeedPlace, PageMax, seated};
use crate::service::{Service, Services};
use axum::Json;
use axum::body::Body;
use axum::http::Response;
use axum::http::header::{self, HeaderValue};
use axum::response::IntoResponse as _;
use comptoir_engine::id::Collection;
use futures_util::stream;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use utoipa::{IntoParams, ToSchema};

/// The changes of a page where nothing is said.
const PAGE_CHANGES: usize = 100;
/// The longest that a request waits for a change, in seconds.
const WAIT_MAX_S: u64 = 60;
/// A silent stream says so often that it is there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A page ends when its records' fields hold so many bytes as JSON.
const PAGE_BYTES: usize = 4 << 20;
const EVENTS: &str = "text/event-stream";

/// A page of the change feed.
#[derive(Serialize, ToSchema)]
pub(super) struct Changes {
    changes: Vec<FeedChange>,
    /// Where to go on: give it as `after`.
    cursor: String,
}

/// Which changes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Following {
    /// Behind this cursor; from the first change of all where nothing is said.
    after: Option<String>,
    /// Of this collection only.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$")]
    collection: Option<String>,
    /// The most changes of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// How long to wait for a change where there is none yet, in seconds.
    #[param(minimum = 0, maximum = 60, default = 0)]
    wait: Option<u64>,
}

/// The records that changed, in the order of the log, each at least once for each entry that touched it, with its fields as
/// they are now. With `Accept: text/event-stream` a stream of events that goes on: `id` is the cursor, `Last-Event-ID` is
/// where it begins.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/changes", tag = "changes", params(OfWorkspace, Following,
        ("Last-Event-ID" = Option<String>, Header, description = "As `after`, for event streams")),
    responses((status = 200, description = "The changes", content((Changes = "application/json"), (String = "text/event-stream")))))]
pub(super) async fn changes(
    caller: Caller,
    Named(_): Named<OfWorkspace>,
    Asked(asked): Asked<Following>,
) -> Result<Response<Body>, RestError> {
    let limit = page_limit(asked.limit, PAGE_CHANGES)?;
    let wait = asked.wait.unwrap_or_default();
    if wait > WAIT_MAX_S {
        return Err(RestError::Query { cause: format!("wait: use 0 to {WAIT_MAX_S}") });
    }
    let collection = asked.collection.as_deref().map(|collection| caller.reads(collection)).transpose()?;
    let streams = caller.header("accept")?.is_some_and(|accept| accept.contains(EVENTS));
    let last = caller.header("last-event-id")?.filter(|_| streams).map(str::to_owned);
    let after = last.or(asked.after);
    let after = after.map(|after| FeedPlace::parse(&after).ok_or(RestError::FeedCursor)).transpose()?;
    let mut reading = Reading::begin(caller, after, collection, limit).await?;
    if streams {
        return Ok(events(reading));
    }
    let until = Instant::now() + Duration::from_secs(wait);
    let mut shutdown = reading.services.shutdown();
    let changes = loop {
        let changes = reading.page().await?;
        if !changes.is_empty() {
            break changes;
        }
        let more = tokio::select! {
            more = timeout_at(until, reading.feed.changed()) => more,
            _ = shutdown.wait_for(|stopped| *stopped) => return Err(RestError::Unavailable),
        };
        match more {
            Ok(more) => more?,
            Err(_) => break changes,
        }
    };
    Ok(Json(Changes { changes, cursor: reading.feed.place().text() }).into_response())
}

/// A feed with the service device that its records are read from, which stays open meanwhile.
struct Reading {
    feed: Feed,
    services: Arc<Services>,
    service: Arc<Service>,
    page_max: PageMax,
}

impl Reading {
    async fn begin(
        caller: Caller,
        after: Option<FeedPlace>,
        collection: Option<Collection>,
        limit: usize,
    ) -> Result<Self, RestError> {
        let (services, service) = (caller.services.clone(), caller.service()?);
        let seat = seated(services.hub().enter(&caller.grant)).await?;
        let feed = Feed::open(&services, caller.grant, seat, after, collection.into_iter().collect())?;
        Ok(Self { feed, services, service, page_max: PageMax { changes: limit, bytes: PAGE_BYTES } })
    }

    async fn page(&mut self) -> Result<Vec<FeedChange>, FeedError> {
        self.feed.page(&self.service, self.page_max).await
    }
}

/// The feed as a stream of events. The next page is read when the one before it has left; a reader that takes nothing is
/// cut off by the connection's deadline.
fn events(reading: Reading) -> Response<Body> {
    let chunks = stream::unfold((reading, false), move |(mut reading, begun)| async move {
        let chunk = if begun { next(&mut reading).await? } else { Bytes::from_static(b": comptoir\n\n") };
        Some((Ok::<_, Infallible>(chunk), (reading, true)))
    });
    let mut answer = Response::new(Body::from_stream(chunks));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENTS));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The next events, or a sign of life; `None` ends the stream, and its reader comes again with the last cursor.
async fn next(reading: &mut Reading) -> Option<Bytes> {
    loop {
        let mut revocations = reading.services.auth().revocations();
        let changes = reading.page().await.ok()?;
        if !changes.is_empty() {
            let event = |change: &FeedChange| {
                let data = serde_json::to_string(change).unwrap_or_default();
                format!("id: {}\nevent: change\ndata: {data}\n\n", change.cursor)
            };
            return Some(changes.iter().map(event).collect::<String>().into());
        }
        let mut shutdown = reading.services.shutdown();
        tokio::select! {
            more = timeout(HEARTBEAT, reading.feed.changed()) => match more {
                Ok(more) => more.ok()?,
                Err(_) => return Some(Bytes::from_static(b":\n\n")),
            },
            changed = revocations.changed() => changed.ok()?,
            _ = shutdown.wait_for(|stopped| *stopped) => return None,
        }
    }
}
