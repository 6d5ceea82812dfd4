//! Which POP a node is sent to: blacklist, then where it was, then the least loaded, then the default.
//! No step chooses a POP that drains or that the node leaves.
//!
//! A step that cannot answer, because the store does not or because there is nothing it could say, leaves
//! the answer to the next one: nodes find a POP as long as any is known.

use super::Api;
use super::problem::{ApiCode, Problem};
use crate::config::{ManagerConfig, StaticPop};
use crate::env::Env;
use crate::store::{PopStatus, Store, StoreError};
use core::future::Future;
use core::time::Duration;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use titan_core::time::Instant;

/// How long an edge that was sent to a POP counts there before it shows up as online.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);

/// How long one step waits for the store. Three do, and an edge waits for the answer for 4 s.
const STEP_TIMEOUT: Duration = Duration::from_millis(800);

/// Who asks.
pub(super) struct Asking<'a> {
    pub(super) node: &'a str,
    pub(super) source: IpAddr,
    /// The POP that it has a tunnel to and needs another token for, draining or not.
    pub(super) tunnel: Option<&'a str>,
    /// POPs that it leaves.
    pub(super) excluded: &'a [&'a str],
}

/// A step of the allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The node is turned away, to the POP for such nodes if there is one.
    Blacklist,
    /// The POP that the node has a tunnel to.
    Tunnel,
    /// The node goes where it was, or where it was migrated to.
    Sticky,
    /// The living POP with the fewest nodes.
    LeastLoaded,
    /// The configured POP for when none is known to live.
    Default,
}

impl Step {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Blacklist => "blacklist",
            Self::Tunnel => "tunnel",
            Self::Sticky => "sticky",
            Self::LeastLoaded => "least_loaded",
            Self::Default => "default",
        }
    }
}

/// Chooses the POP for a node.
///
/// # Errors
/// `blacklisted` if the node is turned away and there is no POP for such nodes that it may go to;
/// `no_pop` if no POP is known that it may go to.
pub(super) async fn allocate<E: Env, S: Store>(
    api: &Api<E, S>,
    asking: &Asking<'_>,
) -> Result<(StaticPop, Step), Problem> {
    let live = in_time(api, "which POPs live", api.store.pops()).await;
    let live = live.unwrap_or_default();

    let look = api.store.blacklisted(asking.node, asking.source);
    if let Some(entry) = in_time(api, "the blacklist", look).await.flatten() {
        let Some(id) = &api.config.blacklist_pop else {
            tracing::debug!(
                node = asking.node,
                reason = entry.reason,
                "node turned away"
            );
            return Err(Problem::new(ApiCode::Blacklisted));
        };
        let stays = asking.tunnel == Some(id);
        if (stays || !is_barred(&live, asking.excluded, id))
            && let Some(pop) = find(&api.config, &live, id)
        {
            return Ok((pop, Step::Blacklist));
        }
        // A node that is turned away must not get a good POP because the bad one is missing.
        return Err(Problem::new(ApiCode::Blacklisted));
    }

    if let Some(id) = asking.tunnel {
        // A token for another POP would not help it.
        let pop = find(&api.config, &live, id).ok_or_else(|| Problem::new(ApiCode::NoPop))?;
        return Ok((pop, Step::Tunnel));
    }

    let look = api.store.node(asking.node);
    if let Some(known) = in_time(api, "a node's home", look).await.flatten()
        // Where it was only because it was turned away is no home.
        && api.config.blacklist_pop.as_ref() != Some(&known.home)
        && let Some(status) = live.iter().find(|status| status.pop.id == known.home)
        && !is_barred(&live, asking.excluded, &known.home)
    {
        let pop = of_status(&api.config, status);
        api.given.expect(status, api.env.now());
        return Ok((pop, Step::Sticky));
    }

    // Here is the place of the rules for regions and vendors.

    api.given
        .choose(&api.config, &live, asking.excluded, api.env.now())
        .ok_or_else(|| Problem::new(ApiCode::NoPop))
}

/// Returns what the store says, or nothing if it fails or takes too long.
async fn in_time<E: Env, S: Store, T>(
    api: &Api<E, S>,
    what: &str,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Option<T> {
    let late = api.env.sleep_until(api.env.now() + STEP_TIMEOUT);
    let error = tokio::select! {
        biased;
        answer = answer => match answer {
            Ok(found) => return Some(found),
            Err(error) => error.to_string(),
        },
        () = late => "no answer in time".to_owned(),
    };
    tracing::warn!(error, "cannot ask for {what}; the next step decides");
    None
}

/// Whether a POP drains or is one that the node leaves.
fn is_barred(live: &[PopStatus], excluded: &[&str], id: &str) -> bool {
    let drains = |status: &PopStatus| status.draining && status.pop.id == id;
    excluded.contains(&id) || live.iter().any(drains)
}

/// A living or configured POP of this id; what is configured wins over what is registered.
fn find(config: &ManagerConfig, live: &[PopStatus], id: &str) -> Option<StaticPop> {
    let configured = config.pops.iter().find(|pop| pop.id == id).cloned();
    configured.or_else(|| {
        let status = live.iter().find(|status| status.pop.id == id)?;
        Some(of_status(config, status))
    })
}

fn of_status(config: &ManagerConfig, status: &PopStatus) -> StaticPop {
    let configured = config.pops.iter().find(|pop| pop.id == status.pop.id);
    configured.cloned().unwrap_or_else(|| StaticPop {
        id: status.pop.id.clone(),
        url: status.pop.url.clone(),
    })
}

/// How many edges were sent to each POP lately and are not online there yet. Without it all edges
/// that ask within a moment would go to the same POP. Holds live and configured POPs only.
#[derive(Default)]
pub(super) struct Given(Mutex<HashMap<String, Expected>>);

#[derive(Clone, Copy)]
struct Expected {
    node_count: u64,
    given: u64,
    since: Instant,
}

impl Given {
    /// Counts a node that is sent to a POP without a choice among several.
    fn expect(&self, status: &PopStatus, now: Instant) {
        let mut expected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Expected::new(status.node_count, now);
        let entry = expected.entry(status.pop.id.clone()).or_insert(new);
        if entry.is_over(status.node_count, now) {
            *entry = new;
        }
        entry.given += 1;
    }

    /// Chooses the least loaded of the living POPs, the one for nodes that are turned away only if there is
    /// no other, else the default, else any configured one; never
    /// one that drains or is excluded.
    fn choose(
        &self,
        config: &ManagerConfig,
        live: &[PopStatus],
        excluded: &[&str],
        now: Instant,
    ) -> Option<(StaticPop, Step)> {
        let barred = |id: &str| is_barred(live, excluded, id);
        let mut step = Step::LeastLoaded;
        let mut candidates: Vec<(StaticPop, u64)> = live
            .iter()
            .filter(|status| !barred(&status.pop.id))
            .map(|status| (of_status(config, status), status.node_count))
            .collect();
        let trap = |(pop, _): &(StaticPop, u64)| config.blacklist_pop.as_ref() == Some(&pop.id);
        if !candidates.iter().all(trap) {
            candidates.retain(|candidate| !trap(candidate));
        }
        if candidates.is_empty() {
            step = Step::Default;
            let default = config.default_pop.as_deref();
            let default = default.and_then(|id| find(config, &[], id));
            let default = default.filter(|pop| !barred(&pop.id));
            let mut fallback = default.map_or_else(|| config.pops.clone(), |pop| vec![pop]);
            fallback.retain(|pop| !barred(&pop.id));
            candidates = fallback.into_iter().map(|pop| (pop, 0)).collect();
        }

        let mut expected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        expected.retain(|id, expected| {
            let known = candidates.iter().find(|(pop, _)| pop.id == *id);
            known.is_some_and(|(_, count)| !expected.is_over(*count, now))
        });
        let load = |pop: &StaticPop, count: u64| {
            count + expected.get(&pop.id).map_or(0, |expected| expected.given)
        };
        let (pop, node_count) = candidates
            .into_iter()
            .min_by_key(|(pop, count)| load(pop, *count))?;
        let new = Expected::new(node_count, now);
        expected.entry(pop.id.clone()).or_insert(new).given += 1;
        Some((pop, step))
    }
}

impl Expected {
    const fn new(node_count: u64, since: Instant) -> Self {
        Self {
            node_count,
            given: 0,
            since,
        }
    }

    /// Whether the nodes have come, or had their time.
    fn is_over(&self, node_count: u64, now: Instant) -> bool {
        now.since(self.since) > ARRIVAL_MAX || self.node_count != node_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::PopEntry;

    const NOW: Instant = Instant::EPOCH;

    fn live(id: &str, node_count: u64) -> PopStatus {
        let url = format!("wss://{id}:1");
        let pop = PopEntry {
            id: id.to_owned(),
            incarnation: 1,
            nonce: 0,
            url,
            info: String::new(),
        };
        PopStatus {
            pop,
            node_count,
            lease_until: 1,
            draining: false,
        }
    }

    fn configured(id: &str) -> StaticPop {
        StaticPop {
            id: id.to_owned(),
            url: format!("wss://{id}.configured"),
        }
    }

    #[test]
    fn a_herd_is_spread_by_load() {
        let (given, config) = (Given::default(), ManagerConfig::default());
        let pops = [live("a", 10), live("b", 4), live("c", 4)];
        let mut counts = HashMap::<String, u64>::new();
        for _ in 0..15 {
            *counts
                .entry(given.choose(&config, &pops, &[], NOW).unwrap().0.id)
                .or_default() += 1;
        }
        assert_eq!((counts["a"], counts["b"], counts["c"]), (1, 7, 7));
        // Those that never came are forgotten.
        let later = NOW + ARRIVAL_MAX + Duration::from_nanos(1);
        assert_eq!(given.choose(&config, &pops, &[], later).unwrap().0.id, "b");
        given.choose(&config, &[live("d", 0)], &[], later).unwrap();
        assert_eq!(given.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_pop_of_those_turned_away_is_the_last_resort() {
        let given = Given::default();
        let config = ManagerConfig {
            blacklist_pop: Some("trap".to_owned()),
            ..ManagerConfig::default()
        };
        let chosen = |pops: &[PopStatus]| given.choose(&config, pops, &[], NOW).unwrap().0.id;
        assert_eq!(chosen(&[live("trap", 0), live("a", 9)]), "a");
        assert_eq!(chosen(&[live("trap", 0)]), "trap");
    }

    #[test]
    fn configured_pops_stand_in_when_none_lives() {
        let given = Given::default();
        let mut config = ManagerConfig::default();
        assert_eq!(given.choose(&config, &[], &[], NOW), None);
        config.pops = vec![configured("a"), configured("b")];
        let ids = [(); 4].map(|()| given.choose(&config, &[], &[], NOW).unwrap().0.id);
        assert_eq!(ids, ["a", "b", "a", "b"]);
        config.default_pop = Some("b".to_owned());
        assert_eq!(
            given.choose(&config, &[], &[], NOW),
            Some((configured("b"), Step::Default))
        );
        assert_eq!(
            given
                .choose(&config, &[live("c", 9)], &[], NOW)
                .unwrap()
                .0
                .id,
            "c"
        );
        // The configured address wins over the registered one.
        assert_eq!(
            given.choose(&config, &[live("a", 9)], &[], NOW),
            Some((configured("a"), Step::LeastLoaded))
        );
    }

    #[test]
    fn who_drains_or_is_excluded_is_never_chosen() {
        let given = Given::default();
        let mut config = ManagerConfig::default();
        let mut pops = [live("a", 0), live("b", 5)];
        pops[0].draining = true;
        let chosen = |config: &ManagerConfig, pops: &[PopStatus], excluded: &[&str]| {
            let chosen = given.choose(config, pops, excluded, NOW);
            chosen.map(|(pop, _)| pop.id)
        };
        assert_eq!(chosen(&config, &pops, &[]).as_deref(), Some("b"));
        assert_eq!(chosen(&config, &pops, &["b"]), None);
        // Nor as what is configured.
        config.pops = vec![configured("a"), configured("b")];
        config.default_pop = Some("a".to_owned());
        assert_eq!(chosen(&config, &pops, &["b"]), None);
        assert_eq!(chosen(&config, &pops[..1], &[]).as_deref(), Some("b"));
        assert_eq!(chosen(&config, &[], &["a"]).as_deref(), Some("b"));
        assert_eq!(chosen(&config, &[], &["a", "b"]), None);
    }
}
