//! Every work against a real target: directly, and through a small SOCKS5 server.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::target;

async fn proxy() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client));
        }
    });
    address
}

async fn serve(mut client: TcpStream) {
    let mut greeting = [0; 3];
    client.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, [5, 1, 2]);
    client.write_all(&[5, 2]).await.unwrap();
    let mut login = *b"\x01\x03ann\x04\0\0\0\0";
    client.read_exact(&mut login).await.unwrap();
    let refused = &login != b"\x01\x03ann\x04word";
    client.write_all(&[1, u8::from(refused)]).await.unwrap();
    if refused {
        return;
    }
    let mut request = [0; 10];
    client.read_exact(&mut request).await.unwrap();
    assert_eq!(request[..8], [5, 1, 0, 1, 127, 0, 0, 1]);
    let port = u16::from_be_bytes([request[8], request[9]]);
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // A name as bound address: rare, legal, and the longest way through the client.
    client.write_all(b"\x05\0\0\x03\x02hi\0\0").await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

fn args(work: Work, target: target::Target) -> LoadArgs {
    LoadArgs {
        work,
        via: target.address,
        user: None,
        target: target.address,
        control: target.control,
        streams: 3,
        count: 10,
        warmup_ms: 20,
        duration_ms: 50,
    }
}

#[tokio::test]
async fn every_work_measures() {
    let target = target::start().await.unwrap();
    for work in Work::value_variants() {
        let (values, held) = run(&args(*work, target)).await.unwrap();
        assert!(
            !values.is_empty() && values.values().all(|value| *value > 0.0),
            "{values:?}"
        );
        assert_eq!(held.len(), if *work == Work::Hold { 10 } else { 0 });
    }
}

#[tokio::test]
async fn socks_logs_in() {
    let target = target::start().await.unwrap().address;
    let via = proxy().await;
    let login = |password: &str| {
        Some(Login {
            user: "ann".to_owned(),
            password: password.to_owned(),
        })
    };
    let route = Route {
        via,
        login: login("word"),
        target,
    };
    crate::flow::Exchange::new(route.open().await.unwrap(), 1)
        .round()
        .await
        .unwrap();

    let route = Route {
        via,
        login: login("guess"),
        target,
    };
    let failure = route.open().await.unwrap_err();
    assert!(failure.to_string().contains("password"), "{failure}");
}
