//! Users and their settings.

use super::{NOW, user};
use crate::store::{
    COUNT_MAX, Page, RecordMode, ReplyMode, Route, RouteMode, StoreError, User, UserChange, Users,
};
use std::collections::BTreeSet;

pub(super) async fn all<S: Users>(open: &mut impl FnMut() -> (S, S)) {
    users_come_and_go(open()).await;
    users_change(open()).await;
    a_window_never_ends_before_it_starts(open()).await;
    every_setting_of_a_user_is_kept(open()).await;
    credential_versions_never_repeat(open()).await;
}

async fn users_come_and_go<S: Users>((a, b): (S, S)) {
    let mut new = user("ann");
    new.settings.expires_at = Some(NOW + 5);
    new.settings.reply = ReplyMode::Truthful;
    new.settings.records = RecordMode::On;
    let created = a.create_user(new.clone()).await.unwrap();
    assert_eq!(b.user("ann").await.unwrap(), Some(created.clone()));
    assert_eq!(created.password_hash, new.password_hash);
    assert_eq!((created.settings.enabled, created.created_at), (true, NOW));
    assert_eq!(
        (created.settings.expires_at, created.settings.reply),
        (Some(NOW + 5), ReplyMode::Truthful)
    );
    assert_eq!(created.settings.records, RecordMode::On);
    assert_eq!(b.create_user(user("ann")).await, Err(StoreError::Exists));
    assert_eq!(b.user("ann").await.unwrap(), Some(created));
    assert!(b.delete_user("ann").await.unwrap());
    assert!(!a.delete_user("ann").await.unwrap());
    assert_eq!(a.user("ann").await.unwrap(), None);
}

async fn users_change<S: Users>((a, b): (S, S)) {
    let before = a.create_user(user("ann")).await.unwrap();
    let off = UserChange {
        enabled: Some(false),
        ..UserChange::default()
    };
    let changed = b.change_user("ann", off).await.unwrap().unwrap();
    assert!(!changed.settings.enabled);
    assert_eq!(changed.credential_version, before.credential_version);
    let rest = UserChange {
        password_hash: Some("$other".to_owned()),
        expires_at: Some(Some(NOW)),
        reply: Some(ReplyMode::Truthful),
        records: Some(RecordMode::Off),
        ..UserChange::default()
    };
    let changed = b.change_user("ann", rest).await.unwrap().unwrap();
    assert_eq!(changed.id, before.id);
    assert_eq!(a.user("ann").await.unwrap(), Some(changed.clone()));
    assert!(changed.credential_version > before.credential_version);
    assert_eq!(
        (&*changed.password_hash, changed.settings.enabled),
        ("$other", false)
    );
    assert_eq!(
        (changed.settings.expires_at, changed.settings.reply),
        (Some(NOW), ReplyMode::Truthful)
    );
    assert_eq!(before.settings.records, RecordMode::Default);
    assert_eq!(changed.settings.records, RecordMode::Off);
    let forever = UserChange {
        expires_at: Some(None),
        ..UserChange::default()
    };
    assert_eq!(
        a.change_user("ann", forever)
            .await
            .unwrap()
            .unwrap()
            .settings
            .expires_at,
        None
    );
    assert_eq!(
        a.change_user("bob", UserChange::default()).await.unwrap(),
        None
    );
}

/// Also if two change one end each, at once.
async fn a_window_never_ends_before_it_starts<S: Users>((a, b): (S, S)) {
    let mut new = user("ann");
    (new.settings.starts_at, new.settings.expires_at) = (Some(NOW), Some(NOW));
    assert_eq!(a.create_user(new.clone()).await, Err(StoreError::Window));
    assert_eq!(b.user("ann").await.unwrap(), None);
    new.settings.expires_at = Some(NOW + 1);
    a.create_user(new).await.unwrap();
    let start = |at: Option<u64>| UserChange {
        starts_at: Some(at),
        ..UserChange::default()
    };
    let end = |at: Option<u64>| UserChange {
        expires_at: Some(at),
        ..UserChange::default()
    };
    assert!(a.change_user("ann", end(Some(NOW + 9))).await.is_ok());
    assert!(a.change_user("ann", start(Some(NOW + 8))).await.is_ok());
    let before = b.user("ann").await.unwrap();
    let mut both = end(Some(NOW + 8));
    (both.enabled, both.password_hash) = (Some(false), Some("$new".to_owned()));
    for change in [start(Some(NOW + 9)), both] {
        let refused = b.change_user("ann", change).await;
        assert_eq!(refused, Err(StoreError::Window));
        assert_eq!(a.user("ann").await.unwrap(), before);
    }
    // Without one end there is no window.
    assert!(b.change_user("ann", end(None)).await.is_ok());
    assert!(b.change_user("ann", start(Some(NOW + 99))).await.is_ok());
    assert!(b.change_user("ann", start(None)).await.is_ok());
    assert!(b.change_user("ann", end(Some(1))).await.is_ok());
}

async fn every_setting_of_a_user_is_kept<S: Users>((a, b): (S, S)) {
    let mut new = user("ann");
    new.settings.enabled = false;
    new.settings.starts_at = Some(1);
    new.settings.expires_at = Some(COUNT_MAX);
    new.settings.traffic_limit = Some(COUNT_MAX);
    new.settings.upload_rate = Some(3);
    new.settings.download_rate = Some(4);
    new.settings.sessions_max = Some(u32::MAX);
    new.settings.reply = ReplyMode::Truthful;
    new.settings.route = Route {
        mode: RouteMode::Timed,
        node: Some("n:1".to_owned()),
        interval_minutes: Some(5),
        utc_minute_of_day: Some(1_439),
        switched_at: Some(6),
    };
    let created = a.create_user(new.clone()).await.unwrap();
    assert_eq!(b.user("ann").await.unwrap(), Some(created.clone()));
    let listed = b.users(Page::first(9)).await.unwrap().items;
    assert_eq!(listed, std::slice::from_ref(&created));
    assert_eq!(
        (
            created.settings.enabled,
            created.settings.starts_at,
            created.settings.expires_at
        ),
        (false, Some(1), Some(COUNT_MAX))
    );
    assert_eq!(created.settings.traffic_limit, Some(COUNT_MAX));
    assert_eq!(
        (created.settings.upload_rate, created.settings.download_rate),
        (Some(3), Some(4))
    );
    assert_eq!(
        (
            created.settings.sessions_max,
            created.settings.reply,
            created.settings.route
        ),
        (
            Some(u32::MAX),
            ReplyMode::Truthful,
            new.settings.route.clone()
        )
    );
    // One by one they go away again, and the others stay.
    let mut expected = b.user("ann").await.unwrap().unwrap();
    let set = |change: fn(&mut UserChange)| {
        let mut all = UserChange::default();
        change(&mut all);
        all
    };
    for (change, apply) in [
        (
            set(|change| change.starts_at = Some(None)),
            (|user| user.settings.starts_at = None) as fn(&mut User),
        ),
        (set(|change| change.expires_at = Some(None)), |user| {
            user.settings.expires_at = None;
        }),
        (set(|change| change.traffic_limit = Some(None)), |user| {
            user.settings.traffic_limit = None;
        }),
        (set(|change| change.upload_rate = Some(None)), |user| {
            user.settings.upload_rate = None;
        }),
        (set(|change| change.download_rate = Some(None)), |user| {
            user.settings.download_rate = None;
        }),
        (set(|change| change.sessions_max = Some(None)), |user| {
            user.settings.sessions_max = None;
        }),
        (
            set(|change| change.route = Some(Route::default())),
            |user| {
                user.settings.route = Route::default();
            },
        ),
    ] {
        apply(&mut expected);
        let changed = a.change_user("ann", change).await.unwrap();
        assert_eq!(changed.as_ref(), Some(&expected));
        assert_eq!(b.user("ann").await.unwrap().as_ref(), Some(&expected));
    }
    let beyond = UserChange {
        traffic_limit: Some(Some(COUNT_MAX + 1)),
        ..UserChange::default()
    };
    assert_eq!(
        a.change_user("ann", beyond).await,
        Err(StoreError::TooLarge)
    );
    new.name = "bob".to_owned();
    new.settings.upload_rate = Some(COUNT_MAX + 1);
    assert_eq!(a.create_user(new).await, Err(StoreError::TooLarge));
}

async fn credential_versions_never_repeat<S: Users>((a, b): (S, S)) {
    let first = a.create_user(user("ann")).await.unwrap().credential_version;
    let other = b.create_user(user("bob")).await.unwrap().credential_version;
    a.delete_user("ann").await.unwrap();
    let second = b.create_user(user("ann")).await.unwrap().credential_version;
    assert_eq!(BTreeSet::from([first, other, second]).len(), 3);
}
