//! Connects that fail, and connections that break.

use super::{DELAY, at, ip, ms, two, two_with};
use crate::net::Config;
use core::time::Duration;
use std::io::ErrorKind;
use titan_runtime::env::{Env as _, Listener as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

#[test]
fn a_closed_port_refuses_after_a_round_trip() {
    two(async |net| {
        let refused = net.a.connect(at(2)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(net.elapsed(), 2 * DELAY);
        assert_eq!(net.network.connection_count(), 0);
        assert_eq!(net.network.stream_count("a"), 0);
    });
}

#[test]
fn nothing_answers_from_a_black_hole() {
    two(async |net| {
        let _listener = net.b.listen(at(2)).await.unwrap();
        net.network.blackhole(ip(2));
        assert!(timeout(ms(5000), net.a.connect(at(2))).await.is_err());
        assert_eq!(
            net.network.connection_count(),
            0,
            "an attempt that is given up leaves nothing"
        );

        let start = net.elapsed();
        let kinds = tokio::join!(net.a.connect(at(2)), net.a.connect(at(99)));
        assert_eq!(kinds.0.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(
            kinds.1.unwrap_err().kind(),
            ErrorKind::TimedOut,
            "no such host"
        );
        assert_eq!(net.elapsed() - start, Duration::from_secs(127));

        let start = net.elapsed();
        let mend = async {
            sleep(ms(500)).await;
            net.network.reachable(ip(2));
        };
        assert!(tokio::join!(net.a.connect(at(2)), mend).0.is_ok());
        assert_eq!(
            net.elapsed() - start,
            ms(1000) + 2 * DELAY,
            "the second SYN got through"
        );
    });
}

#[test]
fn a_full_backlog_ignores_more() {
    two_with(
        Config {
            backlog: 2,
            delay: DELAY,
            ..Config::new(1)
        },
        async |net| {
            let mut listener = net.b.listen(at(2)).await.unwrap();
            let _waiting = (
                net.a.connect(at(2)).await.unwrap(),
                net.a.connect(at(2)).await.unwrap(),
            );
            let start = net.elapsed();
            let third = async { net.a.connect(at(2)).await.map(|_| net.elapsed() - start) };
            let accept = async {
                sleep(ms(300)).await;
                listener.accept().await.unwrap()
            };
            assert_eq!(tokio::join!(third, accept).0.unwrap(), ms(1000) + 2 * DELAY);
            drop(listener);
            sleep(DELAY).await;
            let (mut first, mut second) = _waiting;
            assert!(
                timeout(ms(100), first.read(&mut [0])).await.is_ok(),
                "accepted and dropped"
            );
            let reset = second.read(&mut [0]).await.unwrap_err();
            assert_eq!(
                reset.kind(),
                ErrorKind::ConnectionReset,
                "waited for a listener that is gone"
            );
        },
    );
}

#[test]
fn an_attempt_given_up_late_is_accepted_and_reset() {
    two(async |net| {
        let mut listener = net.b.listen(at(2)).await.unwrap();
        assert!(timeout(DELAY + ms(5), net.a.connect(at(2))).await.is_err());
        let (mut stream, _) = listener.accept().await.unwrap();
        let reset = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        assert_eq!(net.elapsed(), 3 * DELAY);
    });
}

#[test]
fn a_cut_resets_both_ends_and_spares_others() {
    two(async |net| {
        let c = net.network.host("c", ip(3));
        let (mut near, mut far, mut listener) = net.pair().await;
        let (other, accepted) = tokio::join!(c.connect(at(2)), listener.accept());
        let (mut other, mut accepted) = (other.unwrap(), accepted.unwrap().0);
        net.network.cut("b", "a");
        for stream in [&mut near, &mut far] {
            let reset = stream.read(&mut [0]).await.unwrap_err();
            assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        }
        other.write_all(b"x").await.unwrap();
        assert_eq!(accepted.read(&mut [0]).await.unwrap(), 1);
    });
}

#[test]
fn a_partition_is_silent_and_heals_without_a_gap() {
    two(async |net| {
        let (mut near, mut far, _listener) = net.pair().await;
        near.write_all(b"one ").await.unwrap();
        net.network.partition("a", "b");
        near.write_all(b"two").await.unwrap();
        let mut got = [0; 7];
        assert!(timeout(ms(60_000), far.read_exact(&mut got)).await.is_err());
        let connect = timeout(ms(10_000), net.a.connect(at(2))).await;
        assert!(connect.is_err(), "new connections hang as well");
        let start = net.elapsed();
        net.network.heal("a", "b");
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"one two");
        assert_eq!(net.elapsed(), start + DELAY);
    });
}

#[test]
fn a_crash_is_silent_until_the_host_is_back() {
    two(async |net| {
        let (mut near, mut far, _listener) = net.pair().await;
        net.network.crash("b");
        assert_eq!(
            far.read(&mut [0]).await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        drop(far);
        near.write_all(b"anyone?").await.unwrap();
        assert!(timeout(ms(60_000), near.read(&mut [0])).await.is_err());
        assert!(
            timeout(ms(1000), net.b.listen(at(2))).await.is_err(),
            "what ran there is dead"
        );

        let start = net.elapsed();
        net.network.restart("b");
        assert_eq!(
            near.read(&mut [0]).await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert_eq!(
            net.elapsed(),
            start + 2 * DELAY,
            "asked again, and answered with a reset"
        );

        let b = net.network.env("b");
        let mut listener = b.listen(at(2)).await.unwrap();
        let (near, far) = tokio::join!(net.a.connect(at(2)), listener.accept());
        assert!(near.is_ok() && far.is_ok());
    });
}
