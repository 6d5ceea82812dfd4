//! Admin tokens: `/v1/tokens`; and the keys by which managers sign node tokens: `/v1/keys`.

use super::access::BOOTSTRAP;
use super::answer::{Created, Json};
use super::input::Act;
use super::input::{Body, Name, Paging, Query};
use super::operation::{Access, Method, Operation};
use super::problem::{ApiCode, Problem};
use super::routes::{Call, Routes};
use crate::env::Env;
use crate::store::{AdminToken, COUNT_MAX, Role, Store};
use crate::token::{KeyRing, ManagerKey, Secret};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

/// What every token begins with, so that people and scanners see what it is.
const PREFIX: &str = "titan_";

/// How many hexadecimal digits an id has.
const ID_DIGITS: usize = 16;

/// The longest name of a token, in characters.
const NAME_MAX: usize = 64;

/// What the bearer of a token may do.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = Role)]
pub(super) enum RoleView {
    /// Look.
    ReadOnly,
    /// Look, and change users, nodes and blacklists.
    Operator,
    /// Everything, tokens included.
    Admin,
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenCreation {
    /// What people call it; no control characters.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    name: String,
    role: RoleView,
    /// From when on it is no longer good, in Unix seconds; in the future.
    #[schema(maximum = 9_007_199_254_740_991u64)]
    expires_at: Option<u64>,
}

/// A token, without the secret.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenView {
    id: String,
    name: String,
    role: RoleView,
    created_at: u64,
    /// The id of the token by which it was made.
    created_by: String,
    expires_at: Option<u64>,
    revoked_at: Option<u64>,
    /// The token itself; only in the answer to its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenPage {
    tokens: Vec<TokenView>,
    next_cursor: Option<String>,
}

/// Who asks.
#[derive(Serialize, ToSchema)]
pub(super) struct CallerView {
    /// The token's id; `admin.token` for the one in the manager's data directory.
    id: String,
    role: RoleView,
    /// The address that the manager sees.
    source: String,
}

/// The public key of a manager.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub(super) struct KeyView {
    /// 64 hexadecimal digits, as in the manager's `node-token.pub`.
    key: String,
    /// Whose it is: the first 32 characters of its `manager.id`. Null of managers that have not said so.
    manager: Option<String>,
    /// Whether it is the one of the manager that answers.
    own: bool,
    /// Until when it is good if its manager does not renew it, in Unix seconds; null if it was revoked.
    until: Option<u64>,
    /// When it was revoked, in Unix seconds; null if it was not.
    revoked_at: Option<u64>,
}

/// The keys that are good, and the last 64 that were revoked.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyList {
    keys: Vec<KeyView>,
}

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    const ADMIN: Access = Access::Role(Role::Admin);
    routes
        .look(
            Operation::new(
                Method::Get,
                "/v1/tokens",
                "token.list",
                "Lists admin tokens",
                ADMIN,
            ),
            list,
        )
        .act(
            Operation::new(
                Method::Post,
                "/v1/tokens",
                "token.create",
                "Makes an admin token and shows it this once",
                ADMIN,
            )
            .or(&[ApiCode::TokenExists, ApiCode::Conflict]),
            create,
        )
        .act(
            Operation::new(
                Method::Delete,
                "/v1/tokens/{token_id}",
                "token.revoke",
                "Revokes an admin token, for good",
                ADMIN,
            )
            .or(&[ApiCode::BadRequest]),
            revoke,
        )
        .look(
            Operation::new(
                Method::Get,
                "/v1/whoami",
                "token.show",
                "Shows whose token this is",
                Access::Role(Role::ReadOnly),
            ),
            show,
        )
        .look(
            Operation::new(
                Method::Get,
                "/v1/keys",
                "key.list",
                "Lists the keys by which managers sign node tokens",
                Access::Role(Role::ReadOnly),
            ),
            list_keys,
        )
        .act(
            Operation::new(
                Method::Delete,
                "/v1/keys/{key}",
                "key.revoke",
                "Revokes the key of a manager, for good",
                ADMIN,
            ),
            revoke_key,
        )
}

async fn list<E: Env, S: Store>(
    call: Call<E, S>,
    Query(paging): Query<Paging>,
) -> Result<Json<TokenPage>, Problem> {
    let listing = call.api.store.tokens(paging.page()?).await?;
    let tokens = listing.items.into_iter().map(TokenView::from).collect();
    Ok(Json(TokenPage {
        tokens,
        next_cursor: listing.next,
    }))
}

async fn create<E: Env, S: Store>(
    call: Call<E, S>,
    Body(creation, ..): Body<TokenCreation>,
) -> Result<Created<TokenView>, Problem> {
    let api = &call.api;
    let now = api.env.unix_time().as_secs();
    let name = creation.name;
    if !(1..=NAME_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!(
            "name must be 1 to {NAME_MAX} characters without control characters"
        )));
    }
    if creation.expires_at.is_some_and(|at| at > COUNT_MAX) {
        let what = format!("expires_at must be at most {COUNT_MAX}");
        return Err(Problem::bad_request(what));
    }
    if creation.expires_at.is_some_and(|at| at <= now) {
        return Err(Problem::conflict("expires_at must be in the future"));
    }
    let secret = format!("{PREFIX}{}", Secret::from_random(api.env.seed()).expose());
    let mut id = Secret::from_random(api.env.seed()).expose().to_owned();
    id.truncate(ID_DIGITS);
    let token = AdminToken {
        id,
        hash: Sha256::digest(&secret).into(),
        name,
        role: creation.role.into(),
        created_at: now,
        created_by: call.caller.map_or_else(String::new, |caller| caller.id),
        expires_at: creation.expires_at,
        revoked_at: None,
    };
    let created = api.store.create_token(token.clone()).await;
    created.map_err(Problem::creating(ApiCode::TokenExists))?;
    let view = TokenView {
        token: Some(secret),
        ..token.into()
    };
    Ok(Created(format!("/v1/tokens/{}", view.id), view))
}

async fn revoke<E: Env, S: Store>(
    call: Call<E, S>,
    Name(id): Name,
) -> Result<Json<TokenView>, Problem> {
    if id == BOOTSTRAP {
        return Err(Problem::bad_request(
            "this token is a file in the manager's data directory: replace the file and start the \
             manager anew",
        ));
    }
    let now = call.api.env.unix_time().as_secs();
    let token = call.api.store.revoke_token(&id, now).await?;
    let token = token.ok_or_else(|| Problem::unknown("token", &id))?;
    Ok(Json(token.into()))
}

async fn show<E: Env, S: Store>(call: Call<E, S>, (): ()) -> Result<Json<CallerView>, Problem> {
    let caller = call.caller.ok_or_else(|| Problem::bad_request("no token"));
    let caller = core::future::ready(caller).await?;
    Ok(Json(CallerView {
        id: caller.id,
        role: caller.role.into(),
        source: call.source.to_string(),
    }))
}

async fn list_keys<E: Env, S: Store>(call: Call<E, S>, (): ()) -> Result<Json<KeyList>, Problem> {
    let api = &call.api;
    let ring = KeyRing::read(&api.store).await?;
    let keys = ring.into_keys(api.env.unix_time().as_secs());
    let own = api.signing.signer().public_key();
    let keys = keys.into_iter().map(|key| KeyView::new(key, &own));
    Ok(Json(KeyList {
        keys: keys.collect(),
    }))
}

/// Revokes a key: POPs refuse what it signed within two seconds. Its manager, if it lives, makes another.
async fn revoke_key<E: Env, S: Store>(
    call: Call<E, S>,
    Name(key): Name,
) -> Result<Json<KeyView>, Problem> {
    let api = &call.api;
    let own = api.signing.signer().public_key();
    let now = api.env.unix_time().as_secs();
    let revoked = KeyRing::revoke(&api.store, &key, now).await?;
    let revoked = revoked.ok_or_else(|| Problem::unknown("key", &key))?;
    api.signing.key_was_revoked();
    Ok(Json(KeyView::new(revoked, &own)))
}

impl Act for TokenCreation {
    fn subject(&self) -> String {
        self.name.clone()
    }
}

impl KeyView {
    fn new(key: ManagerKey, own: &str) -> Self {
        Self {
            own: key.key == own,
            key: key.key,
            manager: key.manager,
            until: key.revoked_at.is_none().then_some(key.until),
            revoked_at: key.revoked_at,
        }
    }
}

impl From<AdminToken> for TokenView {
    fn from(token: AdminToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            role: token.role.into(),
            created_at: token.created_at,
            created_by: token.created_by,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            token: None,
        }
    }
}

impl From<Role> for RoleView {
    fn from(role: Role) -> Self {
        match role {
            Role::ReadOnly => Self::ReadOnly,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Admin,
        }
    }
}

impl From<RoleView> for Role {
    fn from(role: RoleView) -> Self {
        match role {
            RoleView::ReadOnly => Self::ReadOnly,
            RoleView::Operator => Self::Operator,
            RoleView::Admin => Self::Admin,
        }
    }
}
