//! Who asks: the token of a request, checked, and what it may touch. Must not know what is asked.

use super::RestError;
use crate::auth::{Access, Grant, TokenFault};
use crate::lobby::Guest;
use crate::service::{Once, Service, Services};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header::{self, HeaderMap};
use axum::http::request::Parts;
use comptoir_engine::Label;
use comptoir_engine::id::{Collection, LABEL_BYTES_MAX, RecordId};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// The longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// Somebody with a good token for the workspace in the address.
pub(super) struct Caller {
    pub(super) grant: Grant,
    pub(super) services: Arc<Services>,
    headers: HeaderMap,
    asks: String,
}

impl FromRequestParts<Arc<Services>> for Caller {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, services: &Arc<Services>) -> Result<Self, RestError> {
        let path = |cause: String| RestError::Path { cause };
        let given = RawPathParams::from_request_parts(parts, services).await;
        let given = given.map_err(|cause| path(cause.to_string()))?;
        let workspace = given.iter().find(|(name, _)| *name == "workspace").map(|(_, value)| value);
        let workspace = workspace.ok_or_else(|| path("no workspace".to_owned()))?;
        let bearer = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer =
            bearer.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let token = bearer.map(|(_, token)| token.trim()).ok_or(RestError::Token(TokenFault::Missing))?;
        let grant = services.auth().check(token, workspace).map_err(RestError::Token)?;
        if let Some(guest) = parts.extensions.get::<Arc<Guest>>() {
            guest.welcome();
        }
        let asks = format!("{} {}", parts.method, parts.uri);
        Ok(Self { grant, services: services.clone(), headers: parts.headers.clone(), asks })
    }
}

impl Caller {
    /// The workspace's service device.
    pub(super) fn service(&self) -> Result<Arc<Service>, RestError> {
        Ok(self.services.of(&self.grant)?)
    }

    /// The collection, if it may be read.
    pub(super) fn reads(&self, collection: &str) -> Result<Collection, RestError> {
        self.may(Collection::new(collection)?, Access::Read)
    }

    /// The record, if it may be read.
    pub(super) fn reads_record(&self, collection: &str, key: &str) -> Result<RecordId, RestError> {
        let collection = self.reads(collection)?;
        Ok(RecordId::new(collection.as_str(), key)?)
    }

    /// The collection, if it may be written.
    pub(super) fn writes(&self, collection: &str) -> Result<Collection, RestError> {
        self.may(Collection::new(collection)?, Access::Write)
    }

    /// The record, if it may be written.
    pub(super) fn writes_record(&self, collection: &str, key: &str) -> Result<RecordId, RestError> {
        let collection = self.writes(collection)?;
        Ok(RecordId::new(collection.as_str(), key)?)
    }

    fn may(&self, collection: Collection, access: Access) -> Result<Collection, RestError> {
        match self.grant.access(&collection) >= access {
            true => Ok(collection),
            false => Err(RestError::forbidden(&collection)),
        }
    }

    /// What the history shows of a write: what was given, else who the token is for.
    pub(super) fn label(&self, given: Option<&str>) -> Result<Option<Label>, RestError> {
        if let Some(given) = given {
            return Ok(Some(Label::new(given)?));
        }
        let named = self.grant.subject().map(ToString::to_string).unwrap_or_else(|| self.grant.name().to_owned());
        let mut end = named.len().min(LABEL_BYTES_MAX);
        while !named.is_char_boundary(end) {
            end -= 1;
        }
        Ok(Label::new(&named[..end]).ok())
    }

    /// A header's text.
    pub(super) fn header(&self, name: &'static str) -> Result<Option<&str>, RestError> {
        let text = self.headers.get(name).map(|value| value.to_str());
        text.transpose().map_err(|_| RestError::Header { name, cause: "not plain text".to_owned() })
    }

    /// The request's idempotency key, of this caller alone, and what it stands for.
    pub(super) fn once(&self, body: &[u8]) -> Result<Option<Once>, RestError> {
        const NAME: &str = "idempotency-key";
        let Some(key) = self.header(NAME)? else { return Ok(None) };
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(RestError::Header { name: NAME, cause: format!("use 1 to {KEY_BYTES_MAX} characters") });
        }
        let whose = self.grant.subject().map_or_else(|| self.grant.id().to_owned(), ToString::to_string);
        let mut says = Sha256::new();
        says.update(&self.asks);
        says.update([0]);
        says.update(body);
        Ok(Some(Once { key: format!("{whose} {key}"), says: crate::text::hex(&says.finalize()) }))
    }

    /// `If-Match` and `If-None-Match`.
    pub(super) fn conditions(&self) -> Result<Conditions, RestError> {
        let tags = |name: &'static str| -> Result<Option<Tags>, RestError> { Ok(self.header(name)?.map(Tags::parse)) };
        Ok(Conditions { matches: tags("if-match")?, none_matches: tags("if-none-match")? })
    }
}

/// The states a record has to be in, or must not be.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    matches: Option<Tags>,
    none_matches: Option<Tags>,
}

#[derive(Debug, Clone)]
enum Tags {
    Any,
    These(Vec<String>),
}

impl Tags {
    fn parse(text: &str) -> Self {
        if text.trim() == "*" {
            return Self::Any;
        }
        let tag = |each: &str| each.trim().trim_start_matches("W/").trim_matches('"').to_owned();
        Self::These(text.split(',').map(tag).collect())
    }

    fn has(&self, etag: Option<&str>) -> bool {
        match (self, etag) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::These(tags), Some(etag)) => tags.iter().any(|tag| tag == etag),
        }
    }
}

impl Conditions {
    /// Whether a record in this state may be written; `None`: it does not exist, or is deleted.
    pub(super) fn allow(&self, etag: Option<&str>) -> bool {
        self.matches.as_ref().is_none_or(|tags| tags.has(etag)) && !self.knows(etag)
    }

    /// Whether the reader has this state already.
    pub(super) fn knows(&self, etag: Option<&str>) -> bool {
        self.none_matches.as_ref().is_some_and(|tags| tags.has(etag))
    }
}
