//! The operations of a store in Redis.

use super::link::Answer;
use super::reply::{
    array, count, fields, items, malformed, number, optional, optional_number, text, texts,
};
use super::{Redis, account, records, scripts, users};
use crate::store::{
    ADJUSTMENTS_KEPT, AUDIT_MAX, Adjustment, AdjustmentKind, AdminToken, AuditHead, AuditRecord,
    BATCH_MAX, BlacklistEntry, CHANGES_KEPT, CHANGES_MAX, COUNT_MAX, Change, Changes, Cursor,
    Holder, HolderUsage, KnownNode, Listing, META_MAX, NODE_FORGOTTEN_AFTER, NewAudit, NewUser,
    NodeEntry, NodeRtt, Order, POP_FORGOTTEN_AFTER, Page, PopEntry, PopStatus, REPORT_MAX,
    Resolution, Standing, Store, StoreError, Subject, SubjectKind, Totals, TrafficBucket, User,
    UserChange, check_batch, decode_change, encode_change, encode_order,
};
use redis::{Script, ToRedisArgs, Value};
use std::net::IpAddr;

/// How often a record is hashed anew because others appended meanwhile.
const APPEND_ATTEMPTS: usize = 64;

/// How many steps of tidying one renewal does; the next one goes on.
const TIDY_STEPS: usize = 1_000;

/// The arguments of a script that takes none.
const NOTHING: &[&str] = &[];

impl Redis {
    pub(super) async fn run<A: ToRedisArgs>(
        &self,
        script: &Script,
        args: A,
    ) -> Result<Value, StoreError> {
        Ok(self.0.run(script, args).await?.value)
    }

    async fn tidy(&self, mut left: u64) -> Result<(), StoreError> {
        for _ in 0..TIDY_STEPS {
            if left == 0 {
                break;
            }
            left = count(self.run(&scripts::TIDY, NOTHING).await?)?;
        }
        Ok(())
    }
}

impl Store for Redis {
    async fn create_user(&self, user: NewUser) -> Result<User, StoreError> {
        user.check()?;
        let pairs = users::encode_new(&user);
        let args = (user.name.clone(), user_changed(&user.name), pairs);
        let created = self.run(&scripts::USER_CREATE, args).await?;
        users::decode(fields(created)?)?.ok_or_else(malformed)
    }

    async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        users::decode(fields(self.run(&scripts::USER, name).await?)?)
    }

    async fn users(&self, page: Page) -> Result<Listing<User>, StoreError> {
        let limit = page.len_max();
        let found = self
            .run(&scripts::USER_LIST, (begin(&page), limit + 1))
            .await?;
        let found = array(found)?.into_iter();
        // One that was deleted within the same step does not exist: a script is one step.
        let all = found
            .map(|one| users::decode(fields(one)?)?.ok_or_else(malformed))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Listing::cut(all, limit, |user| &user.name))
    }

    async fn change_user(
        &self,
        name: &str,
        change: UserChange,
    ) -> Result<Option<User>, StoreError> {
        if !change.fits() {
            return Err(StoreError::TooLarge);
        }
        let secret = u8::from(change.password_hash.is_some());
        let pairs = users::encode_change(&change);
        let args = (name, user_changed(name), secret, pairs);
        users::decode(fields(self.run(&scripts::USER_CHANGE, args).await?)?)
    }

    async fn adjust_user(
        &self,
        name: &str,
        adjustment: Adjustment,
    ) -> Result<Option<User>, StoreError> {
        let max = COUNT_MAX.cast_signed();
        let (kind, bytes) = match adjustment.kind {
            AdjustmentKind::Add(bytes) => ("add", bytes.clamp(-max, max)),
            AdjustmentKind::Reset => ("reset", 0),
        };
        let told = user_changed(name);
        let args = (name, told, adjustment.id, kind, bytes, ADJUSTMENTS_KEPT);
        users::decode(fields(self.run(&scripts::USER_ADJUST, args).await?)?)
    }

    async fn delete_user(&self, name: &str) -> Result<bool, StoreError> {
        let args = (name, user_changed(name));
        Ok(count(self.run(&scripts::USER_DELETE, args).await?)? > 0)
    }

    async fn pop_alive(&self, pop: PopEntry, now: u64, lease_until: u64) -> Result<(), StoreError> {
        if pop.info.len() > META_MAX {
            return Err(StoreError::TooLarge);
        }
        let forgotten = now.saturating_sub(POP_FORGOTTEN_AFTER);
        let args = (
            pop.id,
            pop.incarnation,
            pop.url,
            pop.info,
            now,
            lease_until,
            forgotten,
        );
        let left = self.run(&scripts::POP_ALIVE, args).await?;
        self.tidy(count(left)?).await
    }

    async fn pop_gone(&self, id: &str, incarnation: u64) -> Result<(), StoreError> {
        let left = self.run(&scripts::POP_GONE, (id, incarnation)).await?;
        self.tidy(count(left)?).await
    }

    async fn drain_pop(&self, id: &str, incarnation: u64) -> Result<bool, StoreError> {
        let marked = self.run(&scripts::POP_DRAIN, (id, incarnation)).await?;
        Ok(count(marked)? > 0)
    }

    async fn is_pop_draining(&self, id: &str, incarnation: u64) -> Result<bool, StoreError> {
        let args = (id, incarnation);
        let marked = self.run(&scripts::POP_DRAINING, args).await?;
        Ok(count(marked)? > 0)
    }

    async fn pops(&self, now: u64) -> Result<Vec<PopStatus>, StoreError> {
        let status = |value| {
            let [
                id,
                incarnation,
                url,
                info,
                node_count,
                lease_until,
                draining,
            ] = texts(value)?;
            let incarnation = number(&incarnation)?;
            Ok(PopStatus {
                pop: PopEntry {
                    id,
                    incarnation,
                    url,
                    info,
                },
                node_count: number(&node_count)?,
                lease_until: number(&lease_until)?,
                draining: !draining.is_empty(),
            })
        };
        let mut all = array(self.run(&scripts::POPS, now).await?)?
            .into_iter()
            .map(status)
            .collect::<Result<Vec<_>, StoreError>>()?;
        all.sort_by(|one, two| one.pop.id.cmp(&two.pop.id));
        Ok(all)
    }

    async fn node_online(&self, node: NodeEntry) -> Result<(), StoreError> {
        let entry = records::encode_entry(&node);
        let rtt = node.rtt_ms.map_or_else(String::new, |rtt| rtt.to_string());
        let args = (
            node.id,
            node.pop,
            node.generation,
            node.online_since,
            entry,
            rtt,
            node.ip.to_string(),
        );
        self.run(&scripts::NODE_ONLINE, args).await.map(drop)
    }

    async fn node_offline(&self, id: &str, pop: &str, generation: u64) -> Result<(), StoreError> {
        let args = (id, pop, generation);
        self.run(&scripts::NODE_OFFLINE, args).await.map(drop)
    }

    async fn nodes_measured(&self, pop: &str, rtts: Vec<NodeRtt>) -> Result<(), StoreError> {
        check_batch(&rtts, BATCH_MAX)?;
        let rtts: Vec<_> = rtts
            .into_iter()
            .map(|rtt| (rtt.id, rtt.generation, rtt.rtt_ms))
            .collect();
        self.run(&scripts::NODES_MEASURED, (pop, rtts))
            .await
            .map(drop)
    }

    async fn nodes(&self, page: Page, now: u64) -> Result<Listing<NodeEntry>, StoreError> {
        let args = (begin(&page), page.len_max(), now);
        records::node_listing(self.run(&scripts::NODES, args).await?)
    }

    async fn pop_nodes(
        &self,
        pop: &str,
        page: Page,
        now: u64,
    ) -> Result<Listing<NodeEntry>, StoreError> {
        let args = (begin(&page), page.len_max(), now, pop);
        records::node_listing(self.run(&scripts::POP_NODES, args).await?)
    }

    async fn node(&self, id: &str, now: u64) -> Result<Option<KnownNode>, StoreError> {
        let found = array(self.run(&scripts::NODE, (id, now)).await?)?;
        if found.is_empty() {
            return Ok(None);
        }
        let [home, seen_at, ip, entry] = items(Value::Array(found))?;
        let (seen_at, ip) = (count(seen_at)?, text(ip)?);
        let entry = array(entry)?;
        let online = (!entry.is_empty()).then(|| records::node(Value::Array(entry)));
        let online = online.transpose()?;
        if online.is_none() && seen_at < now.saturating_sub(NODE_FORGOTTEN_AFTER) {
            return Ok(None);
        }
        Ok(Some(KnownNode {
            id: id.to_owned(),
            home: text(home)?,
            ip: optional_number(&ip)?,
            seen_at,
            online,
        }))
    }

    async fn assign_nodes(&self, ids: Vec<String>, pop: &str, now: u64) -> Result<(), StoreError> {
        check_batch(&ids, BATCH_MAX)?;
        let args = (pop, now, ids);
        self.run(&scripts::ASSIGN_NODES, args).await.map(drop)
    }

    async fn blacklist_add(&self, entries: Vec<BlacklistEntry>) -> Result<(), StoreError> {
        check_batch(&entries, BATCH_MAX)?;
        let mut args = Vec::new();
        for entry in entries {
            let subject = &entry.subject;
            args.extend([
                subject.kind().name().to_owned(),
                subject.key(),
                entry.since.to_string(),
                entry.reason().to_owned(),
                blacklist_changed(subject, true),
            ]);
        }
        self.run(&scripts::BLACKLIST_ADD, args).await.map(drop)
    }

    async fn blacklist_remove(&self, subjects: Vec<Subject>) -> Result<(), StoreError> {
        check_batch(&subjects, BATCH_MAX)?;
        let mut args = Vec::new();
        for subject in &subjects {
            args.extend([
                subject.kind().name().to_owned(),
                subject.key(),
                blacklist_changed(subject, false),
            ]);
        }
        self.run(&scripts::BLACKLIST_REMOVE, args).await.map(drop)
    }

    async fn blacklisted(
        &self,
        node: &str,
        ip: IpAddr,
    ) -> Result<Option<BlacklistEntry>, StoreError> {
        let subjects = [
            Subject::Node(node.to_owned()),
            Subject::Ip(ip.to_canonical()),
        ];
        let keys = (subjects[0].key(), subjects[1].key());
        let found: [Value; 2] = items(self.run(&scripts::BLACKLISTED, keys).await?)?;
        for (subject, found) in subjects.into_iter().zip(found) {
            if let Some(found) = optional(found)? {
                return records::blacklist_entry(subject, &found).map(Some);
            }
        }
        Ok(None)
    }

    async fn blacklist(
        &self,
        kind: SubjectKind,
        page: Page,
    ) -> Result<Listing<BlacklistEntry>, StoreError> {
        let limit = page.len_max();
        let args = (kind.name(), begin(&page), limit + 1);
        let rows = array(self.run(&scripts::BLACKLIST, args).await?)?
            .into_iter()
            .map(texts)
            .collect::<Result<Vec<[String; 2]>, _>>()?;
        let Listing { items, next } = Listing::cut(rows, limit, |[key, _]| key);
        let items = items.into_iter().map(|[key, entry]| {
            let subject = kind.subject(key).ok_or_else(malformed)?;
            records::blacklist_entry(subject, &entry)
        });
        Ok(Listing {
            items: items.collect::<Result<_, _>>()?,
            next,
        })
    }

    async fn order(&self, pop: &str, at: u64, order: Order) -> Result<(), StoreError> {
        let body = encode_order(pop, at, order)?;
        self.run(&scripts::ORDER, body).await.map(drop)
    }

    async fn changes(&self, after: Option<Cursor>, limit: u32) -> Result<Changes, StoreError> {
        let limit = limit.clamp(1, CHANGES_MAX);
        let ask = async |id: String| {
            self.0
                .run(&scripts::CHANGES, (id, limit, CHANGES_KEPT))
                .await
        };
        let id = after
            .as_ref()
            .map_or_else(String::new, |after| after.id.to_string());
        let mut answer = ask(id).await?;
        if after.is_some_and(|after| after.run != *answer.run) {
            // Another run of the server: what it may have forgotten makes the numbers meaningless.
            answer = ask(String::new()).await?;
        }
        let Answer { value, run } = answer;
        let mut parts = array(value)?.into_iter();
        let id = count(parts.next().ok_or_else(malformed)?)?;
        let bodies = parts.next().map(array).transpose()?;
        let reload = bodies.is_none();
        let decode = |body| Ok(decode_change(&text(body)?));
        let items = bodies.unwrap_or_default().into_iter().map(decode);
        Ok(Changes {
            items: items.collect::<Result<_, StoreError>>()?,
            cursor: Cursor {
                run: run.as_ref().to_owned(),
                id,
            },
            reload,
        })
    }

    async fn lease(
        &self,
        holder: Holder,
        totals: Totals,
        want: u64,
        at: u64,
    ) -> Result<Option<Standing>, StoreError> {
        let answer = account::settle(self, holder, vec![totals], Some(want), at).await?;
        answer.into_iter().next().ok_or_else(malformed)
    }

    async fn report(
        &self,
        holder: Holder,
        totals: Vec<Totals>,
        at: u64,
    ) -> Result<Vec<Option<Standing>>, StoreError> {
        check_batch(&totals, REPORT_MAX)?;
        account::settle(self, holder, totals, None, at).await
    }

    async fn usage(&self, user: &str) -> Result<Option<Vec<HolderUsage>>, StoreError> {
        let found = self.run(&scripts::OF_USER, (user, "titan:usage:")).await?;
        records::companion(found)?.map(records::usage).transpose()
    }

    async fn traffic(
        &self,
        user: &str,
        resolution: Resolution,
        from: u64,
        until: u64,
    ) -> Result<Option<Vec<TrafficBucket>>, StoreError> {
        let prefix = match resolution {
            Resolution::FiveMinutes => "titan:traffic5min:",
            Resolution::Hour => "titan:traffichour:",
            Resolution::Day => "titan:trafficday:",
        };
        let first = from / resolution.width() * resolution.width();
        let found = self.run(&scripts::OF_USER, (user, prefix)).await?;
        records::companion(found)?
            .map(|all| records::traffic(all, first..=until))
            .transpose()
    }

    async fn create_token(&self, token: AdminToken) -> Result<(), StoreError> {
        let pairs = records::encode_token(&token);
        let told = token_changed(&token.id);
        let args = (token.id, records::to_hex(&token.hash), told, pairs);
        self.run(&scripts::TOKEN_CREATE, args).await.map(drop)
    }

    async fn token(&self, hash: [u8; 32]) -> Result<Option<AdminToken>, StoreError> {
        let hash = records::to_hex(&hash);
        records::token(fields(self.run(&scripts::TOKEN, hash).await?)?)
    }

    async fn tokens(&self, page: Page) -> Result<Listing<AdminToken>, StoreError> {
        let limit = page.len_max();
        let found = self
            .run(&scripts::TOKEN_LIST, (begin(&page), limit + 1))
            .await?;
        let all = array(found)?
            .into_iter()
            .map(|one| records::token(fields(one)?)?.ok_or_else(malformed))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Listing::cut(all, limit, |token| &token.id))
    }

    async fn revoke_token(&self, id: &str, at: u64) -> Result<Option<AdminToken>, StoreError> {
        let args = (id, at, token_changed(id));
        records::token(fields(self.run(&scripts::TOKEN_REVOKE, args).await?)?)
    }

    async fn audit_append(&self, act: NewAudit) -> Result<AuditRecord, StoreError> {
        if !act.fits() {
            return Err(StoreError::TooLarge);
        }
        for _ in 0..APPEND_ATTEMPTS {
            let head = self.audit_head().await?;
            let record = head.next(act.clone());
            let seen = (head.seq, records::to_hex(&head.hash));
            let pairs = records::encode_record(&record).to_vec();
            let appended = self.run(&scripts::AUDIT_APPEND, (seen, pairs)).await?;
            if count(appended)? == 1 {
                return Ok(record);
            }
        }
        Err(StoreError::unavailable("too many write the audit log"))
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let args = (after, limit.clamp(1, AUDIT_MAX));
        records::audit(self.run(&scripts::AUDIT, args).await?)
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        records::head(self.run(&scripts::AUDIT_HEAD, NOTHING).await?)
    }

    async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        optional(self.run(&scripts::META, key).await?)
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
        Ok(count(self.run(&scripts::SWAP_META, args).await?)? == 1)
    }
}

/// Where in the order of names a page begins.
fn begin(page: &Page) -> String {
    match &page.after {
        Some(after) => format!("({after}"),
        None => "-".to_owned(),
    }
}

fn user_changed(name: &str) -> String {
    let name = name.to_owned();
    encode_change(&Change::User { name })
}

fn token_changed(id: &str) -> String {
    let id = id.to_owned();
    encode_change(&Change::Token { id })
}

fn blacklist_changed(subject: &Subject, listed: bool) -> String {
    let subject = subject.clone();
    encode_change(&Change::Blacklist { subject, listed })
}
