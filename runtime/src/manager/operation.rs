//! How an operation is declared.

use super::problem::ApiCode;
use crate::store::Role;

/// What an operation is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    /// As routers and OpenAPI both write it: `/v1/users/{name}`.
    pub(super) path: &'static str,
    /// Its name in the document and, for an act, in the audit log: `user.create`.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) access: Access,
    /// What else can be wrong than what every operation of its shape can refuse.
    pub(super) problems: &'static [ApiCode],
    /// One of the older paths.
    pub(super) legacy: bool,
}

/// The methods there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Everyone.
    Open,
    /// Who bears the join secret.
    Join,
    /// Who bears a token of at least this role.
    Role(Role),
}

impl Operation {
    /// Declares an operation.
    pub(super) const fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        access: Access,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            access,
            problems: &[],
            legacy: false,
        }
    }

    /// Says what else can be wrong.
    pub(super) const fn or(mut self, problems: &'static [ApiCode]) -> Self {
        self.problems = problems;
        self
    }

    /// Declares one of the older paths.
    pub(super) const fn legacy(mut self) -> Self {
        self.legacy = true;
        self
    }
}
