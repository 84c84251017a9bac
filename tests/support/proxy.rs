//! A proxy on a unix socket that counts what a client says to PostgreSQL, and cuts, or holds back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The file name of the socket that clients look for in the directory they are given.
const SOCKET: &str = ".s.PGSQL.5432";
/// Ready for query: the last message of every answer.
const READY: u8 = b'Z';
/// Terminate: says that the client leaves. It is no part of the work, and may be lost.
const TERMINATE: u8 = b'X';

/// How long a server takes to notice that a client has gone.
const UNNOTICED: Duration = Duration::from_millis(300);

/// Where a connection breaks, seen from one of the client's messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// The message never reaches the server.
    Before,
    /// The server carries it out; the client never hears of it.
    AnswerLost,
    /// The client hears the answer, and nothing after it.
    After,
    /// The server carries it out, and does not notice for a while that nobody is there any more:
    /// what its transaction holds stays locked until then.
    Unnoticed,
}

/// A message of the client: which connection it was on, and its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    /// `Q` for a statement, `P`, `B`, `D`, `E`, `S`, … of the extended protocol, `0` for the first
    /// message of a connection, which has no kind.
    pub(crate) kind: u8,
}

impl Said {
    /// Does the server answer, once it is done with everything up to this message?
    pub(crate) fn is_answered(self) -> bool {
        [b'0', b'Q', b'S'].contains(&self.kind)
    }
}

/// Holds back one message of a client until it is told to go on, and counts from when it was set.
///
/// What counts is what the server acts on: `Q`, and the `B` and the `E` of the extended protocol.
/// Held at its `E`, a statement has its snapshot, and has done nothing: as if the server had been
/// slow just then.
#[derive(Default)]
pub(crate) struct Stall(watch::Sender<Held>);

#[derive(Default)]
struct Held {
    /// Messages that came by.
    seen: usize,
    /// The one that is held back, counted from 0.
    at: Option<usize>,
    /// It has come, and is held.
    has_come: bool,
}

#[allow(dead_code, reason = "not every test that cuts holds back, too")]
impl Stall {
    /// Counts from 0 again, and holds back the message of that number.
    pub(crate) fn set(&self, at: Option<usize>) {
        self.0.send_modify(|held| *held = Held { seen: 0, at, has_come: false });
    }

    /// Waits until that message has come.
    pub(crate) async fn is_reached(&self) {
        // The sender is `self`: it stays.
        let _ = self.0.subscribe().wait_for(|held| held.has_come).await;
    }

    /// Lets it go on; nothing is held back any more.
    pub(crate) fn go_on(&self) {
        self.0.send_modify(|held| (held.at, held.has_come) = (None, false));
    }

    /// Messages that came by.
    pub(crate) fn seen(&self) -> usize {
        self.0.borrow().seen
    }

    /// A message comes by.
    async fn pass(&self, kind: u8) {
        if ![b'Q', b'B', b'E'].contains(&kind) {
            return;
        }
        let mut is_mine = false;
        self.0.send_modify(|held| {
            is_mine = held.at == Some(held.seen);
            held.has_come |= is_mine;
            held.seen += 1;
        });
        if is_mine {
            let _ = self.0.subscribe().wait_for(|held| !held.has_come).await;
        }
    }
}

/// A proxy that is listening.
pub(crate) struct Proxy {
    directory: PathBuf,
    said: Arc<Mutex<Vec<Said>>>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// Listens in `directory`, in front of the server whose socket is in `server`, and cuts the
    /// connection at the message of that number, counted from 0 over all connections.
    pub(crate) fn listen(directory: &Path, server: &str, cut: Option<(usize, Cut)>) -> Self {
        Self::start(directory, server, cut, Arc::default())
    }

    /// The same, and holds back instead of cutting.
    #[allow(dead_code, reason = "not every test that cuts holds back, too")]
    pub(crate) fn stalling(directory: &Path, server: &str, stall: &Arc<Stall>) -> Self {
        Self::start(directory, server, None, stall.clone())
    }

    fn start(directory: &Path, server: &str, cut: Option<(usize, Cut)>, stall: Arc<Stall>) -> Self {
        let listener = UnixListener::bind(directory.join(SOCKET)).expect("a socket");
        let said = Arc::new(Mutex::new(Vec::new()));
        let (heard, server) = (said.clone(), Path::new(server).join(SOCKET));
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.expect("the server answers");
                let talk = Talk { said: heard.clone(), cut, stall: stall.clone() };
                tokio::spawn(talk.carry(client, server));
            }
        });
        Self { directory: directory.to_owned(), said, listening }
    }

    /// The URL of a database behind this proxy.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user=postgres", self.directory.display())
    }

    /// What clients said so far, but for their good-byes.
    pub(crate) fn said(&self) -> Vec<Said> {
        self.said.lock().expect("unpoisoned").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// One connection through the proxy.
struct Talk {
    said: Arc<Mutex<Vec<Said>>>,
    cut: Option<(usize, Cut)>,
    stall: Arc<Stall>,
}

impl Talk {
    /// Carries messages to and fro until one side leaves or the cut comes; then both sides see
    /// the connection end.
    ///
    /// Requests and answers take turns here, although the protocol allows for more: a client that
    /// waits for an answer says nothing, and the server says nothing unasked that matters here.
    async fn carry(self, client: UnixStream, server: UnixStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let mut first = true;
        while let Some((kind, message)) = read(&mut from_client, first).await {
            first = false;
            let said = Said { kind };
            let cut = if kind == TERMINATE { None } else { self.count(said) };
            self.stall.pass(kind).await;
            if cut == Some(Cut::Before) || !write(&mut to_server, &message).await {
                return;
            }
            if cut == Some(Cut::Unnoticed) {
                drop((from_client, to_client));
                tokio::time::sleep(UNNOTICED).await;
                return;
            }
            if said.is_answered() {
                let heard = cut != Some(Cut::AnswerLost);
                if !answer(&mut from_server, &mut to_client, heard).await {
                    return;
                }
            }
            if cut.is_some() {
                return;
            }
        }
    }

    /// Counts a message, and says whether the connection breaks here, and how.
    fn count(&self, said: Said) -> Option<Cut> {
        let mut all = self.said.lock().expect("unpoisoned");
        all.push(said);
        self.cut.filter(|(at, _)| *at + 1 == all.len()).map(|(_, cut)| cut)
    }
}

/// Carries an answer to its end, or only waits for its end. False when a side has left.
async fn answer(server: &mut OwnedReadHalf, client: &mut OwnedWriteHalf, heard: bool) -> bool {
    loop {
        let Some((kind, message)) = read(server, false).await else { return false };
        if heard && !write(client, &message).await {
            return false;
        }
        if kind == READY {
            return true;
        }
    }
}

/// The next message with its kind; the first message of a client has none, and is `0` here.
async fn read(side: &mut OwnedReadHalf, first: bool) -> Option<(u8, Vec<u8>)> {
    let kind = if first { b'0' } else { side.read_u8().await.ok()? };
    let length = side.read_u32().await.ok()?;
    let mut message = if first { Vec::new() } else { vec![kind] };
    message.extend(length.to_be_bytes());
    let start = message.len();
    message.resize(start + length as usize - 4, 0);
    side.read_exact(&mut message[start..]).await.ok()?;
    Some((kind, message))
}

async fn write(side: &mut OwnedWriteHalf, message: &[u8]) -> bool {
    side.write_all(message).await.is_ok()
}
