mod splits;

use super::{
    ClientRequest, ConnectError, HandshakeError, Refusal, Upgrade, UpgradeAnswer, UpgradeRequest,
    accept, connect, path_and_query,
};
use core::time::Duration;
use http::StatusCode;
use titan_proto::Code;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

const NONCE: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255];

fn agree(_: &UpgradeRequest) -> Result<UpgradeAnswer, Refusal> {
    Ok(UpgradeAnswer { nonce: NONCE })
}

/// A request in full, with one line replaced.
fn request(from: &str, to: &str) -> String {
    "GET /ws/node?id=n1&os=linux&version=1 HTTP/1.1\r\n\
     Host: pop:41005\r\n\
     Connection: keep-alive, Upgrade\r\n\
     Upgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     Sec-WebSocket-Protocol: chat, titan.v2\r\n\
     Authorization: Bearer secret\r\n\r\n"
        .replace(from, to)
}

/// Lets the server judge raw bytes; returns its verdict and its answer.
async fn judge(bytes: &str) -> (Result<Upgrade, HandshakeError>, String) {
    let (mut near, far) = duplex(64 * 1024);
    near.write_all(bytes.as_bytes()).await.unwrap();
    let verdict = accept(far, agree).await.map(|(_, upgrade)| upgrade);
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.unwrap();
    (verdict, answer)
}

async fn dial(
    stream: DuplexStream,
    token: &str,
) -> Result<(DuplexStream, super::Connected), ConnectError> {
    let path_and_query = path_and_query("node/1", "linux", "0.1.0 β");
    connect(
        stream,
        ClientRequest {
            authority: "pop:41005",
            path_and_query: &path_and_query,
            token,
        },
    )
    .await
}

#[tokio::test]
async fn both_sides_agree() {
    let (near, far) = duplex(4096);
    let (client, server) = tokio::join!(dial(near, "secret"), accept(far, agree));
    let (_, upgrade) = server.unwrap();
    let request = UpgradeRequest {
        id: "node/1".to_owned(),
        os: "linux".to_owned(),
        version: "0.1.0 β".to_owned(),
        token: "secret".to_owned(),
    };
    assert!(
        !format!("{request:?}").contains("secret"),
        "tokens stay out of logs"
    );
    assert_eq!(
        upgrade,
        Upgrade {
            request,
            nonce: NONCE
        }
    );
    let (_, connected) = client.unwrap();
    assert_eq!(connected.nonce, NONCE);
    assert!(connected.early.is_empty());
}

#[tokio::test]
async fn the_stream_comes_back_usable() {
    let (near, far) = duplex(4096);
    let (client, server) = tokio::join!(dial(near, "secret"), accept(far, agree));
    let (mut near, mut far) = (client.unwrap().0, server.unwrap().0);
    near.write_all(b"ping").await.unwrap();
    let mut got = [0; 4];
    far.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"ping");
}

#[tokio::test]
async fn frames_right_behind_the_answer_are_kept() {
    let (near, mut far) = duplex(4096);
    let server = async {
        // Plays a POP whose first frame shares a segment with its answer.
        let mut request = vec![0; 4096];
        let len = far.read(&mut request).await.unwrap();
        let request = core::str::from_utf8(&request[..len]).unwrap();
        let key = request
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
            .unwrap();
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: titan.v2\r\n\
             titan-nonce: 000102030405060708090a0b0c0d0eff\r\n\r\n\u{7}\r\n\r\nfirst"
        );
        far.write_all(answer.as_bytes()).await.unwrap();
    };
    let (client, ()) = tokio::join!(dial(near, "secret"), server);
    let (_, connected) = client.unwrap();
    assert_eq!(connected.nonce, NONCE);
    assert_eq!(connected.early, b"\x07\r\n\r\nfirst");
}

#[tokio::test]
async fn a_request_in_full_is_accepted() {
    let (verdict, answer) = judge(&request("", "")).await;
    assert_eq!(verdict.unwrap().request.id, "n1");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("sec-websocket-protocol: titan.v2\r\n"));
    assert!(answer.contains("titan-nonce: 000102030405060708090a0b0c0d0eff\r\n"));
    assert!(!answer.to_ascii_lowercase().contains("extensions"));
}

#[tokio::test]
async fn other_requests_are_answered_with_a_status() {
    let long = "n".repeat(65);
    for (status, from, to) in [
        (404, "/ws/node?", "/ws/other?"),
        (400, "chat, titan.v2", "chat"),
        (400, "Sec-WebSocket-Protocol: chat, titan.v2\r\n", ""),
        (400, "id=n1&", ""),
        (400, "id=n1", "id="),
        (400, "id=n1", "id=a&id=b"),
        (400, "n1", long.as_str()),
        (400, "&version=1", ""),
        (400, "os=linux", "os=%0d%0a"),
        (401, "Authorization: Bearer secret\r\n", ""),
        (401, "Bearer secret", "Basic c2VjcmV0"),
        (400, "Upgrade: websocket\r\n", ""),
        (400, "GET ", "POST "),
        (400, "HTTP/1.1", "SMTP"),
        (400, "Version: 13", "Version: 8"),
    ] {
        let (verdict, answer) = judge(&request(from, to)).await;
        let Err(HandshakeError::Refused(refusal)) = verdict else {
            panic!("{from} {verdict:?}")
        };
        assert_eq!(refusal.status.as_u16(), status, "{from} -> {to}");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.contains("content-length: 0\r\n") && answer.ends_with("\r\n\r\n"));
    }
}

#[tokio::test]
async fn heads_are_bounded() {
    let filler = format!("X-Filler: {}\r\n", "x".repeat(8 * 1024));
    let (verdict, answer) = judge(&request("Host:", &format!("{filler}Host:"))).await;
    assert!(
        matches!(verdict, Err(HandshakeError::Refused(_))),
        "{verdict:?}"
    );
    assert!(answer.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn an_edge_that_does_not_wait_is_dropped() {
    let (verdict, _) = judge(&format!("{}early", request("", ""))).await;
    assert!(matches!(verdict, Err(HandshakeError::Io(_))), "{verdict:?}");
}

#[tokio::test]
async fn refusals_reach_the_edge() {
    for (refusal, wait) in [
        (Refusal::unauthorized(), None),
        (Refusal::not_found(), None),
        (
            Refusal::unavailable(Code::ShuttingDown, Duration::from_millis(2001)),
            Some(3),
        ),
        (
            Refusal {
                status: StatusCode::CONFLICT,
                ..Refusal::unauthorized()
            },
            None,
        ),
    ] {
        let (near, far) = duplex(4096);
        let check = |request: &UpgradeRequest| {
            assert_eq!(request.token, "wrong");
            Err(refusal)
        };
        let (client, server) = tokio::join!(dial(near, "wrong"), accept(far, check));
        let Err(HandshakeError::Refused(told)) = server else {
            panic!("accepted")
        };
        assert_eq!(told, refusal);
        let Err(ConnectError::Refused {
            status,
            code,
            retry_after,
        }) = client
        else {
            panic!("not refused")
        };
        assert_eq!((status, code), (refusal.status.as_u16(), refusal.code));
        assert_eq!(retry_after, wait.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn the_edge_wants_the_subprotocol_and_the_nonce() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "SMTP\r\n\r\n",
    ] {
        let (near, mut far) = duplex(4096);
        far.write_all(answer.as_bytes()).await.unwrap();
        let error = dial(near, "secret").await.map(drop).unwrap_err();
        assert_eq!(error.code(), Code::Protocol, "{error}");
    }
    let (near, far) = duplex(4096);
    drop(far);
    assert!(matches!(
        dial(near, "secret").await,
        Err(ConnectError::Io(_) | ConnectError::Protocol(_))
    ));
}
