//! Asking the relay that serves a folder. Must not know what is asked.

use super::{Door, REQUEST_TIMEOUT, WORK_MAX, door_file};
use crate::text::Told;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The longest `control` file, in bytes.
const DOOR_BYTES_MAX: u64 = 4 << 10;

/// Why the relay that has the folder did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Something has the folder open that cannot be asked.
    #[error("{data} is in use by another process that cannot be asked ({cause}): wait for it to end, or stop it")]
    Unreachable {
        /// The data folder.
        data: PathBuf,
        /// Why not.
        cause: String,
    },
    /// It said why not, in the language it was asked in.
    #[error("{text}")]
    Refused {
        /// Its words.
        text: String,
    },
}

impl Told for ControlError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "control_unreachable",
            Self::Refused { .. } => "control_refused",
        }
    }

    fn args(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Unreachable { data, cause } => vec![("data", data.display().to_string()), ("cause", cause.clone())],
            Self::Refused { text } => vec![("text", text.clone())],
        }
    }
}

/// What is asked for, and in which language people read the answer.
pub struct Asked<'a, T> {
    /// Where at the relay's door: `/backup`.
    pub path: &'a str,
    /// The content.
    pub order: &'a T,
    /// The language.
    pub locale: &'a str,
}

/// Asks the relay that serves the folder `data`, and waits until it has done it.
pub async fn ask<T: Serialize, A: DeserializeOwned>(data: &Path, asked: Asked<'_, T>) -> Result<A, ControlError> {
    let unreachable = |cause: String| ControlError::Unreachable { data: data.to_owned(), cause };
    let door = read_door(data).map_err(unreachable)?;
    let connected = timeout(REQUEST_TIMEOUT, TcpStream::connect(door.address)).await;
    let stream = connected.map_err(io::Error::from).flatten().map_err(|error| unreachable(error.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    let content = serde_json::to_vec(asked.order).map_err(|error| unreachable(error.to_string()))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(asked.path)
        .header(header::HOST, door.address.to_string())
        .header(header::AUTHORIZATION, format!("Bearer {}", door.secret))
        .header(header::ACCEPT_LANGUAGE, asked.locale)
        .body(Full::<Bytes>::from(content))
        .map_err(|error| unreachable(error.to_string()))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| cause(&error))?;
        let is_done = answer.status().is_success();
        let content = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok::<_, String>((is_done, content.map_err(|error| error.to_string())?.to_bytes()))
    };
    tokio::pin!(answer);
    let answered = async {
        tokio::select! {
            answered = &mut answer => answered,
            // It drives the request, and ends with the connection.
            _ = connection => answer.await,
        }
    };
    let answered = timeout(WORK_MAX, answered).await.unwrap_or_else(|late| Err(late.to_string()));
    let (is_done, content) = answered.map_err(unreachable)?;
    if !is_done {
        return Err(ControlError::Refused { text: String::from_utf8_lossy(&content).into_owned() });
    }
    serde_json::from_slice(&content).map_err(|error| unreachable(error.to_string()))
}

fn read_door(data: &Path) -> Result<Door, String> {
    let path = door_file(data);
    let bytes = fs::metadata(&path).map_err(|error| error.to_string())?.len();
    if bytes > DOOR_BYTES_MAX {
        return Err(format!("{} has {bytes} bytes", path.display()));
    }
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

fn cause(error: &hyper::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| source.to_string())
}
