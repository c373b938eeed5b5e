//! Names for counting: how sessions end and why changes are set aside. Must not know who counts.

use super::End;
use comptoir_engine::gate::Refusal;
use comptoir_engine::wire::message::Denial;

/// How a session ended, in one word.
pub(super) fn end(end: &End) -> &'static str {
    match end {
        End::Gone => "gone",
        End::Silent => "silent",
        End::Denied(denial) => match denial {
            Denial::TokenMissing => "token_missing",
            Denial::TokenInvalid => "token_invalid",
            Denial::TokenExpired => "token_expired",
            Denial::WrongWorkspace => "wrong_workspace",
            Denial::OutOfTurn => "out_of_turn",
            Denial::Unreadable(_) => "unreadable",
            Denial::OverLimit { .. } => "over_limit",
            Denial::Unavailable => "unavailable",
            Denial::ShuttingDown => "shutting_down",
            Denial::TokenRevoked => "token_revoked",
            Denial::TokenTooNarrow => "token_too_narrow",
            Denial::CodeInvalid => "code_invalid",
            Denial::Suspended => "suspended",
            Denial::OverQuota { .. } => "over_quota",
        },
    }
}

/// Why a change was set aside, in one word.
pub(super) fn refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed(_) => "malformed",
        Refusal::Hash => "hash",
        Refusal::TooLarge { .. } => "too_large",
        Refusal::MissingDeps => "missing_deps",
        Refusal::SeqGap { .. } => "seq_gap",
        Refusal::StartOp { .. } => "start_op",
        Refusal::Forked => "forked",
        Refusal::DerivedActor => "derived_actor",
        Refusal::DocumentFull => "document_full",
        Refusal::Poison => "poison",
        Refusal::Waits => "waits",
        Refusal::RoleTooLow => "role_too_low",
        Refusal::CollectionClosed => "collection_closed",
    }
}
