//! Who may enter, and what for: a session begins with a token of this workspace that is still good, or not at all.

mod kit;

use comptoir_engine::gate::Refusal;
use comptoir_engine::time::Timestamp;
use comptoir_engine::wire::message::{Denial, FromDevice, Role, TOKEN_BYTES_MAX};
use comptoir_relay::auth::{Auth, TokenFault, TokenRequest};
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
    TokenRequest { workspace: kit::workspace("cafe"), role: Role::Editor, name: String::new(), valid_for }
}

#[tokio::test]
async fn nobody_enters_without_a_good_token() {
    let dir = tempfile::tempdir().expect("a folder");
    let relay = kit::relay(dir.path()).await;
    let keys = comptoir_relay::relay::keys_folder(dir.path());
    let long_ago = Auth::new(Arc::new(Catalog::open(&keys).expect("the relay's keys")), Arc::new(At(0)));
    let expired = long_ago.issue(&request(Duration::from_secs(60))).expect("a token");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let stranger = Auth::new(Arc::new(Catalog::open(elsewhere.path()).expect("keys")), Arc::new(SystemClock));
    let forged = stranger.issue(&request(Duration::from_secs(60))).expect("a token");
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
    let token = relay.auth().issue(&request(Duration::from_millis(300))).expect("a token");
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
    let token = Auth::new(Arc::new(added), Arc::new(SystemClock)).issue(&request(Duration::from_secs(60)));
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
