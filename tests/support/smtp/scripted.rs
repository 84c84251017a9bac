//! A mail server that does what a test tells it to, step by step.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::Received;

/// What a client says, or what its saying it leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verb {
    /// It has connected.
    Connect,
    Ehlo,
    Starttls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// It has sent the final dot.
    Dot,
    Rset,
    Quit,
}

/// What the server does about it, instead of what is usual.
#[derive(Clone, Debug)]
pub enum Act {
    /// Says that; more than one line with `\r\n` between them.
    Reply(&'static str),
    /// Closes the connection, without a word.
    Cut,
    /// Goes on saying something without a line break, for as long as the client stays.
    Flood,
    /// Says nothing, for as long as the client stays.
    Silence,
    /// After the final dot: keeps the email, and closes the connection before it says so.
    KeepAndCut,
    /// After DATA: closes the connection after that many bytes of the message.
    CutAfterBytes(usize),
}

#[derive(Default)]
struct State {
    plan: HashMap<Verb, VecDeque<Act>>,
    always: HashMap<Verb, Act>,
    received: Vec<Received>,
    said: Vec<String>,
    open: usize,
    most_open: usize,
    connections: usize,
}

/// A server on a free port of 127.0.0.1. It offers STARTTLS and AUTH only as far as replies go.
#[derive(Clone)]
pub struct ScriptedServer {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl ScriptedServer {
    /// A server that takes everything, until it is told otherwise.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, state: Arc::default() };
        let own = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let own = own.clone();
                own.with(|state| {
                    state.connections += 1;
                    state.open += 1;
                    state.most_open = state.most_open.max(state.open);
                });
                tokio::spawn(async move {
                    // A client that goes away ends its conversation.
                    let _ = own.talk(stream).await;
                    own.with(|state| state.open -= 1);
                });
            }
        });
        server
    }

    /// The next time the client says that, the server does this.
    pub fn once(&self, verb: Verb, act: Act) -> &Self {
        self.with(|state| state.plan.entry(verb).or_default().push_back(act));
        self
    }

    /// Whenever the client says that, the server does this.
    pub fn always(&self, verb: Verb, act: Act) -> &Self {
        self.with(|state| state.always.insert(verb, act));
        self
    }

    /// Everything is as usual again.
    pub fn relent(&self) {
        self.with(|state| {
            state.plan.clear();
            state.always.clear();
        });
    }

    /// The emails that were kept.
    pub fn received(&self) -> Vec<Received> {
        self.with(|state| state.received.clone())
    }

    /// Everything that clients said, line by line, but for messages.
    pub fn said(&self) -> Vec<String> {
        self.with(|state| state.said.clone())
    }

    /// The most connections that were open at once.
    pub fn most_open(&self) -> usize {
        self.with(|state| state.most_open)
    }

    /// The connections that are open.
    pub fn open(&self) -> usize {
        self.with(|state| state.open)
    }

    /// All connections that there ever were.
    pub fn connections(&self) -> usize {
        self.with(|state| state.connections)
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    fn act(&self, verb: Verb) -> Option<Act> {
        self.with(|state| {
            let planned = state.plan.get_mut(&verb).and_then(VecDeque::pop_front);
            planned.or_else(|| state.always.get(&verb).cloned())
        })
    }

    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let (mut from, mut to) = (String::new(), Vec::new());
        if !self.answer(&mut stream, Verb::Connect, "220 mail.test ESMTP").await? {
            return Ok(());
        }
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let said = line.trim_end().to_owned();
            self.with(|state| state.said.push(said.clone()));
            let word = said.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let (verb, usual) = match word.as_str() {
                "EHLO" => (Verb::Ehlo, "250-mail.test\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS"),
                "STARTTLS" => (Verb::Starttls, "454 4.7.0 no TLS here"),
                "AUTH" => (Verb::Auth, "235 2.7.0 welcome"),
                "MAIL" => {
                    from = address(&said);
                    to.clear();
                    (Verb::Mail, "250 2.1.0 OK")
                }
                "RCPT" => {
                    to.push(address(&said));
                    (Verb::Rcpt, "250 2.1.5 OK")
                }
                "DATA" => (Verb::Data, "354 go on"),
                "RSET" => (Verb::Rset, "250 2.0.0 OK"),
                "QUIT" => (Verb::Quit, "221 2.0.0 bye"),
                _ => panic!("an unexpected command: {said}"),
            };
            if verb == Verb::Data {
                if !self.take(&mut stream, &from, &to).await? {
                    return Ok(());
                }
            } else if !self.answer(&mut stream, verb, usual).await? || verb == Verb::Quit {
                return Ok(());
            }
        }
    }

    /// DATA and what follows. Does the conversation go on?
    async fn take(
        &self,
        stream: &mut BufReader<TcpStream>,
        from: &str,
        to: &[String],
    ) -> std::io::Result<bool> {
        let act = self.act(Verb::Data);
        let limit = match act {
            Some(Act::Reply(text)) => {
                stream.write_all(format!("{text}\r\n").as_bytes()).await?;
                return Ok(true);
            }
            Some(Act::CutAfterBytes(bytes)) => bytes,
            Some(act) => return self.perform(stream, act).await,
            None => usize::MAX,
        };
        stream.write_all(b"354 go on\r\n").await?;
        let mut data = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 || data.len() + line.len() > limit {
                return Ok(false);
            }
            if line == ".\r\n" {
                break;
            }
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
        let email =
            Received { from: from.to_owned(), to: to.to_vec(), user: None, tls: false, data };
        match self.act(Verb::Dot) {
            Some(Act::KeepAndCut) => {
                self.with(|state| state.received.push(email));
                Ok(false)
            }
            Some(act) => self.perform(stream, act).await,
            None => {
                self.with(|state| state.received.push(email));
                stream.write_all(b"250 2.0.0 kept\r\n").await?;
                Ok(true)
            }
        }
    }

    async fn answer(
        &self,
        stream: &mut BufReader<TcpStream>,
        verb: Verb,
        usual: &'static str,
    ) -> std::io::Result<bool> {
        let act = self.act(verb).unwrap_or(Act::Reply(usual));
        self.perform(stream, act).await
    }

    async fn perform(&self, stream: &mut BufReader<TcpStream>, act: Act) -> std::io::Result<bool> {
        match act {
            Act::Reply(text) => {
                stream.write_all(format!("{text}\r\n").as_bytes()).await?;
                // 421 means that the server closes the connection.
                Ok(!text.starts_with("421"))
            }
            Act::Cut | Act::KeepAndCut | Act::CutAfterBytes(_) => Ok(false),
            Act::Flood => {
                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                Ok(false)
            }
            Act::Silence => {
                let mut ignored = String::new();
                while stream.read_line(&mut ignored).await? > 0 {
                    ignored.clear();
                }
                Ok(false)
            }
        }
    }
}

/// What stands between the angle brackets.
fn address(line: &str) -> String {
    let rest = line.split_once('<').map_or("", |(_, rest)| rest);
    rest.split('>').next().unwrap_or_default().to_owned()
}
