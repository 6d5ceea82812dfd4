//! Two servers, of which one takes over from the other.

use super::relay::Relay;
use super::{PATIENCE, command};
use crate::store::contract::{LEASE, Passing as _, pop, user};
use crate::store::{
    Accounts as _, AuditLog as _, ChangeLog as _, Cursor, Holder, Pops as _, Redis, StoreError,
    Totals, UserChange, Users as _,
};
use std::time::Instant;
use titan_kit::redis_server::{Fsync, RedisServer};

/// A primary and its replica, and an address that leads to the primary.
pub(super) struct Pair {
    primary: RedisServer,
    pub(super) replica: RedisServer,
    ports: [u16; 2],
    relay: Relay,
    pub(super) store: Redis,
}

impl Pair {
    pub(super) async fn start() -> Self {
        let ports = [RedisServer::free_port(), RedisServer::free_port()];
        let [primary, replica] = ports.map(|port| {
            let port = port.to_string();
            RedisServer::start_with(
                Fsync::EverySecond,
                &["--port", &port, "--repl-diskless-sync-delay", "0"],
            )
        });
        let relay = Relay::to(ports[0]).await;
        let store = Redis::new(&relay.url()).unwrap();
        let pair = Self {
            primary,
            replica,
            ports,
            relay,
            store,
        };
        pair.follow().await;
        pair
    }

    /// Makes the second server the replica of the first, and waits until it has everything.
    async fn follow(&self) {
        let port = self.ports[0].to_string();
        let _: String = command(&self.replica.url(0), &["REPLICAOF", "127.0.0.1", &port]).await;
        while !self.info().await.contains("state=online") {
            tokio::task::yield_now().await;
        }
    }

    async fn info(&self) -> String {
        command(&self.primary.url(0), &["INFO", "replication"]).await
    }

    /// The replica takes over what it has, and the address leads to it.
    async fn promote(&self) {
        let _: String = command(&self.replica.url(0), &["REPLICAOF", "NO", "ONE"]).await;
        self.relay.lead_to(self.ports[1]);
    }
}

/// Tries until the store takes it, or for too long.
pub(super) async fn eventually<T, F: Future<Output = Result<T, StoreError>>>(
    mut ask: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(StoreError::Unavailable(_)) if started.elapsed() < PATIENCE => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn the_first_act_after_the_servers_changed_roles_succeeds() {
    let pair = Pair::start().await;
    pair.store.create_user(user("before")).await.unwrap();
    pair.promote().await;
    let port = pair.ports[1].to_string();
    let _: String = command(&pair.primary.url(0), &["REPLICAOF", "127.0.0.1", &port]).await;
    // The connection lives on, to a server that is a replica now.
    pair.store.create_user(user("after")).await.unwrap();
    assert!(pair.store.user("before").await.unwrap().is_some());
    let act = crate::store::contract::act("after");
    assert_eq!(pair.store.audit_append(act).await.unwrap().seq, 1);
    let found: u64 = command(&pair.replica.url(0), &["EXISTS", "titan:user:after"]).await;
    assert_eq!(found, 1);
}

/// What is only read is answered by a replica as well, with what it has: whoever learns from an act that the
/// server is none to ask any more gives up every connection to it.
#[tokio::test]
async fn nothing_is_read_from_a_server_that_is_known_to_be_a_replica() {
    let pair = Pair::start().await;
    pair.store.create_user(user("ann")).await.unwrap();
    assert!(pair.store.user("ann").await.unwrap().is_some());
    pair.promote().await;
    // It follows nobody who answers, and so stays as it is.
    let _: String = command(&pair.primary.url(0), &["REPLICAOF", "127.0.0.1", "1"]).await;
    pair.store.create_user(user("bob")).await.unwrap();
    assert!(pair.store.user("bob").await.unwrap().is_some());
}

#[tokio::test]
async fn an_act_waits_for_a_replica_or_fails_clearly() {
    let pair = Pair::start().await;
    pair.store.create_user(user("ann")).await.unwrap();
    let there: u64 = command(&pair.replica.url(0), &["EXISTS", "titan:user:ann"]).await;
    assert_eq!(there, 1);
    pair.replica.pause(true);
    let off = || UserChange {
        enabled: Some(false),
        ..UserChange::default()
    };
    let error = pair.store.change_user("ann", off()).await.unwrap_err();
    assert!(error.to_string().contains("no replica confirms"), "{error}");
    // What is told again anyway does not wait.
    let started = Instant::now();
    pair.store.pop_alive(pop("p", 1), LEASE).await.unwrap();
    assert!(started.elapsed() < PATIENCE);
    pair.replica.pause(false);
    let ann = eventually(|| pair.store.change_user("ann", off())).await;
    assert!(!ann.unwrap().settings.enabled);
    // Without a replica there is nobody to wait for.
    let _: String = command(&pair.replica.url(0), &["REPLICAOF", "NO", "ONE"]).await;
    while pair.info().await.contains("state=online") {
        tokio::task::yield_now().await;
    }
    pair.store
        .change_user("ann", UserChange::default())
        .await
        .unwrap();
}

/// What a POP knows of a user.
struct Process {
    holder: Holder,
    totals: Totals,
}

impl Process {
    async fn lease(&mut self, store: &Redis) -> Result<(), StoreError> {
        let want = self.totals.granted + 1_000;
        let standing = store
            .lease(self.holder.clone(), self.totals.clone(), want)
            .await?;
        self.totals.granted = standing.unwrap().granted;
        Ok(())
    }

    /// Tells everything again, and that it did.
    async fn retell(&mut self, store: &Redis) {
        let run = store.changes(None, 1).await.unwrap().cursor.run;
        let told = vec![self.totals.clone()];
        let standing = store.report(self.holder.clone(), told, None).await.unwrap();
        self.totals.granted = standing[0].unwrap().granted;
        store.retold(self.holder.clone(), &run).await.unwrap();
    }
}

const LIMIT: u64 = 10_000;

/// For how long a POP lives that dies: less than one is waited for that lives and does not tell, and more than
/// a busy machine takes for the test.
const DYING: u64 = 80;

/// Has three POPs be granted a limit of which the replica, which takes over then, never hears.
async fn forgotten_grants(pair: &mut Pair) -> (Vec<Process>, Cursor) {
    let store = pair.store.clone();
    let mut ann = user("ann");
    ann.settings.traffic_limit = Some(LIMIT);
    let ann = store.create_user(ann).await.unwrap();
    let mut processes = Vec::new();
    for (id, lease) in [("dead", DYING), ("p", 9 * LEASE), ("q", 9 * LEASE)] {
        store.pop_alive(pop(id, 1), lease).await.unwrap();
        processes.push(Process {
            holder: Holder {
                pop: id.to_owned(),
                incarnation: 1,
            },
            totals: Totals::new("ann".to_owned(), ann.id),
        });
    }
    // The replica has all this, and nothing of what follows.
    store
        .change_user("ann", UserChange::default())
        .await
        .unwrap();
    let cursor = store.changes(None, 1).await.unwrap().cursor;
    // From here on the replica hears nothing.
    let _: String = command(&pair.replica.url(0), &["REPLICAOF", "NO", "ONE"]).await;
    for process in &mut processes {
        for _ in 0..3 {
            process.lease(&store).await.unwrap();
            process.totals.uploaded = process.totals.granted - 100;
        }
    }
    pair.primary.kill();
    pair.promote().await;
    let forgotten = eventually(|| store.user("ann")).await.unwrap();
    assert_eq!(
        forgotten.charged, 0,
        "the replica knows the last moments: the test shows nothing"
    );
    (processes, cursor)
}

/// Grants that the replica never heard of are told to it by who holds them before it makes any.
#[tokio::test]
async fn a_promoted_replica_grants_nothing_before_it_was_told_again() {
    let mut pair = Pair::start().await;
    let (mut processes, cursor) = forgotten_grants(&mut pair).await;
    let store = pair.store.clone();
    // Whoever follows the changes learns that it is another run.
    let changes = store.changes(Some(cursor.clone()), 9).await.unwrap();
    assert!(changes.reload && changes.cursor.run != cursor.run);

    let [dead, p, q] = &mut processes[..] else {
        panic!("three POPs");
    };
    let refused = |answer: Result<(), StoreError>| {
        let error = answer.unwrap_err().to_string();
        assert!(error.contains("has not told yet"), "{error}");
    };
    refused(p.lease(&store).await);
    p.retell(&store).await;
    refused(p.lease(&store).await);
    // To another run it was told in vain.
    store.retold(q.holder.clone(), &cursor.run).await.unwrap();
    refused(p.lease(&store).await);
    q.retell(&store).await;
    // A POP that is gone is waited for until its registration lapses.
    store.pass(DYING / 4).await;
    refused(p.lease(&store).await);
    store.pass(DYING - DYING / 4).await;
    loop {
        let before = p.totals.granted;
        p.lease(&store).await.unwrap();
        p.totals.uploaded = p.totals.granted;
        if p.totals.granted == before {
            break;
        }
    }
    // What remains is what the dead one was granted and nobody told of.
    let carried: u64 = [&*p, &*q, &*dead]
        .iter()
        .map(|process| process.totals.spent())
        .sum();
    assert!(
        carried > LIMIT && carried <= LIMIT + dead.totals.granted,
        "{carried}"
    );
    let charged = store.user("ann").await.unwrap().unwrap().charged;
    assert_eq!(charged, LIMIT);
    // Its journal brings the truth.
    dead.retell(&store).await;
    let charged = store.user("ann").await.unwrap().unwrap().charged;
    assert_eq!(charged, LIMIT + dead.totals.granted);
}
