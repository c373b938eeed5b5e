//! Webhooks from the command line: of a folder that a relay serves, and of one that nobody does.

use comptoir_tests::endpoint::{Endpoint, FAILS, OK, Shop};
use comptoir_tests::program::{Outcome, run};
use comptoir_tests::relay::command;
use comptoir_tests::wait::until;
use serde_json::Value;

fn webhook(shop: &Shop, name: &str, args: &[&str]) -> Outcome {
    let mut command = command(&["webhook", name, "--workspace", "shop"]);
    run(command.args(args).arg("--data").arg(shop.data()))
}

fn json(outcome: Outcome) -> Value {
    serde_json::from_str(&outcome.success()).expect("JSON")
}

#[test]
fn a_webhook_is_managed_from_the_command_line_beside_the_relay_and_without_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut shop, endpoint) = (Shop::start(folder.path(), "retry_ms = []", &[]), Endpoint::start());
    let (url, name) = (endpoint.url(), ["--name", "books"]);
    let create = ["--url", &url, "--allow", "*=none", "--allow", "products=read", "--json"];
    let made = json(webhook(&shop, "create", &[&create[..], &name].concat()));
    let (id, secret) = (made["id"].as_str().expect("an id"), made["secret"].as_str().expect("a secret"));
    shop.put("a", 1);
    shop.put_into("wages", "b", 1);
    endpoint.answer(|delivery| if delivery.keys() == ["c"] { FAILS } else { OK });
    shop.put("c", 1);
    shop.put("d", 1);
    assert!(endpoint.wait_for(2).iter().all(|delivery| delivery.is_signed_with(secret)));
    assert_eq!(endpoint.keys(), ["a", "d"]);
    let listed = webhook(&shop, "list", &[]).success();
    assert!(listed.contains(id) && listed.contains("books") && listed.contains("sends"), "{listed}");
    let log = webhook(&shop, "log", &[id, "--limit", "2"]).success();
    assert!(log.lines().count() == 2 && log.contains("delivered"), "{log}");
    assert!(webhook(&shop, "log", &[id]).success().contains("dead  500"));
    endpoint.answer(|_| OK);
    assert!(webhook(&shop, "dead-letters", &[id]).success().contains("msg_"));
    assert!(webhook(&shop, "resend", &[id]).success().starts_with("1 are being sent again"));
    until("no letter", || webhook(&shop, "dead-letters", &[id]).success().is_empty().then_some(()));
    // Without a relay: what is asked is done when one serves.
    assert_eq!(shop.relay.terminate().code, Some(0));
    let shown = json(webhook(&shop, "show", &[id, "--json"]));
    assert_eq!((&shown["name"], &shown["dead_letters"]), (&"books".into(), &0.into()));
    let second =
        json(webhook(&shop, "create", &["--url", &url, "--after", "start", "--collection", "wages", "--json"]));
    assert!(webhook(&shop, "replay", &[id, "--after", "start"]).success().contains("goes on behind"));
    shop.kill_and_start(None);
    until("both from the start", || (endpoint.keys().len() == 7).then_some(()));
    assert!(endpoint.keys().contains(&"b".to_owned()));
    webhook(&shop, "remove", &[id]).success();
    let refused = webhook(&shop, "show", &[id]).failure();
    assert!(refused.contains("has no webhook"), "{refused}");
    let left = json(webhook(&shop, "list", &["--json"]));
    assert_eq!(left["id"], second["id"]);
    // Its token is one as every other.
    let mut list = command(&["token", "list"]);
    let tokens = run(list.arg("--data").arg(shop.data())).success();
    assert!(tokens.contains("webhook books"), "{tokens}");
    let token = second["token"].as_str().expect("an id");
    let mut revoke = command(&["token", "revoke", token]);
    run(revoke.arg("--data").arg(shop.data())).success();
    shop.wait_suspended(second["id"].as_str().expect("an id"), "token_revoked");
    assert!(webhook(&shop, "list", &[]).success().contains("suspended: its token was revoked"));
    let refused = webhook(&shop, "create", &["--url", "ftp://example.com/"]).failure();
    assert!(refused.contains("no address for a webhook"), "{refused}");
}
