//! Listings in parts.

/// The most entries one page holds; a larger request is cut to this.
pub const PAGE_MAX: u32 = 1_000;

/// Which part of a listing to return.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The key after which the page starts: [`Listing::next`] of the page before.
    pub after: Option<String>,
    /// How many entries to return, from 1 to [`PAGE_MAX`]; other values are moved into that range.
    pub limit: u32,
}

impl Page {
    /// Creates the first page of at most `limit` entries.
    #[must_use]
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// How many entries to return, moved into the range allowed.
    pub(super) fn len_max(&self) -> u32 {
        self.limit.clamp(1, PAGE_MAX)
    }
}

/// One page of a listing. It may hold fewer entries than asked for, or none, and still not be the
/// last: only [`next`](Self::next) tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing<T> {
    /// The entries, in order of their keys.
    pub items: Vec<T>,
    /// What to pass as [`Page::after`] for the next page; none if this was the last.
    pub next: Option<String>,
}

impl<T> Listing<T> {
    /// Makes a page of `items`, of which one more than `limit` were asked for.
    pub(super) fn cut(mut items: Vec<T>, limit: u32, key: impl Fn(&T) -> &str) -> Self {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items
            .last()
            .filter(|_| more)
            .map(|last| key(last).to_owned());
        Self { items, next }
    }
}
