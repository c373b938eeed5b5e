//! Who may do what over REST: every route of the served description, with no token, a wrong one, another workspace's and a
//! narrow one; and the limits of a request.

use comptoir_tests::relay::Relay;
use comptoir_tests::rest::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Every route: method, path, a body where one is needed, and what a token that may only write sales gets there.
const ROUTES: &[(&str, &str, &str, u16)] = &[
    ("GET", "/v1/workspaces/{workspace}/collections/{collection}/records", "", 403),
    ("GET", "/v1/workspaces/{workspace}/collections/{collection}/records/{key}", "", 403),
    ("PUT", "/v1/workspaces/{workspace}/collections/{collection}/records/{key}", "{}", 403),
    ("PATCH", "/v1/workspaces/{workspace}/collections/{collection}/records/{key}", "{}", 403),
    ("DELETE", "/v1/workspaces/{workspace}/collections/{collection}/records/{key}", "", 403),
    (
        "POST",
        "/v1/workspaces/{workspace}/collections/{collection}/records/{key}/increment",
        r#"{"field":"n","by":1}"#,
        403,
    ),
    ("GET", "/v1/workspaces/{workspace}/collections/{collection}/records/{key}/history", "", 403),
    ("GET", "/v1/workspaces/{workspace}/collections/{collection}/schema", "", 403),
    ("PUT", "/v1/workspaces/{workspace}/collections/{collection}/schema", r#"{"fields":{}}"#, 403),
    (
        "POST",
        "/v1/workspaces/{workspace}/transactions",
        r#"[{"op":"delete","collection":"products","key":"tea"}]"#,
        403,
    ),
    ("GET", "/v1/workspaces/{workspace}/conflicts", "", 200),
    ("GET", "/v1/workspaces/{workspace}/export", "", 200),
    ("POST", "/v1/workspaces/{workspace}/import?collection=products", "{}", 403),
    ("GET", "/v1/workspaces/{workspace}/devices", "", 200),
    ("GET", "/v1/workspaces/{workspace}/status", "", 403),
    ("GET", "/v1/workspaces/{workspace}/changes", "", 200),
    ("GET", "/v1/workspaces/{workspace}/tokens", "", 403),
    ("POST", "/v1/workspaces/{workspace}/tokens", "{}", 403),
    ("DELETE", "/v1/workspaces/{workspace}/tokens/{token}", "", 403),
    ("POST", "/v1/workspaces/{workspace}/codes", "{}", 403),
    ("GET", "/v1/workspaces/{workspace}/webhooks", "", 403),
    ("POST", "/v1/workspaces/{workspace}/webhooks", r#"{"url":"https://example.com/"}"#, 403),
    ("GET", "/v1/workspaces/{workspace}/webhooks/{webhook}", "", 403),
    ("DELETE", "/v1/workspaces/{workspace}/webhooks/{webhook}", "", 403),
    ("GET", "/v1/workspaces/{workspace}/webhooks/{webhook}/log", "", 403),
    ("GET", "/v1/workspaces/{workspace}/webhooks/{webhook}/dead-letters", "", 403),
    ("DELETE", "/v1/workspaces/{workspace}/webhooks/{webhook}/dead-letters/{letter}", "", 403),
    ("POST", "/v1/workspaces/{workspace}/webhooks/{webhook}/resend", "{}", 403),
    ("POST", "/v1/workspaces/{workspace}/webhooks/{webhook}/replay", "{}", 403),
];

/// Those that open to no workspace's token: `rest_admin.rs` asks them.
const OF_OPERATORS: &[&str] = &[
    "GET /v1/admin/workspaces",
    "GET /v1/admin/workspaces/{workspace}",
    "DELETE /v1/admin/workspaces/{workspace}",
    "POST /v1/admin/workspaces/{workspace}/suspend",
    "POST /v1/admin/workspaces/{workspace}/resume",
    "GET /v1/admin/workspaces/{workspace}/limits",
    "PUT /v1/admin/workspaces/{workspace}/limits",
    "GET /v1/admin/backups",
    "POST /v1/admin/backups",
];

fn path(route: &str, key: &str) -> String {
    let path = route.replace("{workspace}", "shop").replace("{collection}", "products").replace("{key}", key);
    path.replace("{webhook}", key).replace("{letter}", key)
}

#[test]
fn every_route_is_in_the_table_and_opens_to_the_right_token_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let client = |token: &str| Client::new(relay.address(), token);
    let served = client("").get("/v1/openapi.json").expect(200).json();
    assert_eq!(served["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    let methods = |(path, of): (&String, &Value)| -> Vec<String> {
        of.as_object().expect("methods").keys().map(|method| format!("{} {path}", method.to_uppercase())).collect()
    };
    let served: BTreeSet<_> = served["paths"].as_object().expect("paths").iter().flat_map(methods).collect();
    let known =
        ROUTES.iter().map(|(method, path, ..)| format!("{method} {}", path.split('?').next().unwrap_or_default()));
    let known = known.chain(OF_OPERATORS.iter().map(ToString::to_string));
    assert_eq!(served, known.collect(), "a route that is new needs a line in the table");
    let owner = client(&relay.token("shop"));
    owner.write("PUT", "/v1/workspaces/shop/collections/products/records/tea", &json!({"name": "Tea"})).expect(201);
    owner.write("PUT", "/v1/workspaces/shop/collections/sales/records/1", &json!({"total": 3})).expect(201);
    let others = client(&relay.token("the-pharmacy"));
    let narrow = client(&relay.narrow_token("shop", &["*=none", "sales=write"]));
    for route in OF_OPERATORS {
        let (method, path) = route.split_once(' ').expect("a method and a path");
        let refused = owner.send(method, &path.replace("{workspace}", "shop"), &[], b"").expect(403);
        assert_eq!(refused.json()["code"], "not_operator", "{route}");
    }
    for (method, route, body, of_narrow) in ROUTES {
        let ask = |who: &Client, key: &str| who.send(method, &path(route, key), &[], body.as_bytes());
        assert_eq!(ask(&client(""), "tea").expect(401).json()["code"], "token_missing", "{route}");
        assert_eq!(ask(&client("v4.public.none"), "tea").expect(401).json()["code"], "token_invalid", "{route}");
        assert_eq!(ask(&others, "tea").expect(403).json()["code"], "token_workspace", "{route}");
        let seen = ask(&narrow, "tea").expect(*of_narrow);
        assert_eq!(seen.body, ask(&narrow, "none").body, "{route}: what is there and what is not look alike");
        let text = String::from_utf8_lossy(&seen.body).into_owned();
        assert!(!text.contains("\"tea\"") && !text.contains("Tea"), "{route}: {text}");
    }
    narrow.write("PUT", "/v1/workspaces/shop/collections/sales/records/2", &json!({"total": 4})).expect(201);
    let feed = narrow.get("/v1/workspaces/shop/changes").expect(200).json();
    assert_eq!(feed["changes"].as_array().map(Vec::len), Some(2), "sales alone: {feed}");
    // The one door beside REST speaks WebSocket, and checks its token there.
    client("").get("/v1/sync").expect(426);
}

#[test]
fn a_reader_reads_and_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let reader = Client::new(relay.address(), &relay.token_with("shop", &["--role", "reader"]));
    let tea = "/v1/workspaces/shop/collections/products/records/tea";
    reader.write("PUT", tea, &json!({})).expect(403);
    reader.get(tea).expect(404);
    let list = reader.get("/v1/workspaces/shop/collections/products/records").expect(200).json();
    assert_eq!(list, json!({"records": [], "cursor": null}));
}

#[test]
fn a_refusal_says_what_and_why_in_the_readers_language() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Relay::start(&folder.path().join("relay"));
    let client = Client::new(relay.address(), &relay.token("shop"));
    let list = "/v1/workspaces/shop/collections/products/records";
    let ask = |path: &str, language: &str| client.send("GET", path, &[("accept-language", language)], b"");
    let french = ask(&format!("{list}/tea"), "fr-FR, en;q=0.5").expect(404);
    assert_eq!(french.header("content-language"), Some("fr"));
    let told = french.json();
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("pas de fiche products/tea")), "{told}");
    assert_eq!((&told["title"], &told["status"]), (&json!("Introuvable"), &json!(404)));
    let english = ask(&format!("{list}?where=price%20%3C"), "de").expect(400).json();
    assert_eq!(english["code"], "query_syntax", "{english}");
    client.get("/v1/nothing").expect(404);
    client.send("POST", list, &[], b"{}").expect(405);
    client.get("/v1/workspaces/shop/collections/NO/records").expect(400);
    client.get(&format!("{list}?limit=0")).expect(400);
    client.get(&format!("{list}?bogus=1")).expect(400);
    let put = |headers: &[(&str, &str)], body: &[u8]| client.send("PUT", &format!("{list}/tea"), headers, body);
    put(&[], b"not json").expect(400);
    put(&[("content-type", "text/plain")], b"{}").expect(415);
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(9 << 20));
    put(&[], long.as_bytes()).expect(413);
}

#[test]
fn one_workspace_more_than_the_limit_is_told_to_come_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("relay.toml");
    std::fs::write(&config, "services_max = 1\n").expect("a file");
    let relay = Relay::start_with(&folder.path().join("relay"), &["--config", config.to_str().expect("a path")]);
    let status = |workspace: &str| {
        let client = Client::new(relay.address(), &relay.token(workspace));
        client.get(&format!("/v1/workspaces/{workspace}/status"))
    };
    status("shop").expect(200);
    let refused = status("garage").expect(503);
    assert_eq!(refused.json()["code"], "services_full");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    status("shop").expect(200);
}
