//! Which POP a node is sent to: blacklist, sticky, least loaded, default, also while the store fails in
//! one of them.

use crate::harness::Manager;
use http::StatusCode;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use titan_runtime::config::{ManagerConfig, StaticPop};
use titan_runtime::store::{
    BlacklistEntry, Blacklists as _, Gate, Gated, Nodes as _, Pops as _, StoreError, Subject,
};

/// Fails the operations named in it.
#[derive(Clone, Default)]
struct Failing(Arc<Mutex<BTreeSet<&'static str>>>);

impl Failing {
    fn set(&self, operations: &[&'static str]) {
        *self.0.lock().unwrap() = operations.iter().copied().collect();
    }
}

impl Gate for Failing {
    async fn before(&self, operation: &'static str) -> Result<(), StoreError> {
        core::future::ready(if self.0.lock().unwrap().contains(operation) {
            Err(StoreError::Unavailable("it fails here".to_owned()))
        } else {
            Ok(())
        })
        .await
    }

    async fn after(&self, _: &'static str) -> Result<(), StoreError> {
        core::future::ready(Ok(())).await
    }
}

async fn started(change: impl FnOnce(&mut ManagerConfig)) -> (Manager, Failing) {
    let failing = Failing::default();
    let gate = failing.clone();
    let data = tempfile::tempdir().unwrap();
    let it = Manager::start_on(data, change, |store| Gated { store, gate }).await;
    (it, failing)
}

async fn sent(it: &Manager, node: &str) -> (String, String) {
    let answer = it.enrol(&format!("nodeid={node}")).await;
    let text = |name: &str| answer.body[name].as_str().unwrap_or("none").to_owned();
    (text("pop_id"), text("chosen_by"))
}

fn is(sent: (String, String), pop: &str, step: &str) {
    assert_eq!((&*sent.0, &*sent.1), (pop, step));
}

async fn list(it: &Manager, subject: Subject) {
    let entry = BlacklistEntry {
        subject,
        reason: "abuse".to_owned(),
        since: 1,
    };
    it.store.blacklist_add(vec![entry]).await.unwrap();
}

#[tokio::test]
async fn each_step_answers_or_leaves_it_to_the_next() {
    let (it, failing) = started(|config| {
        config.pops = vec![StaticPop {
            id: "spare".to_owned(),
            url: "wss://spare:1".to_owned(),
        }];
        config.default_pop = Some("spare".to_owned());
    })
    .await;
    is(sent(&it, "edge-1").await, "spare", "default");
    it.register("pop-1", 1).await;
    it.register("pop-2", 1).await;
    for node in ["edge-1", "other-1", "other-2"] {
        it.online(node, "pop-1").await;
    }
    // It was at the fuller one, and goes there again.
    is(sent(&it, "edge-1").await, "pop-1", "sticky");
    is(sent(&it, "new").await, "pop-2", "least_loaded");
    // Where it was migrated to counts from then on.
    it.store
        .assign_nodes(vec!["edge-1".to_owned()], "pop-2")
        .await
        .unwrap();
    is(sent(&it, "edge-1").await, "pop-2", "sticky");
    // A home that does not live is none.
    it.store.pop_gone("pop-2", 1).await.unwrap();
    is(sent(&it, "edge-1").await, "pop-1", "least_loaded");

    failing.set(&["node"]);
    is(sent(&it, "other-1").await, "pop-1", "least_loaded");
    failing.set(&["pops"]);
    is(sent(&it, "other-1").await, "spare", "default");
    failing.set(&["pops", "node", "blacklisted"]);
    is(sent(&it, "other-1").await, "spare", "default");
    it.stop().await;
}

#[tokio::test]
async fn who_is_on_the_blacklist_is_refused() {
    let (it, failing) = started(|_| ()).await;
    it.register("pop-1", 1).await;
    list(&it, Subject::Node("edge-1".to_owned())).await;
    it.enrol("nodeid=edge-1")
        .await
        .is_problem(403, "blacklisted");
    is(sent(&it, "edge-2").await, "pop-1", "least_loaded");
    // By address too, and by the block that it is in.
    list(&it, Subject::Ip("127.0.0.0/24".parse().unwrap())).await;
    it.enrol("nodeid=edge-2")
        .await
        .is_problem(403, "blacklisted");
    // POPs look again themselves, so a store that fails here keeps nobody out.
    failing.set(&["blacklisted"]);
    is(sent(&it, "edge-2").await, "pop-1", "least_loaded");
    it.stop().await;
}

#[tokio::test]
async fn there_may_be_a_pop_for_the_blacklisted() {
    let (it, _) = started(|config| config.blacklist_pop = Some("trap".to_owned())).await;
    it.register("pop-1", 1).await;
    list(&it, Subject::Node("edge-1".to_owned())).await;
    // Not yet: a good POP would be worse than none.
    it.enrol("nodeid=edge-1")
        .await
        .is_problem(403, "blacklisted");
    it.register("trap", 1).await;
    is(sent(&it, "edge-1").await, "trap", "blacklist");
    // Nor if it leaves it, or says that it has a tunnel to a good one.
    it.enrol("nodeid=edge-1&exclude=trap")
        .await
        .is_problem(403, "blacklisted");
    is(sent(&it, "edge-1&pop=pop-1").await, "trap", "blacklist");
    let drained = it
        .post("/v1/pops/trap/drain", serde_json::Value::Null)
        .await;
    assert_eq!(drained.status, StatusCode::ACCEPTED);
    it.enrol("nodeid=edge-1")
        .await
        .is_problem(403, "blacklisted");
    is(sent(&it, "edge-1&pop=trap").await, "trap", "blacklist");
    it.stop().await;
}

#[tokio::test]
async fn no_step_chooses_a_pop_that_drains_or_is_left() {
    let (it, _) = started(|_| ()).await;
    it.register("pop-1", 1).await;
    it.register("pop-2", 1).await;
    for node in ["edge-1", "other-1", "other-2"] {
        it.online(node, "pop-1").await;
    }
    is(sent(&it, "edge-1").await, "pop-1", "sticky");
    is(
        sent(&it, "edge-1&exclude=pop-1").await,
        "pop-2",
        "least_loaded",
    );
    it.post("/v1/pops/pop-1/drain", serde_json::Value::Null)
        .await;
    is(sent(&it, "edge-1").await, "pop-2", "least_loaded");
    // A tunnel there can still be resumed.
    is(sent(&it, "edge-1&pop=pop-1").await, "pop-1", "tunnel");
    it.stop().await;
}
