//! Carriers between simulated hosts.

use crate::net::{Config, Network, SimStream, run};
use core::future::poll_fn;
use core::task::{Poll, ready};
use core::time::Duration;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use titan_core::rng::Rng;
use titan_core::time::Instant;
use titan_proto::Code;
use titan_runtime::carrier::handshake::{
    ClientRequest, UpgradeAnswer, accept, connect, path_and_query,
};
use titan_runtime::carrier::{
    BufferPool, CarrierError, FrameReader, FrameWriter, Incoming, ReadOutcome, SharedBlock,
};
use titan_runtime::env::{Env as _, Listener as _};
use tokio::task::spawn_local;

const MESSAGE_LEN: usize = 20_000;

/// Sends numbered messages until the carrier breaks.
async fn send(mut stream: SimStream, mut writer: FrameWriter) {
    let mut number = 0u32;
    let _broken = poll_fn(|cx| {
        loop {
            while writer.push_message(&number.to_be_bytes(), &[7; MESSAGE_LEN - 4]) {
                number += 1;
            }
            ready!(writer.poll_flush(cx, &mut stream))?;
        }
        #[expect(unreachable_code, reason = "names the type of the result")]
        Poll::Ready(std::io::Result::Ok(()))
    })
    .await;
}

/// Receives numbered messages until the carrier breaks; logs when each came.
async fn receive(
    network: &Network,
    mut stream: SimStream,
    mut reader: FrameReader,
    log: &RefCell<Vec<(Instant, u32)>>,
) -> Code {
    let mut block = SharedBlock::new();
    let mut out = Vec::new();
    loop {
        let read = poll_fn(|cx| reader.poll_read(cx, &mut stream, &mut block, &mut out)).await;
        for incoming in out.drain(..) {
            let Incoming::Message(payload) = incoming else {
                panic!("unexpected frame")
            };
            assert_eq!(payload.len(), MESSAGE_LEN);
            let number = u32::from_be_bytes(payload[..4].try_into().unwrap());
            log.borrow_mut().push((network.now(), number));
        }
        match read {
            Ok(ReadOutcome::Received(_)) => {}
            Ok(ReadOutcome::End) => return Code::Ok,
            Err(error) => return CarrierError::code(&error),
        }
    }
}

/// Opens a carrier, fills it from the edge, and cuts it; returns when which message came.
fn trace(seed: u64) -> Vec<(Instant, u32)> {
    run(Config::new(seed), async |network| {
        let pop = network.host("pop", IpAddr::from([10, 0, 0, 1]));
        let edge = network.host("edge", IpAddr::from([10, 0, 0, 2]));
        let at = SocketAddr::new(IpAddr::from([10, 0, 0, 1]), 41005);
        let mut listener = pop.listen(at).await.unwrap();

        let dial = spawn_local(async move {
            let stream = edge.connect(at).await.unwrap();
            let path_and_query = path_and_query("edge", "linux", "1");
            let request = ClientRequest {
                authority: "pop:41005",
                path_and_query: &path_and_query,
                token: "secret",
            };
            let (stream, connected) = connect(stream, request).await.unwrap();
            assert_eq!(connected.nonce, [9; 16]);
            let keys = Rng::new(edge.seed());
            let pool = BufferPool::new(64 * 1024, 1);
            send(stream, FrameWriter::client(pool, keys)).await;
        });
        let (stream, _) = listener.accept().await.unwrap();
        let agree = |_: &_| Ok(UpgradeAnswer { nonce: [9; 16] });
        let (stream, _) = accept(stream, agree).await.unwrap();
        // A round trip for TCP, and half of one for the request.
        assert_eq!(network.now(), Instant::EPOCH + Duration::from_millis(30));
        network.set_bandwidth("edge", "pop", Some(10_000_000));

        let log = Rc::new(RefCell::new(Vec::new()));
        let received = spawn_local({
            let (network, log) = (network.clone(), Rc::clone(&log));
            async move { receive(&network, stream, FrameReader::server(MESSAGE_LEN), &log).await }
        });
        pop.sleep_until(Instant::EPOCH + Duration::from_millis(500))
            .await;
        network.cut("pop", "edge");
        assert_eq!(received.await.unwrap(), Code::Reset);
        dial.await.unwrap();
        assert_eq!(
            (network.stream_count("pop"), network.stream_count("edge")),
            (0, 0)
        );
        assert_eq!(network.connection_count(), 0);
        log.take()
    })
}

#[test]
fn a_carrier_works_in_virtual_time_and_twice_the_same() {
    let log = trace(1);
    assert!(log.len() > 50, "{}", log.len());
    assert!(
        log.iter()
            .map(|(_, number)| *number)
            .eq(0..log.len() as u32)
    );
    assert_eq!(log, trace(1));
}
