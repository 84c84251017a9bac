//! Streams to a mail server: what lettre reads from, with bounds that it does not have.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead as _, AsyncWrite as _};
#[expect(
    deprecated,
    reason = "the only way to TLS from the first byte over a stream of one's own"
)]
use lettre::transport::smtp::client::AsyncNetworkStream;
use lettre::transport::smtp::client::{AsyncTokioStream, TlsParameters};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How much a server may say before it is our turn again, in bytes. Its certificates are part of
/// it; a line of an answer has at most 512 (RFC 5321, 4.5.3.1.5).
const ANSWER_BYTES: usize = 64 * 1024;

/// A stream that ends with an error when the other side goes on and on: lettre would keep all of
/// it in memory, looking for the end of the line.
#[derive(Debug)]
pub(super) struct Bounded {
    stream: TcpStream,
    /// Received since something was last sent.
    received: usize,
}

impl Bounded {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, received: 0 }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, out))?;
        this.received += out.filled().len() - before;
        if this.received > ANSWER_BYTES {
            let kib = ANSWER_BYTES / 1024;
            return Poll::Ready(Err(io::Error::other(format!(
                "the server sent more than {kib} KiB at once, which is not a valid SMTP reply"
            ))));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.received = 0;
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl AsyncTokioStream for Bounded {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

/// A stream that is encrypted from the first byte.
#[derive(Debug)]
pub(super) struct Encrypted(#[expect(deprecated, reason = "as above")] AsyncNetworkStream);

impl Encrypted {
    /// Shakes hands over a stream.
    ///
    /// # Errors
    /// A certificate that is not trusted, or a server that does not speak TLS.
    pub(super) async fn over(
        stream: Bounded,
        tls: TlsParameters,
    ) -> Result<Self, lettre::transport::smtp::Error> {
        #[expect(deprecated, reason = "as above")]
        let mut stream = AsyncNetworkStream::use_existing_tokio1(Box::new(stream));
        stream.upgrade_tls(tls).await?;
        Ok(Self(stream))
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = Pin::new(&mut self.get_mut().0);
        let read = ready!(stream.poll_read(context, out.initialize_unfilled()))?;
        out.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_close(context)
    }
}

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

/// A stream that hands out at most one line at a time.
///
/// After STARTTLS nothing that was received in the clear may count. lettre's reader would keep
/// what somebody between us and the server appended to the answer, and take it for the server's
/// encrypted word. It never sees more than the line that it asked for; what was appended goes
/// into the handshake, which fails.
#[derive(Debug)]
pub(super) struct LineByLine {
    stream: Bounded,
    received: Vec<u8>,
    given: usize,
}

impl LineByLine {
    pub(super) const fn new(stream: Bounded) -> Self {
        Self { stream, received: Vec::new(), given: 0 }
    }
}

/// What is read from the network at once.
const READ_BYTES: usize = 16 * 1024;

impl AsyncRead for LineByLine {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.given == this.received.len() {
            this.received.resize(READ_BYTES, 0);
            this.given = this.received.len();
            let mut buffer = ReadBuf::new(&mut this.received);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer))?;
            let length = buffer.filled().len();
            this.received.truncate(length);
            this.given = 0;
        }
        let rest = &this.received[this.given..];
        let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let length = line.min(out.remaining());
        out.put_slice(&rest[..length]);
        this.given += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineByLine {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl AsyncTokioStream for LineByLine {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}
