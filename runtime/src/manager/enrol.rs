//! Where an edge asks for a POP and a token: `/node/pop`.

use super::Api;
use super::extract::Parameters;
use super::guard::Peer;
use super::problem::{ApiCode, Problem};
use crate::config::{ManagerConfig, StaticPop};
use crate::env::Env;
use crate::store::{PopStatus, Store};
use crate::token::is_id;
use axum::extract::State;
use axum::{Extension, Json};
use core::time::Duration;
use http::{HeaderMap, HeaderName, header};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use titan_core::time::Instant;

/// The path of carriers on a POP.
const CARRIER_PATH: &str = "/ws/node";

/// The longest vendor or version, in bytes.
const WORD_MAX: usize = 64;

/// The most POPs that an edge can rule out: it leaves few at a time.
const EXCLUDED_MAX: usize = 16;

/// How long an edge that was sent to a POP counts there before it shows up as online.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);

/// What an edge says about itself. More may follow; unknown parameters are ignored, so that newer
/// edges can ask older managers.
#[derive(Deserialize)]
pub(super) struct Asking {
    nodeid: String,
    vendor: Option<String>,
    version: Option<String>,
    /// The POP that it has a tunnel to: it needs another token for that one, draining or not.
    pop: Option<String>,
    /// Ids of POPs that it leaves, with commas.
    exclude: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Assignment {
    server_url: String,
    access_token: String,
    pop_id: String,
    expires_at: u64,
}

pub(super) async fn assign<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Parameters(asking): Parameters<Asking>,
) -> Result<([(HeaderName, &'static str); 1], Json<Assignment>), Problem> {
    api.join.check(&api.env, peer, &headers).await?;
    if !is_id(&asking.nodeid) {
        return Err(Problem::bad_request(
            "nodeid must be 1 to 64 of A-Z a-z 0-9 . _ -",
        ));
    }
    if [&asking.vendor, &asking.version]
        .into_iter()
        .flatten()
        .any(|word| word.len() > WORD_MAX)
    {
        return Err(Problem::bad_request(
            "vendor and version must be at most 64 bytes",
        ));
    }
    let excluded: Vec<&str> = match &asking.exclude {
        Some(ids) => ids.split(',').collect(),
        None => Vec::new(),
    };
    if excluded.len() > EXCLUDED_MAX || !excluded.iter().all(|id| is_id(id)) {
        return Err(Problem::bad_request(format!(
            "exclude must be at most {EXCLUDED_MAX} ids of POPs with commas"
        )));
    }
    let now = api.env.unix_time().as_secs();
    // Without the store there is still the default.
    let live = api.store.pops(now).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot ask which POPs live");
        Vec::new()
    });
    let pop = match &asking.pop {
        Some(id) => known(&api.config, &live, id),
        None => api
            .given
            .choose(&api.config, &live, &excluded, api.env.now()),
    };
    let pop = pop.ok_or_else(|| Problem::new(ApiCode::NoPop))?;
    let lifetime = api.config.node_token_lifetime;
    tracing::debug!(node = asking.nodeid, pop = pop.id, "node sent to a POP");
    Ok((
        [(header::CACHE_CONTROL, "no-store")],
        Json(Assignment {
            server_url: carrier_url(&pop.url),
            access_token: api.signer.issue(&asking.nodeid, &pop.id, now, lifetime),
            pop_id: pop.id,
            expires_at: now.saturating_add(lifetime.as_secs()),
        }),
    ))
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
    /// Chooses the least loaded of the living POPs, else the default, else any configured one; never
    /// one that drains or is excluded.
    fn choose(
        &self,
        config: &ManagerConfig,
        live: &[PopStatus],
        excluded: &[&str],
        now: Instant,
    ) -> Option<StaticPop> {
        let find = |id: &str| known(config, &[], id);
        let barred = |id: &str| {
            let drains = |status: &PopStatus| status.draining && status.pop.id == id;
            excluded.contains(&id) || live.iter().any(drains)
        };
        let mut candidates: Vec<(StaticPop, u64)> = live
            .iter()
            .filter(|status| !barred(&status.pop.id))
            .filter_map(|status| Some((known(config, live, &status.pop.id)?, status.node_count)))
            .collect();
        if candidates.is_empty() {
            let default = config.default_pop.as_deref().and_then(find);
            let default = default.filter(|pop| !barred(&pop.id));
            let mut fallback = default.map_or_else(|| config.pops.clone(), |pop| vec![pop]);
            fallback.retain(|pop| !barred(&pop.id));
            candidates = fallback.into_iter().map(|pop| (pop, 0)).collect();
        }

        let mut expected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        expected.retain(|id, expected| {
            now.since(expected.since) <= ARRIVAL_MAX
                && candidates
                    .iter()
                    .any(|(pop, count)| pop.id == *id && *count == expected.node_count)
        });
        let load = |pop: &StaticPop, count: u64| {
            count + expected.get(&pop.id).map_or(0, |expected| expected.given)
        };
        let (pop, node_count) = candidates
            .into_iter()
            .min_by_key(|(pop, count)| load(pop, *count))?;
        let new = Expected {
            node_count,
            given: 0,
            since: now,
        };
        expected.entry(pop.id.clone()).or_insert(new).given += 1;
        Some(pop)
    }
}

/// Finds a POP that lives or is configured.
fn known(config: &ManagerConfig, live: &[PopStatus], id: &str) -> Option<StaticPop> {
    let configured = config.pops.iter().find(|pop| pop.id == id).cloned();
    configured.or_else(|| {
        let live = live.iter().find(|status| status.pop.id == id)?;
        Some(StaticPop {
            id: live.pop.id.clone(),
            url: live.pop.url.clone(),
        })
    })
}

fn carrier_url(url: &str) -> String {
    format!("{}{CARRIER_PATH}", url.trim_end_matches('/'))
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
                .entry(given.choose(&config, &pops, &[], NOW).unwrap().id)
                .or_default() += 1;
        }
        assert_eq!((counts["a"], counts["b"], counts["c"]), (1, 7, 7));
        // Those that never came are forgotten.
        let later = NOW + ARRIVAL_MAX + Duration::from_nanos(1);
        assert_eq!(given.choose(&config, &pops, &[], later).unwrap().id, "b");
        given.choose(&config, &[live("d", 0)], &[], later).unwrap();
        assert_eq!(given.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn configured_pops_stand_in_when_none_lives() {
        let given = Given::default();
        let mut config = ManagerConfig::default();
        assert_eq!(given.choose(&config, &[], &[], NOW), None);
        config.pops = vec![configured("a"), configured("b")];
        let ids = [(); 4].map(|()| given.choose(&config, &[], &[], NOW).unwrap().id);
        assert_eq!(ids, ["a", "b", "a", "b"]);
        config.default_pop = Some("b".to_owned());
        assert_eq!(given.choose(&config, &[], &[], NOW), Some(configured("b")));
        assert_eq!(
            given.choose(&config, &[live("c", 9)], &[], NOW).unwrap().id,
            "c"
        );
        // The configured address wins over the registered one.
        assert_eq!(
            given.choose(&config, &[live("a", 9)], &[], NOW),
            Some(configured("a"))
        );
    }

    #[test]
    fn who_drains_or_is_excluded_is_never_chosen() {
        let given = Given::default();
        let mut config = ManagerConfig::default();
        let mut pops = [live("a", 0), live("b", 5)];
        pops[0].draining = true;
        let chosen = |config: &ManagerConfig, pops: &[PopStatus], excluded: &[&str]| {
            let pop = given.choose(config, pops, excluded, NOW);
            pop.map(|pop| pop.id)
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

    #[test]
    fn carriers_have_their_path() {
        for url in ["wss://pop:1", "wss://pop:1/"] {
            assert_eq!(carrier_url(url), "wss://pop:1/ws/node");
        }
    }
}
