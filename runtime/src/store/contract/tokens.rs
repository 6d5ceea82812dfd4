//! Admin tokens.

use super::NOW;
use crate::store::{AdminToken, Page, Role, StoreError, Tokens};

pub(super) async fn all<S: Tokens>(open: &mut impl FnMut() -> (S, S)) {
    tokens_are_found_by_hash(open()).await;
}

fn token(id: &str, hash: u8) -> AdminToken {
    AdminToken {
        id: id.to_owned(),
        hash: [hash; 32],
        name: format!("token \"{id}\""),
        role: Role::Operator,
        created_at: NOW,
        created_by: "cli".to_owned(),
        expires_at: Some(NOW + 5),
        revoked_at: None,
    }
}

async fn tokens_are_found_by_hash<S: Tokens>((a, b): (S, S)) {
    assert_eq!(a.token([1; 32]).await.unwrap(), None);
    a.create_token(token("one", 1)).await.unwrap();
    let mut forever = token("two:", 2);
    (forever.expires_at, forever.role) = (None, Role::ReadOnly);
    a.create_token(forever.clone()).await.unwrap();
    for taken in [token("one", 3), token("three", 1)] {
        assert_eq!(b.create_token(taken).await, Err(StoreError::Exists));
    }
    assert_eq!(b.token([3; 32]).await.unwrap(), None);
    assert_eq!(b.token([1; 32]).await.unwrap(), Some(token("one", 1)));
    assert_eq!(b.token([2; 32]).await.unwrap(), Some(forever.clone()));
    assert_eq!(a.revoke_token("three", NOW).await.unwrap(), None);
    let revoked = a.revoke_token("one", NOW + 1).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(NOW + 1));
    // Once is for good.
    assert_eq!(
        a.revoke_token("one", NOW + 2).await.unwrap(),
        Some(revoked.clone())
    );
    assert_eq!(b.token([1; 32]).await.unwrap(), Some(revoked.clone()));
    let page = b.tokens(Page::first(1)).await.unwrap();
    assert_eq!(
        (&page.items[..], page.next.as_deref()),
        (&[revoked][..], Some("one"))
    );
    let rest = Page {
        after: page.next,
        limit: 1,
    };
    let rest = b.tokens(rest).await.unwrap();
    assert_eq!((&rest.items[..], rest.next), (&[forever][..], None));
    assert!(token("x", 9).is_good(NOW + 4) && !token("x", 9).is_good(NOW + 5));
}
