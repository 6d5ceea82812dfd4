//! Two POPs with edges, a manager, and a Redis that forgets nothing, each a process.

use crate::process::{Process, eventually};
use crate::server::PATIENCE;
use crate::site::Site;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use titan_kit::redis_server::{Fsync, RedisServer};
use titan_runtime::store::{Accounts as _, HolderUsage, Redis, StoreError, User, Users as _};
use tokio::runtime::Runtime;

/// The ids of the POPs, in the order of their proxies.
pub(super) const POPS: [&str; 2] = ["pop", "pop-2"];

/// The password of every user.
const PASSWORD: &str = "secret";

pub(super) struct Region {
    pub(super) site: Site,
    pub(super) redis: RedisServer,
    pub(super) pops: Vec<Process>,
    pub(super) proxies: [SocketAddr; 2],
    /// By id, and at which POP.
    edges: BTreeMap<String, (Process, usize)>,
    store: Redis,
    runtime: Runtime,
    _manager: Process,
}

impl Region {
    /// Starts everything, with so many edges at each POP, and waits until they are online.
    pub(super) fn start(edges_each: usize) -> Self {
        let redis = RedisServer::start(Fsync::Always);
        let url = redis.url(0);
        Self::start_with(redis, &url, edges_each)
    }

    /// The same with daemons that find the store elsewhere, behind a relay.
    pub(super) fn start_with(redis: RedisServer, store: &str, edges_each: usize) -> Self {
        let site = Site::new().with_store(store.to_owned());
        let manager = site.manager();
        let first = site.pop();
        let (second, proxy) = site.another_pop();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let store = {
            let _context = runtime.enter();
            Redis::new(&redis.url(0)).unwrap()
        };
        let mut region = Self {
            proxies: [site.proxy, proxy],
            site,
            redis,
            pops: vec![first, second],
            edges: BTreeMap::new(),
            store,
            runtime,
            _manager: manager,
        };
        eventually("both POPs live", PATIENCE, || {
            region.listed("pops").len() == 2
        });
        // The manager sends each edge to the POP with fewer, as far as it has heard.
        for number in 0..2 * edges_each {
            let id = format!("edge-{number}");
            region.edges.insert(id.clone(), (region.site.edge(&id), 0));
        }
        eventually("the edges are online", PATIENCE, || {
            let [one, other] = POPS.map(|pop| region.edges_of(pop).len());
            one + other == 2 * edges_each && one.min(other) >= edges_each.div_ceil(2)
        });
        for id in region.edges_of(POPS[1]) {
            region.edges.get_mut(&id).unwrap().1 = 1;
        }
        region
    }

    /// Returns the entries of a list of the manager's; none if it does not answer.
    pub(super) fn listed(&self, what: &str) -> Vec<Value> {
        let page = self.site.rest(&format!("v1/{what}"), None);
        let page = page.as_ref().and_then(|page| page[what].as_array());
        page.cloned().unwrap_or_default()
    }

    fn edges_of(&self, pop: &str) -> Vec<String> {
        let nodes = self.listed("nodes");
        let here = nodes.iter().filter(|node| node["pop"] == pop);
        here.filter_map(|node| Some(node["id"].as_str()?.to_owned()))
            .collect()
    }

    /// Creates a user and returns what it logs in with.
    pub(super) fn user<'a>(&self, name: &'a str, settings: &Value) -> (&'a str, &'static str) {
        let mut user = json!({ "name": name, "password": PASSWORD });
        let settings = settings.as_object().unwrap().clone();
        user.as_object_mut().unwrap().extend(settings);
        assert!(self.site.rest("v1/users", Some(&user)).is_some(), "{user}");
        (name, PASSWORD)
    }

    /// Changes settings of a user over the manager's API.
    pub(super) fn change(&self, user: (&str, &str), settings: &Value) {
        let path = format!("v1/users/{}", user.0);
        let answer = self.site.call("PATCH", &path, Some(settings));
        assert!(answer.is_some(), "{settings}");
    }

    /// Kills a POP with SIGKILL, and returns its part of a user's account as it stands from now on.
    pub(super) fn kill_pop(&mut self, pop: usize, user: (&str, &str)) -> HolderUsage {
        self.pops[pop].kill();
        // What it had written before is read before the second question at the latest.
        self.part(user, pop);
        let part = self.part(user, pop).unwrap();
        // Its edges would keep the sessions for their grace time.
        let edges = self.edges.values_mut().filter(|(_, at)| *at == pop);
        edges.for_each(|(edge, _)| edge.kill());
        part
    }

    /// Starts a POP again that has ended.
    pub(super) fn restart_pop(&mut self, pop: usize) {
        self.pops[pop] = self.site.pop_again(POPS[pop]);
    }

    pub(super) fn record(&self, user: (&str, &str)) -> User {
        Self::asked(|| self.runtime.block_on(self.store.user(user.0)))
    }

    /// Returns every holder's part of a user's account.
    pub(super) fn parts(&self, user: (&str, &str)) -> Vec<HolderUsage> {
        Self::asked(|| self.runtime.block_on(self.store.usage(user.0)))
    }

    /// Asks the store until it answers: a connection may be left from before it was killed.
    fn asked<T>(ask: impl Fn() -> Result<Option<T>, StoreError>) -> T {
        let mut answer = None;
        eventually("the store answers", PATIENCE, || {
            answer = ask().ok().flatten();
            answer.is_some()
        });
        answer.unwrap()
    }

    /// Returns the part of one POP's newest process.
    pub(super) fn part(&self, user: (&str, &str), pop: usize) -> Option<HolderUsage> {
        let parts = self.parts(user).into_iter();
        parts
            .filter(|part| part.holder.pop == POPS[pop])
            .max_by_key(|part| part.holder.incarnation)
    }

    /// Waits until all sessions are over and everything granted is carried or given back, but for what
    /// a dead process holds, and returns what is charged.
    pub(super) fn settled(&self, user: (&str, &str), dead: u64) -> u64 {
        eventually("all is given back and told", PATIENCE, || {
            self.is_settled(user, dead)
        });
        self.record(user).charged
    }

    fn is_settled(&self, user: (&str, &str), dead: u64) -> bool {
        let parts = self.parts(user);
        let charged = self.record(user).charged;
        let busy = parts.iter().filter(|part| part.sessions > 0).count();
        busy <= usize::from(dead > 0) && charged == parts.iter().map(carried).sum::<u64>() + dead
    }
}

/// What a POP has counted, as it told the store.
pub(super) const fn carried(part: &HolderUsage) -> u64 {
    part.uploaded + part.downloaded
}

/// What a POP may still carry, as far as the store knows.
pub(super) const fn rest(part: &HolderUsage) -> u64 {
    part.granted - part.returned - carried(part)
}
