//! The record of administrative acts.

use super::NOW;
use crate::store::{AUDIT_RECORD_MAX, AuditHead, AuditLog, BrokenChain, NewAudit, StoreError};

pub(super) async fn all<S: AuditLog>(open: &mut impl FnMut() -> (S, S)) {
    the_audit_chain_holds(open()).await;
    two_append_to_one_chain(open()).await;
}

/// An act as the tests record it.
pub(crate) fn act(subject: &str) -> NewAudit {
    NewAudit {
        at: NOW,
        actor: "token-1".to_owned(),
        source: "192.0.2.1".to_owned(),
        action: "user.create".to_owned(),
        subject: subject.to_owned(),
        detail: r#"{"é":"\n"}"#.to_owned(),
    }
}

async fn the_audit_chain_holds<S: AuditLog>((a, b): (S, S)) {
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

async fn two_append_to_one_chain<S: AuditLog>((a, b): (S, S)) {
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
