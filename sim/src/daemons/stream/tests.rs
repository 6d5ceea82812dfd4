use super::super::env::TurmoilEnv;
use super::super::network::Network;
use super::*;
use core::future::Future;
use core::time::Duration;
use std::net::Ipv4Addr;
use titan_runtime::env::{Env as _, Listener as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};
use turmoil::{Builder, Sim};

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const DELAY: Duration = Duration::from_millis(5);

/// Lets a server that accepts one connection and a client that makes one run until both have ended.
fn between<S, C>(
    server: impl FnOnce(TurmoilStream) -> S + 'static,
    client: impl FnOnce(TurmoilStream, Network) -> C + 'static,
) where
    S: Future<Output = ()> + 'static,
    C: Future<Output = ()> + 'static,
{
    let network = Network::new(1);
    let mut builder = Builder::new();
    builder
        .rng_seed(1)
        .simulation_duration(Duration::from_secs(300))
        .min_message_latency(DELAY)
        .max_message_latency(DELAY)
        .tcp_capacity(1 << 20);
    let mut sim = builder.build();
    let env = host(&network, SERVER);
    add(&mut sim, &network, SERVER, async move {
        let mut listener = env.listen((SERVER, 80).into()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        server(stream).await;
    });
    let env = host(&network, CLIENT);
    let shared = network.clone();
    add(&mut sim, &network, CLIENT, async move {
        client(env.connect((SERVER, 80).into()).await.unwrap(), shared).await;
    });
    sim.run().unwrap();
}

fn host(network: &Network, ip: IpAddr) -> TurmoilEnv {
    TurmoilEnv::new(network.clone(), ip)
}

/// Adds a host with a kernel that keeps abandoned sockets.
fn add(
    sim: &mut Sim<'_>,
    network: &Network,
    ip: IpAddr,
    process: impl Future<Output = ()> + 'static,
) {
    let network = network.clone();
    sim.client(ip, async move {
        let (linger, mut abandoned) = unbounded_channel::<Linger>();
        network.set_power(ip, Some(linger));
        spawn_local(async move {
            while let Some(socket) = abandoned.recv().await {
                spawn_local(socket.run());
            }
        });
        process.await;
        // Nobody is gone before the other has heard of it.
        sleep(Duration::from_secs(100)).await;
        Ok(())
    });
}

async fn blocks(stream: &mut TurmoilStream) -> bool {
    timeout(Duration::from_secs(20), stream.write(&[0; 100]))
        .await
        .is_err()
}

#[test]
fn bytes_arrive_in_order_and_a_half_closed_stream_still_answers() {
    between(
        async |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            let expected = (0..100_000_u32).map(|at| (at % 251) as u8);
            assert!(all.iter().copied().eq(expected));
            stream.write_all(b"thanks").await.unwrap();
        },
        async |mut stream, _| {
            let bytes: Vec<_> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
            stream.write_all(&bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            assert!(stream.write(b"x").await.is_err());
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"thanks");
        },
    );
}

#[test]
fn a_writer_waits_for_a_reader_by_bytes_and_the_end_comes_behind_a_full_window() {
    between(
        async |mut stream| {
            sleep(Duration::from_secs(30)).await;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            assert_eq!(all.len(), WINDOW_MAX);
        },
        async |mut stream, _| {
            // Many short writes fill the window no sooner than few long ones.
            for _ in 0..WINDOW_MAX / 64 {
                stream.write_all(&[7; 64]).await.unwrap();
            }
            assert!(blocks(&mut stream).await);
            stream.shutdown().await.unwrap();
        },
    );
}

#[test]
fn reading_a_little_opens_the_window_by_as_little_and_after_the_way_back() {
    between(
        async |mut stream| {
            sleep(Duration::from_secs(30)).await;
            let mut some = vec![0; WINDOW_MAX / 2];
            stream.read_exact(&mut some).await.unwrap();
            sleep(Duration::from_secs(60)).await;
        },
        async |mut stream, _| {
            stream.write_all(&vec![7; WINDOW_MAX]).await.unwrap();
            let before = Instant::now();
            stream.write_all(&vec![8; WINDOW_MAX / 2]).await.unwrap();
            let took = before.elapsed();
            assert!(took >= Duration::from_secs(30) - 4 * DELAY, "{took:?}");
            assert!(blocks(&mut stream).await);
        },
    );
}

#[test]
fn a_writer_that_waits_hears_of_a_reset() {
    between(
        async |stream| {
            sleep(Duration::from_secs(10)).await;
            stream.set_abort_on_drop();
            drop(stream);
        },
        async |mut stream, _| {
            stream.write_all(&vec![7; WINDOW_MAX]).await.unwrap();
            let error = stream.write_all(&[7]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        },
    );
}

#[test]
fn bytes_that_nobody_reads_any_more_reset_the_stream() {
    between(
        async |mut stream| {
            stream.read_exact(&mut [0; 10]).await.unwrap();
            drop(stream);
        },
        async |mut stream, _| {
            stream.write_all(&[7; 10]).await.unwrap();
            // The end of the other side, as after a close.
            assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
            stream.write_all(&[7; 10]).await.unwrap();
            sleep(4 * DELAY).await;
            let error = stream.write_all(&[7; 10]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        },
    );
}

#[test]
fn what_was_written_before_a_close_arrives_whole() {
    between(
        async |mut stream| {
            stream.write_all(&[7; 50_000]).await.unwrap();
        },
        async |mut stream, _| {
            sleep(Duration::from_secs(5)).await;
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            assert_eq!(all.len(), 50_000);
        },
    );
}

#[test]
fn a_cut_resets_both_ends_and_loses_what_was_not_read() {
    between(
        async |mut stream| {
            stream.write_all(&[7; 1_000]).await.unwrap();
            let error = stream.read(&mut [0; 10]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        },
        async |mut stream, network| {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(network.cut(SERVER, CLIENT), 1);
            let error = stream.read(&mut [0; 10]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        },
    );
}
