//! Tokens as a relay is shown them: any text, and any payload under a right signature. Must not know sessions.

use crate::Plan;
use comptoir_engine::Timestamp;
use comptoir_engine::wire::message::Role;
use comptoir_relay::auth::{Auth, Grant, Permissions, Subject, TokenFault, TokenRequest};
use comptoir_relay::catalog::Catalog;
use comptoir_relay::clock::Clock;
use pasetors::version4::PublicToken;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A token has 4 kB.
pub const MEMORY_BYTES_MAX: u64 = 1 << 20;

/// Signs in these tests and nowhere else.
const KEY_ID: &str = "k4.pid.ydVSOl1OLaakjdDTrnUiTR0qaOqrtt6_fxdBiWyZElP9";
const KEY: &str = "k4.secret.udXq6qtCTdEc0eLieWoZHs1DTI8fDNLVsxMgVyQGJX3d1toK8FnmJPFLYEtcYrWZ-a1h7rDXiAHEomX8gk-lPA";

/// Signed payloads that are claims of nothing are kept shorter than this, in bytes.
const PAYLOAD_BYTES_MAX: usize = 2048;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp { unix_ms: 1_700_000_000_000 }
    }
}

struct Gate {
    auth: Auth,
    catalog: Arc<Catalog>,
}

fn gate() -> &'static Gate {
    static GATE: OnceLock<Gate> = OnceLock::new();
    GATE.get_or_init(|| {
        let folder: PathBuf = tempfile::tempdir().expect("a folder").keep();
        fs::write(folder.join(format!("{KEY_ID}.paserk")), KEY).expect("a key");
        let catalog = Arc::new(Catalog::open(&folder).expect("one key"));
        // It has been read, and names of other keys are looked up in a folder that is not there.
        fs::remove_dir_all(&folder).expect("the folder");
        Gate { auth: Auth::new(catalog.clone(), Arc::new(Noon)), catalog }
    })
}

/// What the relay signed itself: nothing else may open anything.
pub(crate) fn genuine() -> &'static [(String, TokenRequest)] {
    static GENUINE: OnceLock<Vec<(String, TokenRequest)>> = OnceLock::new();
    GENUINE.get_or_init(|| {
        let request = |role, name: &str| TokenRequest {
            workspace: crate::shop::workspace(),
            role,
            permissions: Permissions::parse(["*=none", "sales=write"]).expect("permissions"),
            allowance: Default::default(),
            subject: Subject::parse("device:till-1"),
            name: name.to_owned(),
            valid_for: Duration::from_secs(3600),
        };
        let all = [request(Role::Editor, ""), request(Role::Reader, "till é")];
        all.into_iter().map(|request| (gate().auth.sign(&request).expect("a token"), request)).collect()
    })
}

/// The first byte says what follows: a token, or a payload that is signed with the relay's own key.
pub fn target(bytes: &[u8]) {
    let mut plan = Plan::new(bytes);
    match plan.byte() % 3 {
        0 => {
            let Ok(token) = std::str::from_utf8(plan.rest()) else { return };
            if let Ok(grant) = gate().auth.check(token, "corner-bar") {
                panic!("a token that nobody signed opens {}", grant.workspace());
            }
        }
        1 => altered(&mut plan),
        _ => signed(plan.rest()),
    }
}

/// A genuine token with some of its characters replaced.
fn altered(plan: &mut Plan<'_>) {
    let (token, request) = &genuine()[plan.below(2)];
    let mut bytes = token.clone().into_bytes();
    while !plan.is_empty() {
        let at = plan.below(bytes.len());
        bytes[at] = plan.byte() & 0x7f;
    }
    let Ok(text) = String::from_utf8(bytes) else { return };
    match gate().auth.check(&text, "corner-bar") {
        Ok(grant) => assert_is(&grant, request),
        Err(fault) => assert!(&text != token && fault == TokenFault::Invalid, "{fault}"),
    }
}

fn assert_is(grant: &Grant, request: &TokenRequest) {
    let granted = (grant.workspace(), grant.role(), grant.name());
    assert_eq!(
        granted,
        (&request.workspace, request.role, request.name.as_str()),
        "a token opens what it was made for"
    );
}

fn signed(payload: &[u8]) {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return;
    }
    let footer = format!("{{\"kid\":\"{KEY_ID}\"}}");
    let key = &gate().catalog.newest().secret;
    let Ok(token) = PublicToken::sign(key, payload, Some(footer.as_bytes()), None) else { return };
    if let Ok(grant) = gate().auth.check(&token, "corner-bar") {
        assert_eq!(grant.workspace().as_str(), "corner-bar");
        assert!(grant.expires() > Noon.now(), "nothing is open past its time");
    }
}
