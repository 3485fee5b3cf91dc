//! A client of HTTP/1.1 that shows everything that it gets.
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::running::PATIENCE;

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Asks for a page with these headers, each with its line end. Of an older version, so that the
/// answer comes in one piece.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> Page {
    let mut stream = connect(address);
    let request = format!("{method} {path} HTTP/1.0\r\nHost: test\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    read(&mut stream)
}

/// Gets a page.
pub(crate) fn get(address: SocketAddr, path: &str) -> Page {
    ask(address, "GET", path, "")
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads an answer whose connection is closed behind it.
pub(crate) fn read(stream: &mut TcpStream) -> Page {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Page { status: status.unwrap_or(0), head: head.to_ascii_lowercase(), body: body.to_owned() }
}
