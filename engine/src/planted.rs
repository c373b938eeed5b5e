//! Bugs on purpose, one at a time, for a simulation that has to find each. Only with the feature `planted`, which nothing
//! that is shipped has. Must not know what a bug does; that stands where it is planted.

use std::cell::Cell;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The relay answers before its flush.
    AckBeforeFlush,
    /// A device reports an edit saved before its flush.
    SavedBeforeFlush,
    /// The cursor moves in a commit before the data it covers.
    CursorBeforeData,
    /// A restored store goes on under its old actor.
    ActorReused,
    /// The relay takes a change again that it has.
    DedupOff,
    /// A device's digest does not change with a deletion.
    DigestSkipsDelete,
    /// The relay takes a change whose dependencies it lacks; and devices offer last, or none would send such a change.
    ClosedLogUnchecked,
    /// What was on its way leaves the outbox when the connection ends.
    OutboxDropped,
    /// A copied log keeps its epochs.
    EpochKept,
    /// Up to date by where the relay's log was before a push, without a look at the digest.
    DigestUnchecked,
    /// Up to date with edits in the outbox.
    OutboxIgnored,
    /// Another change under this store's actor and number goes unnoticed.
    ForkUnnoticed,
    /// Offers go behind what waits in the outbox.
    OfferedLast,
    /// A follower is shown entries from memory across a gap.
    GapFollowed,
    /// A receipt moves the cursor although foreign entries lie between.
    ReceiptJumps,
    /// A transaction is committed record by record.
    TornTransaction,
    /// The room's followers are not told of what was appended.
    LostWakeUp,
    /// A number series starts again with every process.
    SeriesForgets,
    /// A series' name is held as soon as it is claimed.
    SeriesUnsettled,
    /// Setting a counter sets its base, not its difference.
    CounterSet,
    /// A device that meets a new epoch takes it without a comparison.
    EpochIgnored,
    /// Two pushes of one group get the same place in the log.
    SeqGivenTwice,
    /// Compaction leaves a change out.
    CompactedShort,
    /// Retries end after a few failures.
    RetriesEnd,
    /// An attempt to connect has no deadline.
    ConnectAwaitedForEver,
    /// What was made again under a fresh actor keeps its old form in the outbox.
    ReauthorKeepsOutbox,
    /// The owner of a store sleeps past what is due.
    DueSlept,
    /// A device waits for ever for a byte of a silent connection.
    SilenceBorne,
    /// A device asks for no sign of life.
    PingUnsent,
    /// What the relay says is handled twice, receipts too.
    HeardTwice,
    /// A store whose disk failed is not opened again.
    StoreStaysClosed,
    /// An app is not told that its store was opened again.
    RefreshUntold,
    /// The relay's committer ends with the first failure of its disk.
    LogStaysClosed,
    /// A session does not wake up when its log has grown.
    FollowerUnwoken,
    /// A session does not wake up when the log has answered a push.
    OutcomeUnheard,
    /// A session goes on when its token has ended.
    TokenOutlived,
}

impl Bug {
    /// Those that the simulation of what is sans-IO finds.
    pub const ALL: [Self; 26] = [
        Self::AckBeforeFlush,
        Self::SavedBeforeFlush,
        Self::CursorBeforeData,
        Self::ActorReused,
        Self::DedupOff,
        Self::DigestSkipsDelete,
        Self::ClosedLogUnchecked,
        Self::OutboxDropped,
        Self::EpochKept,
        Self::DigestUnchecked,
        Self::OutboxIgnored,
        Self::ForkUnnoticed,
        Self::OfferedLast,
        Self::GapFollowed,
        Self::ReceiptJumps,
        Self::TornTransaction,
        Self::LostWakeUp,
        Self::SeriesForgets,
        Self::SeriesUnsettled,
        Self::CounterSet,
        Self::EpochIgnored,
        Self::SeqGivenTwice,
        Self::CompactedShort,
        Self::RetriesEnd,
        Self::ConnectAwaitedForEver,
        Self::ReauthorKeepsOutbox,
    ];

    /// Those of tasks, timers and sockets, which only a simulation of sessions can find, and one that both find.
    pub const SESSIONS: [Self; 11] = [
        Self::DueSlept,
        Self::SilenceBorne,
        Self::PingUnsent,
        Self::HeardTwice,
        Self::StoreStaysClosed,
        Self::RefreshUntold,
        Self::LogStaysClosed,
        Self::FollowerUnwoken,
        Self::OutcomeUnheard,
        Self::TokenOutlived,
        Self::RetriesEnd,
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug in this thread, or none.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// The bug planted in this thread.
pub fn planted() -> Option<Bug> {
    PLANTED.get()
}
