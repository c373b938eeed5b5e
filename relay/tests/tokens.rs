//! Who may enter, and what for: a session begins with a token of this workspace that is still good, or not at all.

mod kit;

use comptoir_engine::gate::Refusal;
use comptoir_engine::id::{Collection, RecordId};
use comptoir_engine::time::Timestamp;
use comptoir_engine::wire::message::{Denial, FromDevice, FromRelay, Role, TOKEN_BYTES_MAX, is_short_name, short_name};
use comptoir_relay::auth::{Auth, GUESSES_MAX, Permissions, Subject, TokenFault, TokenRequest};
use comptoir_relay::catalog::Catalog;
use comptoir_relay::clock::{Clock, SystemClock};
use kit::{Author, Device};
use std::sync::Arc;
use std::time::Duration;

struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp { unix_ms: self.0 }
    }
}

async fn denial(relay: &comptoir_relay::relay::Relay, token: String) -> Denial {
    let mut device = Device::connect(relay.address()).await;
    device.send(FromDevice::Hello(kit::hello("cafe", token))).await;
    device.denial().await
}

fn request(valid_for: Duration) -> TokenRequest {
    TokenRequest {
        workspace: kit::workspace("cafe"),
        role: Role::Editor,
        permissions: Permissions::ALL,
        allowance: Default::default(),
        subject: None,
        name: String::new(),
        valid_for,
    }
}

#[tokio::test]
async fn nobody_enters_without_a_good_token() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let keys = comptoir_relay::relay::keys_folder(dir.path());
    let long_ago = Auth::new(Arc::new(Catalog::open(&keys).expect("the relay's keys")), Arc::new(At(0)));
    let expired = long_ago.sign(&request(Duration::from_secs(60))).expect("a token");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let stranger = Auth::new(Arc::new(Catalog::open(elsewhere.path()).expect("keys")), Arc::new(SystemClock));
    let forged = stranger.sign(&request(Duration::from_secs(60))).expect("a token");
    let good = kit::token(&relay, "cafe", Role::Admin);
    let mut spoilt = good.clone().into_bytes();
    spoilt[40] = if spoilt[40] == b'A' { b'B' } else { b'A' };

    assert_eq!(denial(&relay, String::new()).await, Denial::TokenMissing);
    assert_eq!(denial(&relay, "garbage".to_owned()).await, Denial::TokenInvalid);
    assert_eq!(denial(&relay, forged).await, Denial::TokenInvalid);
    assert_eq!(denial(&relay, String::from_utf8(spoilt).expect("text")).await, Denial::TokenInvalid);
    assert_eq!(denial(&relay, expired).await, Denial::TokenExpired);
    assert_eq!(denial(&relay, kit::token(&relay, "garage", Role::Admin)).await, Denial::WrongWorkspace);
    let too_long = denial(&relay, "x".repeat(TOKEN_BYTES_MAX + 1)).await;
    assert!(matches!(too_long, Denial::OverLimit { .. }), "{too_long:?}");
    let (_, welcome) = Device::join(relay.address(), kit::hello("cafe", good)).await;
    assert_eq!(welcome.role, Role::Admin);
    relay.stop().await;
}

#[tokio::test]
async fn a_reader_pulls_and_cannot_push() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let mut author = Author::new(1, "1");
    let mut reader =
        Device::join(relay.address(), kit::hello("cafe", kit::token(&relay, "cafe", Role::Reader))).await.0;
    reader.push(1, kit::pack(&[author.edit(), author.edit()])).await;
    let ack = reader.ack().await;
    let refused: Vec<_> = ack.refused.into_iter().map(|refused| (refused.index, refused.reason)).collect();
    assert_eq!(refused, [(0, Refusal::RoleTooLow), (1, Refusal::RoleTooLow)]);

    let mut editor = Device::editor(&relay).await;
    let mut author = Author::new(2, "1");
    editor.push(1, kit::pack(&[author.edit()])).await;
    assert_eq!(editor.ack().await.through, Some(1));
    assert_eq!(reader.entries().await.through, 1);
    relay.stop().await;
}

#[tokio::test]
async fn a_session_ends_when_its_token_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let token = relay.auth().sign(&request(Duration::from_millis(300))).expect("a token");
    let mut device = Device::join(relay.address(), kit::hello("cafe", token)).await.0;
    assert_eq!(device.denial().await, Denial::TokenExpired);
    relay.stop().await;
}

#[test]
fn processes_that_start_together_share_one_key() {
    let dir = tempfile::tempdir().expect("a folder");
    let keys = dir.path().join("keys");
    let ids: Vec<String> = std::thread::scope(|scope| {
        let opening: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Catalog::open(&keys).expect("keys").newest().id.clone())).collect();
        opening.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn a_key_added_while_the_relay_runs_is_accepted_and_only_its_owner_reads_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let other = tempfile::tempdir().expect("a folder");
    let auth = Auth::new(Arc::new(Catalog::open(dir.path()).expect("keys")), Arc::new(SystemClock));
    let added = Catalog::open(other.path()).expect("keys");
    let name = format!("{}.paserk", added.newest().id);
    let token = Auth::new(Arc::new(added), Arc::new(SystemClock)).sign(&request(Duration::from_secs(60)));
    let token = token.expect("a token");
    assert_eq!(auth.check(&token, "cafe").err(), Some(TokenFault::Invalid));
    std::fs::copy(other.path().join(&name), dir.path().join(&name)).expect("a copied key");
    assert_eq!(auth.check(&token, "cafe").expect("a grant").role(), Role::Editor);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(other.path().join(&name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// Waits until the ledger says so; the deadline is a second, as revoking promises.
async fn denied_within_a_second(device: &mut Device) -> Denial {
    tokio::time::timeout(Duration::from_secs(1), device.denial()).await.expect("a session ends within a second")
}

#[tokio::test]
async fn a_revoked_token_ends_its_session_within_a_second_and_no_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    // The command line is another process: it has the same folder, and a catalog of its own.
    let keys = comptoir_relay::relay::keys_folder(dir.path());
    let beside = Auth::new(Arc::new(Catalog::open(&keys).expect("the relay's keys")), Arc::new(SystemClock));
    let token = beside.issue(&request(Duration::from_secs(600))).expect("a token");
    let other = beside.issue(&request(Duration::from_secs(600))).expect("a token");
    let mut device = Device::join(relay.address(), kit::hello("cafe", token.clone())).await.0;
    let mut untouched = Device::join(relay.address(), kit::hello("cafe", other)).await.0;

    beside.revoke(beside.read(&token).expect("a grant").id()).expect("revoked");
    assert_eq!(denied_within_a_second(&mut device).await, Denial::TokenRevoked);
    assert_eq!(denial(&relay, token).await, Denial::TokenRevoked);
    untouched.push(1, kit::pack(&[Author::new(1, "1").edit()])).await;
    assert_eq!(untouched.ack().await.through, Some(1), "the other goes on");

    beside.revoke_all(&kit::workspace("cafe")).expect("revoked");
    assert_eq!(denied_within_a_second(&mut untouched).await, Denial::TokenRevoked);
    let garage = kit::token(&relay, "garage", Role::Editor);
    Device::join(relay.address(), kit::hello("garage", garage)).await;
    let fresh = beside.issue(&request(Duration::from_secs(600))).expect("a token");
    Device::join(relay.address(), kit::hello("cafe", fresh)).await;
    relay.stop().await;
}

#[tokio::test]
async fn keys_rotate_while_sessions_go_on_and_a_retired_one_opens_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let beside = Catalog::open(&comptoir_relay::relay::keys_folder(dir.path())).expect("the relay's keys");
    let first = beside.newest().id.clone();
    let old = kit::token(&relay, "cafe", Role::Editor);
    let mut device = Device::join(relay.address(), kit::hello("cafe", old.clone())).await.0;

    let second = beside.rotate().expect("a new key");
    assert_eq!(beside.ids().expect("ids"), [first.clone(), second.clone()]);
    let auth = Auth::new(Arc::new(beside), Arc::new(SystemClock));
    let new = auth.sign(&request(Duration::from_secs(600))).expect("a token");
    let mut newer = Device::join(relay.address(), kit::hello("cafe", new)).await.0;
    device.push(1, kit::pack(&[Author::new(1, "1").edit()])).await;
    assert_eq!(device.ack().await.through, Some(1), "old tokens stay good");

    let beside = Catalog::open(&comptoir_relay::relay::keys_folder(dir.path())).expect("the relay's keys");
    assert!(beside.retire(&second).is_err(), "the key that signs stays");
    beside.retire(&first).expect("retired");
    assert_eq!(denied_within_a_second(&mut device).await, Denial::TokenRevoked);
    assert_eq!(denial(&relay, old).await, Denial::TokenInvalid);
    assert_eq!(newer.entries().await.through, 1, "the other goes on");
    relay.stop().await;
}

#[tokio::test]
async fn a_till_sells_and_does_not_change_prices() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let permissions = Permissions::parse(["sales=write"]).expect("permissions");
    let till = TokenRequest { permissions, ..request(Duration::from_secs(600)) };
    let token = relay.auth().sign(&till).expect("a token");
    let mut till = Device::join(relay.address(), kit::hello("cafe", token.clone())).await.0;
    let FromRelay::Writable(writable) = till.next().await else { panic!("a till is told where it may write") };
    assert!(writable.contains(&Collection::new("sales").expect("a name")));
    assert!(!writable.contains(&Collection::new("products").expect("a name")));

    let mut prices = Author::new(1, "1");
    let mut sales = Author::new(2, "1");
    sales.record = RecordId::new("sales", "1").expect("a name");
    till.push(1, kit::pack(&[prices.edit(), sales.edit()])).await;
    let ack = till.ack().await;
    let refused: Vec<_> = ack.refused.into_iter().map(|refused| (refused.index, refused.reason)).collect();
    assert_eq!((refused, ack.through), (vec![(0, Refusal::CollectionClosed)], Some(1)));

    // What the log has already, the till may bring again.
    let mut office = Device::editor(&relay).await;
    let mut prices = Author::new(3, "2");
    let edit = prices.edit();
    office.push(1, kit::pack(std::slice::from_ref(&edit))).await;
    office.ack().await;
    till.entries().await;
    till.push(2, kit::pack(&[edit])).await;
    assert!(till.ack().await.refused.is_empty());
    relay.stop().await;
}

#[tokio::test]
async fn who_may_read_nothing_does_not_sync() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let permissions = Permissions::parse(["*=none", "sales=none"]).expect("permissions");
    let token = relay.auth().sign(&TokenRequest { permissions, ..request(Duration::from_secs(60)) }).expect("a token");
    assert_eq!(denial(&relay, token).await, Denial::TokenTooNarrow);
    relay.stop().await;
}

#[tokio::test]
async fn a_code_pairs_one_device_once_and_in_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let keys = comptoir_relay::relay::keys_folder(dir.path());
    let beside = Auth::new(Arc::new(Catalog::open(&keys).expect("the relay's keys")), Arc::new(SystemClock));
    let wanted = TokenRequest { subject: Subject::parse("device:till-2"), ..request(Duration::from_secs(600)) };
    let code = beside.offer(&wanted, Duration::from_secs(60)).expect("a code").to_string();
    let late = beside.offer(&wanted, Duration::ZERO).expect("a code").to_string();

    let said = async |code: String| {
        let mut device = Device::connect(relay.address()).await;
        device.send(FromDevice::Pair { code }).await;
        device.next().await
    };
    let FromRelay::Paired(paired) = said(code.to_lowercase()).await else { panic!("a good code pairs") };
    assert_eq!(paired.workspace, "cafe");
    let grant = relay.auth().check(&paired.token, "cafe").expect("a grant");
    assert_eq!(grant.subject(), Subject::parse("device:till-2").as_ref());
    Device::join(relay.address(), kit::hello("cafe", paired.token)).await;
    assert_eq!(said(code).await, FromRelay::Denied(Denial::CodeInvalid), "once");
    assert_eq!(said(late).await, FromRelay::Denied(Denial::CodeInvalid), "in time");

    let mut last = FromRelay::Denied(Denial::CodeInvalid);
    for guess in 0..=GUESSES_MAX {
        last = said(format!("AAAA-{guess:04}")).await;
    }
    assert!(matches!(last, FromRelay::Denied(Denial::OverLimit { .. })), "{last:?}");
    relay.stop().await;
}

#[tokio::test]
async fn a_token_that_was_shown_is_shown_again_by_its_short_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let token = kit::token(&relay, "cafe", Role::Editor);
    let name = short_name(&token);
    assert!(name.len() < 24 && is_short_name(&name) && !is_short_name(&token));
    let greet = async |workspace: &str, token: &str| {
        let mut device = Device::connect(relay.address()).await;
        device.send(FromDevice::Hello(kit::hello(workspace, token.to_owned()))).await;
        let answer = device.next().await;
        (device, answer)
    };
    let (mut device, answer) = greet("cafe", &name).await;
    assert_eq!(answer, FromRelay::TokenWanted, "it was never shown");
    device.send(FromDevice::Hello(kit::hello("cafe", token.clone()))).await;
    assert!(matches!(device.next().await, FromRelay::Welcome(_)));
    assert!(matches!(greet("cafe", &name).await.1, FromRelay::Welcome(_)));
    assert_eq!(greet("garage", &name).await.1, FromRelay::Denied(Denial::WrongWorkspace), "as good as the token");

    let (mut stubborn, answer) = greet("cafe", &short_name("another")).await;
    assert_eq!(answer, FromRelay::TokenWanted);
    stubborn.send(FromDevice::Hello(kit::hello("cafe", short_name("another")))).await;
    assert_eq!(stubborn.next().await, FromRelay::Denied(Denial::TokenInvalid), "it is asked once");

    let grant = relay.auth().check(&token, "cafe").expect("a grant");
    relay.auth().revoke(grant.id()).expect("revoked");
    assert_eq!(greet("cafe", &name).await.1, FromRelay::Denied(Denial::TokenRevoked));
    relay.stop().await;
}
