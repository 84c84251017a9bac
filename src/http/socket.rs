//! The stream as a WebSocket: the same messages, each in a frame of its own.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::request::Parts;
use prometheus_client::metrics::counter::Counter;
use tokio::time::timeout;

use super::answer::Answer;
use super::handshake::{PROTOCOL, is_asked, is_permitted};
use super::listen::{Kept, WRITE_WITHIN};
use super::messages::{Messages, Reason};
use super::problem::{Code, Problem};
use crate::config::http::Http;

/// What a client sends at most in one message: it has nothing to say.
const MOST_BYTES: usize = 1_024;
/// Pings in a row that a client may leave without an answer.
const MOST_UNANSWERED: u32 = 2;
/// How long a client may take to close its side.
const FAREWELL: Duration = Duration::from_secs(1);

/// A request for a WebSocket.
pub(super) struct Upgrade {
    socket: WebSocketUpgrade,
    /// The connection counts as open for as long as the WebSocket is.
    kept: Option<Kept>,
}

impl Upgrade {
    /// The WebSocket that a request asks for, if it does.
    ///
    /// # Errors
    /// [`Code::Forbidden`] for the page of another origin; [`Code::Malformed`].
    pub(super) async fn of(parts: &mut Parts, settings: &Http) -> Result<Option<Self>, Problem> {
        if !is_asked(&parts.headers) {
            return Ok(None);
        }
        if !is_permitted(settings, &parts.headers) {
            let detail = "pages of this origin may not open a WebSocket; add the origin to [http] \
                          allowed_origins";
            return Err(Problem::new(Code::Forbidden, detail));
        }
        let kept = parts.extensions.remove::<Kept>();
        let socket = WebSocketUpgrade::from_request_parts(parts, &()).await;
        let socket = socket.map_err(|_| {
            let detail = "not a WebSocket handshake of version 13";
            Problem::new(Code::Malformed, detail)
        })?;
        let socket = socket
            .protocols([PROTOCOL])
            .max_message_size(MOST_BYTES)
            .max_frame_size(MOST_BYTES)
            .read_buffer_size(MOST_BYTES)
            .write_buffer_size(0);
        Ok(Some(Self { socket, kept }))
    }

    /// Opens it, and sends these messages until one of both sides ends it.
    pub(super) fn open(self, messages: Messages, slow_readers: Counter) -> Answer {
        let Self { socket, kept } = self;
        socket.on_upgrade(async move |socket| {
            serve(socket, messages, &slow_readers).await;
            drop(kept);
        })
    }
}

/// Sends messages, and hears what the client says. Nothing in here asks the database, so all of it
/// may be dropped.
async fn serve(mut socket: WebSocket, mut messages: Messages, slow_readers: &Counter) {
    let mut unanswered = 0;
    loop {
        tokio::select! {
            piece = messages.next() => {
                let Some(piece) = piece else {
                    return end(socket, messages.ended().map(code)).await;
                };
                for line in piece.lines() {
                    let is_ping = line.is_empty();
                    unanswered += u32::from(is_ping);
                    let frame =
                        if is_ping { Message::Ping(Bytes::new()) } else { Message::text(line) };
                    match timeout(WRITE_WITHIN, socket.send(frame)).await {
                        Ok(Ok(())) if unanswered <= MOST_UNANSWERED => {}
                        Ok(Err(_)) => return,
                        // It reads nothing, or is not there any more.
                        Ok(Ok(())) | Err(_) => {
                            slow_readers.inc();
                            return;
                        }
                    }
                }
            }
            heard = socket.recv() => match heard {
                None => return,
                Some(Ok(Message::Close(_))) => return end(socket, None).await,
                Some(Ok(_)) => unanswered = 0,
                // More than there is to say, or not of the protocol.
                Some(Err(_)) => return end(socket, Some(close_code::POLICY)).await,
            }
        }
    }
}

/// How the end of a stream is said to a WebSocket.
fn code(reason: Reason) -> u16 {
    match reason {
        Reason::Stopping => close_code::AWAY,
        Reason::Token => close_code::POLICY,
        Reason::Removed => close_code::NORMAL,
    }
}

/// Says that it is over, unless the client did, and lets the client close its side.
async fn end(mut socket: WebSocket, code: Option<u16>) {
    let farewell = async {
        if let Some(code) = code {
            let frame = CloseFrame { code, reason: Utf8Bytes::default() };
            if socket.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
        }
        while let Some(Ok(_)) = socket.recv().await {}
    };
    // Whoever takes longer is cut off.
    let _ended = timeout(FAREWELL, farewell).await;
}
