//! The public keys of all managers, as they stand in the store.
//!
//! Each manager has a key of its own, which never leaves its host, and keeps its public half here; POPs
//! accept what any of them signed. A manager has one key: a new one takes the place of the old one at once.
//! A key that was revoked stays in the list as such, so that nobody puts it there again; the last of them do.

use super::{TokenError, Verifier};
use crate::store::{META_NODE_TOKEN_KEYS, Meta, StoreError};
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// The most keys kept: more managers than anybody runs. Beyond, the one that is good for the shortest
/// goes.
const KEYS_MAX: usize = 64;

/// The most revoked keys remembered, in the order in which they were revoked: no clock is asked. Beyond, the
/// first goes.
const REVOKED_MAX: usize = 64;

/// For how long a key is good beyond the tokens that are signed with it now: until it must have been
/// renewed.
const MARGIN: u64 = 2 * 3_600;

/// How often another manager may be quicker to write the keys before that counts as failure.
const ATTEMPTS: usize = 16;

/// Public keys and until when they are good.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyRing(Vec<ManagerKey>);

/// The public key of a manager.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ManagerKey {
    /// Whose it is; none of managers that have not said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// 64 hexadecimal digits.
    pub key: String,
    /// Until when it is good, in Unix seconds; 0 once it is revoked, so that daemons which do not know of that
    /// refuse it too.
    pub until: u64,
    /// When it was revoked, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<u64>,
}

impl KeyRing {
    /// Keeps the key of a manager in the store, instead of the one it had before, for tokens that are signed from `now` (Unix seconds) on and are good for
    /// `lifetime`. Costs a look if that is known. Keys whose time is over are taken out. False if the key was
    /// revoked: the manager needs another.
    ///
    /// # Errors
    /// Fails as the store does.
    pub async fn publish<S: Meta>(
        store: &S,
        manager: &str,
        key: &str,
        now: u64,
        lifetime: Duration,
    ) -> Result<bool, StoreError> {
        let needed = now.saturating_add(lifetime.as_secs());
        for _ in 0..ATTEMPTS {
            let found = store.meta(META_NODE_TOKEN_KEYS).await?;
            let mut ring = found.as_deref().map_or_else(Self::default, Self::decode);
            if ring.0.iter().any(|entry| entry.is_revoked(key)) {
                return Ok(false);
            }
            if ring.is_only(manager, key, needed.saturating_add(MARGIN / 2)) {
                return Ok(true);
            }
            ring.add(manager, key, now, needed.saturating_add(MARGIN));
            let value = ring.encode();
            if store.swap_meta(META_NODE_TOKEN_KEYS, found, value).await? {
                return Ok(true);
            }
        }
        Err(too_many())
    }

    /// Revokes a key at `now` (Unix seconds), for good, and returns it; none if there is none such. Repeating it
    /// changes nothing, and is answered as the first time: when the store keeps it.
    ///
    /// # Errors
    /// Fails as the store does.
    pub async fn revoke<S: Meta>(
        store: &S,
        key: &str,
        now: u64,
    ) -> Result<Option<ManagerKey>, StoreError> {
        for _ in 0..ATTEMPTS {
            let found = store.meta(META_NODE_TOKEN_KEYS).await?;
            let mut ring = found.as_deref().map_or_else(Self::default, Self::decode);
            let Some(revoked) = ring.take_out(key, now) else {
                return Ok(None);
            };
            // Also if it was revoked before: that may have been left without a replica that has it.
            let value = ring.encode();
            if store.swap_meta(META_NODE_TOKEN_KEYS, found, value).await? {
                return Ok(Some(revoked));
            }
        }
        Err(too_many())
    }

    /// Reads the keys from the store; none while no manager has put any there.
    ///
    /// # Errors
    /// Fails as the store does.
    pub async fn read<S: Meta>(store: &S) -> Result<Self, StoreError> {
        let found = store.meta(META_NODE_TOKEN_KEYS).await?;
        Ok(found.as_deref().map_or_else(Self::default, Self::decode))
    }

    /// Returns verifiers for the keys that are good at `now` (Unix seconds). What is no key is left out.
    #[must_use]
    pub fn verifiers(&self, now: u64) -> Vec<Verifier> {
        let good = self.0.iter().filter(|entry| entry.until > now);
        let verifiers = good.map(|entry| Verifier::new(&entry.key));
        verifiers.filter_map(Result::<_, TokenError>::ok).collect()
    }

    /// Returns whether this key was revoked.
    #[must_use]
    pub fn has_revoked(&self, key: &Verifier) -> bool {
        let key = key.public_key();
        self.0.iter().any(|entry| entry.is_revoked(&key))
    }

    /// Returns the keys that are good at `now` (Unix seconds), and those that were revoked.
    #[must_use]
    pub fn into_keys(self, now: u64) -> Vec<ManagerKey> {
        let mut keys = self.0;
        keys.retain(|entry| entry.until > now || entry.revoked_at.is_some());
        keys
    }

    /// Whether a manager has this key until then, and no other.
    fn is_only(&self, manager: &str, key: &str, until: u64) -> bool {
        let mut own = self.0.iter().filter(|entry| entry.is_of(manager, key));
        own.next().is_some_and(|entry| {
            let is_named = entry.manager.as_deref() == Some(manager);
            is_named && entry.key == key && entry.until >= until
        }) && own.next().is_none()
    }

    fn add(&mut self, manager: &str, key: &str, now: u64, until: u64) {
        let all = core::mem::take(&mut self.0);
        let (revoked, mut good): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|entry| entry.revoked_at.is_some());
        good.retain(|entry| entry.until > now && !entry.is_of(manager, key));
        good.sort_by_key(|entry| core::cmp::Reverse(entry.until));
        good.truncate(KEYS_MAX - 1);
        good.push(ManagerKey {
            manager: Some(manager.to_owned()),
            key: key.to_owned(),
            until,
            revoked_at: None,
        });
        good.extend(revoked);
        self.0 = good;
    }

    /// Revokes a key, unless it is already, and returns it.
    fn take_out(&mut self, key: &str, now: u64) -> Option<ManagerKey> {
        let index = self.0.iter().position(|entry| entry.key == key)?;
        if self.0[index].revoked_at.is_some() {
            return Some(self.0[index].clone());
        }
        let revoked = ManagerKey {
            until: 0,
            revoked_at: Some(now),
            ..self.0.remove(index)
        };
        self.0.push(revoked.clone());
        self.forget_revoked();
        Some(revoked)
    }

    /// Forgets the key that was revoked first, if there are more than are remembered.
    fn forget_revoked(&mut self) {
        let is_revoked = |entry: &ManagerKey| entry.revoked_at.is_some();
        if self.0.iter().filter(|entry| is_revoked(entry)).count() > REVOKED_MAX {
            let first = self.0.iter().position(is_revoked);
            self.0.remove(first.expect("it was counted a moment ago"));
        }
    }

    /// What cannot be read is as good as nothing: managers write it again.
    fn decode(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    fn encode(&self) -> String {
        serde_json::to_string(self).expect("keys are texts and numbers")
    }
}

impl ManagerKey {
    /// Whether it is what this manager has, or had, unless it was revoked.
    fn is_of(&self, manager: &str, key: &str) -> bool {
        let is_of = self.key == key || self.manager.as_deref() == Some(manager);
        is_of && self.revoked_at.is_none()
    }

    fn is_revoked(&self, key: &str) -> bool {
        self.key == key && self.revoked_at.is_some()
    }
}

fn too_many() -> StoreError {
    StoreError::unavailable("too many write the keys of managers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Embedded, Location, Mode};
    use crate::token::Signer;

    const NOW: u64 = 1_700_000_000;
    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn store() -> Embedded {
        Embedded::open(&Location::Memory, Mode::Inline).unwrap()
    }

    async fn good(store: &Embedded, now: u64) -> usize {
        KeyRing::read(store).await.unwrap().verifiers(now).len()
    }

    #[tokio::test]
    async fn each_manager_keeps_its_key_while_it_lives() {
        let store = store();
        assert_eq!(good(&store, NOW).await, 0);
        let signers = [Signer::from_seed([1; 32]), Signer::from_seed([2; 32])];
        for (signer, manager) in signers.iter().zip(["m1", "m2"]) {
            let key = signer.public_key();
            KeyRing::publish(&store, manager, &key, NOW, DAY)
                .await
                .unwrap();
        }
        let verifiers = KeyRing::read(&store).await.unwrap().verifiers(NOW);
        for signer in &signers {
            let token = signer.issue("n", "p", NOW, DAY);
            let by = |verifier: &&Verifier| verifier.verify(&token, NOW).is_ok();
            assert_eq!(verifiers.iter().filter(by).count(), 1);
        }
        // One goes on; what the other has signed is good to the end.
        let end = NOW + DAY.as_secs();
        KeyRing::publish(&store, "m1", &signers[0].public_key(), end, DAY)
            .await
            .unwrap();
        assert_eq!(good(&store, end).await, 2);
        assert_eq!(good(&store, end + MARGIN).await, 1);
        let later = end + MARGIN;
        KeyRing::publish(&store, "m1", &signers[0].public_key(), later, DAY)
            .await
            .unwrap();
        assert_eq!(KeyRing::read(&store).await.unwrap().0.len(), 1);
    }

    #[tokio::test]
    async fn what_is_known_is_not_written_again_and_what_is_no_ring_is_replaced() {
        let store = store();
        let broken = "no ring".to_owned();
        let set = store.swap_meta(META_NODE_TOKEN_KEYS, None, broken).await;
        assert_eq!(set, Ok(true));
        let key = Signer::from_seed([1; 32]).public_key();
        KeyRing::publish(&store, "m1", &key, NOW, DAY)
            .await
            .unwrap();
        let first = store.meta(META_NODE_TOKEN_KEYS).await.unwrap();
        assert_eq!(good(&store, NOW).await, 1);
        KeyRing::publish(&store, "m1", &key, NOW + 1_800, DAY)
            .await
            .unwrap();
        assert_eq!(store.meta(META_NODE_TOKEN_KEYS).await.unwrap(), first);
        KeyRing::publish(&store, "m1", &key, NOW + 4_000, DAY)
            .await
            .unwrap();
        assert_ne!(store.meta(META_NODE_TOKEN_KEYS).await.unwrap(), first);
    }

    #[tokio::test]
    async fn a_new_key_of_a_manager_takes_the_place_of_the_old_one() {
        let store = store();
        let signers = [1, 2, 3].map(|seed| Signer::from_seed([seed; 32]));
        let publish = async |manager: &str, signer: &Signer| {
            let key = signer.public_key();
            KeyRing::publish(&store, manager, &key, NOW, DAY)
                .await
                .unwrap();
        };
        publish("m1", &signers[0]).await;
        publish("m2", &signers[1]).await;
        publish("m1", &signers[2]).await;
        let verifiers = KeyRing::read(&store).await.unwrap().verifiers(NOW);
        let good = signers.map(|signer| {
            let token = signer.issue("n", "p", NOW, DAY);
            let by = |verifier: &Verifier| verifier.verify(&token, NOW).is_ok();
            verifiers.iter().any(by)
        });
        assert_eq!(good, [false, true, true]);
    }

    #[tokio::test]
    async fn a_revoked_key_is_out_and_stays_out_whoever_publishes_it() {
        let store = store();
        let [one, two, three] = [1, 2, 3].map(|seed| Signer::from_seed([seed; 32]));
        let publish = async |manager: &str, signer: &Signer| {
            let key = signer.public_key();
            KeyRing::publish(&store, manager, &key, NOW, DAY).await
        };
        let is_good = async |signer: &Signer| {
            let token = signer.issue("n", "p", NOW, DAY);
            let verifiers = KeyRing::read(&store).await.unwrap().verifiers(NOW);
            verifiers.iter().any(|key| key.verify(&token, NOW).is_ok())
        };
        assert_eq!(publish("m1", &one).await, Ok(true));
        assert_eq!(publish("m2", &two).await, Ok(true));
        assert!(is_good(&one).await && is_good(&two).await);
        let revoke = async |at| KeyRing::revoke(&store, &two.public_key(), at).await;
        let revoked = revoke(NOW).await.unwrap().expect("it is there");
        assert_eq!(
            (revoked.manager.as_deref(), revoked.revoked_at),
            (Some("m2"), Some(NOW))
        );
        assert!(is_good(&one).await && !is_good(&two).await);
        // Neither does it come back, nor is it revoked a second time.
        assert_eq!(publish("m2", &two).await, Ok(false));
        assert_eq!(publish("m3", &two).await, Ok(false));
        assert_eq!(revoke(NOW + 9).await.unwrap(), Some(revoked));
        // A manager that lives has another.
        assert_eq!(publish("m2", &three).await, Ok(true));
        assert_eq!(publish("m1", &one).await, Ok(true));
        assert!(is_good(&one).await && is_good(&three).await && !is_good(&two).await);
        let ring = KeyRing::read(&store).await.unwrap();
        let verifier = |signer: &Signer| Verifier::new(&signer.public_key()).unwrap();
        assert!(ring.has_revoked(&verifier(&two)) && !ring.has_revoked(&verifier(&three)));
        assert_eq!(ring.into_keys(NOW + 1_000_000).len(), 1);
        let unknown = Signer::from_seed([9; 32]).public_key();
        assert_eq!(KeyRing::revoke(&store, &unknown, NOW).await, Ok(None));
    }

    #[tokio::test]
    async fn a_key_that_nobody_named_is_its_managers() {
        let store = store();
        let key = Signer::from_seed([1; 32]).public_key();
        let nameless = format!(r#"[{{"key":"{key}","until":{}}}]"#, NOW + 1_000_000);
        let set = store.swap_meta(META_NODE_TOKEN_KEYS, None, nameless).await;
        assert_eq!(set, Ok(true));
        assert_eq!(good(&store, NOW).await, 1);
        KeyRing::publish(&store, "m1", &key, NOW, DAY)
            .await
            .unwrap();
        assert_eq!(good(&store, NOW).await, 1);
        let other = Signer::from_seed([2; 32]).public_key();
        KeyRing::publish(&store, "m1", &other, NOW + 1, DAY)
            .await
            .unwrap();
        assert_eq!(good(&store, NOW).await, 1);
    }

    #[test]
    fn keys_are_bounded() {
        let mut ring = KeyRing::default();
        for index in 0..=KEYS_MAX as u64 {
            let name = index.to_string();
            ring.add(&name, &name, NOW, NOW + 1 + index);
        }
        assert_eq!(ring.0.len(), KEYS_MAX);
        assert!(!ring.is_only("0", "0", NOW) && ring.is_only("64", "64", NOW));
    }

    #[tokio::test]
    async fn the_last_revoked_keys_are_remembered_whatever_the_clock_says() {
        let store = store();
        let count = REVOKED_MAX as u64 + 1;
        let key = |index: u64| format!("{index:064}");
        // The clock goes back all the while.
        for (index, now) in (0..count).zip((0..=NOW).rev()) {
            let key = key(index);
            let published = KeyRing::publish(&store, &key, &key, NOW, DAY).await;
            assert_eq!(published, Ok(true));
            let revoked = KeyRing::revoke(&store, &key, now).await;
            assert!(revoked.unwrap().is_some());
            // It is out, and it is known as such.
            let again = KeyRing::publish(&store, &key, &key, NOW, DAY).await;
            assert_eq!(again, Ok(false), "{key}");
        }
        let keys = KeyRing::read(&store).await.unwrap().into_keys(NOW);
        let left = keys.into_iter().map(|key| key.key);
        assert!(left.eq((1..count).map(key)));
        let value = store.meta(META_NODE_TOKEN_KEYS).await.unwrap().unwrap();
        assert!(2 * value.len() < crate::store::META_MAX);
    }
}
