//! Small values that all daemons share.

use crate::store::{META_MAX, Meta, StoreError};

pub(super) async fn all<S: Meta>(open: &mut impl FnMut() -> (S, S)) {
    meta_is_shared(open()).await;
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
