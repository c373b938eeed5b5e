//! All records as a stream of JSON lines. Must not hold more than a page of them.

use super::RestError;
use super::caller::Caller;
use super::payload::{Asked, Named};
use super::records::Record;
use super::transactions::OfWorkspace;
use crate::auth::Access;
use crate::service::Service;
use axum::body::Body;
use axum::http::Response;
use axum::http::header::{self, HeaderValue};
use comptoir_engine::{Collection, Key, RecordId};
use futures_util::stream;
use hyper::body::Bytes;
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::Arc;
use utoipa::IntoParams;

/// Records read at a time.
const PAGE_RECORDS: usize = 200;

/// What to export.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Exporting {
    /// This collection only.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$")]
    collection: Option<String>,
    /// Deleted records too.
    #[param(default = false)]
    deleted: Option<bool>,
}

struct Export {
    caller: Caller,
    service: Arc<Service>,
    collections: VecDeque<Collection>,
    after: Option<Key>,
    deleted: bool,
}

/// The records that the token may read, each as a line of JSON, by collection and key. A stream that is cut off did not end
/// with a whole chunk.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/export", tag = "streams", params(OfWorkspace, Exporting),
    responses((status = 200, content_type = "application/x-ndjson", body = String, description = "A record a line")))]
pub(super) async fn export(
    caller: Caller,
    Named(_): Named<OfWorkspace>,
    Asked(asked): Asked<Exporting>,
) -> Result<Response<Body>, RestError> {
    let service = caller.service()?;
    let collections = match &asked.collection {
        Some(collection) => vec![caller.reads(collection)?],
        None => service.look(|engine| Ok(engine.collections())).await?,
    };
    let named = asked.collection.is_some();
    let reads = |each: &Collection| caller.grant.access(each) >= Access::Read && (named || !each.is_reserved());
    let collections = collections.into_iter().filter(reads).collect();
    let export = Export { caller, service, collections, after: None, deleted: asked.deleted.unwrap_or_default() };
    let lines = stream::try_unfold(export, |mut export| async move {
        Ok::<_, RestError>(export.next().await?.map(|lines| (lines, export)))
    });
    let mut answer = Response::new(Body::from_stream(lines));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(answer)
}

impl Export {
    /// The next lines; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, RestError> {
        while let Some(collection) = self.collections.front().cloned() {
            let (asked, after) = (collection.clone(), self.after.clone());
            let page = self.service.look(move |engine| engine.list(&asked, after.as_ref(), PAGE_RECORDS)).await?;
            let Some((last, _)) = page.last() else {
                self.collections.pop_front();
                self.after = None;
                continue;
            };
            self.after = Some(last.clone());
            let mut lines = Vec::new();
            for (key, view) in page.into_iter().filter(|(_, view)| self.deleted || !view.deleted) {
                let record = Record::of(&RecordId { collection: collection.clone(), key }, &view);
                lines.extend(serde_json::to_vec(&record).unwrap_or_default());
                lines.push(b'\n');
            }
            if !lines.is_empty() {
                // It may have waited long for its reader.
                self.caller.check_again()?;
                return Ok(Some(lines.into()));
            }
        }
        Ok(None)
    }
}
