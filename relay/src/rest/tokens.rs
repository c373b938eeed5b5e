//! A workspace's tokens, and codes for new devices: listed, made and taken back by whoever manages it, and never with more rights
//! than its own. Must not know how a token is signed.

use super::RestError;
use super::caller::Caller;
use super::operator::decide;
use super::payload::{Asked, Named, Payload};
use super::records::page_limit;
use super::transactions::OfWorkspace;
use crate::auth::{
    Access, IssueError, PermissionError, Permissions, Subject, TOKEN_NAME_BYTES_MAX, TokenRequest, role_by_name,
};
use crate::catalog::Issued;
use axum::Json;
use axum::http::StatusCode;
use comptoir_engine::wire::message::Role;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

/// Tokens of a page where nothing is said.
const PAGE_TOKENS: usize = 100;
/// How long a token is good for where nothing is said.
const VALID_FOR: Duration = Duration::from_secs(365 * 86_400);
/// How long a code is good where nothing is said, and at most, in seconds.
const CODE_GOOD_FOR_S: u64 = 600;
const CODE_GOOD_FOR_S_MAX: u64 = 86_400;

/// A token, as the ledger has it: not the token itself.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    /// Its id.
    id: String,
    /// `reader`, `editor` or `admin`.
    role: String,
    /// Who it is for: `device:NAME` or `user:NAME`.
    #[schema(required)]
    subject: Option<String>,
    /// What it was called.
    name: String,
    /// `none`, `read` or `write` by collection, `*` for all others; empty: what its role allows.
    collections: BTreeMap<String, String>,
    /// When it was made, RFC 3339.
    issued: String,
    /// When it ends, RFC 3339.
    expires: String,
    /// Since when it opens nothing any more, RFC 3339.
    #[schema(required)]
    revoked: Option<String>,
}

impl Token {
    fn of((issued, revoked): (Issued, Option<String>)) -> Self {
        let Issued { id, role, subject, name, collections, issued, expires, .. } = issued;
        Self { id, role, subject, name, collections, issued, expires, revoked }
    }
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
    /// Where the next page begins; none at the end.
    #[schema(required)]
    cursor: Option<String>,
}

/// Which tokens.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// The most tokens of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Where the page begins: the cursor that the one before it ended with.
    cursor: Option<String>,
}

/// The tokens that were made for the workspace, by id. For the role `admin`, as all of these.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/tokens", tag = "tokens", params(OfWorkspace, Listing),
    responses((status = 200, body = Tokens, description = "The page")))]
pub(super) async fn list(
    caller: Caller,
    Named(_): Named<OfWorkspace>,
    Asked(asked): Asked<Listing>,
) -> Result<Json<Tokens>, RestError> {
    manages(&caller)?;
    let limit = page_limit(asked.limit, PAGE_TOKENS)?;
    let all = caller.services.auth().tokens(Some(caller.grant.workspace()));
    let after = asked.cursor.unwrap_or_default();
    let mut rest = all.into_iter().filter(|(token, _)| token.id > after).map(Token::of);
    let tokens: Vec<_> = rest.by_ref().take(limit).collect();
    let cursor = rest.next().and(tokens.last()).map(|token| token.id.clone());
    Ok(Json(Tokens { tokens, cursor }))
}

/// A token that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// `reader`, `editor` or `admin`.
    #[serde(default = "editor")]
    #[schema(default = "editor")]
    role: String,
    /// `none`, `read` or `write` by collection, `*` for all others, which may only be read where any is named. Where nothing is
    /// said, what the token that asks may do.
    collections: Option<BTreeMap<String, String>>,
    /// Who it is for: `device:NAME` or `user:NAME`.
    subject: Option<String>,
    /// What it is called.
    #[serde(default)]
    name: String,
    /// How long it is good for, in seconds; a year where nothing is said, and never longer than the token that asks.
    valid_for_s: Option<u64>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { role: editor(), collections: None, subject: None, name: String::new(), valid_for_s: None }
    }
}

fn editor() -> String {
    "editor".to_owned()
}

impl Wanted {
    /// As it may be made: nothing in it is more than the caller has.
    fn request(self, caller: &Caller) -> Result<TokenRequest, RestError> {
        let role = role_by_name(&self.role).ok_or_else(|| RestError::json("role: use reader, editor or admin"))?;
        let permissions = match &self.collections {
            None => caller.grant.permissions().clone(),
            Some(named) => {
                let pair = |(name, access): (&String, &String)| Some((name.clone(), Access::by_name(access)?));
                let pairs = named.iter().map(pair).collect::<Option<Vec<_>>>();
                let pairs = pairs.ok_or_else(|| RestError::json("collections: use none, read or write"))?;
                let pairs = pairs.iter().map(|(name, access)| (name.as_str(), *access));
                Permissions::of(pairs).map_err(|error: PermissionError| RestError::json(error))?
            }
        };
        if let Some(what) = permissions.beyond(role, caller.grant.permissions(), caller.grant.role()) {
            return Err(RestError::Widened { what });
        }
        let subject = self.subject.as_deref().map(|subject| {
            let use_this = format!("subject: use device:NAME or user:NAME, {TOKEN_NAME_BYTES_MAX} bytes at most");
            Subject::parse(subject).ok_or_else(|| RestError::json(use_this))
        });
        let left = caller.services.auth().time_left(&caller.grant);
        let valid_for = match self.valid_for_s.map(Duration::from_secs) {
            None => VALID_FOR.min(left),
            Some(wanted) if wanted > left => return Err(RestError::Widened { what: "valid_for_s".to_owned() }),
            Some(wanted) if wanted.is_zero() => return Err(RestError::json("valid_for_s: use 1 or more")),
            Some(wanted) => wanted,
        };
        let (workspace, name) = (caller.grant.workspace().clone(), self.name);
        let allowance = caller.grant.allowance();
        Ok(TokenRequest { workspace, role, permissions, allowance, subject: subject.transpose()?, name, valid_for })
    }
}

/// A token that was made. It is told this once.
#[derive(Serialize, ToSchema)]
pub(super) struct Made {
    /// The token itself: keep it as a password.
    token: String,
    /// Its id.
    id: String,
}

/// Makes a token for this workspace, with no more rights than the one that asks.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/tokens", tag = "tokens", params(OfWorkspace),
    request_body = Wanted, responses((status = 201, body = Made, description = "The token")))]
pub(super) async fn create(
    caller: Caller,
    Named(_): Named<OfWorkspace>,
    payload: Payload,
) -> Result<(StatusCode, Json<Made>), RestError> {
    manages(&caller)?;
    let request = payload.parse::<Wanted>()?.request(&caller)?;
    let auth = caller.services.auth().clone();
    let made = spawn_blocking(move || {
        let token = auth.issue(&request)?;
        let id = auth.id_of(&token).ok_or(IssueError::Signing)?;
        Ok::<_, IssueError>(Made { token, id })
    });
    Ok((StatusCode::CREATED, Json(made.await.map_err(|_| RestError::Unavailable)??)))
}

/// The token in an address.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OfToken {
    /// Whose token.
    #[param(pattern = "^[a-z0-9_][a-z0-9_.-]{0,63}$", min_length = 1, max_length = 64, example = "shop")]
    #[allow(dead_code)] // checked with the token
    workspace: String,
    /// Its id.
    #[param(min_length = 1, max_length = 64)]
    token: String,
}

/// Takes a token back: its sessions end within a second.
#[utoipa::path(delete, path = "/v1/workspaces/{workspace}/tokens/{token}", tag = "tokens", params(OfToken),
    responses((status = 204, description = "It opens nothing any more")))]
pub(super) async fn revoke(caller: Caller, Named(of): Named<OfToken>) -> Result<StatusCode, RestError> {
    manages(&caller)?;
    let auth = caller.services.auth().clone();
    let is_known = auth.tokens(Some(caller.grant.workspace())).iter().any(|(token, _)| token.id == of.token);
    if !is_known {
        return Err(RestError::NoToken { id: of.token });
    }
    decide(move || auth.revoke(&of.token)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A code that is wanted, and the token that a device gets for it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Offered {
    /// How long the code is good, in seconds.
    #[schema(default = 600, minimum = 1, maximum = 86400)]
    good_for_s: Option<u64>,
    /// The token; an editor's where nothing is said.
    #[serde(default)]
    token: Wanted,
}

/// A code that was given out.
#[derive(Serialize, ToSchema)]
pub(super) struct GivenOut {
    /// Good once. The link that a new device takes is the relay's address as the device reaches it, `/pair#` and this.
    code: String,
    /// How long, in seconds.
    good_for_s: u64,
}

/// Gives out a code with which a new device fetches its token, once. The token's time begins then.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/codes", tag = "tokens", params(OfWorkspace),
    request_body = Offered, responses((status = 201, body = GivenOut, description = "The code")))]
pub(super) async fn give_out(
    caller: Caller,
    Named(_): Named<OfWorkspace>,
    payload: Payload,
) -> Result<(StatusCode, Json<GivenOut>), RestError> {
    manages(&caller)?;
    let Offered { good_for_s, token } = payload.parse()?;
    let good_for_s = good_for_s.unwrap_or(CODE_GOOD_FOR_S);
    if !(1..=CODE_GOOD_FOR_S_MAX).contains(&good_for_s) {
        return Err(RestError::json(format!("good_for_s: use 1 to {CODE_GOOD_FOR_S_MAX}")));
    }
    let good_for = Duration::from_secs(good_for_s);
    let mut request = token.request(&caller)?;
    // Its time begins when it is fetched, and then too it ends no later than the caller's.
    let left = caller.services.auth().time_left(&caller.grant).saturating_sub(good_for);
    request.valid_for = request.valid_for.min(left).max(Duration::from_secs(1));
    let auth = caller.services.auth().clone();
    let code = spawn_blocking(move || auth.offer(&request, good_for)).await.map_err(|_| RestError::Unavailable)??;
    Ok((StatusCode::CREATED, Json(GivenOut { code: code.to_string(), good_for_s })))
}

fn manages(caller: &Caller) -> Result<(), RestError> {
    if caller.grant.role() == Role::Admin { Ok(()) } else { Err(RestError::Role { role: "admin" }) }
}
