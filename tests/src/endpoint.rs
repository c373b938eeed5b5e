//! An HTTP endpoint on loopback that webhooks are sent to, and a relay that may send there. Must not know what a test expects.

use crate::relay::Relay;
use crate::rest::Client;
use crate::wait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// What an endpoint answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status, with more lines of header, each with its line's end.
    Status(u16, &'static str),
    /// 200, and a body without an end.
    Endless,
    /// Nothing, and the connection stays open.
    Silence,
}

/// Fine.
pub const OK: Reply = Reply::Status(204, "");
/// Not now.
pub const FAILS: Reply = Reply::Status(500, "");

/// A request that came.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where.
    pub path: String,
    /// The head's lines, names in lower case.
    headers: Vec<(String, String)>,
    /// The body as it came.
    pub text: String,
    /// What was answered; 0 for nothing.
    pub answered: u16,
}

impl Delivery {
    /// A header's value; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// Its `webhook-id`.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// The body.
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The keys of its records.
    pub fn keys(&self) -> Vec<String> {
        let body = self.body();
        let changes = body["data"]["changes"].as_array().expect("changes");
        changes.iter().map(|change| change["key"].as_str().expect("a key").to_owned()).collect()
    }

    /// Whether it is signed with this secret, by the specification's words and nothing of the relay's.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
        let timestamp = self.header("webhook-timestamp");
        let said: i64 = timestamp.parse().expect("a timestamp");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
        let signed = format!("{}.{timestamp}.{}", self.id(), self.text);
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
        let signature = format!("v1,{}", BASE64_STANDARD.encode(mac));
        (now - said).abs() < 300 && self.header("webhook-signature").split(' ').any(|each| each == signature)
    }
}

type Answers = Arc<Mutex<Box<dyn FnMut(&Delivery) -> Reply + Send>>>;

/// The endpoint. It goes on until the test ends.
pub struct Endpoint {
    address: SocketAddr,
    came: Arc<Mutex<Vec<Delivery>>>,
    answers: Answers,
}

impl Endpoint {
    /// On a free port; it takes everything.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let answers: Answers = Arc::new(Mutex::new(Box::new(|_| OK)));
        let came: Arc<Mutex<Vec<Delivery>>> = Arc::default();
        let (taking, answering) = (came.clone(), answers.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (came, answers) = (taking.clone(), answering.clone());
                thread::spawn(move || serve(stream, &came, &answers));
            }
        });
        Self { address, came, answers }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it answers from now on.
    pub fn answer(&self, answer: impl FnMut(&Delivery) -> Reply + Send + 'static) {
        *self.answers.lock().expect("not poisoned") = Box::new(answer);
    }

    /// All that came.
    pub fn came(&self) -> Vec<Delivery> {
        self.came.lock().expect("not poisoned").clone()
    }

    /// All that came and was taken.
    pub fn taken(&self) -> Vec<Delivery> {
        let mut came = self.came();
        came.retain(|delivery| (200..300).contains(&delivery.answered));
        came
    }

    /// The keys of the records that came and were taken, in their order.
    pub fn keys(&self) -> Vec<String> {
        self.taken().iter().flat_map(Delivery::keys).collect()
    }

    /// Waits until so many deliveries were taken.
    pub fn wait_for(&self, count: usize) -> Vec<Delivery> {
        wait::until(&format!("{count} deliveries"), || Some(self.taken()).filter(|taken| taken.len() >= count))
    }
}

fn serve(stream: TcpStream, came: &Mutex<Vec<Delivery>>, answers: &Answers) {
    let mut from = BufReader::new(stream);
    while let Some(mut delivery) = request(&mut from) {
        let reply = (answers.lock().expect("not poisoned"))(&delivery);
        let mut said = String::new();
        if let Reply::Status(status, headers) = reply {
            delivery.answered = status;
            said = format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n{headers}\r\n");
        }
        if matches!(reply, Reply::Endless) {
            delivery.answered = 200;
            said = "HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
        }
        came.lock().expect("not poisoned").push(delivery);
        let to = from.get_mut();
        // Who sent it may have gone.
        let _ = to.write_all(said.as_bytes());
        while matches!(reply, Reply::Endless) && to.write_all(b"4\r\nmore\r\n").is_ok() {}
    }
}

fn request(from: &mut BufReader<TcpStream>) -> Option<Delivery> {
    let mut line = || {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|bytes| *bytes > 0).map(|_| line.trim_end().to_owned())
    };
    let first = line()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    while let Some((name, value)) = line()?.split_once(':') {
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut delivery = Delivery { path, headers, text: String::new(), answered: 0 };
    let mut body = vec![0; delivery.header("content-length").parse().ok()?];
    from.read_exact(&mut body).ok()?;
    delivery.text = String::from_utf8(body).ok()?;
    Some(delivery)
}

/// A relay with a shop, whose webhooks may go to this machine.
pub struct Shop {
    data: PathBuf,
    config: PathBuf,
    /// The relay.
    pub relay: Relay,
    /// An admin's token.
    pub token: String,
}

const HOOKS: &str = "/v1/workspaces/shop/webhooks";

impl Shop {
    /// Begins one in this folder, with more settings of `[webhooks]`, a line each, and more of an environment.
    pub fn start(folder: &Path, settings: &str, environment: &[(&str, String)]) -> Self {
        let (data, config) = (folder.join("relay"), folder.join("relay.toml"));
        let text = format!("[webhooks]\nallow_private = true\nallow_http = true\n{settings}\n");
        fs::write(&config, text).expect("a file");
        let relay = Relay::start_in(&data, &["--config", &config.display().to_string()], environment);
        let token = relay.token_with("shop", &["--role", "admin", "--name", "office"]);
        Self { data, config, relay, token }
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Ends the relay with SIGKILL and begins it again, in a folder with the same content where one is given.
    pub fn kill_and_start(&mut self, moved_to: Option<&Path>) {
        self.relay.kill();
        if let Some(to) = moved_to {
            copy(&self.data, to);
            self.data = to.to_owned();
        }
        self.relay = Relay::start_with(&self.data, &["--config", &self.config.display().to_string()]);
    }

    /// The admin.
    pub fn admin(&self) -> Client {
        Client::new(self.relay.address(), &self.token)
    }

    /// Makes a webhook; its id and its secret.
    pub fn hook(&self, wanted: &Value) -> (String, String) {
        let made = self.admin().write("POST", HOOKS, wanted).expect(201).json();
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        (text("id"), text("secret"))
    }

    /// Makes one to this endpoint.
    pub fn hook_to(&self, endpoint: &Endpoint) -> (String, String) {
        self.hook(&json!({"url": endpoint.url()}))
    }

    /// Reads what is behind a webhook's address.
    pub fn read(&self, id: &str, rest: &str) -> Value {
        self.admin().get(&format!("{HOOKS}/{id}{rest}")).expect(200).json()
    }

    /// Asks something of a webhook.
    pub fn post(&self, id: &str, rest: &str, body: &Value) -> crate::rest::Answer {
        self.admin().write("POST", &format!("{HOOKS}/{id}{rest}"), body)
    }

    /// Takes away what is behind a webhook's address.
    pub fn delete(&self, id: &str, rest: &str) -> crate::rest::Answer {
        self.admin().send("DELETE", &format!("{HOOKS}/{id}{rest}"), &[], b"")
    }

    /// Waits until the webhook is suspended for this reason.
    pub fn wait_suspended(&self, id: &str, reason: &str) {
        wait::until(reason, || (self.read(id, "")["suspended"] == reason).then_some(()));
    }

    /// Saves a product.
    pub fn put(&self, key: &str, number: u64) {
        self.put_into("products", key, number);
    }

    /// Saves a record.
    pub fn put_into(&self, collection: &str, key: &str, number: u64) {
        let path = format!("/v1/workspaces/shop/collections/{collection}/records/{key}");
        let status = self.admin().write("PUT", &path, &json!({"n": number})).status;
        assert!(status == 200 || status == 201, "{status}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let to = to.join(entry.file_name().expect("a name"));
        match entry.is_dir() {
            true => copy(&entry, &to),
            false => _ = fs::copy(&entry, &to).expect("copied"),
        }
    }
}
