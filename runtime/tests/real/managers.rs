//! Several managers beside each other on one Redis.

use crate::server::PATIENCE;
use crate::site::Site;
use std::fs;
use titan_kit::redis_server::{Fsync, RedisServer};

#[test]
fn a_pop_takes_the_nodes_of_every_manager() {
    let redis = RedisServer::start(Fsync::EverySecond);
    let site = Site::new().with_store(redis.url(0));
    let (manager, _pop) = (site.manager(), site.pop());
    let _one = site.edge("one");
    site.wait_online("one", PATIENCE);
    // One that comes while the POP runs, with a key that the POP has never seen.
    let data = tempfile::tempdir().unwrap();
    let (_second, address) = site.another_manager(data.path());
    let key = |path: &std::path::Path| fs::read(path.join("node-token.pub")).unwrap();
    assert_ne!(key(data.path()), key(site.data()));
    let _two = site.edge_at(address, "two");
    site.wait_online("two", PATIENCE);
    // The first one's key has stayed.
    drop(manager);
    let _manager = site.manager();
    let _three = site.edge("three");
    site.wait_online("three", PATIENCE);
    assert!(site.is_online("one") && site.is_online("two"));
}
