//! The OpenAPI document as the tests read it.

use crate::harness::{Answer, Manager};
use http::Method;
use serde_json::Value;

pub(crate) struct Document(pub(crate) Value);

/// An operation of it.
pub(crate) struct Described<'a> {
    pub(crate) id: &'a str,
    pub(crate) access: &'a str,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) value: &'a Value,
}

impl Document {
    pub(crate) async fn of(it: &Manager) -> Self {
        // It needs no token.
        let answer = it.ask(Method::GET, "/openapi.json", None, "").await;
        assert_eq!(answer.kind, "application/json");
        Self(answer.body)
    }

    pub(crate) fn operations(&self) -> impl Iterator<Item = Described<'_>> {
        let paths = self.0["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods.iter().map(|(method, value)| Described {
                id: value["operationId"].as_str().unwrap(),
                access: value["x-titan-access"].as_str().unwrap(),
                method: method.to_uppercase().parse().unwrap(),
                path,
                value,
            })
        })
    }

    pub(crate) fn operation(&self, id: &str) -> Described<'_> {
        self.operations().find(|one| one.id == id).unwrap()
    }

    /// The schema itself, wherever it stands.
    pub(crate) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(place) => self.0.pointer(place.strip_prefix('#').unwrap()).unwrap(),
            None => schema,
        }
    }
}

impl Described<'_> {
    /// Checks that this answer is one that the document tells of.
    #[track_caller]
    pub(crate) fn admits(&self, answer: &Answer) {
        let status = answer.status.as_u16();
        let response = &self.value["responses"][status.to_string()];
        assert!(
            response.is_object(),
            "{} does not tell of {answer:?}",
            self.id
        );
        if status >= 400 {
            let told = response["description"].as_str().unwrap();
            let code = answer.body["code"].as_str().unwrap();
            assert!(
                told.split(", ").any(|one| one == code),
                "{} tells of {told}, not of {answer:?}",
                self.id
            );
        }
        let kind = answer.kind.split(';').next().unwrap();
        match response["content"].as_object() {
            Some(content) => assert!(content.contains_key(kind), "{}: {answer:?}", self.id),
            None => assert_eq!(answer.body, Value::Null, "{}", self.id),
        }
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let it = Manager::start().await;
    for (path, kind) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs.js", "text/javascript"),
        ("/docs.css", "text/css"),
    ] {
        let answer = it.ask(Method::GET, path, None, "").await;
        assert_eq!((answer.status.as_u16(), &*answer.kind), (200, kind));
        let text = answer.body.as_str().unwrap();
        assert!(!text.contains("://"), "{path} names another host");
        assert!(!text.contains("innerHTML"), "{path}");
    }
    it.stop().await;
}

#[tokio::test]
async fn the_document_holds_together() {
    let it = Manager::start().await;
    let document = Document::of(&it).await;
    fn references(document: &Document, value: &Value) {
        if value["$ref"].is_string() {
            document.resolve(value);
        }
        match value {
            Value::Object(members) => members.values().for_each(|one| references(document, one)),
            Value::Array(items) => items.iter().for_each(|one| references(document, one)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    references(&document, &document.0);
    for one in document.operations() {
        let in_braces = one.path.matches('{').count();
        let parameters = one.value["parameters"].as_array();
        let named = parameters.map_or(0, |all| {
            let in_path = all.iter().filter(|one| one["in"] == "path");
            in_path
                .inspect(|parameter| {
                    let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
                    assert!(one.path.contains(&name), "{}", one.path);
                })
                .count()
        });
        assert_eq!(in_braces, named, "{}", one.path);
    }
    it.stop().await;
}
