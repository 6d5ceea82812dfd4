//! Admin tokens as hashes.

use super::reply::{Fields, array, fields, from_hex, malformed, number, take, take_number, to_hex};
use super::{Redis, begin};
use crate::store::changes::encode_change;
use crate::store::word::{from_word, word};
use crate::store::{AdminToken, Change, Listing, Page, StoreError, Tokens};

impl Tokens for Redis {
    async fn create_token(&self, token: AdminToken) -> Result<(), StoreError> {
        let pairs = encode_token(&token);
        let told = token_changed(&token.id);
        let args = (token.id, to_hex(&token.hash), told, pairs);
        self.keep_once(script!("token_create"), args)
            .await
            .map(drop)
    }

    async fn token(&self, hash: [u8; 32]) -> Result<Option<AdminToken>, StoreError> {
        let hash = to_hex(&hash);
        token(fields(self.run(script!("token"), hash).await?)?)
    }

    async fn tokens(&self, page: Page) -> Result<Listing<AdminToken>, StoreError> {
        let limit = page.len_max();
        let found = self
            .run(script!("token_list"), (begin(&page), limit + 1))
            .await?;
        let all = array(found)?
            .into_iter()
            .map(|one| token(fields(one)?)?.ok_or_else(malformed))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Listing::cut(all, limit, |token| &token.id))
    }

    async fn revoke_token(&self, id: &str, at: u64) -> Result<Option<AdminToken>, StoreError> {
        let args = (id, at, token_changed(id));
        token(fields(self.keep(script!("token_revoke"), args).await?)?)
    }
}

fn token_changed(id: &str) -> String {
    let id = id.to_owned();
    encode_change(&Change::Token { id })
}

fn encode_token(token: &AdminToken) -> Vec<(&'static str, String)> {
    let mut pairs = vec![
        ("name", token.name.clone()),
        ("role", word(token.role)),
        ("created_at", token.created_at.to_string()),
        ("created_by", token.created_by.clone()),
    ];
    let optional = [
        ("expires_at", token.expires_at),
        ("revoked_at", token.revoked_at),
    ];
    for (field, value) in optional {
        pairs.extend(value.map(|value| (field, value.to_string())));
    }
    pairs
}

/// None if there is nothing.
fn token(mut all: Fields) -> Result<Option<AdminToken>, StoreError> {
    if all.is_empty() {
        return Ok(None);
    }
    let all = &mut all;
    Ok(Some(AdminToken {
        id: take(all, "id")?,
        hash: from_hex(&take(all, "hash")?)?,
        name: take(all, "name")?,
        role: from_word(take(all, "role")?).map_err(|_| malformed())?,
        created_at: number(&take(all, "created_at")?)?,
        created_by: take(all, "created_by")?,
        expires_at: take_number(all, "expires_at")?,
        revoked_at: take_number(all, "revoked_at")?,
    }))
}
