//! As much of an HTTP server as curl needs: `GET /SEED/LEN` answers with that content, `PUT` and
//! `POST` of the same path expect it.

use crate::content::Content;
use crate::server::Server;
use std::io::{self, Read, Write};

/// Starts a server; one request per connection.
pub(crate) fn start() -> Server {
    Server::start(|mut stream| answer(&mut stream))
}

/// Reads a request and answers it.
pub(crate) fn answer(stream: &mut (impl Read + Write)) -> io::Result<()> {
    let head = read_head(stream)?;
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let content = parse(path).ok_or(io::ErrorKind::InvalidInput)?;
    if method == "GET" {
        write!(stream, "{}", ok(content.len))?;
        return content.send(stream);
    }
    let outcome = content.receive(stream);
    match &outcome {
        Ok(()) => write!(stream, "{}", ok(0))?,
        Err(error) => write!(
            stream,
            "HTTP/1.1 400 {error}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        )?,
    }
    outcome
}

/// Returns the head of a good answer with a body of `len` bytes.
pub(crate) fn ok(len: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n")
}

/// Reads up to the empty line and no byte further.
pub(crate) fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    String::from_utf8(head).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn parse(path: &str) -> Option<Content> {
    let (seed, len) = path.strip_prefix('/')?.split_once('/')?;
    Some(Content::new(seed.parse().ok()?, len.parse().ok()?))
}
