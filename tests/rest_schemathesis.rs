//! The served description of the REST API against the relay that serves it: what schemathesis makes up is answered as the
//! description says. Says so and installs schemathesis from PyPI where it is not there yet.

use comptoir_tests::program::{self, run};
use comptoir_tests::relay::{self, Relay};
use comptoir_tests::rest::Client;
use comptoir_tests::source;
use serde_json::json;
use std::process::Command;

/// Asks these routes of a workspace with a token, all that schemathesis makes up for them.
fn ask(relay: &Relay, workspace: &str, token: &str, paths: &str) {
    // Beside the binaries, so that it is made once.
    let venv = program::binary("comptoir").parent().expect("a folder").join("schemathesis");
    let mut command = Command::new(source::root().join("tests/schemathesis/run"));
    command.args([&relay.address().to_string(), workspace, token]).arg(venv).arg(paths).env("EXAMPLES", "12");
    let said = run(&mut command);
    let tail = said.stdout.lines().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    assert_eq!(said.code, Some(0), "{paths}: {tail}\n{}\n{}", said.stderr, relay.stderr());
    assert!(tail.contains(" generated, ") && !tail.contains(" failed"), "{paths}: {tail}");
}

#[test]
fn every_answer_is_one_that_the_description_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token("shop");
    let owner = Client::new(relay.address(), &token);
    let tea = "/v1/workspaces/shop/collections/products/records/tea";
    owner.write("PUT", tea, &json!({"name": "Tea", "stock": 3})).expect(201);
    ask(&relay, "shop", &token, "^(?!/v1/admin/|.*/(tokens|codes|webhooks))");
    owner.get("/v1/workspaces/shop/status").expect(200);
    // What an admin and the operator manage: in a workspace without records, so that no webhook has anything to send.
    let admin = relay.token_with("kiosk", &["--role", "admin"]);
    ask(&relay, "kiosk", &admin, "/(tokens|codes|webhooks)");
    let mut operator = relay::command(&["token", "operator", "--data"]);
    let operator = run(operator.arg(folder.path().join("relay"))).success();
    ask(&relay, "kiosk", operator.trim(), "^/v1/admin/");
}
