//! A token of one workspace, in every message that a device can say: it gets nothing of another workspace and changes nothing there.

mod kit;

use comptoir_engine::digest::Digest;
use comptoir_engine::id::RecordId;
use comptoir_engine::session::reconcile::Reconcile;
use comptoir_engine::wire::message::{Denial, FromDevice, FromRelay, Hello, Role};
use comptoir_relay::relay::Relay;
use kit::{Author, Device};

/// What a device can say. A message that is new needs a place here, and with it a try below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hello,
    Push,
    Credit,
    Reconcile,
    Want,
    Pair,
}

const KINDS: [Kind; 6] = [Kind::Hello, Kind::Push, Kind::Credit, Kind::Reconcile, Kind::Want, Kind::Pair];

fn kind(message: &FromDevice) -> Kind {
    match message {
        FromDevice::Hello(_) => Kind::Hello,
        FromDevice::Push { .. } => Kind::Push,
        FromDevice::Credit { .. } => Kind::Credit,
        FromDevice::Reconcile { .. } => Kind::Reconcile,
        FromDevice::Want { .. } => Kind::Want,
        FromDevice::Pair { .. } => Kind::Pair,
    }
}

/// The cafe's one record, as its own device knows it.
struct Cafe {
    tea: Author,
    batch: Vec<u8>,
}

impl Cafe {
    fn leaf(&self) -> Digest {
        self.tea.leaf("cafe")
    }
}

/// The message by which a stranger would have what is the cafe's.
fn message(kind: Kind, cafe: &Cafe, token: &str) -> FromDevice {
    match kind {
        Kind::Hello => FromDevice::Hello(kit::hello("cafe", token.to_owned())),
        Kind::Push => FromDevice::Push { push: 1, offered: true, batch: cafe.batch.clone() },
        Kind::Credit => FromDevice::Credit { bytes: 1 << 20 },
        Kind::Reconcile => {
            let held: Vec<(Digest, RecordId)> = Vec::new();
            FromDevice::Reconcile { payload: Reconcile::begin(held).expect("a beginning").1 }
        }
        Kind::Want => FromDevice::Want { leaves: vec![cafe.leaf().0], last: true },
        Kind::Pair => FromDevice::Pair { code: token.chars().take(16).collect() },
    }
}

/// Whether an answer holds anything of the cafe's, whose record and values have names found nowhere else.
fn tells_of_the_cafe(answer: &FromRelay, cafe: &Cafe) -> bool {
    let frame = answer.encode().expect("a frame");
    let holds = |bytes: &[u8]| frame.windows(bytes.len()).any(|window| window == bytes);
    holds(b"assam") || holds(&cafe.leaf().0)
}

/// What the cafe's own device finds there.
async fn cafes_tail(relay: &Relay) -> (u64, [u8; 32]) {
    let hello = kit::hello("cafe", kit::token(relay, "cafe", Role::Reader));
    let welcome = Device::join(relay.address(), hello).await.1;
    (welcome.tail, welcome.digest)
}

#[tokio::test]
async fn every_message_of_a_strangers_session_stays_in_its_own_workspace() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut tea = Author::new(1, "assam");
    let batch = kit::pack(&[tea.edit()]);
    let cafe = Cafe { tea, batch };
    let mut own = Device::editor(&relay).await;
    own.push(1, cafe.batch.clone()).await;
    assert_eq!(own.ack().await.refused, []);
    let before = cafes_tail(&relay).await;

    for (number, each) in KINDS.into_iter().enumerate() {
        let garage = format!("garage-{number}");
        let token = kit::token(&relay, &garage, Role::Admin);
        let said = message(each, &cafe, &token);
        assert_eq!(kind(&said), each);
        // As the first message: only a hello may be one, or a code, and this token opens the garage alone.
        let mut stranger = Device::connect(relay.address()).await;
        stranger.send(said.clone()).await;
        let denial = stranger.denial().await;
        let expected = match each {
            Kind::Hello => Denial::WrongWorkspace,
            Kind::Pair => Denial::CodeInvalid,
            _ => Denial::OutOfTurn,
        };
        assert_eq!(denial, expected, "{each:?}");

        // Within a session of the garage. A push goes there, and what comes back is the garage's.
        let cursor = (each == Kind::Reconcile || each == Kind::Want).then_some(([9; 16], 77));
        let hello = Hello { cursor, ..kit::hello(&garage, token.clone()) };
        let (mut stranger, welcome) = Device::join(relay.address(), hello).await;
        assert!(!tells_of_the_cafe(&FromRelay::Welcome(welcome), &cafe));
        stranger.send(said).await;
        // The end of what it is told: nothing comes behind a message out of turn.
        stranger.send(FromDevice::Pair { code: String::new() }).await;
        while let Some(answer) = stranger.try_next().await {
            assert!(!tells_of_the_cafe(&answer, &cafe) || each == Kind::Push, "{each:?}: {answer:?}");
        }
        assert_eq!(cafes_tail(&relay).await, before, "{each:?} changed the cafe's log");
    }
    relay.stop().await;
}
