//! Every operation: success, bad input, missing rights, unknown object. The table is held against the
//! OpenAPI document, so that an operation without a row fails the test.

use crate::document::Document;
use crate::harness::{Answer, Manager};
use http::Method;
use serde_json::{Value, json};

/// The roles, from the least on.
const ROLES: [&str; 3] = ["read-only", "operator", "admin"];

/// One operation.
struct Case {
    id: &'static str,
    access: &'static str,
    method: Method,
    /// What succeeds, and how.
    good: (&'static str, Value, u16),
    /// What makes no sense.
    bad: Option<(&'static str, Value)>,
    /// What names something that there is not.
    unknown: Option<(&'static str, Value)>,
}

fn case(
    id: &'static str,
    access: &'static str,
    method: Method,
    good: (&'static str, Value, u16),
) -> Case {
    Case {
        id,
        access,
        method,
        good,
        bad: None,
        unknown: None,
    }
}

impl Case {
    fn bad(mut self, path: &'static str, body: Value) -> Self {
        self.bad = Some((path, body));
        self
    }

    fn unknown(mut self, path: &'static str, body: Value) -> Self {
        self.unknown = Some((path, body));
        self
    }

    /// The path of what succeeds, with what there is at a manager.
    fn good_path(&self, it: &Manager, token: &str) -> String {
        let path = self.good.0.replace("{token_id}", token);
        path.replace("{key}", &it.key())
    }
}

fn get(id: &'static str, access: &'static str, path: &'static str) -> Case {
    case(id, access, Method::GET, (path, Value::Null, 200))
}

fn post(id: &'static str, path: &'static str, body: Value, status: u16) -> Case {
    case(id, "operator", Method::POST, (path, body, status))
}

fn cases() -> Vec<Case> {
    const NONE: Value = Value::Null;
    let mut all = vec![
        get("manager.health", "open", "/healthz"),
        get("node.pop", "join", "/v1/node/pop?nodeid=n").bad("/v1/node/pop", NONE),
        get("user.list", "read-only", "/v1/users").bad("/v1/users?limit=0", NONE),
        post("user.create", "/v1/users", json!({ "name": "bob" }), 201)
            .bad("/v1/users", json!({ "name": "a-b" }))
            .unknown(
                "/v1/users",
                json!({ "name": "bob", "route": { "mode": "manual", "node": "edge-9" } }),
            ),
        get("user.show", "read-only", "/v1/users/ann").unknown("/v1/users/bob", NONE),
        case(
            "user.modify",
            "operator",
            Method::PATCH,
            ("/v1/users/ann", json!({ "enabled": false }), 200),
        )
        .bad("/v1/users/ann", json!({ "upload_rate": 0 }))
        .unknown("/v1/users/bob", json!({})),
        case(
            "user.delete",
            "operator",
            Method::DELETE,
            ("/v1/users/ann", NONE, 204),
        )
        .unknown("/v1/users/bob", NONE),
        case(
            "user.password",
            "operator",
            Method::PUT,
            ("/v1/users/ann/password", json!({}), 200),
        )
        .bad("/v1/users/ann/password", json!({ "password": "" }))
        .unknown("/v1/users/bob/password", json!({})),
        post(
            "user.adjust",
            "/v1/users/ann/adjustments",
            json!({ "reset": true }),
            200,
        )
        .bad(
            "/v1/users/ann/adjustments",
            json!({ "add_bytes": 1, "reset": true }),
        )
        .unknown("/v1/users/bob/adjustments", json!({ "reset": true })),
        get("user.usage", "read-only", "/v1/users/ann/usage").unknown("/v1/users/bob/usage", NONE),
        get("user.stats", "read-only", "/v1/users/ann/stats").unknown("/v1/users/bob/stats", NONE),
        get(
            "user.traffic",
            "read-only",
            "/v1/users/ann/traffic?resolution=day",
        )
        .bad("/v1/users/ann/traffic?resolution=5m&from=-1", NONE)
        .unknown("/v1/users/bob/traffic", NONE),
        get("node.list", "read-only", "/v1/nodes?pop=pop-1")
            .bad("/v1/nodes?limit=1001", NONE)
            .unknown("/v1/nodes?pop=pop-9", NONE),
        get("node.show", "read-only", "/v1/nodes/edge-1").unknown("/v1/nodes/edge-9", NONE),
        get("node.export", "read-only", "/v1/nodes.csv")
            .bad("/v1/nodes.csv?x=1", NONE)
            .unknown("/v1/nodes.csv?pop=pop-9", NONE),
        post("node.kick", "/v1/nodes/edge-1/kick", json!({}), 202)
            .bad("/v1/nodes/edge-1/kick", json!({ "retry_after": 86_401 }))
            .unknown("/v1/nodes/edge-9/kick", json!({})),
        post(
            "node.migrate",
            "/v1/nodes/migrate",
            json!({ "to": "pop-2", "nodes": ["edge-1"] }),
            202,
        )
        .bad("/v1/nodes/migrate", json!({ "to": "pop-2" }))
        .unknown(
            "/v1/nodes/migrate",
            json!({ "to": "pop-9", "nodes": ["edge-1"] }),
        ),
        get("pop.list", "read-only", "/v1/pops"),
        post("pop.drain", "/v1/pops/pop-2/drain", NONE, 202).unknown("/v1/pops/pop-9/drain", NONE),
        get("blacklist.nodes", "read-only", "/v1/blacklist/nodes")
            .bad("/v1/blacklist/nodes?limit=0", NONE),
        get("blacklist.ips", "read-only", "/v1/blacklist/ips").bad("/v1/blacklist/ips?x=1", NONE),
        post(
            "blacklist.add",
            "/v1/blacklist",
            json!({ "ips": ["192.0.2.1"], "nodes": ["x"] }),
            200,
        )
        .bad("/v1/blacklist", json!({ "ips": ["192.0.2.1/24"] })),
        case(
            "blacklist.remove_node",
            "operator",
            Method::DELETE,
            ("/v1/blacklist/nodes/x", NONE, 204),
        )
        .bad("/v1/blacklist/nodes/a%20b", NONE)
        .unknown("/v1/blacklist/nodes/%ff", NONE),
        case(
            "blacklist.remove_ip",
            "operator",
            Method::DELETE,
            ("/v1/blacklist/ips/192.0.2.1", NONE, 204),
        )
        .bad("/v1/blacklist/ips/x", NONE)
        .unknown("/v1/blacklist/ips/%ff", NONE),
        get("audit.list", "read-only", "/v1/audit").bad("/v1/audit?limit=0", NONE),
        get("audit.head", "read-only", "/v1/audit/head"),
    ];
    all.extend(token_cases());
    all.extend(legacy_cases());
    all
}

fn token_cases() -> Vec<Case> {
    const NONE: Value = Value::Null;
    vec![
        get("token.list", "admin", "/v1/tokens").bad("/v1/tokens?limit=x", NONE),
        case(
            "token.create",
            "admin",
            Method::POST,
            (
                "/v1/tokens",
                json!({ "name": "ci", "role": "operator" }),
                201,
            ),
        )
        .bad("/v1/tokens", json!({ "name": "ci", "role": "root" })),
        case(
            "token.revoke",
            "admin",
            Method::DELETE,
            ("/v1/tokens/{token_id}", NONE, 200),
        )
        .bad("/v1/tokens/admin.token", NONE)
        .unknown("/v1/tokens/0000", NONE),
        get("token.show", "read-only", "/v1/whoami"),
        get("key.list", "read-only", "/v1/keys"),
        case(
            "key.revoke",
            "admin",
            Method::DELETE,
            ("/v1/keys/{key}", NONE, 200),
        )
        .unknown("/v1/keys/0000", NONE),
    ]
}

fn legacy_cases() -> [Case; 22] {
    const NONE: Value = Value::Null;
    let bob = json!({ "user_name": "bob", "password": "x" });
    let ips = json!({ "pop_id": "pop-1", "ip_list": ["192.0.2.1"] });
    let elsewhere = json!({ "pop_id": "pop-9", "ip_list": ["192.0.2.1"] });
    let none = json!({ "pop_id": "pop-1", "ip_list": [] });
    let moving = |to: &str| json!({ "source_pop": "pop-1", "target_pop": to, "count": 1 });
    let named = |user: &str, key: &str, value: &str| json!({ "user_name": user, key: value });
    [
        get("legacy.node.pop", "join", "/node/pop?nodeid=n").bad("/node/pop?nodeid=a%20b", NONE),
        post("legacy.user.create", "/user/create", bob, 200)
            .bad(
                "/user/create",
                json!({ "user_name": "a-b", "password": "x" }),
            )
            .unknown(
                "/user/create",
                json!({ "user_name": "c", "password": "x", "pop_id": "pop-9" }),
            ),
        get(
            "legacy.user.list",
            "read-only",
            "/user/list?popid=pop-1&start=0&end=9",
        )
        .bad("/user/list?popid=pop-1&start=0&end=100000", NONE)
        .unknown("/user/list?popid=pop-9&start=0&end=9", NONE),
        get("legacy.user.get", "read-only", "/user/get?username=ann")
            .bad("/user/get", NONE)
            .unknown("/user/get?username=bob", NONE),
        post(
            "legacy.user.modify",
            "/user/modify",
            json!({ "user_name": "ann", "route": { "mode": 4 } }),
            200,
        )
        .bad(
            "/user/modify",
            json!({ "user_name": "ann", "route": { "mode": 6 } }),
        )
        .unknown("/user/modify", json!({ "user_name": "bob" })),
        post(
            "legacy.user.password",
            "/user/password/modify",
            named("ann", "new_password", "y"),
            200,
        )
        .bad("/user/password/modify", named("ann", "new_password", ""))
        .unknown("/user/password/modify", named("bob", "new_password", "y")),
        post(
            "legacy.user.delete",
            "/user/delete",
            json!({ "user_name": "ann" }),
            200,
        )
        .bad("/user/delete", json!({}))
        .unknown("/user/delete", json!({ "user_name": "bob" })),
        post(
            "legacy.user.startorstop",
            "/user/startorstop",
            named("ann", "action", "stop"),
            200,
        )
        .bad("/user/startorstop", named("ann", "action", "x"))
        .unknown("/user/startorstop", named("bob", "action", "stop")),
        post(
            "legacy.user.routenode",
            "/user/routenode/switch",
            named("ann", "node_id", "edge-1"),
            200,
        )
        .bad("/user/routenode/switch", json!({}))
        .unknown("/user/routenode/switch", named("bob", "node_id", "edge-1")),
        get(
            "legacy.user.stats",
            "read-only",
            "/user/stats/base?username=ann",
        )
        .bad("/user/stats/base", NONE)
        .unknown("/user/stats/base?username=bob", NONE),
        get(
            "legacy.user.chart",
            "read-only",
            "/user/stats/chart?type=hour&username=ann&start_time=0&end_time=7200",
        )
        .bad(
            "/user/stats/chart?type=year&username=ann&start_time=0&end_time=1",
            NONE,
        )
        .unknown(
            "/user/stats/chart?type=day&username=bob&start_time=0&end_time=1",
            NONE,
        ),
        get("legacy.pops", "read-only", "/pops"),
        get(
            "legacy.node.list",
            "read-only",
            "/node/list?popid=pop-1&type=1&start=0&end=9",
        )
        .bad("/node/list?popid=pop-1&type=4&start=0&end=9", NONE)
        .unknown("/node/list?popid=pop-9&type=1&start=0&end=9", NONE),
        post("legacy.node.kick", "/node/kick?nodeid=edge-1", NONE, 200)
            .bad("/node/kick", NONE)
            .unknown("/node/kick?nodeid=edge-9", NONE),
        post("legacy.node.migrate", "/node/migrate", moving("pop-2"), 200)
            .bad("/node/migrate", json!({}))
            .unknown("/node/migrate", moving("pop-9")),
        get("legacy.pop.export", "read-only", "/pop/nodes/export"),
        post(
            "legacy.node.blacklist.add",
            "/node/blacklist/add",
            ips.clone(),
            200,
        )
        .bad("/node/blacklist/add", none.clone())
        .unknown("/node/blacklist/add", elsewhere.clone()),
        post(
            "legacy.node.blacklist.remove",
            "/node/blacklist/remove",
            ips.clone(),
            200,
        )
        .bad("/node/blacklist/remove", none.clone())
        .unknown("/node/blacklist/remove", elsewhere.clone()),
        get(
            "legacy.node.blacklist.get",
            "read-only",
            "/node/blacklist/get?popid=pop-1",
        )
        .bad("/node/blacklist/get?popid=pop-1&count=0", NONE)
        .unknown("/node/blacklist/get?popid=pop-9", NONE),
        post(
            "legacy.ip.blacklist.add",
            "/ip/blacklist/add",
            ips.clone(),
            200,
        )
        .bad("/ip/blacklist/add", none.clone())
        .unknown("/ip/blacklist/add", elsewhere.clone()),
        post(
            "legacy.ip.blacklist.remove",
            "/ip/blacklist/remove",
            ips,
            200,
        )
        .bad("/ip/blacklist/remove", none)
        .unknown("/ip/blacklist/remove", elsewhere),
        get("legacy.ip.blacklist.get", "read-only", "/ip/blacklist/get")
            .bad("/ip/blacklist/get?cursor=x", NONE),
    ]
}

/// A manager with a user, two POPs and two nodes at the first, and a token of each role.
async fn prepared() -> (Manager, [(String, String); 3]) {
    let it = Manager::start().await;
    it.user("ann").await;
    it.register("pop-1", 1).await;
    it.register("pop-2", 1).await;
    it.online("edge-1", "pop-1").await;
    it.online("edge-2", "pop-1").await;
    let [one, two, three] = ROLES;
    let tokens = [
        it.token(one).await,
        it.token(two).await,
        it.token(three).await,
    ];
    (it, tokens)
}

async fn ask(
    it: &Manager,
    case: &Case,
    (path, body): (&str, &Value),
    token: Option<&str>,
) -> Answer {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    it.ask(case.method.clone(), path, token, &body).await
}

#[tokio::test]
async fn the_table_and_the_document_name_the_same_operations() {
    let it = Manager::start().await;
    let document = Document::of(&it).await;
    let mut described: Vec<_> = document
        .operations()
        .map(|one| (one.id.to_owned(), one.access.to_owned(), one.method))
        .collect();
    let mut tested: Vec<_> = cases()
        .into_iter()
        .map(|case| (case.id.to_owned(), case.access.to_owned(), case.method))
        .collect();
    let key = |one: &(String, String, Method)| one.0.clone();
    described.sort_by_key(key);
    tested.sort_by_key(key);
    assert_eq!(described, tested);
    it.stop().await;
}

/// What an operation can refuse it must be seen to refuse: a row that leaves that out fails here, also one of
/// an operation that is added later.
#[tokio::test]
async fn every_case_tries_what_its_operation_can_refuse() {
    let it = Manager::start().await;
    let document = Document::of(&it).await;
    for case in cases() {
        let described = document.operation(case.id);
        let refuses = |code: &str| {
            let responses = described.value["responses"].as_object().unwrap();
            responses.values().any(|response| {
                let codes = response["description"].as_str().unwrap();
                codes.split(", ").any(|one| one == code)
            })
        };
        let tried = [
            ("bad_request", case.bad.is_some()),
            ("not_found", case.unknown.is_some()),
        ];
        for (code, tried) in tried {
            assert_eq!(tried, refuses(code), "{}: {code}", case.id);
        }
        assert_eq!(
            refuses("unauthorized"),
            case.access != "open",
            "{}",
            case.id
        );
        let ranked = matches!(case.access, "operator" | "admin");
        assert_eq!(refuses("forbidden_role"), ranked, "{}", case.id);
    }
    it.stop().await;
}

#[tokio::test]
async fn every_operation_succeeds_refuses_nonsense_and_knows_what_there_is_not() {
    let starting = Manager::start().await;
    let document = Document::of(&starting).await;
    starting.stop().await;
    for case in cases() {
        let (it, tokens) = prepared().await;
        let token = match case.access {
            "open" => None,
            "join" => Some(it.join.clone()),
            _ => Some(it.admin.clone()),
        };
        let described = document.operation(case.id);
        let check = |answer: &Answer, status: u16, code: &str| {
            assert_eq!(answer.status.as_u16(), status, "{}: {answer:?}", case.id);
            described.admits(answer);
            if !code.is_empty() {
                answer.is_problem(status, code);
                let legacy = case.id.starts_with("legacy.");
                assert_eq!(answer.body["success"] == false, legacy, "{answer:?}");
                assert_eq!(answer.body["err_msg"].is_string(), legacy, "{answer:?}");
            }
        };
        if let Some((path, body)) = &case.bad {
            let answer = ask(&it, &case, (path, body), token.as_deref()).await;
            check(&answer, 400, "bad_request");
        }
        if let Some((path, body)) = &case.unknown {
            let answer = ask(&it, &case, (path, body), token.as_deref()).await;
            check(&answer, 404, "not_found");
        }
        if case.access != "open" {
            let answer = ask(&it, &case, (case.good.0, &case.good.1), None).await;
            check(&answer, 401, "unauthorized");
        }
        let path = case.good_path(&it, &tokens[0].0);
        let answer = ask(&it, &case, (&path, &case.good.1), token.as_deref()).await;
        check(&answer, case.good.2, "");
        it.stop().await;
    }
}

#[tokio::test]
async fn each_role_may_do_what_it_may_and_nothing_else() {
    for case in cases() {
        let Some(least) = ROLES.iter().position(|role| *role == case.access) else {
            continue;
        };
        let (it, tokens) = prepared().await;
        let path = case.good_path(&it, &tokens[0].0);
        // From the least role on, so that what succeeds has not been done before.
        for (rank, (id, token)) in tokens.iter().enumerate() {
            let head = it.store_head().await;
            let answer = ask(&it, &case, (&path, &case.good.1), Some(token)).await;
            if rank < least {
                answer.is_problem(403, "forbidden_role");
            } else {
                assert!(
                    !matches!(answer.status.as_u16(), 401 | 403),
                    "{} {id}: {answer:?}",
                    case.id
                );
            }
            // A look leaves no record; an act one before and one after, a refused one its own.
            let recorded = it.store_head().await - head;
            let expected = match (case.method == Method::GET, rank < least) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => 2,
            };
            assert_eq!(recorded, expected, "{} {id}", case.id);
        }
        it.stop().await;
    }
}
