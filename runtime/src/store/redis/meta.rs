//! Shared values as a hash.

use super::Redis;
use super::reply::{count, optional};
use crate::store::{META_MAX, Meta, StoreError};

impl Meta for Redis {
    async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        optional(self.run(script!("meta"), key).await?)
    }

    async fn swap_meta(
        &self,
        key: &str,
        expected: Option<String>,
        value: String,
    ) -> Result<bool, StoreError> {
        if value.len() > META_MAX {
            return Err(StoreError::TooLarge);
        }
        let known = if expected.is_some() { "1" } else { "" };
        let args = (key, known, expected.unwrap_or_default(), value);
        Ok(count(self.keep_once(script!("swap_meta"), args).await?)? == 1)
    }
}
