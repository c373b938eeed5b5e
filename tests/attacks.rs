//! What strangers, and devices with a token of their own shop, may try against a relay: it takes bounded memory, is refused
//! with a typed reason, and another shop's tills sell and sync on meanwhile.

use comptoir_engine::change::Change;
use comptoir_engine::gate::Refusal;
use comptoir_engine::session::reconcile::Reconcile;
use comptoir_engine::wire::message::{Denial, FRAME_BYTES_MAX, FromDevice, FromRelay, Hello};
use comptoir_tests::device::Device;
use comptoir_tests::forge::{self, Forged};
use comptoir_tests::memory;
use comptoir_tests::relay::Relay;
use comptoir_tests::socket::{Heard, Socket, hello};
use comptoir_tests::wait;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

const MIB: u64 = 1 << 20;
/// The attackers' shop; they have a token of it.
const HOSTILE: &str = "corner-bar";
/// The shop that must not notice.
const OTHER: &str = "pharmacy";

/// A relay under attack, and two tills of another shop.
struct Siege {
    relay: Relay,
    token: String,
    tills: [Device; 2],
    sold: i64,
    before_bytes: u64,
    _folder: TempDir,
}

impl Siege {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let relay = Relay::start(&folder.path().join("relay"));
        let (token, other) = (relay.token(HOSTILE), relay.token(OTHER));
        let tills = ["one", "two"].map(|name| Device::init(&folder.path().join(name), OTHER, &relay.url(), &other));
        let mut siege = Self { relay, token, tills, sold: 0, before_bytes: 0, _folder: folder };
        siege.sell();
        siege.before_bytes = memory::resident_bytes(siege.relay.process());
        siege
    }

    fn attacker(&self) -> Socket {
        Socket::welcomed(self.relay.address(), HOSTILE, &self.token).0
    }

    /// One till sells, the other one hears of it.
    #[track_caller]
    fn sell(&mut self) {
        let [one, two] = &self.tills;
        one.ok(&["incr", "products", "plasters", "sold", "1"]);
        self.sold += 1;
        one.sync();
        two.sync();
        assert_eq!(two.get("products", "plasters"), json!({"sold": self.sold}));
    }

    /// The other shop works, and the relay took no more memory at any moment than `more_bytes_max`.
    #[track_caller]
    fn assert_unharmed(&mut self, more_bytes_max: u64) {
        self.sell();
        assert!(self.relay.is_alive(), "the relay ended: {}", self.relay.stderr());
        let more = memory::peak_bytes(self.relay.process()).saturating_sub(self.before_bytes);
        eprintln!("the relay took {} MiB more than before", more / MIB);
        assert!(more <= more_bytes_max, "the relay took {} MiB more than before", more / MIB);
        assert_eq!(self.relay.stderr().matches("panicked").count(), 0, "{}", self.relay.stderr());
    }

    /// Sells while `attack` runs in as many threads as there are numbers.
    fn sell_during(&mut self, attackers: usize, attack: impl Fn(usize) + Sync) {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let (attack, done) = (&attack, &done);
            let running: Vec<_> = (0..attackers).map(|number| scope.spawn(move || attack(number))).collect();
            scope.spawn(move || {
                let ended: Vec<_> = running.into_iter().map(|attacker| attacker.join()).collect();
                done.store(true, Ordering::SeqCst);
                assert!(ended.iter().all(Result::is_ok), "the attack is not as it was planned");
            });
            self.sell();
            while !done.load(Ordering::SeqCst) {
                self.sell();
            }
        });
    }
}

fn limit(denial: Option<Denial>) -> String {
    match denial {
        Some(Denial::OverLimit { limit, .. }) => limit,
        other => panic!("no limit: {other:?}"),
    }
}

/// Whether the other side has closed it, told without waiting.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let closed = match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).expect("a socket");
    closed
}

#[test]
fn ten_thousand_idle_sockets_cost_little_and_keep_nobody_out() {
    const WORKSPACES: usize = 9;
    const SESSIONS: usize = 1_000;
    const STRANGERS: usize = 1_000;
    let mut siege = Siege::new();
    let address = siege.relay.address();
    let tokens: Vec<_> =
        (0..WORKSPACES).map(|number| (format!("bar-{number}"), siege.relay.token(&format!("bar-{number}")))).collect();
    let sessions: Vec<Vec<Socket>> = thread::scope(|scope| {
        let enter = |(workspace, token): &(String, String)| {
            let (workspace, token) = (workspace.clone(), token.clone());
            scope.spawn(move || (0..SESSIONS).map(|_| Socket::welcomed(address, &workspace, &token).0).collect())
        };
        let all: Vec<_> = tokens.iter().map(enter).collect();
        all.into_iter().map(|each| each.join().expect("all are welcome")).collect()
    });
    let strangers: Vec<_> = (0..STRANGERS).map(|_| TcpStream::connect(address).expect("the relay accepts")).collect();
    assert_eq!(sessions.iter().map(Vec::len).sum::<usize>() + strangers.len(), 10_000);
    let mut one_more = Socket::connect(address);
    one_more.say(&hello(&tokens[0].0, &tokens[0].1));
    assert_eq!(limit(one_more.denied()), "sessions in a workspace");
    siege.assert_unharmed(256 * MIB);
}

#[test]
fn sockets_without_a_token_make_room_for_the_next() {
    let mut siege = Siege::new();
    let address = siege.relay.address();
    let mut upgraded: Vec<_> = (0..600).map(|_| Socket::connect(address)).collect();
    assert_eq!(limit(upgraded[0].denied()), "connections without a token", "the longest waiting is told why it goes");
    siege.sell();
    let silent: Vec<_> = (0..3_000).map(|_| TcpStream::connect(address).expect("the relay accepts")).collect();
    siege.sell();
    wait::until("all but as many as may wait are closed", || {
        (silent.iter().filter(|stream| !is_closed(stream)).count() <= 512).then_some(())
    });
    siege.assert_unharmed(64 * MIB);
}

#[test]
fn a_head_or_a_hello_that_comes_byte_by_byte_is_not_waited_for() {
    let mut siege = Siege::new();
    let address = siege.relay.address();
    let head = b"GET /v1/sync HTTP/1.1\r\nhost: x\r\nx-padding: ".to_vec();
    let mut slow: Vec<_> = (0..200).map(|_| TcpStream::connect(address).expect("the relay accepts")).collect();
    let mut greeting: Vec<_> = (0..100).map(|_| Socket::connect(address)).collect();
    let hello = hello(HOSTILE, &siege.token).encode().expect("a message");
    // A frame's head that promises the hello, masked by zeros.
    let frame = [&[0x82, 0x80 | 126][..], &(hello.len() as u16).to_be_bytes(), &[0; 4], &hello].concat();
    let mut at = 0;
    wait::until("every slow connection is closed", || {
        for stream in &mut slow {
            let _ = stream.write(&[head.get(at).copied().unwrap_or(b'x')]);
        }
        for socket in &mut greeting {
            let _ = socket.stream().write(&frame[at.min(frame.len() - 2)..][..1]);
        }
        at += 1;
        // wait: the next byte of a slow line
        thread::sleep(std::time::Duration::from_millis(100));
        let mut streams = slow.iter_mut().chain(greeting.iter_mut().map(Socket::stream));
        streams.all(|stream| is_closed(stream)).then_some(())
    });
    siege.assert_unharmed(64 * MIB);
}

#[test]
fn messages_that_are_never_ended_take_their_shops_share_of_memory_and_no_more() {
    let mut siege = Siege::new();
    let head = [&[0x82, 0xff][..], &(FRAME_BYTES_MAX as u64).to_be_bytes(), &[0; 4]].concat();
    let mut sockets: Vec<_> = (0..300).map(|_| siege.attacker()).collect();
    let mut refused = 0;
    for socket in &mut sockets {
        let sent =
            socket.stream().write_all(&head).and_then(|()| socket.stream().write_all(&vec![1; FRAME_BYTES_MAX - 1]));
        if sent.is_err() {
            refused += 1;
        }
    }
    siege.sell();
    let last = sockets.last_mut().expect("a socket");
    assert_eq!(limit(last.denied()), "unread bytes of one workspace", "{refused} were cut off before");
    let mut honest = siege.attacker();
    honest.say(&FromDevice::Credit { bytes: 1 });
    assert!(
        matches!(honest.push(1, forge::batch(&[])), Heard::Said(_)),
        "a short message of the same shop still comes through"
    );
    siege.assert_unharmed(96 * MIB);
}

#[test]
fn a_first_message_is_no_longer_than_a_hello() {
    let mut siege = Siege::new();
    let mut sockets: Vec<_> = (0..300).map(|_| Socket::connect(siege.relay.address())).collect();
    for socket in &mut sockets {
        socket.send(Message::binary(vec![1; FRAME_BYTES_MAX - 1]));
    }
    assert_eq!(limit(sockets[299].denied()), "bytes before the welcome");
    let mut long = Socket::connect(siege.relay.address());
    let FromDevice::Hello(hello) = hello(HOSTILE, &siege.token) else { panic!("a hello") };
    long.say(&FromDevice::Hello(Hello { token: "v4.public.".repeat(600), ..hello }));
    assert_eq!(limit(long.denied()), "token bytes");
    siege.assert_unharmed(64 * MIB);
}

#[test]
fn floods_of_pings_and_credits_end_their_connections() {
    let mut siege = Siege::new();
    let (address, token) = (siege.relay.address(), siege.token.clone());
    siege.sell_during(4, |number| {
        for _ in 0..3 {
            let (mut socket, _) = Socket::welcomed(address, HOSTILE, &token);
            for _ in 0..2_000 {
                match number % 2 {
                    0 => socket.send(Message::Ping(vec![7; 125].into())),
                    _ => socket.say(&FromDevice::Credit { bytes: 0 }),
                }
            }
            assert_eq!(limit(socket.denied()), "pings, pongs and credits in 10 seconds");
        }
    });
    siege.assert_unharmed(32 * MIB);
}

#[test]
fn oversized_frames_and_bombs_take_no_memory_on_many_connections_either() {
    let mut siege = Siege::new();
    let mut sockets: Vec<_> = (0..100).map(|_| siege.attacker()).collect();
    for (number, socket) in sockets.iter_mut().enumerate() {
        match number % 3 {
            0 => {
                let head = [&[0x82, 0xff][..], &(1u64 << (21 + number % 40)).to_be_bytes(), &[1, 2, 3, 4]].concat();
                let _ = socket.stream().write_all(&head);
            }
            1 => socket.say(&FromDevice::Push { push: 1, offered: false, batch: forge::bomb(4 << 20, 4 << 20) }),
            _ => socket.say(&FromDevice::Push { push: 1, offered: false, batch: forge::bomb(u32::MAX, 64 << 20) }),
        }
    }
    for socket in &mut sockets {
        let denial = socket.denied();
        assert!(matches!(denial, Some(Denial::OverLimit { .. } | Denial::Unreadable(_))), "{denial:?}");
    }
    siege.assert_unharmed(96 * MIB);
}

/// A change that nobody has, in a form that the gate reads: an empty one.
fn empty(key: &str, byte: u8) -> Forged {
    let record = ("products".to_owned(), key.to_owned());
    Forged { record, actor: vec![byte; 16], seq: 1, start_op: 1, columns: vec![0], own: None }
}

#[test]
fn a_million_dependencies_are_refused_in_one_change_and_in_many() {
    let mut siege = Siege::new();
    let mut socket = siege.attacker();
    let one = forge::following(&empty("a", 1), 1, 1_000_000);
    assert!(one.len() < 10_000, "few bytes name many: {}", one.len());
    assert!(matches!(socket.push(1, one), Heard::Said(FromRelay::Denied(Denial::Unreadable(_)))));
    let mut socket = siege.attacker();
    match socket.push(1, forge::following(&empty("a", 1), 4_000, 250)) {
        Heard::Said(FromRelay::Ack(ack)) => {
            assert_eq!(ack.refused.len(), 4_000);
            assert_eq!(ack.refused[0].reason, Refusal::Malformed("dependencies out of order".to_owned()));
        }
        other => panic!("no receipt: {other:?}"),
    }
    siege.assert_unharmed(64 * MIB);
}

#[test]
fn a_flood_of_orphans_is_refused_one_by_one_and_leaves_nothing_behind() {
    const ORPHANS: usize = 8_000;
    let mut siege = Siege::new();
    let (address, token) = (siege.relay.address(), siege.token.clone());
    let flood = forge::following(&empty("a", 1), ORPHANS, 1);
    siege.sell_during(4, |_| {
        let (mut socket, _) = Socket::welcomed(address, HOSTILE, &token);
        for push in 1..=8 {
            socket.say(&FromDevice::Push { push, offered: false, batch: flood.clone() });
        }
        for _ in 1..=8 {
            match socket.hear() {
                Heard::Said(FromRelay::Ack(ack)) => {
                    assert_eq!(ack.refused.len(), ORPHANS);
                    assert_eq!(ack.refused[0].reason, Refusal::MissingDeps);
                    let orphan = |reason: &Refusal| matches!(reason, Refusal::MissingDeps | Refusal::Waits);
                    assert!(ack.refused.iter().all(|refused| orphan(&refused.reason)));
                }
                other => panic!("no receipt: {other:?}"),
            }
        }
    });
    let (_, welcome) = Socket::welcomed(address, HOSTILE, &token);
    assert_eq!((welcome.tail, welcome.digest), (0, [0; 32]), "nothing was stored");
    siege.assert_unharmed(128 * MIB);
}

#[test]
fn comparisons_that_are_begun_and_left_keep_no_other_shop_waiting() {
    let mut siege = Siege::new();
    let first = || FromDevice::Reconcile { payload: Reconcile::begin(Vec::new()).expect("a beginning").1 };
    let mut stalled: Vec<_> = (0..100).map(|_| siege.attacker()).collect();
    stalled.iter_mut().for_each(|socket| socket.say(&first()));
    assert!(matches!(stalled[0].hear(), Heard::Said(FromRelay::Reconcile { .. })), "one of them is served");
    let token = siege.relay.token(OTHER);
    let (mut honest, _) = Socket::welcomed(siege.relay.address(), OTHER, &token);
    honest.say(&first());
    loop {
        match honest.hear() {
            Heard::Said(FromRelay::Entries(_)) => {}
            Heard::Said(FromRelay::Reconcile { .. }) => break,
            other => panic!("no answer: {other:?}"),
        }
    }
    stalled[0].say(&FromDevice::Credit { bytes: 1 });
    stalled[0].say(&FromDevice::Want { leaves: Vec::new(), last: true });
    assert!(
        matches!(stalled[0].hear(), Heard::Said(FromRelay::Reconciled { .. })),
        "the stalled ones were still there"
    );
    siege.assert_unharmed(64 * MIB);
}

/// A record whose lists lie in each other, as no honest device makes it.
fn deep(levels: usize) -> Change {
    use automerge::transaction::Transactable as _;
    let mut doc = automerge::AutoCommit::new();
    let mut at = doc.put_object(automerge::ROOT, "s/a", automerge::ObjType::List).expect("a list");
    for _ in 1..levels {
        at = doc.insert_object(&at, 0, automerge::ObjType::List).expect("a list");
    }
    let change = doc.get_last_local_change().expect("a change");
    Change::parse(change.raw_bytes()).expect("an honest form")
}

#[test]
fn lists_thousands_deep_pass_the_relay_and_harm_no_till() {
    let mut siege = Siege::new();
    let mut socket = siege.attacker();
    let change = deep(5_000);
    let own = Some(change.hash().0);
    let batch = forge::batch(&[Forged { own, ..Forged::of("products", "deep", change.parts()) }]);
    let heard = socket.push(1, batch);
    assert!(matches!(&heard, Heard::Said(FromRelay::Ack(ack)) if ack.refused.is_empty()), "{heard:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let till = Device::init(&folder.path().join("till"), HOSTILE, &siege.relay.url(), &siege.token);
    till.ok(&["put", "products", "tea", r#"{"name":"Tea"}"#]);
    till.run(&["sync"]);
    assert_eq!(till.get("products", "tea"), json!({"name": "Tea"}));
    till.ok(&["list", "products"]);
    let status = till.status();
    assert_eq!(status["pending"], 0, "{status}");
    siege.assert_unharmed(64 * MIB);
}
