//! Appending to the audit log. What one process has to record is queued, and goes in steps of many records:
//! hundreds of acts at once cost a few steps, whatever one takes.

use super::Redis;
use super::audit::encode_record;
use super::nonce::nonce;
use super::reply::{array, from_hex, number, texts, to_hex};
use crate::store::{AuditHead, AuditLog as _, AuditRecord, NewAudit, StoreError};
use core::time::Duration;
use redis::Value;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The most records in one step: a script holds everybody up.
const STEP_MAX: usize = 64;

/// The most acts that wait; more fail at once, so that a stuck server costs bounded memory.
const WAITING_MAX: usize = 1_024;

/// How long an append may take, with waiting for those before it.
const APPEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The acts of this process that are to be recorded.
#[derive(Default)]
pub(super) struct Chain(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    acts: VecDeque<Waiting>,
    /// The end of the log as it was last seen.
    head: Option<AuditHead>,
    /// The task that takes acts from here; it ends when there are none.
    writer: Option<JoinHandle<()>>,
}

struct Waiting {
    act: NewAudit,
    answer: oneshot::Sender<Result<AuditRecord, StoreError>>,
}

impl Chain {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the acts of the next step, none if nobody waits, and the end of the log as it was last seen.
    fn next_step(&self) -> Option<(Vec<Waiting>, Option<AuditHead>)> {
        let mut queue = self.queue();
        // What nobody waits for any more was said to have failed.
        queue.acts.retain(|waiting| !waiting.answer.is_closed());
        if queue.acts.is_empty() {
            queue.writer = None;
            return None;
        }
        let count = queue.acts.len().min(STEP_MAX);
        let step = queue.acts.drain(..count).collect();
        Some((step, queue.head.take()))
    }
}

impl Redis {
    /// Adds a record to the end of the chain.
    pub(super) async fn append(&self, act: NewAudit) -> Result<AuditRecord, StoreError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.chain.queue();
            if queue.acts.len() >= WAITING_MAX {
                return Err(too_many());
            }
            queue.acts.push_back(Waiting { act, answer });
            if queue.writer.as_ref().is_none_or(JoinHandle::is_finished) {
                queue.writer = Some(tokio::spawn(self.clone().write_chain()));
            }
        }
        match timeout(APPEND_TIMEOUT, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::unavailable("the audit log is given up")),
            Err(_) => Err(too_many()),
        }
    }

    /// Records what waits, until nothing does.
    async fn write_chain(self) {
        while let Some((step, seen)) = self.chain.next_step() {
            let (acts, answers): (Vec<_>, Vec<_>) = step
                .into_iter()
                .map(|waiting| (waiting.act, waiting.answer))
                .unzip();
            let extended = timeout(APPEND_TIMEOUT, self.extend_chain(seen, &acts)).await;
            // Whoever asked may be gone.
            match extended.unwrap_or_else(|_| Err(too_many())) {
                Ok(records) => {
                    for (answer, record) in answers.into_iter().zip(records) {
                        let _ = answer.send(Ok(record));
                    }
                }
                Err(error) => {
                    for answer in answers {
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Adds records to the end of the chain, all or none. Another manager may move it meanwhile: then they are
    /// hashed anew, from where the answer says that it is.
    async fn extend_chain(
        &self,
        mut seen: Option<AuditHead>,
        acts: &[NewAudit],
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let attempt = nonce()?;
        loop {
            let begin = match seen {
                Some(head) => head,
                None => self.audit_head().await?,
            };
            let mut end = begin;
            let mut records = Vec::with_capacity(acts.len());
            for act in acts {
                let record = end.next(act.clone());
                end = record.head();
                records.push(record);
            }
            let texts_of_all: Vec<_> = records.iter().flat_map(encode_record).collect();
            let args = ((begin.seq, to_hex(&begin.hash)), &attempt, texts_of_all);
            let other = array(self.run(script!("audit_append"), args).await?)?;
            if other.is_empty() {
                self.chain.queue().head = Some(end);
                return Ok(records);
            }
            let [seq, hash] = texts(Value::Array(other))?;
            seen = Some(AuditHead {
                seq: number(&seq)?,
                hash: if hash.is_empty() {
                    AuditHead::EMPTY.hash
                } else {
                    from_hex(&hash)?
                },
            });
        }
    }
}

fn too_many() -> StoreError {
    StoreError::unavailable("too many write the audit log")
}
