//! The operations of an embedded store.

use super::{Embedded, account, audit, blacklist, changes, nodes, tokens, traffic, users};
use crate::store::{
    Adjustment, AdminToken, AuditHead, AuditRecord, BATCH_MAX, BlacklistEntry, Changes, Cursor,
    Holder, HolderUsage, KnownNode, Listing, META_MAX, NewAudit, NewUser, NodeEntry, NodeRtt,
    Order, Page, PopEntry, PopStatus, REPORT_MAX, Resolution, Standing, Store, StoreError, Subject,
    SubjectKind, Totals, TrafficBucket, User, UserChange, check_batch, encode_order,
};
use std::net::IpAddr;

impl Store for Embedded {
    async fn create_user(&self, user: NewUser) -> Result<User, StoreError> {
        user.check()?;
        self.call(move |connection| users::create(connection, &user))
            .await
    }

    async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let name = name.to_owned();
        self.call(move |connection| users::get(connection, &name))
            .await
    }

    async fn users(&self, page: Page) -> Result<Listing<User>, StoreError> {
        self.call(move |connection| users::list(connection, &page))
            .await
    }

    async fn change_user(
        &self,
        name: &str,
        change: UserChange,
    ) -> Result<Option<User>, StoreError> {
        if !change.fits() {
            return Err(StoreError::TooLarge);
        }
        let name = name.to_owned();
        self.call(move |connection| users::change(connection, &name, &change))
            .await
    }

    async fn adjust_user(
        &self,
        name: &str,
        adjustment: Adjustment,
    ) -> Result<Option<User>, StoreError> {
        let name = name.to_owned();
        self.call(move |connection| account::adjust(connection, &name, &adjustment))
            .await
    }

    async fn delete_user(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.call(move |connection| users::delete(connection, &name))
            .await
    }

    async fn pop_alive(&self, pop: PopEntry, now: u64, lease_until: u64) -> Result<(), StoreError> {
        self.call(move |connection| nodes::pop_alive(connection, &pop, now, lease_until))
            .await
    }

    async fn pop_gone(&self, id: &str, incarnation: u64) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.call(move |connection| nodes::pop_gone(connection, &id, incarnation))
            .await
    }

    async fn drain_pop(&self, id: &str, incarnation: u64) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.call(move |connection| nodes::drain_pop(connection, &id, incarnation))
            .await
    }

    async fn is_pop_draining(&self, id: &str, incarnation: u64) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.call(move |connection| nodes::is_pop_draining(connection, &id, incarnation))
            .await
    }

    async fn pops(&self, now: u64) -> Result<Vec<PopStatus>, StoreError> {
        self.call(move |connection| nodes::pops(connection, now))
            .await
    }

    async fn node_online(&self, node: NodeEntry) -> Result<(), StoreError> {
        self.call(move |connection| nodes::online(connection, &node))
            .await
    }

    async fn node_offline(&self, id: &str, pop: &str, generation: u64) -> Result<(), StoreError> {
        let (id, pop) = (id.to_owned(), pop.to_owned());
        self.call(move |connection| nodes::offline(connection, &id, &pop, generation))
            .await
    }

    async fn nodes_measured(&self, pop: &str, rtts: Vec<NodeRtt>) -> Result<(), StoreError> {
        check_batch(&rtts, BATCH_MAX)?;
        let pop = pop.to_owned();
        self.call(move |connection| nodes::measured(connection, &pop, &rtts))
            .await
    }

    async fn nodes(&self, page: Page, now: u64) -> Result<Listing<NodeEntry>, StoreError> {
        self.call(move |connection| nodes::list(connection, &page, now))
            .await
    }

    async fn pop_nodes(
        &self,
        pop: &str,
        page: Page,
        now: u64,
    ) -> Result<Listing<NodeEntry>, StoreError> {
        let pop = pop.to_owned();
        self.call(move |connection| nodes::list_of_pop(connection, &pop, &page, now))
            .await
    }

    async fn node(&self, id: &str, now: u64) -> Result<Option<KnownNode>, StoreError> {
        let id = id.to_owned();
        self.call(move |connection| nodes::known(connection, &id, now))
            .await
    }

    async fn assign_nodes(&self, ids: Vec<String>, pop: &str, now: u64) -> Result<(), StoreError> {
        check_batch(&ids, BATCH_MAX)?;
        let pop = pop.to_owned();
        self.call(move |connection| nodes::assign(connection, &ids, &pop, now))
            .await
    }

    async fn blacklist_add(&self, entries: Vec<BlacklistEntry>) -> Result<(), StoreError> {
        check_batch(&entries, BATCH_MAX)?;
        self.call(move |connection| blacklist::add(connection, &entries))
            .await
    }

    async fn blacklist_remove(&self, subjects: Vec<Subject>) -> Result<(), StoreError> {
        check_batch(&subjects, BATCH_MAX)?;
        self.call(move |connection| blacklist::remove(connection, &subjects))
            .await
    }

    async fn blacklisted(
        &self,
        node: &str,
        ip: IpAddr,
    ) -> Result<Option<BlacklistEntry>, StoreError> {
        let node = node.to_owned();
        self.call(move |connection| blacklist::find(connection, node, ip))
            .await
    }

    async fn blacklist(
        &self,
        kind: SubjectKind,
        page: Page,
    ) -> Result<Listing<BlacklistEntry>, StoreError> {
        self.call(move |connection| blacklist::list(connection, kind, &page))
            .await
    }

    async fn order(&self, pop: &str, at: u64, order: Order) -> Result<(), StoreError> {
        let body = encode_order(pop, at, order)?;
        self.call(move |connection| changes::order(connection, &body))
            .await
    }

    async fn changes(&self, after: Option<Cursor>, limit: u32) -> Result<Changes, StoreError> {
        self.call(move |connection| changes::read(connection, after, limit))
            .await
    }

    async fn lease(
        &self,
        holder: Holder,
        totals: Totals,
        want: u64,
        at: u64,
    ) -> Result<Option<Standing>, StoreError> {
        self.call(move |connection| account::lease(connection, &holder, totals, want, at))
            .await
    }

    async fn report(
        &self,
        holder: Holder,
        totals: Vec<Totals>,
        at: u64,
    ) -> Result<Vec<Option<Standing>>, StoreError> {
        check_batch(&totals, REPORT_MAX)?;
        self.call(move |connection| account::report(connection, &holder, totals, at))
            .await
    }

    async fn usage(&self, user: &str) -> Result<Option<Vec<HolderUsage>>, StoreError> {
        let user = user.to_owned();
        self.call(move |connection| account::usage(connection, &user))
            .await
    }

    async fn traffic(
        &self,
        user: &str,
        resolution: Resolution,
        from: u64,
        until: u64,
    ) -> Result<Option<Vec<TrafficBucket>>, StoreError> {
        let user = user.to_owned();
        self.call(move |connection| traffic::read(connection, &user, resolution, from, until))
            .await
    }

    async fn create_token(&self, token: AdminToken) -> Result<(), StoreError> {
        self.call(move |connection| tokens::create(connection, &token))
            .await
    }

    async fn token(&self, hash: [u8; 32]) -> Result<Option<AdminToken>, StoreError> {
        self.call(move |connection| tokens::get(connection, &hash))
            .await
    }

    async fn tokens(&self, page: Page) -> Result<Listing<AdminToken>, StoreError> {
        self.call(move |connection| tokens::list(connection, &page))
            .await
    }

    async fn revoke_token(&self, id: &str, at: u64) -> Result<Option<AdminToken>, StoreError> {
        let id = id.to_owned();
        self.call(move |connection| tokens::revoke(connection, &id, at))
            .await
    }

    async fn audit_append(&self, act: NewAudit) -> Result<AuditRecord, StoreError> {
        if !act.fits() {
            return Err(StoreError::TooLarge);
        }
        self.call(move |connection| audit::append(connection, act))
            .await
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.call(move |connection| audit::list(connection, after, limit))
            .await
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.call(|connection| audit::head(connection)).await
    }

    async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.call(move |connection| users::meta(connection, &key))
            .await
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
        let key = key.to_owned();
        self.call(move |connection| users::swap_meta(connection, &key, expected.as_deref(), &value))
            .await
    }
}
