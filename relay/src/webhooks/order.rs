//! What the command line asks about webhooks, of the relay that serves or of the folder itself. Must not know which.

use super::{By, NewWebhook, WebhookError, Webhooks};
use comptoir_engine::id::WorkspaceId;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// What is asked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Make one, which tells what this token may read.
    Create {
        /// The token. It is not kept.
        token: String,
        /// The webhook.
        webhook: NewWebhook,
    },
    /// All of them.
    List,
    /// One.
    Show {
        /// Which.
        id: String,
    },
    /// Take it away.
    Remove {
        /// Which.
        id: String,
    },
    /// Its newest attempts.
    Log {
        /// Whose.
        id: String,
        /// How many.
        limit: usize,
    },
    /// Its dead letters.
    DeadLetters {
        /// Whose.
        id: String,
    },
    /// Send them again: these, or all.
    Resend {
        /// Whose.
        id: String,
        /// Which.
        letters: Option<Vec<String>>,
    },
    /// Take one away.
    Discard {
        /// Whose.
        id: String,
        /// Which.
        letter: String,
    },
    /// Go on behind a place, or where it stands.
    Replay {
        /// Which.
        id: String,
        /// The place.
        after: Option<String>,
    },
}

/// An order and whose webhooks it is about.
#[derive(Serialize, Deserialize)]
pub struct Ordered {
    /// Whose.
    pub workspace: String,
    /// What.
    pub order: Order,
}

impl Webhooks {
    /// Does it, for the operator.
    pub async fn obey(&self, ordered: Ordered) -> Result<Json, WebhookError> {
        let by = By { who: "operator", token: None };
        let told = |value: Result<Json, serde_json::Error>| {
            value.map_err(|error| WebhookError::Order { cause: error.to_string() })
        };
        let of =
            WorkspaceId::new(&ordered.workspace).map_err(|error| WebhookError::Order { cause: error.to_string() })?;
        match ordered.order {
            Order::Create { token, webhook } => {
                let grant = self.ground.auth.check(&token, of.as_str());
                let grant = grant.map_err(|fault| WebhookError::Order { cause: fault.to_string() })?;
                told(serde_json::to_value(self.create(&grant, webhook, by).await?))
            }
            Order::List => told(serde_json::to_value(self.list(&of))),
            Order::Show { id } => told(serde_json::to_value(self.show(&of, &id)?)),
            Order::Remove { id } => self.remove(&of, &id, by).await.map(|()| Json::Null),
            Order::Log { id, limit } => told(serde_json::to_value(self.attempts(&of, &id, limit).await?)),
            Order::DeadLetters { id } => told(serde_json::to_value(self.dead_letters(&of, &id)?)),
            Order::Resend { id, letters } => Ok(json!({"resending": self.resend(&of, &id, letters, by).await?})),
            Order::Discard { id, letter } => self.discard(&of, &id, &letter, by).await.map(|()| Json::Null),
            Order::Replay { id, after } => {
                told(serde_json::to_value(self.replay(&of, &id, after.as_deref(), by).await?))
            }
        }
    }
}
