mod faults;

use super::{Config, Network, SimEnv, SimListener, SimStream, run};
use core::time::Duration;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use titan_core::time::Instant;
use titan_runtime::env::{Env as _, Listener as _, Stream as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

const DELAY: Duration = Duration::from_millis(25);
const BUFFER: usize = 64 * 1024;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn at(last: u8) -> SocketAddr {
    SocketAddr::new(ip(last), 80)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Two hosts `a` and `b`, 25 ms apart.
struct Two {
    network: Network,
    a: SimEnv,
    b: SimEnv,
}

fn two<T>(scenario: impl AsyncFnOnce(Two) -> T) -> T {
    two_with(
        Config {
            delay: DELAY,
            ..Config::new(1)
        },
        scenario,
    )
}

fn two_with<T>(config: Config, scenario: impl AsyncFnOnce(Two) -> T) -> T {
    run(config, async |network| {
        let (a, b) = (network.host("a", ip(1)), network.host("b", ip(2)));
        scenario(Two { network, a, b }).await
    })
}

impl Two {
    fn elapsed(&self) -> Duration {
        self.network.now().since(Instant::EPOCH)
    }

    /// Connects a to b.
    async fn pair(&self) -> (SimStream, SimStream, SimListener) {
        let mut listener = self.b.listen(at(2)).await.unwrap();
        let (near, far) = tokio::join!(self.a.connect(at(2)), listener.accept());
        (near.unwrap(), far.unwrap().0, listener)
    }
}

/// Writes until the stream takes no more for a second; returns how much it took.
async fn fill(stream: &mut SimStream) -> usize {
    let mut len = 0;
    while let Ok(written) = timeout(ms(1000), stream.write(&[7; 5000])).await {
        len += written.unwrap();
    }
    len
}

#[test]
fn an_echo_takes_two_round_trips() {
    two(async |net| {
        let mut listener = net.b.listen(at(2)).await.unwrap();
        let server = async {
            let (mut stream, peer) = listener.accept().await.unwrap();
            assert_eq!(net.elapsed(), DELAY, "accepted after one way");
            assert_eq!(peer.ip(), ip(1));
            let mut got = [0; 5];
            stream.read_exact(&mut got).await.unwrap();
            assert_eq!(net.elapsed(), 3 * DELAY);
            stream.write_all(&got).await.unwrap();
            stream
        };
        let client = async {
            let mut stream = net.a.connect(at(2)).await.unwrap();
            assert_eq!(net.elapsed(), 2 * DELAY, "connected after a round trip");
            assert_eq!(stream.peer_addr().unwrap(), at(2));
            stream.write_all(b"hello").await.unwrap();
            let mut got = [0; 5];
            stream.read_exact(&mut got).await.unwrap();
            assert_eq!(net.elapsed(), 4 * DELAY);
            assert_eq!(&got, b"hello");
            stream
        };
        let _both = tokio::join!(server, client);
        assert_eq!(
            (net.network.stream_count("a"), net.network.stream_count("b")),
            (1, 1)
        );
    });
}

#[test]
fn a_writer_blocks_at_both_buffers_and_resumes_one_way_after_a_read() {
    two(async |net| {
        let (mut near, mut far, _listener) = net.pair().await;
        assert_eq!(fill(&mut near).await, 2 * BUFFER);

        let start = net.elapsed();
        let mut got = vec![0; 1000];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(net.elapsed(), start, "the bytes were there");
        // The window opens one way later; room comes once what it let through is acknowledged.
        assert_eq!(near.write(&[7; 5000]).await.unwrap(), 1000);
        assert_eq!(net.elapsed(), start + 3 * DELAY);
    });
}

#[test]
fn bytes_arrive_in_order_and_ends_are_half() {
    two(async |net| {
        let (mut near, mut far, _listener) = net.pair().await;
        let sent: Vec<u8> = (0..1_000_000u32).map(|index| (index % 251) as u8).collect();
        let write = async {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
            assert_eq!(
                near.write(b"x").await.unwrap_err().kind(),
                ErrorKind::BrokenPipe
            );
            let mut answer = String::new();
            near.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "got it");
        };
        let read = async {
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            assert!(got == sent);
            far.write_all(b"got it").await.unwrap();
            drop(far);
        };
        tokio::join!(write, read);
    });
}

#[test]
fn an_end_follows_a_full_window() {
    two(async |net| {
        let (mut near, mut far, _listener) = net.pair().await;
        let len = fill(&mut near).await;
        drop(near);
        sleep(ms(1000)).await;
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), len, "dropping a stream loses nothing");
    });
}

#[test]
fn unread_bytes_and_aborts_reset() {
    for abort in [false, true] {
        two(async |net| {
            let (mut near, far, _listener) = net.pair().await;
            if abort {
                far.set_abort_on_drop();
            } else {
                near.write_all(b"unread").await.unwrap();
                sleep(DELAY).await;
            }
            let start = net.elapsed();
            drop(far);
            assert_eq!(
                near.read(&mut [0]).await.unwrap_err().kind(),
                ErrorKind::ConnectionReset
            );
            assert_eq!(net.elapsed(), start + DELAY);
            assert_eq!(
                near.write(b"x").await.unwrap_err().kind(),
                ErrorKind::BrokenPipe
            );
            drop(near);
            assert_eq!(net.network.connection_count(), 0);
        });
    }
}

#[test]
fn bytes_for_a_stream_that_is_gone_are_answered_with_a_reset() {
    two(async |net| {
        let (mut near, far, _listener) = net.pair().await;
        drop(far);
        assert_eq!(near.read(&mut [0]).await.unwrap(), 0, "a clean end first");
        near.write_all(b"late").await.unwrap();
        sleep(2 * DELAY).await;
        assert_eq!(
            near.write(b"x").await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn a_blocked_writer_hears_of_a_reset() {
    two(async |net| {
        let (mut near, far, _listener) = net.pair().await;
        fill(&mut near).await;
        let start = net.elapsed();
        drop(far);
        assert_eq!(
            near.write(b"x").await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert_eq!(net.elapsed(), start + DELAY);
    });
}

#[test]
fn bandwidth_is_shared_and_delays_the_last_byte() {
    two(async |net| {
        net.network.set_bandwidth("a", "b", Some(1_000_000));
        let (mut near, mut far, mut listener) = net.pair().await;
        let (near2, far2) = tokio::join!(net.a.connect(at(2)), listener.accept());
        let (mut near2, mut far2) = (near2.unwrap(), far2.unwrap().0);
        let start = net.elapsed();
        near.write_all(&[1; 50_000]).await.unwrap();
        near2.write_all(&[2; 50_000]).await.unwrap();
        let mut got = vec![0; 50_000];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(net.elapsed() - start, ms(50) + DELAY);
        far2.read_exact(&mut got).await.unwrap();
        assert_eq!(net.elapsed() - start, ms(100) + DELAY);
    });
}

#[test]
fn a_host_reaches_itself_at_once() {
    two(async |net| {
        let any = "0.0.0.0:0".parse().unwrap();
        let mut listener = net.a.listen(any).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for ip in [IpAddr::from([127, 0, 0, 1]), ip(1)] {
            let to = SocketAddr::new(ip, port);
            let (near, far) = tokio::join!(net.a.connect(to), listener.accept());
            assert!(near.is_ok() && far.is_ok());
            assert_eq!(net.elapsed(), Duration::ZERO);
        }
    });
}

#[test]
fn addresses_are_the_hosts_own_and_used_once() {
    two(async |net| {
        let kind = async |at: &str| {
            net.a
                .listen(at.parse().unwrap())
                .await
                .map(drop)
                .map_err(|e| e.kind())
        };
        assert_eq!(kind("10.0.0.2:80").await, Err(ErrorKind::AddrNotAvailable));
        let _listener = net.a.listen(at(1)).await.unwrap();
        assert_eq!(kind("10.0.0.1:80").await, Err(ErrorKind::AddrInUse));
        assert_eq!(kind("0.0.0.0:80").await, Err(ErrorKind::AddrInUse));
        assert_eq!(kind("127.0.0.1:80").await, Ok(()));
        assert_eq!(
            kind("0.0.0.0:81").await,
            Ok(()),
            "a dropped listener frees its port"
        );
        assert_eq!(kind("0.0.0.0:81").await, Ok(()));
        let v6 = net
            .a
            .connect("[2001:db8::1]:80".parse().unwrap())
            .await
            .unwrap_err();
        assert_eq!(v6.kind(), ErrorKind::NetworkUnreachable);
    });
}

#[test]
fn names_take_their_time() {
    two(async |net| {
        net.network.name("example.test", vec![ip(2), ip(1)], ms(40));
        assert_eq!(net.a.resolve("example.test").await.unwrap(), [ip(2), ip(1)]);
        assert_eq!(net.elapsed(), ms(40));
        assert_eq!(
            net.a.resolve("other.test").await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(net.elapsed(), ms(60));
    });
}

#[test]
fn seeds_follow_the_worlds() {
    let draw = |seed| {
        two_with(Config::new(seed), async |net| {
            [net.a.seed(), net.a.seed(), net.b.seed()]
        })
    };
    let first = draw(1);
    assert_eq!(first, draw(1));
    assert_ne!(first, draw(2));
    assert!(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
}

#[test]
fn work_and_time_are_virtual() {
    two_with(
        Config {
            work_cost: ms(80),
            ..Config::new(1)
        },
        async |net| {
            assert_eq!(net.a.work(|| 7).await, 7);
            assert_eq!(net.elapsed(), ms(80));
            net.a.sleep_until(Instant::EPOCH + ms(3_600_000)).await;
            assert_eq!(net.a.unix_time(), Duration::from_secs(1_735_689_600 + 3600));
        },
    );
}
