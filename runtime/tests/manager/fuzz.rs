//! Random requests made from the OpenAPI document: none may cause a fault of the server, and every
//! answer is one that the document tells of.

use crate::document::{Described, Document};
use crate::harness::Manager;
use serde_json::{Map, Number, Value, json};

/// Requests per operation and seed.
const REQUESTS: usize = 80;

/// What names something that there is, so that requests get past the first check.
const KNOWN: [&str; 9] = [
    "ann",
    "bob",
    "edge-1",
    "edge-2",
    "pop-1",
    "pop-2",
    "203.0.113.9",
    "hour",
    "start",
];

/// What is likely to be known under the name of a parameter or member.
fn likely(name: &str) -> &'static [&'static str] {
    match name {
        "name" | "username" | "user_name" => &["ann", "bob"],
        "popid" | "pop" | "pop_id" | "pop_ids" | "source_pop" | "from" => &["pop-1"],
        "to" | "target_pop" => &["pop-2"],
        "nodeid" | "node_id" | "node" | "nodes" | "id" => &["edge-1", "edge-2"],
        "ip" | "ips" | "ip_list" => &["203.0.113.9", "2001:db8::1"],
        "type" => &["minute", "hour", "day"],
        "action" => &["start", "stop"],
        _ => &KNOWN,
    }
}

/// Splitmix64, so that a failure follows from its seed.
struct Random {
    state: u64,
    /// The id of a token that there is.
    token: String,
    /// The key of the manager.
    key: String,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn text(&mut self, name: &str) -> String {
        match self.below(10) {
            0..=2 if name == "token_id" && !self.token.is_empty() => self.token.clone(),
            0..=2 if name == "key" && !self.key.is_empty() => self.key.clone(),
            0..=6 => self.pick(likely(name)).to_owned(),
            7 => self.pick(&KNOWN).to_owned(),
            8 if self.one_in(2) => "x".repeat(self.pick(&[0, 1, 64, 65, 255, 256, 5_000])),
            8 => self
                .pick(&[
                    "é\u{0}", "../..", "%", "a b", "\u{202e}", "';--", "0", "-1", "{}",
                ])
                .to_owned(),
            _ => (0..self.below(12))
                .map(|_| char::from_u32(u32::try_from(self.below(0x250)).unwrap()).unwrap())
                .collect(),
        }
    }

    fn number(&mut self, schema: &Value) -> Value {
        let least = schema["minimum"].as_i64().unwrap_or(0);
        let most = schema["maximum"].as_i64().unwrap_or(1 << 53);
        let whole = match self.below(12) {
            0 => least,
            1 => most,
            2 => least.saturating_sub(1),
            3 => most.saturating_add(1),
            4 => 1_764_000_000,
            5 => return json!(u64::MAX),
            6 => return Value::Number(Number::from_f64(0.5).unwrap()),
            _ => {
                let span = usize::try_from(most.saturating_sub(least).clamp(0, 2_000)).unwrap();
                least + i64::try_from(self.below(span + 1)).unwrap()
            }
        };
        json!(whole)
    }

    /// Anything at all.
    fn junk(&mut self) -> Value {
        let text = self.text("");
        let number = self.number(&Value::Null);
        self.pick(&[
            Value::Null,
            json!(true),
            json!([]),
            json!({}),
            json!([[]]),
            text.into(),
            number,
        ])
    }

    /// What a schema describes, or nearly.
    fn value(&mut self, document: &Document, name: &str, schema: &Value, depth: usize) -> Value {
        if self.one_in(25) || depth > 6 {
            return self.junk();
        }
        let schema = document.resolve(schema);
        // What members say together stands beside them, and is met or not by chance.
        if let Some(all) = schema["oneOf"].as_array()
            && schema["properties"].is_null()
        {
            let one = self.pick(all);
            return self.value(document, name, &one, depth + 1);
        }
        if let Some(all) = schema["enum"].as_array() {
            return self.pick(all);
        }
        let kind = &schema["type"];
        let kind = match kind.as_array() {
            Some(all) => self.pick(all),
            None => kind.clone(),
        };
        match kind.as_str() {
            Some("object") => {
                let required = schema["required"].as_array().cloned().unwrap_or_default();
                let mut members = Map::new();
                for (member, one) in schema["properties"].as_object().unwrap() {
                    let needed = required.iter().any(|one| one == member);
                    if if needed {
                        !self.one_in(20)
                    } else {
                        self.one_in(2)
                    } {
                        members
                            .insert(member.clone(), self.value(document, member, one, depth + 1));
                    }
                }
                if self.one_in(20) {
                    members.insert(self.text(""), self.junk());
                }
                members.into()
            }
            Some("array") => {
                let count = self.pick(&[0, 1, 1, 2, 3, 101]);
                let items = schema["items"].clone();
                (0..count)
                    .map(|_| self.value(document, name, &items, depth + 1))
                    .collect()
            }
            Some("integer" | "number") => self.number(schema),
            Some("boolean") => self.one_in(2).into(),
            Some("null") => Value::Null,
            _ => self.text(name).into(),
        }
    }
}

/// A request: path with query, and body.
fn request(random: &mut Random, document: &Document, it: &Described<'_>) -> (String, String) {
    let mut path = it.path.to_owned();
    let mut query = Vec::new();
    for parameter in it.value["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let value = random.value(document, name, &parameter["schema"], 0);
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        if parameter["in"] == "path" {
            path = path.replace(&format!("{{{name}}}"), &encode(&value));
        } else if parameter["required"] == true && !random.one_in(20) || random.one_in(2) {
            query.push(format!("{name}={}", encode(&value)));
        }
    }
    if random.one_in(20) {
        query.push(format!(
            "{}={}",
            encode(&random.text("")),
            encode(&random.text(""))
        ));
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let body = match it.value["requestBody"]["content"]["application/json"].get("schema") {
        Some(_) if random.one_in(20) => random
            .pick(&["", "{", "null", "[1,", "\u{0}", "{\"a\":1}{"])
            .to_owned(),
        Some(schema) => random.value(document, "", schema, 0).to_string(),
        None => String::new(),
    };
    (path, body)
}

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn no_request_made_from_the_document_causes_a_fault() {
    let it = Manager::start().await;
    let document = Document::of(&it).await;
    let (mut successes, mut missed) = (0, Vec::new());
    for one in document.operations() {
        let mut random = Random {
            state: 0x7174_616e ^ one.id.len() as u64,
            token: String::new(),
            key: it.key(),
        };
        let mut good = 0;
        for count in 0..REQUESTS {
            // What earlier requests deleted is there again.
            if it.store_user("ann").await.is_none() {
                it.user("ann").await;
            }
            it.register("pop-1", 1).await;
            it.register("pop-2", 1).await;
            it.online("edge-1", "pop-1").await;
            it.online("edge-2", "pop-2").await;
            if one.id == "token.revoke" {
                // What was revoked is no longer good, but it is there.
                random.token = it.token("operator").await.0;
            }
            let token = match one.access {
                "join" => &it.join,
                _ => &it.admin,
            };
            let (path, body) = request(&mut random, &document, &one);
            let answer = it.ask(one.method.clone(), &path, Some(token), &body).await;
            let what = format!(
                "{} {count}: {} {path} {body}: {answer:?}",
                one.id, one.method
            );
            // A node may ask for, or leave, such POPs that there is none.
            let no_pop = one.access == "join" && answer.body["code"] == "no_pop";
            assert!(answer.status.as_u16() < 500 || no_pop, "{what}");
            if path.split('?').next().unwrap().ends_with('/') && answer.status == 404 {
                // An empty name in a path is another path.
                continue;
            }
            if answer.status == 405 {
                // So is a name that is a word of another path.
                continue;
            }
            one.admits(&answer);
            good += usize::from(answer.status.is_success());
        }
        if good == 0 {
            missed.push(one.id.to_owned());
        }
        successes += good;
    }
    assert!(missed.is_empty(), "no request succeeded: {missed:?}");
    assert!(successes > 500, "{successes}");
    it.stop().await;
}
