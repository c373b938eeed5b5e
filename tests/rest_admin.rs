//! What an operator and whoever manages a workspace do over REST: workspaces, backups, tokens and codes; who may not; and what the
//! audit says of it.

use comptoir_tests::device::Device;
use comptoir_tests::program::run;
use comptoir_tests::relay::{self, Relay};
use comptoir_tests::rest::Client;
use comptoir_tests::wait;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const SHOP: &str = "/v1/workspaces/shop";
const TEA: &str = "/v1/workspaces/shop/collections/products/records/tea";
const ADMIN: &str = "/v1/admin/workspaces";

fn operator(relay: &Relay, data: &Path) -> Client {
    let token = run(relay::command(&["token", "operator", "--name", "office"]).arg("--data").arg(data)).success();
    Client::new(relay.address(), token.trim())
}

fn audit(data: &Path) -> Vec<Value> {
    let files = fs::read_dir(data.join("audit")).expect("an audit").map(|file| file.expect("a file").path());
    let text: String = files.map(|path| fs::read_to_string(path).expect("lines")).collect();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn an_operators_token_opens_the_operators_routes_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let relay = Relay::start(&data);
    let operator = operator(&relay, &data);
    let shop = Client::new(relay.address(), &relay.token_with("shop", &["--role", "admin"]));
    shop.write("PUT", TEA, &json!({})).expect(201);
    assert_eq!(operator.get(TEA).expect(403).json()["code"], "token_workspace", "no workspace's records");
    for path in [ADMIN, "/v1/admin/workspaces/shop", "/v1/admin/backups"] {
        assert_eq!(shop.get(path).expect(403).json()["code"], "not_operator", "{path}");
        assert_eq!(Client::new(relay.address(), "").get(path).expect(401).json()["code"], "token_missing");
        assert_eq!(Client::new(relay.address(), "v4.public.x").get(path).expect(401).json()["code"], "token_invalid");
    }
    let list = operator.get(ADMIN).expect(200).json();
    assert_eq!(
        (&list["workspaces"][0]["workspace"], &list["workspaces"][0]["state"]),
        (&json!("shop"), &json!("open"))
    );
    assert_eq!(operator.get(&format!("{ADMIN}/nowhere")).expect(404).json()["code"], "workspace_unknown");

    let listed = run(relay::command(&["token", "list", "--json"]).arg("--data").arg(&data)).success();
    let mut tokens = listed.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let own = tokens.find(|token| token["role"] == "operator").expect("the operator's token is listed");
    let id = own["id"].as_str().expect("an id");
    run(relay::command(&["token", "revoke", id]).arg("--data").arg(&data)).success();
    wait::until("it is revoked", || (operator.get(ADMIN).status == 401).then_some(()));
}

#[test]
fn an_operator_suspends_limits_resumes_and_removes() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let relay = Relay::start(&data);
    let operator = operator(&relay, &data);
    let shop = Client::new(relay.address(), &relay.token("shop"));
    shop.write("PUT", TEA, &json!({})).expect(201);
    let one = format!("{ADMIN}/shop");
    let suspended = operator.send("POST", &format!("{one}/suspend"), &[], b"").expect(200).json();
    assert_eq!(suspended["state"], "suspended");
    shop.get(TEA).expect(403);
    let resumed = operator.send("POST", &format!("{one}/resume"), &[], b"").expect(200).json();
    assert_eq!(resumed["state"], "open");
    shop.get(TEA).expect(200);
    let limits =
        json!({"log_bytes_max": 1, "requests_per_second": null, "bytes_per_second": null, "changes_per_second": null});
    assert_eq!(operator.write("PUT", &format!("{one}/limits"), &limits).expect(200).json(), limits);
    shop.write("PUT", TEA, &json!({"n": 1})).expect(507);
    operator.write("PUT", &format!("{one}/limits"), &json!({})).expect(200);
    shop.write("PUT", TEA, &json!({"n": 1})).expect(200);
    assert_eq!(operator.send("DELETE", &one, &[], b"").expect(400).json()["code"], "removal_confirm");
    operator.send("DELETE", &format!("{one}?confirm=shop"), &[], b"").expect(200);
    operator.get(&one).expect(404);
    shop.get(TEA).expect(401);
    let noted = |detail: &str| {
        let found = audit(&data).into_iter().find(|deed| deed["detail"] == detail)?;
        Some((found["deed"].clone(), found["who"].clone()))
    };
    let office = Some((json!("rest.operated"), json!("office")));
    assert_eq!(wait::until("a line", || noted("DELETE /v1/admin/workspaces/shop 200")), office.clone().expect("it"));
    assert_eq!(noted("POST /v1/admin/workspaces/shop/suspend 200"), office);
}

#[test]
fn whoever_manages_a_workspace_makes_tokens_with_no_more_than_it_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let relay = Relay::start(&data);
    let client = |token: &str| Client::new(relay.address(), token);
    let tokens = format!("{SHOP}/tokens");
    let admin = client(&relay.token_with("shop", &["--role", "admin", "--allow", "sales=write", "--expires", "30d"]));
    let editor = client(&relay.token("shop"));
    assert_eq!(editor.get(&tokens).expect(403).json()["code"], "role_needed");
    editor.write("POST", &tokens, &json!({})).expect(403);
    editor.write("POST", &format!("{SHOP}/codes"), &json!({})).expect(403);

    let wide = [
        json!({"collections": {}}),
        json!({"collections": {"products": "write"}}),
        json!({"collections": {"*": "write", "sales": "write"}}),
        json!({"valid_for_s": 31 * 86_400}),
    ];
    for wanted in wide {
        let refused = admin.write("POST", &tokens, &wanted).expect(403).json();
        assert_eq!(refused["code"], "token_widened", "{wanted}: {refused}");
    }
    for wrong in
        [json!({"role": "owner"}), json!({"collections": {"x": "all"}}), json!({"valid_for_s": 0}), json!({"a": 1})]
    {
        admin.write("POST", &tokens, &wrong).expect(400);
    }
    let made = admin.write("POST", &tokens, &json!({"role": "reader", "subject": "user:anna"})).expect(201).json();
    let anna = client(made["token"].as_str().expect("a token"));
    anna.get(TEA).expect(404);
    anna.write("PUT", TEA, &json!({})).expect(403);
    let till = admin.write("POST", &tokens, &json!({"subject": "device:till"})).expect(201).json();
    let till = client(till["token"].as_str().expect("a token"));
    till.write("PUT", &format!("{SHOP}/collections/sales/records/1"), &json!({})).expect(201);
    till.write("PUT", TEA, &json!({})).expect(403);

    let page = admin.get(&format!("{tokens}?limit=3")).expect(200).json();
    let rest = admin.get(&format!("{tokens}?cursor={}", page["cursor"].as_str().expect("more"))).expect(200).json();
    let all: Vec<_> =
        [&page, &rest].into_iter().flat_map(|page| page["tokens"].as_array().cloned().unwrap_or_default()).collect();
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(!page.to_string().contains("v4.public"), "the token itself is told once");
    let id = made["id"].as_str().expect("an id");
    assert!(all.iter().any(|token| token["id"] == id && token["subject"] == "user:anna"), "{all:?}");
    admin.send("DELETE", &format!("{tokens}/{id}"), &[], b"").expect(204);
    assert_eq!(anna.get(TEA).expect(401).json()["code"], "token_revoked");
    let foreign = relay.token("garage");
    let listed = run(relay::command(&["token", "list", "--json", "--workspace", "garage"]).arg("--data").arg(&data));
    let foreign_id = serde_json::from_str::<Value>(listed.success().trim()).expect("JSON")["id"].clone();
    let gone = admin.send("DELETE", &format!("{tokens}/{}", foreign_id.as_str().expect("an id")), &[], b"");
    assert_eq!(gone.expect(404).json()["code"], "no_token");
    client(&foreign).get("/v1/workspaces/garage/status").expect(200);
}

#[test]
fn a_code_given_out_over_rest_lets_a_device_in_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let admin = Client::new(relay.address(), &relay.token_with("shop", &["--role", "admin"]));
    let wanted = json!({"token": {"subject": "device:till"}, "good_for_s": 60});
    let code = admin.write("POST", &format!("{SHOP}/codes"), &wanted).expect(201).json();
    let link = format!("{}/pair#{}", relay.url(), code["code"].as_str().expect("a code"));
    let till = Device::at(&folder.path().join("till"));
    till.ok(&["init", "--pair", &link]);
    till.ok(&["put", "products", "tea", "{}"]);
    till.sync();
    Device::at(&folder.path().join("thief")).fails(&["init", "--pair", &link]);
    admin.get(TEA).expect(200);
    admin.write("POST", &format!("{SHOP}/codes"), &json!({"good_for_s": 0})).expect(400);
}

#[test]
fn backups_are_listed_begun_and_told_of_over_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, place, config) =
        (folder.path().join("relay"), folder.path().join("backups"), folder.path().join("c.toml"));
    let without = Relay::start(&folder.path().join("without"));
    let refused = operator(&without, &folder.path().join("without")).get("/v1/admin/backups").expect(409);
    assert_eq!(refused.json()["code"], "backups_unset");
    fs::write(&config, format!("[backup]\nout = {:?}\nevery = \"1000h\"\n", place.display().to_string()))
        .expect("a file");
    let relay = Relay::start_with(&data, &["--config", config.to_str().expect("a path")]);
    let operator = operator(&relay, &data);
    let state = || operator.get("/v1/admin/backups").expect(200).json();
    // The first one is taken by the relay itself.
    wait::until("the first backup", || (state()["last"]["state"] == "done").then_some(()));
    let first = state();
    assert_eq!(first["backups"].as_array().map(Vec::len), Some(1), "{first}");
    let begun = operator.send("POST", "/v1/admin/backups", &[], b"").expect(202).json();
    assert_eq!(begun["state"], "running", "{begun}");
    let second = wait::until("the second", || Some(state()).filter(|state| state["last"]["state"] == "done"));
    assert_eq!(second["backups"].as_array().map(Vec::len), Some(2), "{second}");
    assert_eq!(second["backups"][1]["name"], second["last"]["name"]);
}

#[test]
fn the_audit_says_who_wrote_and_exported_what_over_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("relay");
    let relay = Relay::start(&data);
    let anna = Client::new(relay.address(), &relay.token_with("shop", &["--user", "anna"]));
    anna.write("PUT", TEA, &json!({"name": "secret"})).expect(201);
    anna.get(TEA).expect(200);
    anna.get(&format!("{SHOP}/export")).expect(200);
    anna.write("PUT", TEA, &json!([])).expect(400);
    let kind = [("content-type", "application/x-ndjson")];
    anna.send("POST", &format!("{SHOP}/import?collection=products"), &kind, b"{\"id\":\"a\"}").expect(200);
    let deeds = wait::until("the lines", || {
        let all = audit(&data).into_iter().filter(|deed| deed["who"] == "user:anna" && deed["deed"] != "session.begun");
        let all: Vec<_> = all.collect();
        (all.len() >= 4).then_some(all)
    });
    let told: Vec<_> = deeds.iter().map(|deed| (deed["deed"].clone(), deed["detail"].clone())).collect();
    let line = |deed: &str, detail: String| (json!(deed), json!(detail));
    assert_eq!(
        told,
        [
            line("rest.wrote", format!("PUT {TEA} 201")),
            line("rest.exported", format!("GET {SHOP}/export 200")),
            line("rest.wrote", format!("PUT {TEA} 400")),
            line("rest.wrote", format!("POST {SHOP}/import 200")),
        ]
    );
    assert!(deeds.iter().all(|deed| deed["workspace"] == "shop" && deed["token"].is_string()), "{deeds:?}");
    assert!(!deeds.iter().any(|deed| deed.to_string().contains("secret")), "no record's content");
}
