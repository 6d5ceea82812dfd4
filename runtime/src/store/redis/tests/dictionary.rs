//! `docs/store.md` against what the contract suite leaves in a server: every key there is in the dictionary
//! with its type, nothing is left out, and only what the dictionary says expires.

use std::collections::{BTreeMap, BTreeSet};
use titan_kit::redis_server::RedisServer;

const DOCUMENT: &str = include_str!("../../../../../docs/store.md");

/// A key of the dictionary.
struct Known {
    /// Up to where a name begins, or all of it.
    prefix: &'static str,
    named: bool,
    kind: &'static str,
    content: &'static str,
}

impl Known {
    fn names(&self, key: &str) -> bool {
        if self.named {
            key.starts_with(self.prefix)
        } else {
            key == self.prefix
        }
    }
}

/// What stands between backticks.
fn quoted(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split('`').skip(1).step_by(2)
}

fn dictionary() -> Vec<Known> {
    let rows = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `titan:"));
    rows.flat_map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let (keys, kind) = (cells.next().unwrap(), cells.next().unwrap());
        let content = cells.nth(1).unwrap();
        let kind = kind.split(',').next().unwrap();
        quoted(keys).map(move |key| Known {
            prefix: key.split('{').next().unwrap(),
            named: key.contains('{'),
            kind,
            content,
        })
    })
    .collect()
}

/// The fields of a user's hash, from their table.
fn user_fields() -> BTreeSet<&'static str> {
    let (_, rest) = DOCUMENT
        .split_once("Fields of `titan:user:{name}`")
        .unwrap();
    let (table, _) = rest.split_once("###").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| quoted(row.split('|').nth(1).unwrap()))
        .collect()
}

/// Checks every key of the first `databases` databases.
pub(super) async fn holds(server: &RedisServer, databases: usize) {
    let (dictionary, fields) = (dictionary(), user_fields());
    let mut seen = BTreeSet::new();
    for database in 0..databases {
        let client = redis::Client::open(server.url(database)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut ask = async |words: &[&str]| {
            let mut command = redis::cmd(words[0]);
            command.arg(&words[1..]);
            command.query_async::<redis::Value>(&mut connection).await
        };
        let keys: Vec<String> =
            redis::from_redis_value(ask(&["KEYS", "*"]).await.unwrap()).unwrap();
        for key in keys {
            // A fixed name wins over the names of others under the same prefix.
            let mut known: Vec<_> = dictionary
                .iter()
                .filter(|known| known.names(&key))
                .collect();
            known.sort_by_key(|known| (known.named, core::cmp::Reverse(known.prefix.len())));
            let known = known.first();
            let known = known.unwrap_or_else(|| panic!("{key} is not in the dictionary"));
            seen.insert(known.prefix);
            let kind = ask(&["TYPE", &key]).await.unwrap();
            let kind: String = redis::from_redis_value(kind).unwrap();
            assert_eq!(kind, known.kind, "{key}");
            let left = ask(&["TTL", &key]).await.unwrap();
            let left: i64 = redis::from_redis_value(left).unwrap();
            if known.prefix.starts_with("titan:traffic") {
                assert!(left > 0, "{key} is kept forever");
            }
            assert!(
                left < 0 || known.content.contains("expires"),
                "{key} expires"
            );
            if known.prefix == "titan:user:" {
                let all = ask(&["HGETALL", &key]).await.unwrap();
                let all: BTreeMap<String, String> = redis::from_redis_value(all).unwrap();
                for field in all.keys() {
                    assert!(fields.contains(&**field), "{key}: {field}");
                }
            }
        }
    }
    let never: Vec<_> = dictionary
        .iter()
        .map(|known| known.prefix)
        // Nothing is left to tidy between operations, and no server ends here.
        .filter(|prefix| !["titan:tidy", "titan:untold"].contains(prefix) && !seen.contains(prefix))
        .collect();
    assert!(never.is_empty(), "the suite never wrote {never:?}");
}
