//! The stream of changes, and orders in it.

use super::{NOW, user};
use crate::store::{
    Adjustment, AdjustmentKind, AdminToken, BlacklistEntry, CHANGES_KEPT, Change, Changes, Cursor,
    ORDER_MAX, Order, Role, Store, StoreError, Subject, UserChange,
};

pub(super) async fn all<S: Store>(open: &mut impl FnMut() -> (S, S)) {
    what_changes_is_told(open()).await;
    orders_reach_their_reader(open()).await;
    who_is_too_far_behind_reloads(open()).await;
}

/// Reads everything after a cursor in pieces.
async fn read<S: Store>(store: &S, mut cursor: Cursor) -> (Vec<Change>, Cursor) {
    let mut all = Vec::new();
    loop {
        let Changes {
            items,
            cursor: next,
            reload,
        } = store.changes(Some(cursor), 3).await.unwrap();
        assert!(!reload && items.len() <= 3);
        cursor = next;
        if items.is_empty() {
            return (all, cursor);
        }
        all.extend(items);
    }
}

async fn what_changes_is_told<S: Store>((a, b): (S, S)) {
    let first = b.changes(None, 9).await.unwrap();
    assert!(first.reload && first.items.is_empty());
    let (nothing, cursor) = read(&b, first.cursor.clone()).await;
    assert_eq!((nothing, &cursor), (Vec::new(), &first.cursor));

    a.create_user(user("ann")).await.unwrap();
    a.create_user(user("ann")).await.unwrap_err();
    a.change_user("ann", UserChange::default()).await.unwrap();
    a.change_user("bob", UserChange::default()).await.unwrap();
    let adjustment = Adjustment {
        id: "1".to_owned(),
        kind: AdjustmentKind::Reset,
    };
    a.adjust_user("ann", adjustment.clone()).await.unwrap();
    a.adjust_user("ann", adjustment).await.unwrap();
    a.delete_user("ann").await.unwrap();
    a.delete_user("ann").await.unwrap();
    let (told, cursor) = read(&b, cursor).await;
    let ann = || Change::User {
        name: "ann".to_owned(),
    };
    assert_eq!(told, [ann(), ann(), ann(), ann()]);

    let subject = Subject::Node("n".to_owned());
    let entry = BlacklistEntry {
        subject: subject.clone(),
        reason: String::new(),
        since: NOW,
    };
    for _ in 0..2 {
        a.blacklist_add(vec![entry.clone()]).await.unwrap();
    }
    for _ in 0..2 {
        a.blacklist_remove(vec![subject.clone()]).await.unwrap();
    }
    let token = AdminToken {
        id: "t".to_owned(),
        hash: [7; 32],
        name: String::new(),
        role: Role::Admin,
        created_at: NOW,
        created_by: String::new(),
        expires_at: None,
        revoked_at: None,
    };
    a.create_token(token).await.unwrap();
    for _ in 0..2 {
        a.revoke_token("t", NOW).await.unwrap();
    }
    let (told, _) = read(&b, cursor).await;
    let blacklist = |listed| Change::Blacklist {
        subject: subject.clone(),
        listed,
    };
    let token = || Change::Token { id: "t".to_owned() };
    assert_eq!(told, [blacklist(true), blacklist(false), token(), token()]);
    // Whoever begins now has nothing to catch up with.
    let late = a.changes(None, 9).await.unwrap();
    assert_eq!(read(&a, late.cursor).await.0, []);
}

async fn orders_reach_their_reader<S: Store>((a, b): (S, S)) {
    let cursor = b.changes(None, 9).await.unwrap().cursor;
    let orders = [
        Order::Kick {
            nodes: vec!["n".into(), "a:b".into()],
            retry_after: 60,
        },
        Order::KickIp {
            ip: "2001:db8::1".parse().unwrap(),
            retry_after: 0,
        },
        Order::Migrate {
            nodes: vec!["é\"".into()],
        },
    ];
    for order in &orders {
        a.order("p", NOW, order.clone()).await.unwrap();
    }
    let told = read(&b, cursor).await.0;
    let expected = orders.map(|order| Change::Order {
        pop: "p".to_owned(),
        at: NOW,
        order,
    });
    assert_eq!(told, expected);
    let long = Order::Migrate {
        nodes: vec!["x".repeat(ORDER_MAX)],
    };
    assert_eq!(a.order("p", NOW, long).await, Err(StoreError::TooLarge));
}

async fn who_is_too_far_behind_reloads<S: Store>((a, b): (S, S)) {
    let start = b.changes(None, 9).await.unwrap().cursor;
    let order = || Order::Migrate { nodes: Vec::new() };
    a.order("first", NOW, order()).await.unwrap();
    for index in 1..CHANGES_KEPT {
        a.order("p", NOW + index, order()).await.unwrap();
    }
    // Exactly as many as are kept: nothing is missing yet.
    let answer = b.changes(Some(start.clone()), 1).await.unwrap();
    assert!(!answer.reload);
    assert!(matches!(&answer.items[..], [Change::Order { pop, .. }] if pop == "first"));
    a.order("last", NOW, order()).await.unwrap();
    let answer = b.changes(Some(start.clone()), 1).await.unwrap();
    assert!(answer.reload && answer.items.is_empty());
    let (nothing, end) = read(&b, answer.cursor).await;
    assert_eq!(nothing, []);
    // Cursors of another run and from the future are no good either.
    for cursor in [
        Cursor {
            run: "another".to_owned(),
            ..end.clone()
        },
        Cursor {
            id: end.id + 1,
            ..end.clone()
        },
    ] {
        let answer = b.changes(Some(cursor), 9).await.unwrap();
        assert!(answer.reload);
        assert_eq!(answer.cursor, end);
    }
}
