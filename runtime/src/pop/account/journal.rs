//! Usage that the store could not take, on the disk until it can.
//!
//! One file per process: the totals of every account that the store does not know, replaced as a
//! whole. Totals only grow and count as maxima, so delivering a file twice does no harm.

use crate::store::{Accounts, Holder, REPORT_MAX, StoreError, Totals};
use crate::token::create_private;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const SUFFIX: &str = ".journal";

#[derive(Serialize, Deserialize)]
struct Page {
    pop: String,
    incarnation: u64,
    at: u64,
    accounts: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    user: String,
    user_id: u64,
    granted: u64,
    returned: u64,
    uploaded: u64,
    downloaded: u64,
}

impl From<Totals> for Line {
    fn from(totals: Totals) -> Self {
        Self {
            user: totals.user,
            user_id: totals.user_id,
            granted: totals.granted,
            returned: totals.returned,
            uploaded: totals.uploaded,
            downloaded: totals.downloaded,
        }
    }
}

impl From<Line> for Totals {
    fn from(line: Line) -> Self {
        Self {
            granted: line.granted,
            returned: line.returned,
            uploaded: line.uploaded,
            downloaded: line.downloaded,
            ..Self::new(line.user, line.user_id)
        }
    }
}

fn prefix(pop: &str) -> String {
    format!("usage-{pop}-")
}

fn path(data: &Path, holder: &Holder) -> PathBuf {
    let name = format!("{}{}{SUFFIX}", prefix(&holder.pop), holder.incarnation);
    data.join(name)
}

/// Writes the journal of a process in place of its last one; on the disk when it returns. Blocks.
pub(super) fn save(data: &Path, holder: &Holder, at: u64, accounts: Vec<Totals>) -> io::Result<()> {
    let page = Page {
        pop: holder.pop.clone(),
        incarnation: holder.incarnation,
        at,
        accounts: accounts.into_iter().map(Line::from).collect(),
    };
    // With a store elsewhere nothing else has made it.
    create_private(data)?;
    let to = path(data, holder);
    let fresh = to.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(&serde_json::to_vec(&page)?)?;
    file.sync_all()?;
    fs::rename(&fresh, &to)?;
    File::open(data)?.sync_all()
}

/// Removes the journal of a process, if there is one. Blocks.
pub(super) fn remove(data: &Path, holder: &Holder) -> io::Result<()> {
    match fs::remove_file(path(data, holder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// What an ended process of a POP has left.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) holder: Holder,
    at: u64,
    accounts: Vec<Totals>,
}

/// Reads what ended processes of this POP have left. What makes no sense is put aside. Blocks.
pub(super) fn left(data: &Path, own: &Holder) -> io::Result<Vec<Left>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let ours = |name: &str| name.starts_with(&prefix(&own.pop)) && name.ends_with(SUFFIX);
        if !name.is_some_and(ours) {
            continue;
        }
        let bytes = match fs::read(&path) {
            // Another POP beside has delivered its own meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes?,
        };
        let page: Page = match serde_json::from_slice(&bytes) {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a journal of usage is broken");
                fs::rename(&path, path.with_extension("broken"))?;
                continue;
            }
        };
        // Another POP's id may begin like this one's.
        if page.pop == own.pop && page.incarnation != own.incarnation {
            found.push(Left {
                holder: Holder {
                    pop: page.pop,
                    incarnation: page.incarnation,
                },
                at: page.at,
                accounts: page.accounts.into_iter().map(Totals::from).collect(),
            });
        }
    }
    Ok(found)
}

/// Tells the store what an ended process has left, under that process's name.
pub(super) async fn deliver<S: Accounts>(store: &S, left: &Left) -> Result<(), StoreError> {
    for accounts in left.accounts.chunks(REPORT_MAX) {
        let holder = left.holder.clone();
        store
            .report(holder, accounts.to_vec(), Some(left.at))
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{deliver, left, path, remove, save};
    use crate::store::{
        Accounts as _, Embedded, Holder, Location, Mode, NewUser, Totals, Users as _,
    };
    use std::fs;

    fn holder(pop: &str, incarnation: u64) -> Holder {
        Holder {
            pop: pop.to_owned(),
            incarnation,
        }
    }

    #[tokio::test]
    async fn what_a_process_left_is_delivered_once_and_under_its_name() {
        let data = tempfile::tempdir().unwrap();
        let store = Embedded::open(&Location::Memory, Mode::Inline).unwrap();
        let user = NewUser::new("ann".to_owned(), String::new(), 0);
        let user = store.create_user(user).await.unwrap();
        let (old, new) = (holder("pop", 1), holder("pop", 2));
        for uploaded in [10, 70] {
            let totals = Totals {
                uploaded,
                downloaded: 30,
                ..Totals::new("ann".to_owned(), user.id)
            };
            save(data.path(), &old, 5, vec![totals]).unwrap();
        }
        let elsewhere = data.path().join("not/there");
        assert!(left(&elsewhere, &new).unwrap().is_empty());
        save(&elsewhere, &old, 5, Vec::new()).unwrap();
        assert_eq!(left(&elsewhere, &new).unwrap().len(), 1);
        let other = holder("pop-2", 1);
        save(data.path(), &other, 5, Vec::new()).unwrap();
        assert!(left(data.path(), &old).unwrap().is_empty(), "its own");

        let found = left(data.path(), &new).unwrap();
        assert_eq!(found.len(), 1, "not the other POP's");
        for _ in 0..2 {
            deliver(&store, &found[0]).await.unwrap();
        }
        let parts = store.usage("ann").await.unwrap().unwrap();
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].holder, old);
        let user = store.user("ann").await.unwrap().unwrap();
        assert_eq!(
            (user.uploaded, user.downloaded, user.charged),
            (70, 30, 100)
        );

        for _ in 0..2 {
            remove(data.path(), &old).unwrap();
        }
        assert!(left(data.path(), &new).unwrap().is_empty());
    }

    #[test]
    fn one_that_vanishes_meanwhile_hides_no_other() {
        let data = tempfile::tempdir().unwrap();
        save(data.path(), &holder("pop", 1), 5, Vec::new()).unwrap();
        std::os::unix::fs::symlink("gone", path(data.path(), &holder("pop-2", 7))).unwrap();
        assert_eq!(left(data.path(), &holder("pop", 2)).unwrap().len(), 1);
    }

    #[test]
    fn a_broken_journal_is_put_aside() {
        let data = tempfile::tempdir().unwrap();
        let old = path(data.path(), &holder("pop", 1));
        fs::write(&old, "{").unwrap();
        assert!(left(data.path(), &holder("pop", 2)).unwrap().is_empty());
        assert!(!old.exists() && old.with_extension("broken").exists());
    }
}
