//! The race between a target's addresses, in virtual time.

use crate::net::{Config, Network, SimEnv, run};
use core::time::Duration;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use titan_core::time::Instant;
use titan_proto::Code;
use titan_runtime::dial::{race, race_permitted};
use titan_runtime::env::{Env as _, Listener as _};
use tokio::time::timeout;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(last: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::from([10, 0, 0, last]), 80)
}

/// An edge, and targets that are each 10 ms away.
struct Net {
    network: Network,
    edge: SimEnv,
}

impl Net {
    /// Adds a target that listens.
    async fn target(&self, last: u8) -> impl Sized + use<> {
        let host = self.network.host(&format!("target {last}"), at(last).ip());
        host.listen(at(last)).await.unwrap()
    }

    /// Adds a host where nothing listens.
    fn closed(&self, last: u8) {
        let _env = self.network.host(&format!("closed {last}"), at(last).ip());
    }

    /// Races for at most 5 s; returns who won, or why none did, and when.
    async fn race(&self, candidates: &[u8]) -> (Result<SocketAddr, Code>, Duration) {
        let start = self.network.now();
        let candidates: Vec<_> = candidates.iter().copied().map(at).collect();
        let result = race(&self.edge, &candidates, start + ms(5000)).await;
        (
            result.map(|(_, winner)| winner),
            self.network.now().since(start),
        )
    }
}

fn net<T>(scenario: impl AsyncFnOnce(Net) -> T) -> T {
    run(Config::new(1), async |network| {
        let edge = network.host("edge", IpAddr::from([10, 0, 0, 1]));
        scenario(Net { network, edge }).await
    })
}

#[test]
fn the_first_address_wins_if_it_answers() {
    net(async |net| {
        let _targets = (net.target(2).await, net.target(3).await);
        assert_eq!(net.race(&[2, 3]).await, (Ok(at(2)), ms(20)));
    });
}

#[test]
fn a_silent_address_costs_a_quarter_of_a_second() {
    net(async |net| {
        let _target = net.target(4).await;
        assert_eq!(net.race(&[2, 4]).await, (Ok(at(4)), ms(270)));
        assert_eq!(net.race(&[2, 3, 4]).await, (Ok(at(4)), ms(520)));
        assert_eq!(net.network.stream_count("edge"), 0, "losers leave nothing");
    });
}

#[test]
fn a_failed_attempt_starts_the_next_at_once() {
    net(async |net| {
        let _target = net.target(4).await;
        net.closed(2);
        net.network
            .unroutable(at(3).ip(), ErrorKind::NetworkUnreachable);
        assert_eq!(net.race(&[2, 4]).await, (Ok(at(4)), ms(40)));
        assert_eq!(net.race(&[3, 4]).await, (Ok(at(4)), ms(20)));
    });
}

#[test]
fn a_slow_address_still_wins_over_silent_ones() {
    net(async |net| {
        let _target = net.target(2).await;
        net.network.set_delay("edge", "target 2", ms(400));
        assert_eq!(net.race(&[2, 3, 4, 5]).await, (Ok(at(2)), ms(800)));
    });
}

#[test]
fn only_the_winner_keeps_a_connection_and_nothing_is_written() {
    net(async |net| {
        let slow = net.network.host("slow", at(2).ip());
        let mut slow = slow.listen(at(2)).await.unwrap();
        let fast = net.network.host("fast", at(3).ip());
        let mut fast = fast.listen(at(3)).await.unwrap();
        net.network.set_delay("edge", "slow", ms(200));
        let candidates = [at(2), at(3)];
        let (raced, won, lost) = tokio::join!(
            race(&net.edge, &candidates, Instant::EPOCH + ms(5000)),
            fast.accept(),
            slow.accept()
        );
        let (stream, winner) = raced.unwrap();
        assert_eq!(winner, at(3));
        let (mut won, mut lost) = (won.unwrap().0, lost.unwrap().0);
        let read = async |stream: &mut crate::net::SimStream| {
            let mut buf = [0];
            timeout(ms(2000), tokio::io::AsyncReadExt::read(stream, &mut buf)).await
        };
        assert!(read(&mut won).await.is_err(), "open and silent");
        let reset = read(&mut lost).await.unwrap().unwrap_err();
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        drop(stream);
    });
}

#[test]
fn the_most_telling_failure_is_reported() {
    net(async |net| {
        net.closed(2);
        for (last, error) in [
            (3, ErrorKind::TimedOut),
            (4, ErrorKind::HostUnreachable),
            (5, ErrorKind::NetworkUnreachable),
            (6, ErrorKind::Other),
        ] {
            net.network.unroutable(at(last).ip(), error);
        }
        for (candidates, code) in [
            (&[6, 5, 4, 3, 2][..], Code::Refused),
            (&[2, 3, 4, 5, 6], Code::Refused),
            (&[3, 4, 5, 6], Code::TimedOut),
            (&[5, 4, 6], Code::HostUnreachable),
            (&[6, 5], Code::NetworkUnreachable),
            (&[6], Code::Internal),
            (&[], Code::NotResolved),
        ] {
            assert_eq!(net.race(candidates).await.0, Err(code), "{candidates:?}");
        }
    });
}

#[test]
fn a_candidate_is_asked_about_when_its_turn_comes() {
    net(async |net| {
        let _targets = (net.target(3).await, net.target(4).await);
        let race = async |candidates: &[u8], permits: &dyn Fn(IpAddr) -> bool| {
            let start = net.network.now();
            let candidates: Vec<_> = candidates.iter().copied().map(at).collect();
            let won = race_permitted(&net.edge, &candidates, start + ms(5000), permits).await;
            (
                won.map(|(_, winner)| winner),
                net.network.now().since(start),
            )
        };
        // The second is permitted when the race begins, and not any more when the first has been silent.
        let (start, third) = (net.network.now(), at(3).ip());
        let for_now = |ip| ip != third || net.network.now().since(start) < ms(100);
        assert_eq!(race(&[2, 3, 4], &for_now).await, (Ok(at(4)), ms(270)));
        // Others are tried at once in its place.
        assert_eq!(race(&[3, 4], &for_now).await, (Ok(at(4)), ms(20)));
        let nobody = (Err(Code::Forbidden), ms(0));
        assert_eq!(race(&[3, 4], &|_| false).await, nobody);
        // A dial that failed says more.
        net.closed(5);
        assert_eq!(race(&[5, 3], &for_now).await, (Err(Code::Refused), ms(20)));
    });
}

#[test]
fn the_deadline_ends_the_race() {
    net(async |net| {
        assert_eq!(net.race(&[2, 3]).await, (Err(Code::TimedOut), ms(5000)));
        assert_eq!(net.network.connection_count(), 0);
        let past = race(&net.edge, &[at(2)], Instant::EPOCH).await;
        assert_eq!(past.map(drop), Err(Code::TimedOut));
    });
}

#[test]
fn a_dropped_race_leaves_nothing() {
    net(async |net| {
        assert!(timeout(ms(600), net.race(&[2, 3, 4])).await.is_err());
        assert_eq!(
            (
                net.network.stream_count("edge"),
                net.network.connection_count()
            ),
            (0, 0)
        );
    });
}

/// Does not compile unless races can be spawned, in any network.
fn _races_can_be_spawned<E: titan_runtime::env::Env>(env: E) {
    drop(tokio::spawn(async move {
        let _ = race(&env, &[], Instant::EPOCH).await;
    }));
}
