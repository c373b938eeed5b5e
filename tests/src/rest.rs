//! A client of the relay's REST API: real requests over real sockets. Must not know what any request is for.

use crate::wait;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head's lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Itself, after checking its status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

/// Somebody with a token.
#[derive(Debug, Clone)]
pub struct Client {
    address: SocketAddr,
    token: String,
}

impl Client {
    /// Nothing is sent yet.
    pub fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.to_owned() }
    }

    /// Sends a request with more headers; its answer's head is read, its body not.
    pub fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Stream {
        let mut stream = TcpStream::connect(self.address).expect("a relay that listens");
        stream.set_read_timeout(Some(wait::DEADLINE)).expect("a deadline");
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n");
        if !self.token.is_empty() {
            head.push_str(&format!("authorization: Bearer {}\r\n", self.token));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            head.push_str("content-type: application/json\r\n");
        }
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).expect("a request that is sent");
        // Who refuses early closes early: the answer says why.
        let _ = stream.write_all(body);
        Stream::read(BufReader::new(stream))
    }

    /// Sends a request with more headers and reads its whole answer.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.open(method, path, headers, body).whole()
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// Writes JSON.
    pub fn write(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, &[], body.to_string().as_bytes())
    }
}

/// An answer whose body is being read.
pub struct Stream {
    status: u16,
    headers: Vec<(String, String)>,
    from: BufReader<TcpStream>,
}

impl Stream {
    fn read(mut from: BufReader<TcpStream>) -> Self {
        let line = |from: &mut BufReader<TcpStream>| {
            let mut line = String::new();
            from.read_line(&mut line).expect("an answer's head");
            line.trim_end().to_owned()
        };
        let first = line(&mut from);
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {first}"));
        let mut headers = Vec::new();
        loop {
            let next = line(&mut from);
            let Some((name, value)) = next.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Self { status, headers, from }
    }

    fn is_chunked(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked")
    }

    /// The next chunk of a body that is sent in chunks; empty at its end.
    pub fn chunk(&mut self) -> Vec<u8> {
        let mut size = String::new();
        self.from.read_line(&mut size).expect("a chunk in time");
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        let mut bytes = vec![0; size + 2];
        self.from.read_exact(&mut bytes).expect("a whole chunk");
        bytes.truncate(size);
        bytes
    }

    /// The bytes as they come.
    pub fn reader(&mut self) -> &mut impl Read {
        &mut self.from
    }

    /// All of it.
    pub fn whole(mut self) -> Answer {
        let mut body = Vec::new();
        match self.is_chunked() {
            true => loop {
                let chunk = self.chunk();
                if chunk.is_empty() {
                    break;
                }
                body.extend(chunk);
            },
            false => {
                let length = self.headers.iter().find(|(name, _)| name == "content-length");
                let length = length.and_then(|(_, length)| length.parse().ok()).unwrap_or(0);
                body.resize(length, 0);
                self.from.read_exact(&mut body).expect("a whole body");
            }
        }
        Answer { status: self.status, headers: self.headers, body }
    }
}
