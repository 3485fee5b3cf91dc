//! A client that writes HTTP/2 byte by byte, so that it can write it wrong.
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use prost::Message as _;
use rewardpool_proto::v1::{DrawRequest, GetStateRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// The number of the setting for the window of a stream.
pub(crate) const INITIAL_WINDOW: u16 = 4;
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DRAW: &str = "/rewardpool.v1.RewardPool/Draw";
pub(crate) const DRAW_STREAM: &str = "/rewardpool.v1.RewardPool/DrawStream";
pub(crate) const GET_STATE: &str = "/rewardpool.v1.RewardPool/GetState";

/// A write that takes longer fails, so that an attack ends when nobody reads it.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header, not compressed and not remembered.
pub(crate) fn header(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name.as_bytes(), value] {
        push_length(&mut bytes, text.len());
        bytes.extend(text);
    }
    bytes
}

/// A length with a prefix of 7 bits.
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap());
        return;
    }
    bytes.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// The headers of a right call.
pub(crate) fn call_headers(path: &str) -> Vec<u8> {
    headers(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "rewardpool"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ])
}

pub(crate) fn headers(headers: &[(&str, &str)]) -> Vec<u8> {
    headers.iter().flat_map(|(name, value)| header(name, value.as_bytes())).collect()
}

/// A call's beginning: headers, and no message yet.
pub(crate) fn open(path: &str, stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &call_headers(path))
}

/// A gRPC message, as it travels in `DATA`.
pub(crate) fn message(flag: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flag];
    bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A whole call with one message.
pub(crate) fn call(path: &str, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = open(path, stream);
    bytes.extend(frame(DATA, END_STREAM, stream, &message(0, payload)));
    bytes
}

/// The message of a draw, with a key.
pub(crate) fn draw(key: &str) -> Vec<u8> {
    let (pool, count, mode) = ("attacked".to_owned(), 1, 0);
    DrawRequest { pool, count, mode, idempotency_key: key.to_owned() }.encode_to_vec()
}

/// The message that asks for a whole pool.
pub(crate) fn get_state(pool: &str) -> Vec<u8> {
    let (pool, page_token) = (pool.to_owned(), String::new());
    GetStateRequest { pool, page_size: 5000, page_token }.encode_to_vec()
}

/// What the service said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    /// Frames with headers, which are answers and their ends.
    pub(crate) headers: usize,
    /// Streams that ended with a frame of the service.
    pub(crate) ended: usize,
    /// Codes of `RST_STREAM`.
    pub(crate) resets: Vec<u32>,
    /// Codes of `GOAWAY`.
    pub(crate) goaways: Vec<u32>,
    /// Whether the service closed the connection.
    pub(crate) closed: bool,
}

impl Seen {
    fn frame(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        let code = |at: usize| payload.get(at..at + 4).map(|code| code.try_into().unwrap());
        match kind {
            HEADERS => self.headers += 1,
            RST_STREAM => self.resets.extend(code(0).map(u32::from_be_bytes)),
            GOAWAY => self.goaways.extend(code(4).map(u32::from_be_bytes)),
            _ => {}
        }
        self.ended += usize::from(matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0);
    }
}

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    inbox: Vec<u8>,
    seen: Seen,
}

impl Wire {
    /// Connects from an address that is not the one of honest clients.
    pub(crate) async fn connect(to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0))?;
        Self::connect_by(socket, to).await
    }

    /// Connects, and takes only so many bytes before it reads.
    pub(crate) async fn connect_narrow(to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        Self::connect_by(socket, to).await
    }

    async fn connect_by(socket: TcpSocket, to: SocketAddr) -> io::Result<Self> {
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// A connection that is there.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, inbox: Vec::new(), seen: Seen::default() }
    }

    /// The connection itself.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Connects and begins as it should be.
    pub(crate) async fn greeted(to: SocketAddr) -> io::Result<Self> {
        Self::greeted_with(to, &[]).await
    }

    /// The same with settings.
    pub(crate) async fn greeted_with(to: SocketAddr, settings: &[(u16, u32)]) -> io::Result<Self> {
        let mut wire = Self::connect(to).await?;
        wire.send(&greeting(settings)).await?;
        Ok(wire)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match timeout(WRITE_PATIENCE, self.stream.write_all(bytes)).await {
            Ok(written) => written,
            Err(late) => Err(late.into()),
        }
    }

    /// Says that nothing more will come.
    pub(crate) async fn close_half(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Reads until the service closed the connection, `is_enough`, or the time is over.
    pub(crate) async fn read_until(
        &mut self,
        limit: Duration,
        is_enough: impl Fn(&Seen) -> bool,
    ) -> Seen {
        let until = Instant::now() + limit;
        let mut bytes = vec![0; 64 * 1024];
        while !self.seen.closed && !is_enough(&self.seen) {
            match timeout_at(until, self.stream.read(&mut bytes)).await {
                Err(_) => break,
                Ok(Ok(0) | Err(_)) => self.seen.closed = true,
                Ok(Ok(count)) => self.take(&bytes[..count]),
            }
        }
        self.seen.clone()
    }

    /// Reads until the service closed the connection, at most so long.
    pub(crate) async fn read(&mut self, limit: Duration) -> Seen {
        self.read_until(limit, |_| false).await
    }

    fn take(&mut self, bytes: &[u8]) {
        self.inbox.extend(bytes);
        let mut from = 0;
        while let Some(&[a, b, c, kind, flags]) = self.inbox.get(from..from + 5) {
            let end = from + 9 + usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
            let Some(payload) = self.inbox.get(from + 9..end) else { break };
            self.seen.frame(kind, flags, payload);
            from = end;
        }
        self.inbox.drain(..from);
    }
}

/// The preface and these settings.
pub(crate) fn greeting(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = settings
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()[..]].concat())
        .collect();
    [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()
}
