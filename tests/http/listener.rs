//! A client that listens to a stream.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::Request;
use crate::served::Served;

/// Nothing here takes that long, unless something hangs. Comments come all the time: each wait is
/// for something, and has this end as a whole.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn patiently<T>(what: &str, wait: impl Future<Output = T>) -> T {
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A message: its id if it has one, and its JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Message {
    pub(crate) fn kind(&self) -> &str {
        self.data["type"].as_str().unwrap_or_default()
    }

    /// The feature and how much of it is used.
    pub(crate) fn used(&self) -> (&str, String) {
        let limit = &self.data["limit"];
        (limit["feature"].as_str().unwrap_or_default(), limit["used"].to_string())
    }
}

/// A client that listens.
pub(crate) struct Listener<S = TcpStream> {
    connection: S,
    pub(crate) head: String,
    /// Bytes of chunks that are not complete.
    raw: Vec<u8>,
    /// What they carried, not yet taken.
    pub(crate) text: String,
    is_over: bool,
}

impl Listener {
    pub(crate) async fn open(served: &Served, request: Request) -> Self {
        let request = request.with("authorization", &format!("Bearer {}", served.token));
        Self::send(served, &request).await
    }

    pub(crate) async fn send(served: &Served, request: &Request) -> Self {
        let connecting = TcpStream::connect(served.address);
        let connection = patiently("a connection", connecting).await.expect("it listens");
        Self::on(connection, request).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Listener<S> {
    /// Sends a request on a connection, and reads the head of its answer.
    pub(crate) async fn on(mut connection: S, request: &Request) -> Self {
        connection.write_all(request.text().as_bytes()).await.expect("sent");
        let (head, raw, text) = (String::new(), Vec::new(), String::new());
        let mut listener = Self { connection, head, raw, text, is_over: false };
        while !listener.raw.windows(4).any(|end| end == b"\r\n\r\n") {
            listener.read().await;
        }
        let end = listener.raw.windows(4).position(|end| end == b"\r\n\r\n").expect("an end");
        let head: Vec<u8> = listener.raw.drain(..end + 4).collect();
        listener.head = String::from_utf8(head).expect("UTF-8").to_lowercase();
        assert!(listener.head.starts_with("http/1.1 200 "), "{}", listener.head);
        listener.unpack();
        listener
    }

    pub(crate) async fn read(&mut self) {
        let mut bytes = [0; 4_096];
        let count = patiently("bytes", self.connection.read(&mut bytes)).await.unwrap_or(0);
        assert!(count > 0, "it was cut off: {:?} {:?}", self.head, self.text);
        self.raw.extend(&bytes[..count]);
    }

    /// Takes whole chunks out of their wrapping.
    pub(crate) fn unpack(&mut self) {
        loop {
            let Some(end) = self.raw.windows(2).position(|end| end == b"\r\n") else { return };
            let size = std::str::from_utf8(&self.raw[..end]).expect("a size");
            let size = usize::from_str_radix(size, 16).expect("a size");
            let (from, to) = (end + 2, end + 2 + size);
            if self.raw.len() < to + 2 {
                return;
            }
            let text = std::str::from_utf8(&self.raw[from..to]).expect("UTF-8");
            self.text.push_str(text);
            self.raw.drain(..to + 2);
            self.is_over |= size == 0;
        }
    }

    /// The next block of server-sent events: a message, or a comment.
    pub(crate) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                return Some(block.trim_end().to_owned());
            }
            if self.is_over {
                return None;
            }
            self.read().await;
            self.unpack();
        }
    }

    /// The next message; `None`: the stream has ended in good order.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        patiently("a message", self.message()).await
    }

    async fn message(&mut self) -> Option<Message> {
        loop {
            let block = self.block().await?;
            if block == ":" {
                continue;
            }
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            let data: Value = serde_json::from_str(field("data").expect("data")).expect("JSON");
            assert_eq!(field("event"), data["type"].as_str(), "{block}");
            return Some(Message { id: field("id").map(str::to_owned), data });
        }
    }

    /// The messages up to the first of that kind.
    pub(crate) async fn until(&mut self, kind: &str) -> Message {
        let found = async {
            loop {
                let message = self.message().await;
                let message = message.unwrap_or_else(|| panic!("it ended without {kind}"));
                if message.kind() == kind {
                    return message;
                }
            }
        };
        patiently(kind, found).await
    }

    /// Reads on until a feature is used so much.
    pub(crate) async fn until_used(&mut self, feature: &str, used: &str) -> Message {
        let found = async {
            loop {
                let message = self.message().await;
                let message = message.unwrap_or_else(|| panic!("it ended before {feature}"));
                if message.used() == (feature, used.to_owned()) {
                    return message;
                }
            }
        };
        patiently(&format!("{feature} {used}"), found).await
    }
}
