//! Admin tokens and the audit log.

use super::NOW;
use crate::store::{
    AUDIT_RECORD_MAX, AdminToken, AuditHead, BrokenChain, NewAudit, Page, Role, Store, StoreError,
};

pub(super) async fn all<S: Store>(open: &mut impl FnMut() -> (S, S)) {
    tokens_are_found_by_hash(open()).await;
    the_audit_chain_holds(open()).await;
    two_append_to_one_chain(open()).await;
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

async fn tokens_are_found_by_hash<S: Store>((a, b): (S, S)) {
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

fn act(subject: &str) -> NewAudit {
    NewAudit {
        at: NOW,
        actor: "token-1".to_owned(),
        source: "192.0.2.1".to_owned(),
        action: "user.create".to_owned(),
        subject: subject.to_owned(),
        detail: r#"{"é":"\n"}"#.to_owned(),
    }
}

async fn the_audit_chain_holds<S: Store>((a, b): (S, S)) {
    assert_eq!(a.audit_head().await.unwrap(), AuditHead::EMPTY);
    assert_eq!(a.audit(0, 9).await.unwrap(), []);
    for subject in ["a", "b", "c", "d", "e"] {
        let record = a.audit_append(act(subject)).await.unwrap();
        assert_eq!(record.act, act(subject));
    }
    let mut records = b.audit(0, 2).await.unwrap();
    assert_eq!(records.len(), 2);
    records.extend(b.audit(2, 99).await.unwrap());
    let places: Vec<_> = records.iter().map(|record| record.seq).collect();
    assert_eq!(places, [1, 2, 3, 4, 5]);
    let mut head = AuditHead::EMPTY;
    head.verify(&records).unwrap();
    assert_eq!(head, b.audit_head().await.unwrap());
    assert_eq!(b.audit(5, 9).await.unwrap(), []);

    let broken = |change: fn(&mut Vec<crate::store::AuditRecord>)| {
        let mut records = records.clone();
        change(&mut records);
        let mut head = AuditHead::EMPTY;
        head.verify(&records)
    };
    assert_eq!(
        broken(|records| records[2].act.actor.push('x')),
        Err(BrokenChain { at: 3 })
    );
    assert_eq!(
        broken(|records| drop(records.remove(1))),
        Err(BrokenChain { at: 2 })
    );
    assert_eq!(
        broken(|records| records.swap(3, 4)),
        Err(BrokenChain { at: 4 })
    );
    assert_eq!(
        broken(|records| records[4].hash[0] ^= 1),
        Err(BrokenChain { at: 5 })
    );
    // A byte that moves from one text to the next is seen.
    let moved = broken(|records| {
        let act = &mut records[0].act;
        act.source.insert(0, act.actor.pop().unwrap());
    });
    assert_eq!(moved, Err(BrokenChain { at: 1 }));

    let mut long = act("x");
    long.detail = "x".repeat(AUDIT_RECORD_MAX);
    assert_eq!(a.audit_append(long).await, Err(StoreError::TooLarge));
}

async fn two_append_to_one_chain<S: Store>((a, b): (S, S)) {
    let append = |store: S, who: &'static str| async move {
        for _ in 0..20 {
            store.audit_append(act(who)).await.unwrap();
        }
    };
    let (one, two) = (
        tokio::spawn(append(a.clone(), "a")),
        tokio::spawn(append(b, "b")),
    );
    one.await.unwrap();
    two.await.unwrap();
    let records = a.audit(0, 99).await.unwrap();
    assert_eq!(records.len(), 40);
    let mut head = AuditHead::EMPTY;
    head.verify(&records).unwrap();
    assert_eq!(head, a.audit_head().await.unwrap());
}
