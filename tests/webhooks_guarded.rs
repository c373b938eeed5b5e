//! What webhooks may not do: reach into the relay's own network, tell what their token may not read, go on without it, grow
//! without bound, or take REST's places.

use comptoir_tests::endpoint::{Endpoint, FAILS, OK, Reply, Shop};
use comptoir_tests::program::run;
use comptoir_tests::relay::{Relay, command};
use comptoir_tests::rest::Client;
use comptoir_tests::wait::until;
use serde_json::{Value, json};
use std::fs;

const HOOKS: &str = "/v1/workspaces/shop/webhooks";
const QUICKLY: &str = "retry_ms = [20, 40]";

#[test]
fn no_webhook_reaches_into_the_relays_own_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, endpoint) = (folder.path().join("relay.toml"), Endpoint::start());
    fs::write(&config, "[webhooks]\nallow_http = true\nretry_ms = []\n").expect("a file");
    let relay = Relay::start_with(&folder.path().join("relay"), &["--config", config.to_str().expect("a path")]);
    let admin = Client::new(relay.address(), &relay.token_with("shop", &["--role", "admin"]));
    let port = endpoint.port();
    let refused = |url: String, code: &str| {
        let answer = admin.write("POST", HOOKS, &json!({"url": url})).expect(422);
        assert_eq!(answer.json()["code"], code, "{url}");
    };
    for host in
        ["127.0.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "10.0.0.1", "169.254.169.254"]
    {
        refused(format!("http://{host}:{port}/"), "webhook_address");
    }
    refused(format!("http://user:secret@example.com:{port}/"), "webhook_url");
    refused("file:///etc/passwd".to_owned(), "webhook_url");
    // A name is looked up when something is sent, and what is connected to is what was looked at.
    let url = format!("http://localhost:{port}/hook");
    let made = admin.write("POST", HOOKS, &json!({"url": url})).expect(201).json();
    let id = made["id"].as_str().expect("an id");
    admin.write("PUT", "/v1/workspaces/shop/collections/products/records/tea", &json!({"n": 1})).expect(201);
    let attempt = until("an attempt", || {
        let log = admin.get(&format!("{HOOKS}/{id}/log")).expect(200).json();
        log["attempts"].get(0).cloned()
    });
    assert_eq!((&attempt["error"], &attempt["outcome"]), (&json!("webhook_address"), &json!("dead")), "{attempt}");
    assert!(endpoint.came().is_empty(), "{:?}", endpoint.came());
}

#[test]
fn what_is_made_where_nobody_serves_is_held_to_the_settings_of_who_serves_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, endpoint) = (folder.path().join("relay"), Endpoint::start());
    let config = folder.path().join("relay.toml");
    fs::write(&config, "[webhooks]\nretry_ms = []\n").expect("a file");
    let with = ["--config", config.to_str().expect("a path")];
    let mut relay = Relay::start_with(&data, &with);
    let refused = Client::new(relay.address(), &relay.token_with("shop", &["--role", "admin"]));
    let refused = refused.write("POST", HOOKS, &json!({"url": "http://example.com/"})).expect(422);
    assert_eq!(refused.json()["code"], "webhook_http");
    assert_eq!(relay.terminate().code, Some(0));
    let mut create = command(&["webhook", "create", "--workspace", "shop", "--url", &endpoint.url(), "--json"]);
    let made: Value = serde_json::from_str(&run(create.arg("--data").arg(&data)).success()).expect("JSON");
    let relay = Relay::start_with(&data, &with);
    let admin = Client::new(relay.address(), &relay.token_with("shop", &["--role", "admin"]));
    admin.write("PUT", "/v1/workspaces/shop/collections/products/records/tea", &json!({"n": 1})).expect(201);
    let letters = format!("{HOOKS}/{}/dead-letters", made["id"].as_str().expect("an id"));
    let letter = until("a letter", || admin.get(&letters).expect(200).json()["dead_letters"].get(0).cloned());
    assert_eq!(letter["error"], "webhook_http");
    assert!(endpoint.came().is_empty());
}

#[test]
fn redirects_and_proxies_are_not_followed_and_an_answer_without_an_end_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    // A proxy that nobody is.
    let nowhere = || "http://127.0.0.1:9".to_owned();
    let environment = [("HTTP_PROXY", nowhere()), ("http_proxy", nowhere()), ("ALL_PROXY", nowhere())];
    let (shop, endpoint) = (Shop::start(folder.path(), QUICKLY, &environment), Endpoint::start());
    let mut answers = vec![OK, Reply::Endless, Reply::Status(302, "location: /elsewhere\r\n")];
    endpoint.answer(move |_| answers.pop().unwrap_or(OK));
    let (id, _) = shop.hook_to(&endpoint);
    shop.put("a", 1);
    shop.put("b", 1);
    endpoint.wait_for(2);
    assert!(endpoint.came().iter().all(|delivery| delivery.path == "/hook"), "{:?}", endpoint.came());
    until("the log", || {
        let attempts = shop.read(&id, "/log")["attempts"].clone();
        let statuses: Vec<_> =
            attempts.as_array().expect("attempts").iter().map(|each| each["status"].clone()).collect();
        (statuses == [json!(204), json!(200), json!(302)]).then_some(())
    });
}

#[test]
fn a_webhook_tells_what_its_token_may_read_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut shop, endpoint) = (Shop::start(folder.path(), QUICKLY, &[]), Endpoint::start());
    let args = ["--role", "admin", "--allow", "*=none", "--allow", "sales=read", "--allow", "stock=read"];
    let narrow = shop.relay.token_with("shop", &args);
    let client = Client::new(shop.relay.address(), &narrow);
    let wages = client.write("POST", HOOKS, &json!({"url": endpoint.url(), "collections": ["wages"]})).expect(403);
    assert_eq!(wages.json()["code"], "webhook_collection");
    client.write("POST", HOOKS, &json!({"url": endpoint.url()})).expect(201);
    let (sales, stock) = (Endpoint::start(), Endpoint::start());
    client.write("POST", HOOKS, &json!({"url": sales.url(), "collections": ["sales"]})).expect(201);
    client.write("POST", HOOKS, &json!({"url": stock.url(), "collections": ["stock"]})).expect(201);
    for (collection, key) in [("wages", "1"), ("sales", "2"), ("wages", "3"), ("stock", "4"), ("sales", "5")] {
        shop.put_into(collection, key, 1);
    }
    endpoint.wait_for(3);
    sales.wait_for(2);
    stock.wait_for(1);
    shop.kill_and_start(None);
    shop.put_into("wages", "6", 1);
    shop.put_into("sales", "7", 1);
    until("the last one", || endpoint.keys().contains(&"7".to_owned()).then_some(()));
    until("the last one", || sales.keys().contains(&"7".to_owned()).then_some(()));
    let told = |endpoint: &Endpoint| -> Vec<String> { endpoint.came().iter().map(|each| each.text.clone()).collect() };
    assert!(told(&endpoint).iter().chain(&told(&sales)).all(|text| !text.contains("wages")));
    // The kill may have cut off that it was delivered.
    assert!(stock.keys().iter().all(|key| key == "4"), "{:?}", stock.keys());
    // An editor manages none, and another workspace's admin neither sees nor finds it.
    let editor = Client::new(shop.relay.address(), &shop.relay.token("shop"));
    let refused = editor.write("POST", HOOKS, &json!({"url": endpoint.url()})).expect(403);
    assert_eq!(refused.json()["code"], "webhook_admin");
    let id = shop.admin().get(HOOKS).expect(200).json()["webhooks"][0]["id"].as_str().expect("an id").to_owned();
    let other = Client::new(shop.relay.address(), &shop.relay.token_with("garage", &["--role", "admin"]));
    assert_eq!(other.get("/v1/workspaces/garage/webhooks").expect(200).json(), json!({"webhooks": []}));
    let foreign = other.get(&format!("/v1/workspaces/garage/webhooks/{id}")).expect(404);
    assert_eq!(foreign.json()["code"], "webhook_unknown");
}

#[test]
fn a_webhook_ends_with_its_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut shop, endpoint) = (Shop::start(folder.path(), "retry_ms = [3600000]", &[]), Endpoint::start());
    let short = Endpoint::start();
    let token = shop.relay.token_with("shop", &["--role", "admin", "--user", "anna"]);
    let anna = Client::new(shop.relay.address(), &token);
    let made = anna.write("POST", HOOKS, &json!({"url": endpoint.url()})).expect(201).json();
    let id = made["id"].as_str().expect("an id");
    let expires = shop.relay.token_with("shop", &["--role", "admin", "--expires", "3s"]);
    let brief = Client::new(shop.relay.address(), &expires);
    let brief = brief.write("POST", HOOKS, &json!({"url": short.url()})).expect(201).json();
    shop.put("a", 1);
    endpoint.wait_for(1);
    let mut revoke = command(&["token", "revoke", &token]);
    run(revoke.arg("--data").arg(shop.data())).success();
    // Nothing has to happen for it to be known.
    shop.wait_suspended(id, "token_revoked");
    shop.wait_suspended(brief["id"].as_str().expect("an id"), "token_expired");
    shop.put("b", 1);
    shop.kill_and_start(None);
    shop.put("c", 1);
    let replay = shop.post(id, "/replay", &json!({"after": "start"})).expect(409).json();
    assert_eq!(replay["code"], "webhook_suspended");
    // Another one takes over where it stood.
    let cursor = shop.read(id, "")["cursor"].clone();
    let heir = Endpoint::start();
    shop.hook(&json!({"url": heir.url(), "after": cursor}));
    heir.wait_for(2);
    assert_eq!((heir.keys(), endpoint.keys()), (vec!["b".to_owned(), "c".to_owned()], vec!["a".to_owned()]));
    let audit: String = fs::read_dir(shop.data().join("audit"))
        .expect("the audit")
        .map(|file| fs::read_to_string(file.expect("a file").path()).expect("text"))
        .collect();
    let of_anna = |line: &&str| line.contains("webhook.created") && line.contains("user:anna") && line.contains(id);
    assert_eq!(audit.lines().filter(of_anna).count(), 1, "{audit}");
    assert!(audit.contains("webhook.suspended"), "{audit}");
}

#[test]
fn a_suspended_workspaces_webhook_waits_and_a_removed_ones_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let often = format!("retry_ms = [{}]", ["500"; 16].join(", "));
    let (mut shop, endpoint) = (Shop::start(folder.path(), &often, &[]), Endpoint::start());
    let operate = |data: &std::path::Path, args: &[&str]| {
        let mut operate = command(&[&["workspace"], args].concat());
        run(operate.arg("--data").arg(data)).success()
    };
    let (id, _) = shop.hook_to(&endpoint);
    shop.put("a", 1);
    endpoint.wait_for(1);
    endpoint.answer(|_| FAILS);
    shop.put("b", 1);
    until("an attempt that fails", || (endpoint.came().len() > 1).then_some(()));
    operate(shop.data(), &["suspend", "shop"]);
    until("nothing of it is open", || {
        let status = shop.admin().get("/v1/workspaces/shop/status").status;
        (status == 403).then_some(())
    });
    endpoint.answer(|_| OK);
    shop.kill_and_start(None);
    operate(shop.data(), &["resume", "shop"]);
    until("what waited is told", || endpoint.keys().contains(&"b".to_owned()).then_some(()));
    assert_eq!(shop.read(&id, "")["suspended"], Value::Null, "a pause of the workspace is none of the webhook's");

    operate(shop.data(), &["remove", "shop", "--yes", "shop"]);
    assert!(!shop.data().join("webhooks/shop").exists(), "nothing of it is left");
    let admin = Client::new(shop.relay.address(), &shop.relay.token_with("shop", &["--role", "admin"]));
    assert_eq!(admin.get(HOOKS).expect(200).json()["webhooks"], json!([]));
}

#[test]
fn webhooks_and_what_they_ask_for_are_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "per_workspace_max = 2\nwebhooks_max = 3\nlog_max = 3\nretry_ms = []\n";
    let (shop, endpoint) = (Shop::start(folder.path(), settings, &[]), Endpoint::start());
    let create = |wanted: Value| shop.admin().write("POST", HOOKS, &wanted);
    let url = endpoint.url();
    let code = |wanted: Value| create(wanted).expect(422).json()["code"].as_str().expect("a code").to_owned();
    assert_eq!(code(json!({"url": url, "batch": 0})), "webhook_batch");
    assert_eq!(code(json!({"url": url, "batch": 101})), "webhook_batch");
    assert_eq!(code(json!({"url": url, "name": "x".repeat(200)})), "webhook_name");
    assert_eq!(code(json!({"url": format!("{url}?{}", "x".repeat(3000))})), "webhook_url");
    let collections: Vec<String> = (0..40).map(|number| format!("c{number}")).collect();
    assert_eq!(code(json!({"url": url, "collections": collections})), "webhook_collections");
    create(json!({"url": url, "retries": 3})).expect(400);
    let (id, _) = shop.hook_to(&endpoint);
    shop.hook_to(&Endpoint::start());
    let full = create(json!({"url": url})).expect(409).json();
    assert_eq!(full["code"], "webhooks_full");
    assert!(full["detail"].as_str().is_some_and(|detail| detail.contains("per_workspace_max")), "{full}");
    let elsewhere = |workspace: &str, status: u16| {
        let admin = Client::new(shop.relay.address(), &shop.relay.token_with(workspace, &["--role", "admin"]));
        admin.write("POST", &format!("/v1/workspaces/{workspace}/webhooks"), &json!({"url": url})).expect(status).json()
    };
    elsewhere("garage", 201);
    assert!(elsewhere("bakery", 409)["detail"].as_str().is_some_and(|detail| detail.contains("webhooks_max")));
    (0..12).for_each(|number| shop.put(&number.to_string(), 1));
    endpoint.wait_for(12);
    let kept = until("the log", || {
        let attempts = shop.read(&id, "/log?limit=1000")["attempts"].as_array().expect("attempts").len();
        (attempts <= 6).then_some(attempts)
    });
    assert!(kept >= 3, "{kept}");
}

#[test]
fn webhooks_take_no_place_of_who_asks_over_rest_and_wait_for_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("relay.toml");
    let settings = "services_max = 1\n[webhooks]\nallow_private = true\nallow_http = true\nservices_max = 1\n";
    fs::write(&config, settings).expect("a file");
    let relay = Relay::start_with(&folder.path().join("relay"), &["--config", config.to_str().expect("a path")]);
    let rest = |workspace: &str| Client::new(relay.address(), &relay.token_with(workspace, &["--role", "admin"]));
    // REST's one place is the office's, for minutes.
    rest("office").get("/v1/workspaces/office/status").expect(200);
    let shops = ["bakery", "butcher", "garage"].map(|name| {
        let endpoint = Endpoint::start();
        let hooks = format!("/v1/workspaces/{name}/webhooks");
        rest(name).write("POST", &hooks, &json!({"url": endpoint.url()})).expect(201);
        let till =
            comptoir_tests::device::Device::init(&folder.path().join(name), name, &relay.url(), &relay.token(name));
        (till, endpoint)
    });
    for (till, _) in &shops {
        till.ok(&["put", "sales", "1", r#"{"n":1}"#]);
        till.sync();
    }
    // They have one place between them, and take turns.
    for (_, endpoint) in &shops {
        assert_eq!(endpoint.wait_for(1)[0].keys(), ["1"]);
    }
    rest("office").get("/v1/workspaces/office/status").expect(200);
    assert_eq!(rest("bakery").get("/v1/workspaces/bakery/status").expect(503).json()["code"], "services_full");
}
