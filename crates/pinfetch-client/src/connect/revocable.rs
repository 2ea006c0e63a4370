//! The stream that stops once its connection is refused.
//!
//! A policy swap may come at any moment: while a request waits in a pool, in a buffer or in a queue of HTTP/2 frames. None of them is asked: the socket belongs to the connection's [`Live`], through which this stream reads and
//! writes, and ending the connection takes it away (DESIGN: "enforce it where bytes leave").

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use crate::connect::Live;
use crate::connect::socket::Socket;

/// What is under HTTP: TLS, or TCP alone for hosts without pins.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// The way to a connection's socket. Dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Revocable(Arc<Live>);

impl Revocable {
    pub(crate) fn new(live: Arc<Live>) -> Self {
        Self(live)
    }

    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Transport, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut transport = self.0.transport();
        let Some(socket) = &mut *transport else {
            return Poll::Ready(Err(if self.0.is_revoked() {
                io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "the policy in force refuses this connection",
                )
            } else {
                io::ErrorKind::ConnectionAborted.into()
            }));
        };
        let polled = poll(socket, cx);
        if polled.is_pending() {
            // before the lock is given back: who ends the connection takes the socket first, and wakes then
            self.0.wake_when_ended(cx.waker());
        }
        polled
    }
}

impl Drop for Revocable {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl AsyncRead for Revocable {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.poll(cx, |transport, cx| match transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        });
        if read.is_ready() {
            self.0.hear();
        }
        read
    }
}

impl AsyncWrite for Revocable {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |transport, cx| match transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |transport, cx| match transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        })
    }

    fn is_write_vectored(&self) -> bool {
        true // TCP's is, and TLS gathers what it is given
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |transport, cx| match transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        })
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |transport, cx| match transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        })
    }
}
