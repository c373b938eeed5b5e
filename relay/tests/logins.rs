//! Tokens of an app's own login: as good as the relay's while their key is published, and worth nothing otherwise.

mod kit;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use comptoir_engine::gate::Refusal;
use comptoir_engine::wire::message::{Denial, FromDevice, FromRelay, Role};
use comptoir_relay::auth::Logins;
use comptoir_relay::clock::SystemClock;
use comptoir_relay::config::{Config, JwtSettings};
use comptoir_relay::relay::Relay;
use kit::{Author, Device};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Somebody's login: it signs, and publishes its key.
struct Login {
    key: Ed25519KeyPair,
    id: &'static str,
}

impl Login {
    fn new(seed: u8, id: &'static str) -> Self {
        Self { key: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key"), id }
    }

    fn jwks(&self) -> Value {
        let x = BASE64.encode(self.key.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.id, "x": x}]})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let content = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        format!("{content}.{}", BASE64.encode(self.key.sign(content.as_bytes())))
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": "https://login.example", "aud": "comptoir", "sub": "anna", "workspace": "cafe", "role": "editor",
            "iat": now_s(), "exp": now_s() + 600,
        });
        change(&mut claims);
        self.sign(&json!({"alg": "EdDSA", "typ": "JWT", "kid": self.id}), &claims)
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs()
}

async fn relay(dir: &Path, jwks: &str) -> Result<Relay, comptoir_relay::relay::StartError> {
    let text = format!("jwks = \"{jwks}\"\nissuer = \"https://login.example\"\naudience = \"comptoir\"");
    let jwt: JwtSettings = toml::from_str(&text).expect("settings");
    let config = Config { listen: "127.0.0.1:0".to_owned(), jwt: Some(jwt), ..Config::default() };
    Relay::start(&dir.join("relay"), config, Arc::new(SystemClock)).await
}

async fn said(relay: &Relay, token: String) -> FromRelay {
    let mut device = Device::connect(relay.address()).await;
    device.send(FromDevice::Hello(kit::hello("cafe", token))).await;
    device.next().await
}

async fn is_welcome(relay: &Relay, token: String) -> bool {
    matches!(said(relay, token).await, FromRelay::Welcome(_))
}

#[tokio::test]
async fn a_token_of_the_login_opens_its_workspace_with_its_role_and_no_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let (login, stranger) = (Login::new(1, "one"), Login::new(2, "one"));
    let file = dir.path().join("jwks.json");
    std::fs::write(&file, login.jwks().to_string()).expect("a file");
    let relay = relay(dir.path(), file.to_str().expect("a path")).await.expect("a relay");

    let (mut device, welcome) = Device::join(relay.address(), kit::hello("cafe", login.token(|_| ()))).await;
    assert_eq!(welcome.role, Role::Editor);
    device.push(1, kit::pack(&[Author::new(1, "1").edit()])).await;
    assert_eq!(device.ack().await.through, Some(1));
    let no_role = login.token(|claims| _ = claims.as_object_mut().expect("claims").remove("role"));
    assert_eq!(Device::join(relay.address(), kit::hello("cafe", no_role)).await.1.role, Role::Reader);
    let till = login.token(|claims| claims["collections"] = json!({"sales": "write"}));
    let mut till = Device::join(relay.address(), kit::hello("cafe", till)).await.0;
    assert!(matches!(till.next().await, FromRelay::Writable(_)));
    till.entries().await;
    till.push(1, kit::pack(&[Author::new(2, "2").edit()])).await;
    assert_eq!(till.ack().await.refused[0].reason, Refusal::CollectionClosed);
    assert!(is_welcome(&relay, kit::token(&relay, "cafe", Role::Editor)).await, "the relay's own stay good");
    for jti in [json!("7"), Value::Null] {
        let taken_back = login.token(|claims| claims["jti"] = jti.clone());
        relay.auth().revoke(&Logins::id_of(&taken_back).expect("an id")).expect("revoked");
        assert_eq!(said(&relay, taken_back).await, FromRelay::Denied(Denial::TokenRevoked), "{jti}");
    }

    let denied = |change: fn(&mut Value)| said(&relay, login.token(change));
    assert_eq!(denied(|c| c["exp"] = json!(now_s() - 60)).await, FromRelay::Denied(Denial::TokenExpired));
    assert_eq!(denied(|c| c["workspace"] = json!("garage")).await, FromRelay::Denied(Denial::WrongWorkspace));
    let invalid = FromRelay::Denied(Denial::TokenInvalid);
    assert_eq!(denied(|c| c["aud"] = json!("others")).await, invalid);
    assert_eq!(denied(|c| c["iss"] = json!("https://other.example")).await, invalid);
    assert_eq!(denied(|c| c["nbf"] = json!(now_s() + 600)).await, invalid);
    assert_eq!(denied(|c| c["exp"] = Value::Null).await, invalid);
    assert_eq!(denied(|c| c["role"] = json!("owner")).await, invalid);
    assert_eq!(denied(|c| c["sub"] = Value::Null).await, invalid);
    assert_eq!(said(&relay, stranger.token(|_| ())).await, invalid, "another key under the same name");
    let claims = json!({"iss": "https://login.example", "aud": "comptoir", "sub": "eve", "workspace": "cafe", "exp": now_s() + 60});
    for algorithm in ["none", "HS256", "RS256", "ES256"] {
        let token = login.sign(&json!({"alg": algorithm, "kid": "one"}), &claims);
        assert_eq!(said(&relay, token).await, invalid, "{algorithm}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_key_that_is_taken_out_of_the_file_opens_nothing_more_and_a_new_one_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let (old, new) = (Login::new(1, "old"), Login::new(2, "new"));
    let file = dir.path().join("jwks.json");
    std::fs::write(&file, old.jwks().to_string()).expect("a file");
    let relay = relay(dir.path(), file.to_str().expect("a path")).await.expect("a relay");
    assert!(is_welcome(&relay, old.token(|_| ())).await && !is_welcome(&relay, new.token(|_| ())).await);
    std::fs::write(&file, new.jwks().to_string()).expect("a file");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !is_welcome(&relay, new.token(|_| ())).await {
        assert!(tokio::time::Instant::now() < deadline, "the new key is read");
    }
    assert!(!is_welcome(&relay, old.token(|_| ())).await);
    std::fs::write(&file, "nonsense").expect("a file");
    assert!(is_welcome(&relay, new.token(|_| ())).await, "what is spoilt later changes nothing");
    relay.stop().await;
}

/// A server that gives this content to whoever asks, from now on.
async fn served(content: Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let url = format!("http://{}/jwks.json", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let content = content.to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
            let _ = stream.write_all(format!("{head}: {}\r\n\r\n{content}", content.len()).as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn keys_come_from_an_address_and_a_relay_that_cannot_have_them_does_not_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let login = Login::new(1, "one");
    let url = served(login.jwks()).await;
    let relay_there = relay(dir.path(), &url).await.expect("a relay");
    assert!(is_welcome(&relay_there, login.token(|_| ())).await);
    relay_there.stop().await;
    for place in ["http://127.0.0.1:1/jwks.json", "/no/such/file", &served(json!({"keys": "none"})).await] {
        let error = relay(dir.path(), place).await.err().unwrap_or_else(|| panic!("{place} starts")).to_string();
        assert!(error.contains("jwt.jwks") || error.contains("no JWKS"), "{error}");
    }
}
