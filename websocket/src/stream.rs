//! A connection to the other side: TCP as it is, or TLS over it.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::limits::TLS_BUFFER;

/// A connection to the other side. Neither kind pays for the other: the state of TLS is a kilobyte that plain connections do not
/// hold.
pub struct Stream(Kind);

enum Kind {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether what goes over it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.0, Kind::Tls(_))
    }

    /// The TCP connection below.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match &self.0 {
            Kind::Plain(tcp) => tcp,
            Kind::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Ready if more may have come. To be asked only after a read that was pending: then TLS has nothing left that it has
    /// decrypted, and can have nothing before the socket has.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp().poll_read_ready(cx)
    }
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Stream {
        Stream(Kind::Plain(tcp))
    }
}

impl From<TlsStream<TcpStream>> for Stream {
    /// Takes a stream on which the handshake is over.
    fn from(mut tls: TlsStream<TcpStream>) -> Stream {
        tls.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
        Stream(Kind::Tls(Box::new(tls)))
    }
}

/// Does the same with either kind.
macro_rules! either {
    ($stream:expr, $pinned:ident => $call:expr) => {
        match &mut $stream.get_mut().0 {
            Kind::Plain(tcp) => {
                let $pinned = Pin::new(tcp);
                $call
            }
            Kind::Tls(tls) => {
                let $pinned = Pin::new(&mut **tls);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    /// Over TLS, what was taken may wait for the kernel until it is flushed.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Plain(tcp) => tcp.is_write_vectored(),
            Kind::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    /// Over TLS, says that this is the end (close_notify) before it ends.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_connection_takes_no_more_than_its_tcp_stream() {
        assert_eq!(size_of::<Stream>(), size_of::<TcpStream>());
    }
}
