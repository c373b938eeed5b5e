//! One HTTP request at a time, over a socket of its own. Must not know what is asked for.

use crate::wait::DEADLINE;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, in lower case.
    pub head: String,
    /// What comes behind them.
    pub content: String,
}

/// Asks, with more lines of header, each with its line's end.
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let request = format!("{method} {path} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("written");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    let text = String::from_utf8(bytes).expect("text");
    let (head, content) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {head}"));
    Answer { status, head: head.to_ascii_lowercase(), content: content.to_owned() }
}

/// Asks for a page.
pub fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, "")
}
