//! Small values that all daemons share.

use super::NOW;
use crate::store::{META_MAX, Meta, StoreError};
use crate::token::{KeyRing, Signer};
use core::time::Duration;

pub(super) async fn all<S: Meta>(open: &mut impl FnMut() -> (S, S)) {
    meta_is_shared(open()).await;
    a_revoked_key_is_out_for_all(open()).await;
}

async fn meta_is_shared<S: Meta>((a, b): (S, S)) {
    assert_eq!(a.meta("key").await.unwrap(), None);
    let swap = async |store: &S, expected: Option<&str>, value: &str| {
        let expected = expected.map(str::to_owned);
        store.swap_meta("key", expected, value.to_owned()).await
    };
    assert_eq!(swap(&a, None, "one").await, Ok(true));
    assert_eq!(swap(&a, Some("one"), "two").await, Ok(true));
    assert_eq!(b.meta("key").await.unwrap().as_deref(), Some("two"));
    assert_eq!(swap(&a, None, "three").await, Ok(false));
    assert_eq!(swap(&a, Some("one"), "three").await, Ok(false));
    assert_eq!(swap(&a, Some("two"), "three").await, Ok(true));
    assert_eq!(swap(&b, Some("two"), "four").await, Ok(false));
    assert_eq!(b.meta("key").await.unwrap().as_deref(), Some("three"));
    let long = "x".repeat(META_MAX + 1);
    assert_eq!(
        swap(&b, Some("three"), &long).await,
        Err(StoreError::TooLarge)
    );
    assert_eq!(a.meta("key").await.unwrap().as_deref(), Some("three"));
    let first = |store: S| async move { store.swap_meta("new", None, "x".to_owned()).await };
    assert_eq!(first(a.clone()).await, Ok(true));
    assert_eq!(first(b).await, Ok(false));
}

async fn a_revoked_key_is_out_for_all<S: Meta>((a, b): (S, S)) {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let signers = [1, 2].map(|seed| Signer::from_seed([seed; 32]));
    let publish = async |store: &S, manager: &str, signer: &Signer| {
        KeyRing::publish(store, manager, &signer.public_key(), NOW, DAY).await
    };
    assert_eq!(publish(&a, "m1", &signers[0]).await, Ok(true));
    assert_eq!(publish(&b, "m2", &signers[1]).await, Ok(true));
    let stolen = signers[1].public_key();
    let revoked = KeyRing::revoke(&a, &stolen, NOW).await.unwrap();
    assert_eq!(revoked.unwrap().manager.as_deref(), Some("m2"));
    // Nor can it be brought back.
    assert_eq!(publish(&b, "m2", &signers[1]).await, Ok(false));
    let verifiers = KeyRing::read(&b).await.unwrap().verifiers(NOW);
    let good = signers.map(|signer| {
        let token = signer.issue("n", "p", NOW, DAY);
        verifiers.iter().any(|key| key.verify(&token, NOW).is_ok())
    });
    assert_eq!(good, [true, false]);
}
