//! `webhook`: makes, shows and removes webhooks, and has them send again: of a folder that a relay serves, by asking that relay;
//! of any other, by opening it. Must not know how they deliver.

use super::backup::{OpenedHere, OperateError, asked, open, wait};
use super::token::{auth, time};
use super::{CmdError, note};
use crate::audit::Audit;
use crate::auth::{Permissions, TokenRequest};
use crate::catalog::Allowance;
use crate::clock::SystemClock;
use crate::config::{Config, WebhookSettings};
use crate::room::Hub;
use crate::text::{text, text_with};
use crate::webhooks::{Attempt, Created, DeadLetter, Ground, NewWebhook, Order, Ordered, Webhook, Webhooks};
use clap::{Args, Subcommand};
use comptoir_engine::id::WorkspaceId;
use comptoir_engine::wire::message::Role;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// How long a webhook's own token is good unless said otherwise.
const DEFAULT_EXPIRES: &str = "100y";

#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    #[command(about = text("cli.webhook_create"), help_template = text("cli.template"))]
    Create(CreateArgs),
    #[command(about = text("cli.webhook_list"), help_template = text("cli.template"))]
    List(OfArgs),
    #[command(about = text("cli.webhook_show"), help_template = text("cli.template"))]
    Show(WhichArgs),
    #[command(about = text("cli.webhook_log"), help_template = text("cli.template"))]
    Log(LogArgs),
    #[command(about = text("cli.webhook_dead_letters"), help_template = text("cli.template"))]
    DeadLetters(WhichArgs),
    #[command(about = text("cli.webhook_resend"), help_template = text("cli.template"))]
    Resend(LettersArgs),
    #[command(about = text("cli.webhook_discard"), help_template = text("cli.template"))]
    Discard(LetterArgs),
    #[command(about = text("cli.webhook_replay"), help_template = text("cli.template"))]
    Replay(ReplayArgs),
    #[command(about = text("cli.webhook_remove"), help_template = text("cli.template"))]
    Remove(WhichArgs),
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct OfArgs {
    #[arg(long, value_name = text("cli.dir_name"), help = text("cli.data_there"))]
    data: PathBuf,
    #[arg(long, value_name = text("cli.workspace_name"), help = text("cli.webhook_workspace"))]
    workspace: String,
    #[arg(long, help = text("cli.json_lines"))]
    json: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct WhichArgs {
    #[command(flatten)]
    of: OfArgs,
    #[arg(value_name = "ID", help = text("cli.webhook_id"))]
    id: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct CreateArgs {
    #[command(flatten)]
    of: OfArgs,
    #[arg(long, value_name = text("cli.url_name"), help = text("cli.webhook_url"))]
    url: String,
    #[arg(long, value_name = text("cli.name_name"), help = text("cli.webhook_name"))]
    name: Option<String>,
    #[arg(long = "collection", value_name = "COLLECTION", help = text("cli.webhook_collection"))]
    collections: Vec<String>,
    #[arg(long = "allow", value_name = text("cli.allow_name"), help = text("cli.allow"))]
    allowed: Vec<String>,
    #[arg(long, value_name = "N", help = text("cli.webhook_batch"))]
    batch: Option<usize>,
    #[arg(long, value_name = text("cli.cursor_name"), help = text("cli.webhook_after"))]
    after: Option<String>,
    #[arg(long, value_name = text("cli.time_name"), default_value = DEFAULT_EXPIRES, hide_default_value = true, help = text("cli.webhook_expires"))]
    expires: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct LogArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[arg(long, value_name = "N", default_value_t = 100, hide_default_value = true, help = text("cli.webhook_limit"))]
    limit: usize,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct LettersArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[arg(value_name = text("cli.letter_name"), help = text("cli.webhook_letters"))]
    letters: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct LetterArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[arg(value_name = text("cli.letter_name"), help = text("cli.webhook_letter"))]
    letter: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = text("cli.options"))]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[arg(long, value_name = text("cli.cursor_name"), help = text("cli.webhook_replay_after"))]
    after: Option<String>,
}

impl WebhookCommand {
    pub(super) fn run(self) -> Result<(), CmdError> {
        match self {
            Self::Create(args) => create(args)?,
            Self::List(of) => show(&of, ask::<Vec<Webhook>>(&of, Order::List)?, webhook_line),
            Self::Show(WhichArgs { of, id }) => show(&of, vec![ask(&of, Order::Show { id })?], webhook_line),
            Self::Log(LogArgs { which: WhichArgs { of, id }, limit }) => {
                let mut attempts: Vec<Attempt> = ask(&of, Order::Log { id, limit })?;
                attempts.reverse();
                show(&of, attempts, attempt_line);
            }
            Self::DeadLetters(WhichArgs { of, id }) => {
                show(&of, ask::<Vec<DeadLetter>>(&of, Order::DeadLetters { id })?, letter_line);
            }
            Self::Resend(LettersArgs { which: WhichArgs { of, id }, letters }) => {
                let letters = (!letters.is_empty()).then_some(letters);
                let answer: Json = ask(&of, Order::Resend { id, letters })?;
                say(&of, &answer, "said.webhook_resending", &[("count", answer["resending"].to_string())]);
            }
            Self::Discard(LetterArgs { which: WhichArgs { of, id }, letter }) => {
                let answer: Json = ask(&of, Order::Discard { id, letter: letter.clone() })?;
                say(&of, &answer, "said.webhook_discarded", &[("id", letter)]);
            }
            Self::Replay(ReplayArgs { which: WhichArgs { of, id }, after }) => {
                let webhook: Webhook = ask(&of, Order::Replay { id, after })?;
                let values = [("id", webhook.id.clone()), ("cursor", webhook.cursor.clone())];
                say(&of, &webhook, "said.webhook_replayed", &values);
            }
            Self::Remove(WhichArgs { of, id }) => {
                let answer: Json = ask(&of, Order::Remove { id: id.clone() })?;
                say(&of, &answer, "said.webhook_removed", &[("id", id)]);
            }
        }
        Ok(())
    }
}

/// With a token of its own, which `token list` shows and `token revoke` takes back.
fn create(args: CreateArgs) -> Result<(), CmdError> {
    let CreateArgs { of, url, name, collections, allowed, batch, after, expires } = args;
    let auth = auth(&of.data).map_err(super::TokenError::from)?;
    let request = TokenRequest {
        workspace: WorkspaceId::new(&of.workspace).map_err(OperateError::from)?,
        role: Role::Admin,
        permissions: Permissions::parse(allowed.iter().map(String::as_str)).map_err(super::TokenError::from)?,
        allowance: Allowance::default(),
        subject: None,
        name: format!("webhook {}", name.as_deref().unwrap_or_default()).trim().to_owned(),
        valid_for: time(&expires)?,
    };
    let token = auth.issue(&request).map_err(super::TokenError::from)?;
    let id = auth.read(&token).map(|grant| grant.id().to_owned()).unwrap_or_default();
    let webhook = NewWebhook { url, name, collections, batch, after };
    let created: Result<Created, _> = ask(&of, Order::Create { token, webhook });
    match created {
        Ok(created) => {
            note(&of.data, "token.created", Some(&request.workspace), Some(&id), &request.name);
            let values = [("id", created.webhook.id.clone()), ("secret", created.secret.clone())];
            say(&of, &created, "said.webhook_created", &values);
            Ok(())
        }
        Err(error) => {
            // Nobody has it.
            auth.revoke(&id).map_err(super::TokenError::from)?;
            Err(error.into())
        }
    }
}

/// Asks whoever has the folder open, or opens it.
fn ask<A: DeserializeOwned>(of: &OfArgs, order: Order) -> Result<A, OperateError> {
    let ordered = Ordered { workspace: WorkspaceId::new(&of.workspace)?.to_string(), order };
    let answer: Json = wait(async {
        match open(&of.data).await? {
            Some(opened) => with_webhooks(opened, of)?.with(async |control| control.order(ordered).await).await,
            None => asked(&of.data, "/webhook", &ordered).await,
        }
    })?;
    Ok(serde_json::from_value(answer).map_err(io::Error::from)?)
}

/// The webhooks of the folder, which nobody serves. Where they may be sent is for the relay to say that will.
fn with_webhooks(opened: OpenedHere, of: &OfArgs) -> Result<OpenedHere, OperateError> {
    let clock = Arc::new(SystemClock);
    let settings = WebhookSettings { allow_private: true, allow_http: true, ..WebhookSettings::default() };
    let ground = Ground {
        hub: Hub::new(opened.log.clone(), &Config::default()),
        auth: auth(&of.data).map_err(crate::backup::BackupError::from)?,
        clock: clock.clone(),
        audit: Audit::open(&of.data, None, clock)?,
        settings,
    };
    let webhooks = Webhooks::open(&of.data, ground);
    Ok(OpenedHere { control: opened.control.with_webhooks(webhooks), ..opened })
}

fn say(of: &OfArgs, object: &impl Serialize, key: &str, values: &[(&str, String)]) {
    match of.json {
        true => println!("{}", json_line(object)),
        false => println!("{}", text_with(key, values)),
    }
}

fn show<T: Serialize>(of: &OfArgs, each: Vec<T>, line: impl Fn(&T) -> Vec<String>) {
    for one in each {
        match of.json {
            true => println!("{}", json_line(&one)),
            false => {
                println!("{}", line(&one).into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  "))
            }
        }
    }
}

fn json_line(object: &impl Serialize) -> String {
    serde_json::to_string(object).unwrap_or_default()
}

fn webhook_line(webhook: &Webhook) -> Vec<String> {
    let state = match webhook.suspended {
        Some(reason) => text(&format!("said.webhook_{}", reason.name())),
        None => text("said.webhook_active"),
    };
    let failing = webhook.failing.as_ref().map(|failing| {
        text_with("said.webhook_failing", &[("attempts", failing.attempts.to_string()), ("next", failing.next.clone())])
    });
    let letters = match webhook.dead_letters {
        0 => String::new(),
        count => text_with("said.webhook_letters", &[("count", count.to_string())]),
    };
    let Webhook { id, name, url, collections, cursor, .. } = webhook.clone();
    vec![id, name, url, collections.join(","), state, failing.unwrap_or_default(), letters, cursor]
}

fn attempt_line(attempt: &Attempt) -> Vec<String> {
    let Attempt { at, id, cause, .. } = attempt.clone();
    vec![
        at,
        id,
        attempt.attempt.to_string(),
        attempt.outcome.name().to_owned(),
        attempt.status.map(|status| status.to_string()).unwrap_or_default(),
        format!("{} ms", attempt.took_ms),
        cause.unwrap_or_default(),
    ]
}

fn letter_line(letter: &DeadLetter) -> Vec<String> {
    let DeadLetter { id, since, error, after, .. } = letter.clone();
    let status = letter.status.map(|status| status.to_string()).unwrap_or_default();
    vec![id, since, letter.attempts.to_string(), status, error.unwrap_or_default(), after]
}
