//! How fast users and nodes may be, and that the store does not make them slower.

use super::region::Region;
use super::transfers::Transfers;
use crate::server::PATIENCE;
use crate::site::Site;
use crate::socks::USER;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use titan_kit::redis_server::{Fsync, RedisServer};

/// How far a rate may be off, as a part of it.
const TOLERANCE: f64 = 0.05;

/// Returns bytes per second, as a part of what they should be.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ratio(bytes: u64, time: Duration, rate: u64) -> f64 {
    bytes as f64 / time.as_secs_f64() / rate as f64
}

#[test]
fn each_direction_has_its_own_rate() {
    const UP: u64 = 2_000_000;
    const DOWN: u64 = 4_000_000;
    let region = Region::start(1);
    let user = region.user("ann", &json!({ "upload_rate": UP, "download_rate": DOWN }));
    go_at(&Transfers::start(user, &region.proxies[..1], 3), UP, DOWN);
}

#[test]
fn a_node_is_as_fast_as_its_pop_wants() {
    const UP: u64 = 2_000_000;
    const DOWN: u64 = 4_000_000;
    let site = Site::new();
    let _manager = site.manager();
    let limits = format!("[limits]\nnode_upload_rate = {UP}\nnode_download_rate = {DOWN}\n");
    let _pop = site.pop_with(&limits);
    let _edge = site.edge("one");
    site.wait_online("one", PATIENCE);
    go_at(&Transfers::start(USER, &[site.proxy], 3), UP, DOWN);
}

/// Measures transfers that go on, up and down.
fn go_at(transfers: &Transfers, up: u64, down: u64) {
    transfers.reach(up + down);
    let (start, before) = (Instant::now(), transfers.received());
    thread::sleep(Duration::from_secs(4));
    let (time, after) = (start.elapsed(), transfers.received());
    let up = ratio(after.0 - before.0, time, up);
    let down = ratio(after.1 - before.1, time, down);
    println!("up {up:.3} and down {down:.3} of the rates over {time:?}");
    for ratio in [up, down] {
        assert!((ratio - 1.0).abs() <= TOLERANCE, "{ratio}");
    }
}

/// Passes on what daemons ask a store, later.
fn slow_relay(from: &Path, to: &Path, delay: &Arc<AtomicU64>) {
    let (listener, to) = (UnixListener::bind(from).unwrap(), to.to_owned());
    let delay = Arc::clone(delay);
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = UnixStream::connect(&to) else {
                continue;
            };
            let (back, out) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            let delay = Arc::clone(&delay);
            thread::spawn(move || pass(near, far, &delay));
            thread::spawn(move || pass(back, out, &AtomicU64::new(0)));
        }
    });
}

fn pass(mut from: UnixStream, mut to: UnixStream, delay: &AtomicU64) {
    let mut block = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut block) {
        thread::sleep(Duration::from_millis(delay.load(Ordering::SeqCst)));
        if to.write_all(&block[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_slow_store_slows_no_transfer() {
    const RATE: u64 = 1_500_000;
    const MEASURED: Duration = Duration::from_secs(4);
    let redis = RedisServer::start(Fsync::Always);
    let directory = tempfile::tempdir().unwrap();
    let (socket, delay) = (directory.path().join("slow.sock"), Arc::default());
    slow_relay(&socket, &redis.socket(), &delay);
    let url = format!("redis+unix://{}", socket.display());
    let region = Region::start_with(redis, &url, 1);
    let settings = json!({
        "upload_rate": RATE, "download_rate": RATE, "traffic_limit": 1000 * RATE
    });
    let user = region.user("ann", &settings);
    let transfers = Transfers::start(user, &region.proxies, 2);
    transfers.reach(4 * RATE);
    let measure = || {
        let start = Instant::now();
        let moved = transfers.moved_in(MEASURED);
        ratio(moved, start.elapsed(), 2 * RATE)
    };
    let before = measure();
    delay.store(500, Ordering::SeqCst);
    let slow = measure();
    println!("{before:.3} of the rate, {slow:.3} with a store that takes half a second");
    assert!(slow >= before - TOLERANCE);
}
