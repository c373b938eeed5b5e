//! The served description of the REST API against the relay that serves it: what schemathesis makes up is answered as the
//! description says. Says so and installs schemathesis from PyPI where it is not there yet.

use comptoir_tests::program::{self, run};
use comptoir_tests::relay::Relay;
use comptoir_tests::rest::Client;
use comptoir_tests::source;
use serde_json::json;
use std::process::Command;

#[test]
fn every_answer_is_one_that_the_description_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let token = relay.token("shop");
    let owner = Client::new(relay.address(), &token);
    let tea = "/v1/workspaces/shop/collections/products/records/tea";
    owner.write("PUT", tea, &json!({"name": "Tea", "stock": 3})).expect(201);
    // Beside the binaries, so that it is made once.
    let venv = program::binary("comptoir").parent().expect("a folder").join("schemathesis");
    let mut command = Command::new(source::root().join("tests/schemathesis/run"));
    command.args([&relay.address().to_string(), "shop", &token]).arg(venv).env("EXAMPLES", "12");
    let said = run(&mut command);
    let tail = said.stdout.lines().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    assert_eq!(said.code, Some(0), "{tail}\n{}\n{}", said.stderr, relay.stderr());
    assert!(tail.contains("No issues found"), "{tail}");
    owner.get("/v1/workspaces/shop/status").expect(200);
}
