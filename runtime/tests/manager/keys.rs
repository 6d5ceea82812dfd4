//! The keys by which managers sign node tokens: how they are listed, and what revoking one does.

use crate::command::titan;
use crate::document::Document;
use crate::harness::{Answer, Manager};
use crate::world;
use core::time::Duration;
use serde_json::{Value, json};
use std::fs;
use titan_runtime::token::{KeyRing, Signer};
use tokio::time::timeout;

/// What the documentation says of the API.
const API_PAGE: &str = include_str!("../../../docs/api.md");

/// How soon a manager that was asked itself has another key: long before it would look by itself.
const AT_ONCE: Duration = Duration::from_secs(5);

const LIFETIME: Duration = Duration::from_secs(60);

impl Manager {
    /// Returns a token for an edge.
    async fn node_token(&self) -> String {
        let answer = self.enrol("nodeid=edge-1").await.body;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Whether a POP takes this token, as the store stands.
    async fn takes(&self, token: &str) -> bool {
        let keys = KeyRing::read(&self.store).await.unwrap();
        let keys = keys.verifiers(world::now());
        keys.iter()
            .any(|key| key.verify(token, world::now()).is_ok())
    }

    /// Returns a token that POPs take, as soon as there is one.
    async fn good_token(&self) -> String {
        let asking = async {
            loop {
                let token = self.node_token().await;
                if self.takes(&token).await {
                    return token;
                }
            }
        };
        let token = timeout(AT_ONCE, asking).await;
        token.expect("the manager makes another key at once")
    }

    /// Publishes the key of another manager.
    async fn beside(&self, manager: &str, signer: &Signer) -> String {
        let key = signer.public_key();
        let published = KeyRing::publish(&self.store, manager, &key, world::now(), LIFETIME).await;
        assert_eq!(published, Ok(true));
        key
    }
}

#[tokio::test]
async fn a_revoked_key_signs_no_more_and_its_manager_makes_another() {
    let it = Manager::start().await;
    it.register("pop-1", 1).await;
    // Another manager, which is stolen.
    let other = Signer::from_seed([7; 32]);
    let stolen = it.beside("other", &other).await;
    let token = other.issue("edge-1", "pop-1", world::now(), LIFETIME);
    assert!(it.takes(&token).await);
    it.delete(&format!("/v1/keys/{stolen}")).await;
    let (first, key) = (it.node_token().await, it.key());
    assert!(!it.takes(&token).await && it.takes(&first).await);

    // Its own: it makes another at once, and has it from then on.
    let kept = fs::read(it.data.path().join("node-token.key")).unwrap();
    let said = titan(&it, &format!("key revoke {key}")).await.unwrap();
    assert_eq!(said, format!("{key} is revoked\n"));
    let listed = titan(&it, "key list").await.unwrap();
    assert!(listed.contains(&key) && listed.contains(&stolen));
    let second = it.good_token().await;
    assert!(!it.takes(&first).await);
    let audit = it.get("/v1/audit").await.body;
    let recorded = audit["records"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&recorded["action"], &recorded["subject"]),
        (&json!("key.revoke"), &json!(key))
    );
    let it = Manager::start_with(it.stop().await, |_| {}).await;
    assert!(it.takes(&second).await && it.takes(&it.node_token().await).await);

    // A copy of the revoked key is not taken up again.
    let data = it.stop().await;
    fs::write(data.path().join("node-token.key"), kept).unwrap();
    let it = Manager::start_with(data, |_| {}).await;
    assert!(!it.takes(&first).await && it.takes(&it.node_token().await).await);
    assert_ne!(it.key(), key);
    it.stop().await;
}

/// The list of keys, of which one is the manager's own.
struct Listed {
    own: Value,
    others: Vec<Value>,
}

impl Listed {
    async fn by(it: &Manager, document: &Document) -> Self {
        let answer = it.get("/v1/keys").await;
        let list = described(document, "key.list", &answer);
        let keys = list["keys"].as_array().unwrap().clone();
        let schema = document.schema("key.list");
        let of_one = &document.resolve(schema)["properties"]["keys"]["items"];
        for key in &keys {
            has_the_fields(document, of_one, key);
        }
        let (own, others): (Vec<_>, _) = keys.into_iter().partition(|key| key["own"] == true);
        let [own] = &own[..] else {
            panic!("{} keys of its own", own.len());
        };
        Self {
            own: own.clone(),
            others,
        }
    }
}

impl Document {
    /// Returns the schema of what an operation answers.
    fn schema(&self, operation: &str) -> &Value {
        let one = self.operation(operation);
        &one.value["responses"]["200"]["content"]["application/json"]["schema"]
    }
}

/// Returns the body of an answer that is as the document says.
fn described(document: &Document, operation: &str, answer: &Answer) -> Value {
    document.operation(operation).admits(answer);
    has_the_fields(document, document.schema(operation), &answer.body);
    answer.body.clone()
}

/// Checks that an object has the fields of a schema, and those of the types that it says.
fn has_the_fields(document: &Document, schema: &Value, object: &Value) {
    let told = document.resolve(schema)["properties"].as_object().unwrap();
    let object = object.as_object().unwrap();
    assert!(told.keys().eq(object.keys()), "{told:?} and {object:?}");
    for (name, value) in object {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let one_or_more = &told[name]["type"];
        let several = one_or_more.as_array().cloned();
        let kinds = several.unwrap_or_else(|| vec![one_or_more.clone()]);
        assert!(kinds.contains(&json!(kind)), "{name}: {value}");
    }
}

#[tokio::test]
async fn keys_are_listed_as_the_page_and_the_document_say() {
    let it = Manager::start().await;
    let document = Document::of(&it).await;
    let begun = world::now();
    let other = it.beside("other", &Signer::from_seed([7; 32])).await;
    let listed = Listed::by(&it, &document).await;
    let id = fs::read_to_string(it.data.path().join("manager.id")).unwrap();
    assert_eq!(listed.own["key"], it.key());
    assert_eq!(listed.own["manager"], id[..32]);
    assert_eq!(listed.others.len(), 1);
    assert_eq!(listed.others[0]["key"], other);
    assert_eq!(listed.others[0]["manager"], "other");
    for key in [&listed.own, &listed.others[0]] {
        assert!(key["until"].as_u64().unwrap() > begun + LIFETIME.as_secs());
        assert_eq!(key["revoked_at"], Value::Null);
    }
    let (_, page) = API_PAGE.split_once("## Managers' keys").unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    for name in listed.own.as_object().unwrap().keys() {
        assert!(page.contains(&format!("`{name}`")), "{name} is not told of");
    }

    let path = format!("/v1/keys/{other}");
    let revoked = described(&document, "key.revoke", &it.delete(&path).await);
    let at = revoked["revoked_at"].as_u64().unwrap();
    assert!((begun..=world::now()).contains(&at));
    let expected = json!({
        "key": other, "manager": "other", "own": false, "until": null, "revoked_at": at,
    });
    assert_eq!(revoked, expected);
    assert_eq!(it.delete(&path).await.body, expected, "it is repeated");
    let listed = Listed::by(&it, &document).await;
    assert_eq!(listed.others, [expected]);

    let key = it.key();
    let revoked = it.delete(&format!("/v1/keys/{key}")).await.body;
    assert_eq!(
        (&revoked["own"], &revoked["until"]),
        (&json!(true), &Value::Null)
    );
    it.register("pop-1", 1).await;
    it.good_token().await;
    let listed = Listed::by(&it, &document).await;
    assert_ne!(listed.own["key"], key);
    assert_eq!(listed.own["manager"], id[..32]);
    let old = listed.others.iter().find(|one| one["key"] == key).unwrap();
    assert!(old["revoked_at"].is_u64() && old["until"].is_null());
    it.stop().await;
}
