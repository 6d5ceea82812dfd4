//! The record of administrative acts.
//!
//! Each record is hashed together with the hash of the one before. Whoever changes, removes or inserts
//! a record changes every hash after it, and with them the head that someone may have noted elsewhere.

use super::StoreError;
use sha2::{Digest as _, Sha256};

/// The most records in one answer.
pub const AUDIT_MAX: u32 = 1_000;

/// The longest a record may be in all its texts together, in bytes.
pub const AUDIT_RECORD_MAX: usize = 16 * 1024;

subject! {
    /// The record of administrative acts.
    pub trait AuditLog {
        /// Records an administrative act as the next of the chain and returns the record.
        ///
        /// # Errors
        /// [`StoreError::TooLarge`] if it is longer than [`AUDIT_RECORD_MAX`].
        fn audit_append(&self, act: NewAudit) -> AuditRecord;

        /// Returns the records after place `after`, oldest first, at most `limit` and [`AUDIT_MAX`].
        fn audit(&self, after: u64, limit: u32) -> Vec<AuditRecord>;

        /// Returns the end of the chain of records.
        fn audit_head(&self) -> AuditHead;
    }
}

/// An act to be recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewAudit {
    /// When, in Unix seconds.
    pub at: u64,
    /// Who: the id of a token, or another name of who acted.
    pub actor: String,
    /// From where: the client's address, or empty.
    pub source: String,
    /// What was done, as in `user.create`.
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// More about it, as JSON; never a secret.
    pub detail: String,
}

/// A recorded act.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRecord {
    /// Its place, from 1 on without a gap.
    pub seq: u64,
    /// The act.
    pub act: NewAudit,
    /// The SHA-256 of the hash before, the place and the act.
    pub hash: [u8; 32],
}

/// The end of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditHead {
    /// The place of the last record; 0 if there is none.
    pub seq: u64,
    /// The hash of the last record; zeros if there is none.
    pub hash: [u8; 32],
}

/// A record that does not belong where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the chain is broken at record {at}")]
pub struct BrokenChain {
    /// The place at which a right record was expected.
    pub at: u64,
}

impl NewAudit {
    /// Returns whether it is short enough, and its time one that every store can keep.
    pub(super) fn fits(&self) -> bool {
        self.at <= super::COUNT_MAX
            && self.texts().iter().map(|text| text.len()).sum::<usize>() <= AUDIT_RECORD_MAX
    }

    const fn texts(&self) -> [&String; 5] {
        [
            &self.actor,
            &self.source,
            &self.action,
            &self.subject,
            &self.detail,
        ]
    }
}

impl AuditRecord {
    /// Returns the end of a chain of which this is the last record.
    pub(super) const fn head(&self) -> AuditHead {
        AuditHead {
            seq: self.seq,
            hash: self.hash,
        }
    }
}

impl AuditHead {
    /// The head of a chain without a record.
    pub const EMPTY: Self = Self {
        seq: 0,
        hash: [0; 32],
    };

    /// Makes the record of `act` that follows.
    #[must_use]
    pub fn next(&self, act: NewAudit) -> AuditRecord {
        let seq = self.seq + 1;
        let mut hash = Sha256::new();
        hash.update(self.hash);
        hash.update(seq.to_be_bytes());
        hash.update(act.at.to_be_bytes());
        for text in act.texts() {
            // With its length, so that moving a byte from one text to the next is seen.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        let hash = hash.finalize().into();
        AuditRecord { seq, act, hash }
    }

    /// Takes the records that follow, in order, and becomes their head.
    ///
    /// # Errors
    /// [`BrokenChain`] at the first record that does not follow from the one before.
    pub fn verify(&mut self, records: &[AuditRecord]) -> Result<(), BrokenChain> {
        for record in records {
            let right = self.next(record.act.clone());
            if right != *record {
                return Err(BrokenChain { at: self.seq + 1 });
            }
            *self = right.head();
        }
        Ok(())
    }
}
