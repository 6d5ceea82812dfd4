//! One request to the manager, written by hand.

use crate::net::SimEnv;
use std::net::SocketAddr;
use titan_runtime::env::Env as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Asks and returns status and body.
pub(super) async fn ask(
    env: &SimEnv,
    at: SocketAddr,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let mut stream = env.connect(at).await.expect("the manager is there");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {at}\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("the manager listens");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer).await;
    read.expect("the manager answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), body.to_owned())
}
