//! Asking a server over its socket whether it accepts connections.
//!
//! Spoken here because some packages of the server bring no `pg_isready`, and because a command
//! that finds the server running should not have to start a process to learn it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{DATABASE, USER};

/// How long a server that took the connection may think before it answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Version 3.0 of the protocol.
const PROTOCOL: u32 = 3 << 16;

/// `cannot_connect_now`: starting, recovering or stopping.
const NOT_NOW: &str = "57P03";

/// What the socket says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// Connections are served (this one may have been refused for a reason of its own).
    Accepting,
    /// Somebody is there who does not serve yet, or no longer.
    Busy,
    /// Nobody is there.
    Silent,
}

/// Asks.
pub(super) fn ping(socket: &Path) -> Answer {
    let Ok(stream) = UnixStream::connect(socket) else { return Answer::Silent };
    ask(stream).unwrap_or(Answer::Busy)
}

fn ask(mut stream: UnixStream) -> io::Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&hello())?;
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    if head[0] != b'E' {
        // A word of farewell, so that the server does not log a lost client.
        stream.write_all(&[b'X', 0, 0, 0, 4])?;
        return Ok(Answer::Accepting);
    }
    // An error is a list of fields, each a letter and a text that ends in 0; C is the SQLSTATE.
    let mut fields = Vec::new();
    stream.take(4096).read_to_end(&mut fields)?;
    let not_now = format!("C{NOT_NOW}");
    let busy = fields.split(|byte| *byte == 0).any(|field| field == not_now.as_bytes());
    Ok(if busy { Answer::Busy } else { Answer::Accepting })
}

/// The first message of a client: its length, the protocol, then names and values.
fn hello() -> Vec<u8> {
    let body = format!("user\0{USER}\0database\0{DATABASE}\0\0");
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(8);
    let mut message = Vec::from(length.to_be_bytes());
    message.extend(PROTOCOL.to_be_bytes());
    message.extend(body.as_bytes());
    message
}
