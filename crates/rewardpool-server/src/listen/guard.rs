//! A connection's bytes, with deadlines: for the greeting, for a frame that has begun, and for a
//! write that does not get on.
//!
//! It also sees to it that one connection does not keep the others waiting: none reads more than
//! [`TURN_BYTES`] before it is the next one's turn, and none sends more than a few frames that carry
//! nothing, which would cost the service more than the client.
//!
//! A timer is set only while something is waited for, and it is asked only when the transport has
//! nothing to give, so a busy connection pays for none.
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::frames::Frames;
use super::traffic::Traffic;
use crate::config::GrpcLimits;

/// Bytes that are read before it is another connection's turn.
const TURN_BYTES: usize = 16 * 1024;
/// Frames that carry nothing which a client may send each second, and so many at once. Clients ping
/// to measure the way, at most once for each time that it takes.
const EMPTY_FRAMES_PER_SECOND: u32 = 10_000;
const EMPTY_FRAMES_MAX: u32 = 20_000;
const MICROSECONDS: u128 = 1_000_000;

/// A transport that gives up on a client that does not get on.
pub(super) struct Guarded<T> {
    transport: T,
    traffic: Arc<Traffic>,
    frames: Frames,
    reading: Patience,
    writing: Patience,
    /// Bytes that were read in this turn.
    turn: usize,
    calm: Calm,
}

/// How many frames that carry nothing may still come.
struct Calm {
    left: u32,
    since: Instant,
}

impl Calm {
    fn new() -> Self {
        Self { left: EMPTY_FRAMES_MAX, since: Instant::now() }
    }

    /// Whether so many may come.
    fn takes(&mut self, frames: u32) -> bool {
        if frames == 0 {
            return true;
        }
        let now = Instant::now();
        let new = (now - self.since).as_micros() * u128::from(EMPTY_FRAMES_PER_SECOND);
        let new = u32::try_from(new / MICROSECONDS).unwrap_or(u32::MAX);
        if new > 0 {
            self.left = self.left.saturating_add(new).min(EMPTY_FRAMES_MAX);
            self.since = now;
        }
        let is_taken = frames <= self.left;
        self.left = self.left.saturating_sub(frames);
        is_taken
    }
}

/// How long something may be waited for.
struct Patience {
    limit: Duration,
    until: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// What did not happen.
    lack: &'static str,
}

impl Patience {
    fn new(limit: Duration, lack: &'static str) -> Self {
        Self { limit, until: None, timer: None, lack }
    }

    /// What was waited for is there.
    fn end(&mut self) {
        self.until = None;
    }

    /// Waits on; the time counts from the first call after [`Patience::end`].
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.limit;
        let until = *self.until.get_or_insert_with(|| Instant::now() + limit);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        let lack = self.lack;
        timer.as_mut().poll(context).map(|()| io::Error::new(io::ErrorKind::TimedOut, lack))
    }
}

impl<T> Guarded<T> {
    /// Guards what HTTP/2 is spoken over. The greeting must be there until then.
    pub(super) fn new(
        transport: T,
        limits: &GrpcLimits,
        greeting_until: Instant,
        traffic: Arc<Traffic>,
    ) -> Self {
        let mut reading = Patience::new(limits.frame_timeout, "the client does not go on");
        reading.until = Some(greeting_until);
        let writing = Patience::new(limits.write_timeout, "the client does not read");
        let (frames, calm) = (Frames::new(), Calm::new());
        Self { transport, traffic, frames, reading, writing, turn: 0, calm }
    }

    fn after_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        // The preface is no frame, so this is never the end of less than the greeting.
        if self.frames.follow(bytes) {
            self.traffic.greet();
            self.reading.end();
        }
        self.traffic.count_bytes(bytes.len());
        self.turn += bytes.len();
        if !self.calm.takes(self.frames.take_empty()) {
            return Err(io::Error::other("the client sends too many frames that carry nothing"));
        }
        Ok(())
    }

    fn after_write(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => return self.writing.poll(context).map(Err),
            Poll::Ready(Ok(bytes)) => self.traffic.count_bytes(*bytes),
            Poll::Ready(Err(_)) => {}
        }
        self.writing.end();
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.turn >= TURN_BYTES {
            // It goes on when the others had their turn.
            this.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.transport).poll_read(context, buffer);
        match read {
            Poll::Pending => {
                this.turn = 0;
                if this.frames.is_midway() {
                    return this.reading.poll(context).map(Err);
                }
                Poll::Pending
            }
            Poll::Ready(Ok(())) => Poll::Ready(this.after_read(&buffer.filled()[before..])),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.transport).poll_write(context, bytes);
        this.after_write(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.transport).poll_write_vectored(context, slices);
        this.after_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.transport).poll_flush(context);
        this.after_write(context, flushed.map_ok(|()| 0)).map_ok(drop)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut this.transport).poll_shutdown(context);
        this.after_write(context, closed.map_ok(|()| 0)).map_ok(drop)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const LIMIT: Duration = Duration::from_secs(5);
    const SECOND: Duration = Duration::from_secs(1);

    fn guarded() -> (DuplexStream, Guarded<DuplexStream>) {
        let (client, server) = duplex(64);
        let limits = GrpcLimits { write_timeout: LIMIT, ..GrpcLimits::default() };
        let until = Instant::now() + limits.handshake_timeout;
        (client, Guarded::new(server, &limits, until, Arc::default()))
    }

    async fn read_all(guarded: &mut Guarded<DuplexStream>) -> io::Error {
        let mut bytes = [0; 16];
        loop {
            if let Err(error) = guarded.read(&mut bytes).await {
                return error;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_greeting_byte_by_byte_is_given_up_at_its_deadline() {
        let (mut client, mut guarded) = guarded();
        let begun = Instant::now();
        let slow = async {
            for byte in GREETING {
                client.write_all(&[*byte]).await.unwrap();
                tokio::time::sleep(SECOND).await;
            }
        };
        tokio::select! {
            () = slow => panic!("it waits for all of it"),
            error = read_all(&mut guarded) => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
        }
        assert_eq!(begun.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_greeted_may_be_silent_but_not_in_the_midst_of_a_frame() {
        let (mut client, mut guarded) = guarded();
        client.write_all(GREETING).await.unwrap();
        assert!(timeout(LIMIT * 100, read_all(&mut guarded)).await.is_err());
        assert!(guarded.traffic.has_greeted());
        client.write_all(&[0, 0, 9]).await.unwrap();
        let begun = Instant::now();
        assert_eq!(read_all(&mut guarded).await.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_frames_that_carry_nothing_end_it() {
        const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let (mut client, mut guarded) = guarded();
        client.write_all(GREETING).await.unwrap();
        let pings = async {
            // Many in all, but each second no more than there may be.
            for _ in 0..8 {
                for _ in 0..EMPTY_FRAMES_PER_SECOND {
                    client.write_all(PING).await.unwrap();
                }
                tokio::time::sleep(SECOND).await;
            }
            for _ in 0..EMPTY_FRAMES_MAX + 10 {
                client.write_all(PING).await.unwrap();
            }
            panic!("all of them are taken");
        };
        tokio::select! {
            () = pings => {}
            error = read_all(&mut guarded) => assert_eq!(error.kind(), io::ErrorKind::Other),
        }
        assert!(guarded.traffic.moved() > 8 * 17 * u64::from(EMPTY_FRAMES_PER_SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_given_up_when_it_makes_no_progress() {
        let (mut client, mut guarded) = guarded();
        let begun = Instant::now();
        let mut taken = [0; 8];
        let reader = async {
            for _ in 0..3 {
                tokio::time::sleep(SECOND * 4).await;
                client.read_exact(&mut taken).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = reader => {}
            written = guarded.write_all(&[7; 1000]) => {
                assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
            }
        }
        assert_eq!(begun.elapsed(), SECOND * 12 + LIMIT);
    }
}
