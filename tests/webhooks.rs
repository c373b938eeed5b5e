//! Webhooks through the real relay, to a real endpoint: signed, in order, at least once, tried again, given up, sent again,
//! replayed; across a kill, and beside an endpoint that does not answer.

use comptoir_tests::device::Device;
use comptoir_tests::endpoint::{Delivery, Endpoint, FAILS, OK, Reply, Shop};
use comptoir_tests::program::COMMAND_DEADLINE;
use comptoir_tests::wait::until;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

const QUICKLY: &str = "retry_ms = [20, 40]";

fn outcomes(shop: &Shop, id: &str) -> Vec<(String, Value)> {
    let log = shop.read(id, "/log?limit=1000");
    let attempts = log["attempts"].as_array().expect("attempts").iter().rev();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    attempts.map(|attempt| (text(&attempt["outcome"]), attempt["status"].clone())).collect()
}

fn letters(shop: &Shop, id: &str) -> Vec<Value> {
    shop.read(id, "/dead-letters")["dead_letters"].as_array().expect("letters").clone()
}

#[test]
fn a_delivery_is_signed_and_says_what_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (shop, endpoint) = (Shop::start(folder.path(), QUICKLY, &[]), Endpoint::start());
    shop.put("before", 1);
    let (id, secret) = shop.hook_to(&endpoint);
    shop.put("tea", 2);
    let [delivery] = &endpoint.wait_for(1)[..] else { panic!("one delivery: {:?}", endpoint.came()) };
    assert!(delivery.is_signed_with(&secret), "{delivery:?}");
    assert!(!delivery.is_signed_with("whsec_AAAA"));
    assert_eq!(delivery.header("content-type"), "application/json");
    let body = delivery.body();
    assert_eq!((&body["type"], &body["data"]["workspace"]), (&json!("records.changed"), &json!("shop")));
    let change = &body["data"]["changes"][0];
    assert_eq!(
        (&change["collection"], &change["key"], &change["fields"]),
        (&json!("products"), &json!("tea"), &json!({"n": 2}))
    );
    until("the log's line", || (outcomes(&shop, &id) == [("delivered".to_owned(), json!(204))]).then_some(()));
    let shown = until("its place", || Some(shop.read(&id, "")).filter(|shown| shown["cursor"] == change["cursor"]));
    assert_eq!((&shown["lag_entries"], &shown["suspended"]), (&json!(0), &Value::Null));
    // The secret is told once, and is on the disk for its owner alone.
    let listed = shop.admin().get("/v1/workspaces/shop/webhooks").expect(200);
    assert!(!String::from_utf8_lossy(&listed.body).contains("whsec_") && !shown.to_string().contains("whsec_"));
    let kept = shop.data().join("webhooks/shop").join(&id);
    let mode = |path: &str| kept.join(path).metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("webhook.json"), mode("attempts.jsonl")), (0o700, 0o600, 0o600));
    // Nothing is left of one that was removed, and nothing is sent.
    shop.delete(&id, "").expect(204);
    assert!(!kept.exists());
    shop.put("after", 3);
    assert_eq!(endpoint.came().len(), 1);
}

#[test]
fn deliveries_come_in_the_order_of_the_log_and_one_that_fails_holds_up_those_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (shop, endpoint) = (Shop::start(folder.path(), "retry_ms = [20, 20, 20, 20]", &[]), Endpoint::start());
    let mut left = 3;
    endpoint.answer(move |delivery| {
        let fails = delivery.keys() == ["b"] && left > 0;
        left -= u32::from(fails);
        if fails { Reply::Status(503, "retry-after: 0\r\n") } else { OK }
    });
    let (id, secret) = shop.hook_to(&endpoint);
    let keys = ["a", "b", "c", "d", "e"];
    keys.iter().for_each(|key| shop.put(key, 1));
    endpoint.wait_for(5);
    let tried: Vec<String> = endpoint.came().iter().flat_map(Delivery::keys).collect();
    assert_eq!(tried, ["a", "b", "b", "b", "b", "c", "d", "e"]);
    let came = endpoint.came();
    assert!(came.iter().all(|delivery| delivery.is_signed_with(&secret)));
    let of_b: BTreeSet<_> = came[1..5].iter().map(|delivery| (delivery.id(), &delivery.text)).collect();
    assert_eq!(of_b.len(), 1, "the same message each time: {of_b:?}");
    let ids: BTreeSet<_> = came.iter().map(Delivery::id).collect();
    assert_eq!(ids.len(), 5, "and another one for each change");
    until("the log", || {
        (outcomes(&shop, &id).iter().filter(|(outcome, _)| outcome == "failed").count() == 3).then_some(())
    });
    // Many in one delivery, where that is asked for.
    let many = Endpoint::start();
    shop.hook(&json!({"url": many.url(), "batch": 3, "after": "start"}));
    until("all of them", || (many.keys() == keys).then_some(()));
    assert_eq!(many.taken().len(), 2);
}

#[test]
fn what_is_tried_in_vain_is_a_dead_letter_which_is_listed_and_sent_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (shop, endpoint) = (Shop::start(folder.path(), QUICKLY, &[]), Endpoint::start());
    endpoint.answer(|delivery| if delivery.keys() == ["bad"] { FAILS } else { OK });
    let (id, secret) = shop.hook_to(&endpoint);
    ["a", "bad", "c"].iter().for_each(|key| shop.put(key, 1));
    endpoint.wait_for(2);
    assert_eq!(endpoint.keys(), ["a", "c"]);
    let [letter] = &letters(&shop, &id)[..] else { panic!("one letter") };
    assert_eq!((&letter["attempts"], &letter["status"], &letter["changes"]), (&json!(3), &json!(500), &json!(1)));
    let outcomes_of_bad: Vec<_> = outcomes(&shop, &id).into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(outcomes_of_bad[1..4], ["failed", "failed", "dead"]);
    let after = letter["after"].as_str().expect("a cursor");
    let feed = shop.admin().get(&format!("/v1/workspaces/shop/changes?after={after}")).expect(200).json();
    assert_eq!(feed["changes"][0]["key"], "bad");
    // Sent again in vain, once, then to somebody who takes it.
    assert_eq!(shop.post(&id, "/resend", &json!({})).expect(202).json()["resending"], 1);
    until("another attempt", || (letters(&shop, &id)[0]["attempts"] == 4).then_some(()));
    endpoint.answer(|_| OK);
    let named = json!({"dead_letters": [letter["id"]]});
    shop.post(&id, "/resend", &named).expect(202);
    let taken = endpoint.wait_for(3);
    assert_eq!((taken[2].keys(), taken[2].id()), (vec!["bad".to_owned()], letter["id"].as_str().expect("an id")));
    assert!(taken[2].is_signed_with(&secret));
    until("no letter", || letters(&shop, &id).is_empty().then_some(()));
    assert_eq!(shop.post(&id, "/resend", &named).expect(404).json()["code"], "dead_letter_unknown");
    assert_eq!(shop.delete(&id, "/dead-letters/../webhook").status, 404);
}

#[test]
fn dead_letters_are_bounded_and_nothing_is_dropped_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "retry_ms = []\ndead_letters_max = 2";
    let (mut shop, endpoint) = (Shop::start(folder.path(), settings, &[]), Endpoint::start());
    endpoint.answer(|_| FAILS);
    let (id, _) = shop.hook_to(&endpoint);
    ["a", "b", "c", "d"].iter().for_each(|key| shop.put(key, 1));
    shop.wait_suspended(&id, "dead_letters_full");
    assert_eq!(letters(&shop, &id).len(), 2);
    shop.kill_and_start(None);
    assert_eq!(letters(&shop, &id).len(), 2, "they are on the disk");
    assert_eq!(shop.read(&id, "")["suspended"], "dead_letters_full");
    endpoint.answer(|_| OK);
    let first = letters(&shop, &id)[0]["id"].as_str().expect("an id").to_owned();
    shop.delete(&id, &format!("/dead-letters/{first}")).expect(204);
    endpoint.wait_for(2);
    assert_eq!(endpoint.keys(), ["c", "d"], "it goes on where it stood");
    shop.post(&id, "/resend", &json!({})).expect(202);
    endpoint.wait_for(3);
    assert_eq!(endpoint.keys(), ["c", "d", "b"]);
}

#[test]
fn a_webhook_is_replayed_from_any_cursor() {
    let folder = tempfile::tempdir().expect("a folder");
    let (shop, endpoint) = (Shop::start(folder.path(), QUICKLY, &[]), Endpoint::start());
    let (id, _) = shop.hook_to(&endpoint);
    ["a", "b", "c"].iter().for_each(|key| shop.put(key, 1));
    let taken = endpoint.wait_for(3);
    let cursor = taken[0].body()["data"]["changes"][0]["cursor"].clone();
    shop.post(&id, "/replay", &json!({"after": cursor})).expect(200);
    let taken = endpoint.wait_for(5);
    assert_eq!(endpoint.keys(), ["a", "b", "c", "b", "c"]);
    assert_eq!((taken[1].id(), taken[2].id()), (taken[3].id(), taken[4].id()), "a receiver can tell what it has");
    shop.post(&id, "/replay", &json!({"after": "start"})).expect(200);
    endpoint.wait_for(8);
    let nonsense = shop.post(&id, "/replay", &json!({"after": "nonsense"})).expect(422);
    assert_eq!(nonsense.json()["code"], "webhook_place");
    shop.post(&id, "/replay", &json!({"after": "end"})).expect(200);
    shop.put("d", 1);
    endpoint.wait_for(9);
    assert_eq!(endpoint.keys()[5..], ["a", "b", "c", "d"]);
}

#[test]
fn a_relay_that_is_killed_in_the_middle_leaves_nothing_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut shop, endpoint) = (Shop::start(folder.path(), QUICKLY, &[]), Endpoint::start());
    let (id, _) = shop.hook_to(&endpoint);
    let keys: Vec<String> = (0..60).map(|number| format!("key-{number:02}")).collect();
    for (round, some) in keys.chunks(15).enumerate() {
        some.iter().for_each(|key| shop.put(key, 1));
        endpoint.wait_for(round * 15 + 4);
        shop.kill_and_start(None);
    }
    until("every record", || (endpoint.keys().iter().collect::<BTreeSet<_>>().len() == keys.len()).then_some(()));
    // What came twice came in order too: each step goes on, or back to what a kill cut off.
    let mut seen = BTreeSet::new();
    let firsts: Vec<String> = endpoint.keys().into_iter().filter(|key| seen.insert(key.clone())).collect();
    assert_eq!(firsts, keys);
    until("no lag", || (shop.read(&id, "")["lag_entries"] == 0).then_some(()));
}

#[test]
fn the_attempts_of_a_message_count_on_when_the_relay_starts_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "retry_ms = [1, 3600000]";
    let (mut shop, endpoint) = (Shop::start(folder.path(), settings, &[]), Endpoint::start());
    endpoint.answer(|_| FAILS);
    let (id, _) = shop.hook_to(&endpoint);
    shop.put("tea", 1);
    let failing = until("two attempts", || Some(shop.read(&id, "")).filter(|shown| shown["failing"]["attempts"] == 2));
    shop.kill_and_start(None);
    assert_eq!(shop.read(&id, "")["failing"], failing["failing"]);
    let before = endpoint.came();
    assert_eq!(before.len(), 2);
    // It is not its time yet, and whoever knows better has it tried at once.
    endpoint.answer(|_| OK);
    shop.post(&id, "/replay", &json!({})).expect(200);
    let taken = endpoint.wait_for(1);
    assert_eq!(taken[0].id(), before[0].id());
    assert_eq!(endpoint.came().len(), 3);
}

#[test]
fn an_endpoint_that_does_not_answer_holds_up_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    // Two attempts at once, and time enough for the silent one to be seen holding others up.
    let settings = "timeout_ms = 600000\nattempts_max = 4";
    let mut shop = Shop::start(folder.path(), settings, &[]);
    let (silent, quick) = (Endpoint::start(), Endpoint::start());
    silent.answer(|_| Reply::Silence);
    shop.hook_to(&silent);
    shop.hook_to(&quick);
    let till = Device::init(&folder.path().join("till"), "shop", &shop.relay.url(), &shop.token);
    for number in 0..5 {
        till.ok(&["put", "sales", &number.to_string(), r#"{"n":1}"#]);
        till.sync();
    }
    quick.wait_for(5);
    assert_eq!(silent.came().len(), 1, "one at a time");
    let metrics = until("the lag", || {
        let metrics = comptoir_tests::metrics::read(shop.relay.address());
        (metrics.sum("comptoir_relay_webhook_lag_entries") >= 4.0).then_some(metrics)
    });
    assert!(metrics.sum("comptoir_relay_webhook_attempts_total") >= 5.0);
    // And a relay that stops does not wait for it.
    let ended = comptoir_tests::wait::within(COMMAND_DEADLINE, "the relay's end", || Some(shop.relay.terminate()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn an_endpoint_that_wants_no_more_gets_no_more_until_it_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (shop, endpoint) = (Shop::start(folder.path(), QUICKLY, &[]), Endpoint::start());
    endpoint.answer(|_| Reply::Status(410, ""));
    let (id, _) = shop.hook_to(&endpoint);
    shop.put("a", 1);
    shop.wait_suspended(&id, "gone");
    shop.put("b", 1);
    assert_eq!(endpoint.came().len(), 1);
    assert_eq!(shop.post(&id, "/resend", &json!({})).expect(409).json()["code"], "webhook_suspended");
    endpoint.answer(|_| OK);
    shop.post(&id, "/replay", &json!({})).expect(200);
    endpoint.wait_for(2);
    assert_eq!(endpoint.keys(), ["a", "b"]);
}

#[test]
fn the_webhooks_of_a_log_that_was_made_anew_begin_at_its_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut shop, endpoint) = (Shop::start(folder.path(), QUICKLY, &[]), Endpoint::start());
    ["a", "b"].iter().for_each(|key| shop.put(key, 1));
    let (id, _) = shop.hook_to(&endpoint);
    shop.put("c", 1);
    endpoint.wait_for(1);
    // A copy of a data folder has a new epoch.
    shop.kill_and_start(Some(&folder.path().join("moved")));
    endpoint.wait_for(4);
    assert_eq!(endpoint.keys(), ["c", "a", "b", "c"]);
    shop.put("d", 1);
    endpoint.wait_for(5);
    assert_eq!(shop.read(&id, "")["suspended"], Value::Null);
}
