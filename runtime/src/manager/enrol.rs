//! Where an edge asks for a POP and a token: `/node/pop`.

use super::allocate::{Asking, Step};
use super::answer::Json;
use super::input::{ID_FORM, Query};
use super::operation::{Access, Method, Operation};
use super::problem::{ApiCode, Problem};
use super::routes::{Call, Routes};
use super::words;
use crate::env::Env;
use crate::store::Store;
use crate::token::{ID_MAX, is_id};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The path of carriers on a POP.
const CARRIER_PATH: &str = "/ws/node";

/// The longest vendor or version, in characters.
const WORD_MAX: usize = 64;

/// The most POPs that an edge can rule out: it leaves few at a time.
const EXCLUDED_MAX: usize = 16;

/// What an edge says about itself. More may follow; unknown parameters are ignored, so that newer
/// edges can ask older managers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Joining {
    /// The node's id: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    #[param(value_type = words::Id, inline)]
    nodeid: String,
    /// Who made the node; no rule looks at it yet.
    #[param(max_length = 64)]
    vendor: Option<String>,
    /// The node's version.
    #[param(max_length = 64)]
    version: Option<String>,
    /// The POP that it has a tunnel to: it needs another token for that one, draining or not.
    #[param(value_type = Option<words::Id>, inline)]
    pop: Option<String>,
    /// Ids of POPs that it leaves, at most 16, with commas.
    #[param(
        max_length = 1039,
        pattern = "^[A-Za-z0-9._-]{1,64}(,[A-Za-z0-9._-]{1,64}){0,15}$"
    )]
    exclude: Option<String>,
}

/// Where to connect, and what to show there.
#[derive(Serialize, ToSchema)]
pub(super) struct Assignment {
    server_url: String,
    access_token: String,
    pop_id: String,
    expires_at: u64,
    /// For how many seconds the token is good.
    expires_in: u64,
    /// Which step of the allocation chose the POP.
    chosen_by: &'static str,
}

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    let declare = |path, id| {
        Operation::new(
            Method::Get,
            path,
            id,
            "Tells an edge which POP to connect to, with a token for it",
            Access::Join,
        )
        .or(&[ApiCode::NoPop, ApiCode::Blacklisted])
    };
    routes
        .look(declare("/node/pop", "legacy.node.pop").legacy(), assign)
        .look(declare("/v1/node/pop", "node.pop"), assign)
}

async fn assign<E: Env, S: Store>(
    call: Call<E, S>,
    Query(joining): Query<Joining>,
) -> Result<Json<Assignment>, Problem> {
    let api = &call.api;
    if !is_id(&joining.nodeid) {
        return Err(Problem::bad_request(format!("nodeid must be {ID_FORM}")));
    }
    if [&joining.vendor, &joining.version]
        .into_iter()
        .flatten()
        .any(|word| word.chars().count() > WORD_MAX)
    {
        return Err(Problem::bad_request(
            "vendor and version must be at most 64 characters",
        ));
    }
    if joining.pop.as_ref().is_some_and(|pop| !is_id(pop)) {
        return Err(Problem::bad_request(format!("pop must be {ID_FORM}")));
    }
    let excluded: Vec<&str> = match &joining.exclude {
        Some(ids) => ids.split(',').collect(),
        None => Vec::new(),
    };
    if excluded.len() > EXCLUDED_MAX || !excluded.iter().all(|id| is_short(id)) {
        return Err(Problem::bad_request(format!(
            "exclude must be at most {EXCLUDED_MAX} ids of POPs with commas, each 1 to {ID_MAX} of A-Z a-z 0-9 . _ -"
        )));
    }
    let asking = Asking {
        node: &joining.nodeid,
        source: call.source,
        tunnel: joining.pop.as_deref(),
        excluded: &excluded,
    };
    let (pop, step) = super::allocate::allocate(api, &asking).await?;
    let now = api.env.unix_time().as_secs();
    let lifetime = api.config.node_token_lifetime;
    let (node, chosen_by) = (&joining.nodeid, step.name());
    tracing::debug!(node, pop = pop.id, chosen_by, "node sent to a POP");
    let signer = api.signing.signer();
    let access_token = match step {
        // POPs know the blacklists; this one is to let it in all the same.
        Step::Blacklist => signer.issue_confined(node, &pop.id, now, lifetime),
        Step::Tunnel | Step::Sticky | Step::LeastLoaded | Step::Default => {
            signer.issue(node, &pop.id, now, lifetime)
        }
    };
    Ok(Json(Assignment {
        server_url: carrier_url(&pop.url),
        access_token,
        pop_id: pop.id,
        expires_at: now.saturating_add(lifetime.as_secs()),
        expires_in: lifetime.as_secs(),
        chosen_by,
    }))
}

/// Returns whether `id` has the length and the characters of an id. Whether a letter or digit is among them does not
/// matter for what is only ruled out, and could not be said of each in a pattern.
fn is_short(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(fits)
}

fn carrier_url(url: &str) -> String {
    format!("{}{CARRIER_PATH}", url.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::carrier_url;

    #[test]
    fn carriers_have_their_path() {
        for url in ["wss://pop:1", "wss://pop:1/"] {
            assert_eq!(carrier_url(url), "wss://pop:1/ws/node");
        }
    }
}
