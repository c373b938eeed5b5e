//! Backups of a relay in a bucket of a real S3 server: what a folder can do, a bucket can, and where it cannot be used that is
//! told and nothing hangs.

use comptoir_tests::backups::{Place, digest_said, put};
use comptoir_tests::bucket::{KEY, SECRET, Server};
use comptoir_tests::device::Device;
use comptoir_tests::program::{Running, run};
use comptoir_tests::relay::{Relay, command};
use comptoir_tests::wait::until;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

const WORKSPACE: &str = "supermarket";

/// What is wrong, what says so in the environment, and what is told in English and in French.
type Case<'c> = (&'c str, &'c [(&'c str, String)], &'c str, &'c str);

/// A relay that serves with nothing but its own environment, and a till.
fn shop(folder: &Path, place: &Place) -> (Relay, Device) {
    let relay = Relay::start_in(&place.data, &[], &place.environment);
    let till = Device::init(&folder.join("till"), WORKSPACE, &relay.url(), &relay.token(WORKSPACE));
    (relay, till)
}

#[test]
fn a_bucket_holds_full_and_incremental_backups_that_are_rotated_verified_and_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("s3"));
    let mut place = Place::in_bucket(folder.path(), &server);
    let (mut relay, till) = shop(folder.path(), &place);
    let mut digests = Vec::new();
    for backup in 0..4 {
        put(&till, backup * 3..backup * 3 + 3);
        // The relay that serves has the credentials, not who asks it; where none serves, it is the other way round.
        let environment = std::mem::take(&mut place.environment);
        if backup >= 2 {
            relay.terminate().success();
            place.environment = environment.clone();
        }
        let taken = place.take(&["--keep", "3"]);
        place.environment = environment;
        if backup >= 2 {
            relay.restart();
        }
        assert_eq!((&taken["full"], &taken["tried"]), (&(backup == 0).into(), &true.into()), "{taken}");
        assert_eq!(
            (&taken["parts_written"], &taken["removed"]),
            (&1.into(), &u32::from(backup == 3).into()),
            "{taken}"
        );
        digests.push(till.digest());
    }
    assert_eq!((place.names().len(), place.files("parts").len()), (3, 5));
    let said = place.verify().expect("whole");
    for digest in &digests[1..] {
        assert!(said.contains(digest.as_str()), "{digest} in {said}");
    }
    relay.kill();
    fs::remove_dir_all(&place.data).expect("burnt");
    let said = place.restore(&place.data, &[]).expect("restored");
    assert_eq!(digest_said(&said, WORKSPACE), digests[3]);
    let relay = Relay::start(&place.data);
    till.ok(&["init", "--workspace", WORKSPACE, "--relay", &relay.url(), "--token", &relay.token(WORKSPACE)]);
    till.sync();
    assert_eq!(till.digest(), digests[3]);
}

#[test]
fn what_is_damaged_in_a_bucket_is_told_and_a_killed_backup_leaves_the_last_good_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("s3"));
    let place = Place::in_bucket(folder.path(), &server);
    let (mut relay, till) = shop(folder.path(), &place);
    put(&till, 0..3);
    place.take(&[]);
    let part = place.files("parts").into_iter().max_by_key(|part| fs::metadata(part).expect("a file").len());
    let part = part.expect("a part");
    let good = fs::read(&part).expect("a file");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for spoiled in [flipped, good[1..].to_vec()] {
        fs::write(&part, spoiled).expect("written");
        assert!(place.verify().expect_err("damage is seen").contains("1 cannot be restored whole"));
        let said = place.restore(&folder.path().join("fresh"), &[]).expect_err("damage is seen");
        assert!(said.contains("is damaged"), "{said}");
    }
    fs::write(&part, &good).expect("written");
    let (names, digest) = (place.names(), till.digest());
    put(&till, 3..40);
    relay.terminate().success();
    for stop in ["parts written", "being tried"] {
        let parts = place.files("parts").len();
        let running = Running::start(&mut place.command(&[]));
        until(stop, || match stop {
            "parts written" => (place.files("parts").len() > parts).then_some(()),
            _ => place.data.join("trial").exists().then_some(()),
        });
        running.kill();
        // It may have been quicker: then there is a good one more.
        let left = place.names();
        let said = place.verify().expect("what is there is whole");
        if left == names {
            assert_eq!(digest_said(&said, WORKSPACE), digest, "{stop}");
            continue;
        }
        assert_eq!(left.len(), names.len() + 1, "{left:?}");
        fs::remove_file(place.stored.join("backups").join(left.last().expect("one more"))).expect("removed");
    }
    place.take(&[]);
    place.verify().expect("whole");
}

#[test]
fn a_relay_backs_up_on_time_into_the_bucket_its_configuration_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("s3"));
    let place = Place::in_bucket(folder.path(), &server);
    let config = folder.path().join("relay.toml");
    let (out, endpoint) = (place.out.display().to_string(), server.endpoint());
    let text = format!(
        "[backup]\nout = {out:?}\nevery = \"6h\"\n[backup.s3]\nendpoint = {endpoint:?}\nregion = \"here\"\nallow_http = true\n"
    );
    fs::write(&config, text).expect("written");
    let keys = [("AWS_ACCESS_KEY_ID", KEY.to_owned()), ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned())];
    let relay = Relay::start_in(&place.data, &["--config", &config.display().to_string()], &keys);
    until("the first backup", || (place.names().len() == 1).then_some(()));
    place.verify().expect("whole");
    // The command line says nothing of endpoints to the relay that it asks.
    let taken = run(command(&["backup", "--out", &out, "--data"]).arg(&place.data)).success();
    assert!(taken.contains("tried, it can be restored"), "{taken}");
    assert!(!relay.stderr().contains(SECRET), "{}", relay.stderr());
}

#[test]
fn a_server_with_tls_is_used_where_its_certificate_is_trusted_and_nowhere_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start_with_tls(&folder.path().join("s3"), &folder.path().join("server.pem"));
    let mut place = Place::in_bucket(folder.path(), &server);
    let (relay, till) = shop(folder.path(), &place);
    put(&till, 0..3);
    place.take(&[]);
    assert_eq!(digest_said(&place.verify().expect("whole"), WORKSPACE), till.digest());
    drop(relay);
    place.environment.retain(|(name, _)| *name != "SSL_CERT_FILE");
    for said in [run(&mut place.command(&[])).failure(), place.verify().expect_err("not trusted")] {
        assert!(said.contains("cannot be reached (") && said.contains("certificate"), "{said}");
    }
    assert_eq!(place.names().len(), 1);
}

#[test]
fn a_bucket_that_cannot_be_used_is_told_and_secrets_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("s3"));
    let place = Place::in_bucket(folder.path(), &server);
    let relay = Relay::start(&place.data);
    let url = relay.url();
    drop(relay);
    // A port that nobody has: the listener's own, once it is gone.
    let dead = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let endpoint = |name: &str| format!("{name}://{dead}");
    let tls_wanted = server.endpoint().replace("http://", "https://");
    let other = "another-secret-of-the-tests".to_owned();
    // One that takes connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = [
        ("AWS_ENDPOINT", format!("http://{}", listener.local_addr().expect("an address"))),
        ("AWS_TIMEOUT", "200ms".to_owned()),
    ];
    let cases: [Case<'_>; 8] = [
        ("wrong secret", &[("AWS_SECRET_ACCESS_KEY", other)], "refuses (", "refuse ("),
        ("unknown key", &[("AWS_ACCESS_KEY_ID", "NOBODY".to_owned())], "refuses (", "refuse ("),
        ("nobody there", &[("AWS_ENDPOINT", endpoint("http"))], "cannot be reached (", "est injoignable ("),
        ("no answer", &silent, "cannot be reached (", "est injoignable ("),
        ("no TLS there", &[("AWS_ENDPOINT", tls_wanted)], "cannot be reached (", "est injoignable ("),
        ("TLS wanted", &[("AWS_ALLOW_HTTP", "false".to_owned())], "has no TLS", "inutilisable comme compartiment"),
        ("half a key", &[("AWS_SECRET_ACCESS_KEY", String::new())], "refuses (", "refuse ("),
        ("no key", &[("AWS_METADATA_ENDPOINT", endpoint("http"))], "no credentials for", "pas d'identifiants pour"),
    ];
    for (case, environment, english, french) in cases {
        for (language, expected) in [("en", english), ("fr", french)] {
            let mut commands = [place.command(&[]), place.program(&["verify", "--from"])];
            commands[1].arg(&place.out);
            for command in &mut commands {
                if case == "no key" {
                    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
                }
                command.env("COMPTOIR_LANG", language);
                command.envs(environment.iter().map(|(name, value)| (name, value)));
                let said = run(command).failure();
                assert!(said.contains(expected) && said.contains("s3://shop-backups"), "{case}: {said}");
                assert!(!said.contains("secret-of-the-tests") && !said.contains(KEY), "{case}: {said}");
            }
        }
    }
    assert!(place.names().is_empty() && place.files("parts").is_empty(), "{url}");
    for (from, expected) in [("s3:///prefix", "is no bucket's name"), ("s3://no-such-bucket/one", "NoSuchBucket")] {
        let said = run(&mut place.program(&["verify", "--from", from])).failure();
        assert!(said.contains(expected), "{from}: {said}");
    }
}

#[test]
fn a_backup_whose_elders_cannot_be_removed_is_good_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("s3"));
    let place = Place::in_bucket(folder.path(), &server);
    let (relay, till) = shop(folder.path(), &place);
    put(&till, 0..3);
    place.take(&[]);
    put(&till, 3..6);
    server.keep_all();
    let outcome = run(&mut place.command(&["--keep", "1"]));
    assert!(outcome.stdout.contains("\"tried\":true"), "{outcome:?}");
    let said = outcome.failure();
    assert!(said.contains("is good, but older ones could not be removed") && said.contains("AccessDenied"), "{said}");
    assert_eq!(place.names().len(), 2);
    assert_eq!(digest_said(&place.verify().expect("whole"), WORKSPACE), till.digest());
    drop(relay);
}
