//! Configurations as operators write them.

use super::*;
use clap::Parser as _;
use core::time::Duration;
use std::collections::HashMap;
use std::path::Path;

fn source(directory: &tempfile::TempDir, toml: &str, environment: &[(&str, &str)]) -> Source {
    let file = directory.path().join("titan.toml");
    std::fs::write(&file, toml).unwrap();
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Source {
        file: Some(file),
        environment: environment.iter().map(own).collect::<HashMap<_, _>>(),
        flags: Vec::new(),
    }
}

fn manager(toml: &str, environment: &[(&str, &str)]) -> Result<ManagerConfig, String> {
    let directory = tempfile::tempdir().unwrap();
    ManagerConfig::load(source(&directory, toml, environment)).map_err(|error| error.to_string())
}

fn pop(toml: &str, environment: &[(&str, &str)]) -> Result<PopConfig, String> {
    let directory = tempfile::tempdir().unwrap();
    PopConfig::load(source(&directory, toml, environment)).map_err(|error| error.to_string())
}

fn edge(toml: &str, environment: &[(&str, &str)]) -> Result<EdgeConfig, String> {
    let directory = tempfile::tempdir().unwrap();
    EdgeConfig::load(source(&directory, toml, environment)).map_err(|error| error.to_string())
}

#[track_caller]
fn refused<T: core::fmt::Debug>(result: Result<T, String>, words: &[&str]) {
    let error = result.unwrap_err();
    for word in words {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn the_store_is_in_the_data_directory_or_a_redis_server() {
    let base = "insecure = true\n";
    let of = |toml: &str, environment: &[(&str, &str)]| {
        let config = manager(&format!("{base}{toml}"), environment)?;
        Ok::<_, String>(config.store.redis().map(str::to_owned))
    };
    assert_eq!(of("", &[]).unwrap(), None);
    assert_eq!(of(r#"store = "embedded""#, &[]).unwrap(), None);
    let apart = manager(&format!("{base}store = \"embedded:/srv/titan\""), &[]).unwrap();
    assert_eq!(apart.store.directory(), Some(Path::new("/srv/titan")));
    assert_eq!(apart.store.redis(), None);
    let plain = "redis://cache.example:6379/1";
    let shown = of(&format!("store = \"{plain}\""), &[]).unwrap();
    assert_eq!(shown.as_deref(), Some(plain));
    for bad in [
        "",
        "redis",
        "embedded:",
        "embedded/srv/titan",
        "redis://",
        "http://cache.example",
        "rediss://cache.example",
    ] {
        refused(of(&format!("store = \"{bad}\""), &[]), &["store"]);
    }

    // With a password it may be in the environment or a file of its own, and in no message.
    let secret = "redis://:s3cret@cache.example:6379";
    let environment = [("TITAN__STORE", secret)];
    assert_eq!(of("", &environment).unwrap().as_deref(), Some(secret));
    let config = manager(base, &environment).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
    for address in [secret, "redis+unix:///run/redis.sock?pass=s3cret"] {
        let refusal = of(&format!("store = \"{address}\""), &[]).unwrap_err();
        assert!(
            refusal.contains("store_file") && !refusal.contains("s3cret"),
            "{refusal}"
        );
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{secret}\n")).unwrap();
    let named = format!("store_file = {:?}", file.path());
    assert_eq!(of(&named, &[]).unwrap().as_deref(), Some(secret));
    refused(of(&named, &environment), &["store_file", "contradicts"]);
    std::fs::write(file.path(), "nonsense s3cret").unwrap();
    let refusal = of(&named, &[]).unwrap_err();
    assert!(
        refusal.contains("store_file") && !refusal.contains("s3cret"),
        "{refusal}"
    );
    refused(
        of(r#"store_file = "/does/not/exist""#, &[]),
        &["store_file", "/does/not/exist"],
    );
    let config = PopConfig::load(Source {
        file: None,
        environment: [("TITAN__STORE", secret), ("TITAN__ID", "p")]
            .into_iter()
            .chain([("TITAN__PUBLIC_URL", "ws://p"), ("TITAN__INSECURE", "true")])
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        flags: Vec::new(),
    })
    .unwrap();
    assert_eq!(config.store.redis(), Some(secret));
}

#[test]
fn the_examples_are_valid_and_show_the_defaults() {
    let config = manager(ManagerConfig::EXAMPLE, &[]).unwrap();
    assert_eq!(config.pops.len(), 1);
    let default = ManagerConfig::default();
    let shown = ManagerConfig {
        tls: None,
        pops: Vec::new(),
        default_pop: None,
        ..config
    };
    assert_eq!(shown, default);

    let config = pop(PopConfig::EXAMPLE, &[]).unwrap();
    let default = PopConfig::default();
    let shown = PopConfig {
        id: String::new(),
        public_url: String::new(),
        resume_url: None,
        listen_socks: None,
        tls: None,
        ..config.clone()
    };
    assert_eq!(shown, default);
    assert_eq!(config.client_listeners(), default.client_listeners());

    let example = EdgeConfig::EXAMPLE.replace("join_file", "# join_file");
    let config = edge(&example, &[("TITAN__JOIN", "s3cret")]).unwrap();
    assert_eq!(
        config.join.as_ref().map(crate::token::Secret::expose),
        Some("s3cret")
    );
    let shown = EdgeConfig {
        node_id: String::new(),
        manager: String::new(),
        ca: None,
        join: None,
        deny_targets: Vec::new(),
        ..config
    };
    assert_eq!(shown, EdgeConfig::default());
}

#[test]
fn applications_connect_at_one_listener_or_several() {
    let base = "insecure = true\nid = 'p'\npublic_url = 'ws://p'\n";
    let of = |toml: &str, environment: &[(&str, &str)]| {
        let config = pop(&format!("{base}{toml}"), environment)?;
        let listeners = config.client_listeners();
        let at = listeners.iter().map(|listener| listener.at.to_string());
        Ok::<_, String>(at.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(of("", &[]).unwrap(), "127.0.0.1:1080");
    assert_eq!(of("listeners = []", &[]).unwrap(), "127.0.0.1:1080");
    assert_eq!(of("listen_socks = '[::1]:9'", &[]).unwrap(), "[::1]:9");
    let two = "[[listeners]]\nat = '127.0.0.1:1080'\n[[listeners]]\nat = '[::1]:1081'";
    assert_eq!(of(two, &[]).unwrap(), "127.0.0.1:1080 [::1]:1081");
    let environment = [("TITAN__LISTENERS", "10.0.0.1:1, 10.0.0.1:2")];
    assert_eq!(of("", &environment).unwrap(), "10.0.0.1:1 10.0.0.1:2");
    assert_eq!(
        of(
            "[[listeners]]\nat = '127.0.0.1:0'\n[[listeners]]\nat = '127.0.0.1:0'",
            &[]
        )
        .unwrap(),
        "127.0.0.1:0 127.0.0.1:0"
    );

    let many = |count: usize| {
        let one = |port| format!("[[listeners]]\nat = '127.0.0.1:{port}'\n");
        (1..=count).map(one).collect::<String>()
    };
    assert!(of(&many(LISTENERS_MAX), &[]).is_ok());
    refused(of(&many(LISTENERS_MAX + 1), &[]), &["`listeners`", "64"]);
    refused(
        of(&format!("{two}\n{two}"), &[]),
        &["listeners.at", "127.0.0.1:1080", "twice"],
    );
    refused(
        of(&format!("listen_socks = '127.0.0.1:1'\n{two}"), &[]),
        &["`listen_socks`", "contradicts", "`listeners`"],
    );
    refused(of("[[listeners]]\nat = 'here'", &[]), &["listeners"]);
    refused(of("[[listeners]]\nport = 1", &[]), &["port"]);
    refused(of("", &[("TITAN__LISTENERS", "here")]), &["listeners"]);
    // What is not obeyed is not accepted.
    for key in [
        "tls = { cert = 'c', key = 'k' }",
        "as = 'alice'",
        "dialect = 'x'",
    ] {
        let listener = format!("[[listeners]]\nat = '127.0.0.1:1'\n{key}");
        refused(of(&listener, &[]), &[key.split(' ').next().unwrap()]);
    }
}

#[test]
fn unknown_keys_are_named() {
    refused(manager("insecure = true\nlisen = 1", &[]), &["lisen"]);
    refused(
        manager("insecure = true", &[("TITAN__LISEN", "1")]),
        &["lisen"],
    );
    let toml =
        "id = 'p'\npublic_url = 'wss://p'\n[tls]\ncert = 'c'\nkey = 'k'\n[limits]\nsesions = 1";
    refused(pop(toml, &[]), &["sesions"]);
    refused(pop("", &[("TITAN__TLS__CRT", "x")]), &["crt"]);
    refused(
        manager(
            "insecure = true\n[[pops]]\nid = 'p'\nurl = 'wss://p'\nweight = 1",
            &[],
        ),
        &["weight"],
    );
    // What orchestrators inject is not ours.
    assert!(manager("insecure = true", &[("TITAN_POP_PORT", "tcp://10.0.0.1")]).is_ok());
}

#[test]
fn variables_of_other_programs_break_nothing() {
    // What the operator's command is told in the same shell.
    let command = [
        ("TITAN__MANAGER", "https://manager.example:41004"),
        ("TITAN__CA", "/etc/titan/ca.pem"),
        ("TITAN__TOKEN_FILE", "/var/lib/titan/admin.token"),
        ("TITAN__TOKEN", "secret"),
    ];
    assert!(manager("insecure = true", &command).is_ok());
    assert!(pop("insecure = true\nid = 'p'\npublic_url = 'ws://p'", &command).is_ok());
    let config = edge(
        "node_id = 'n'",
        &[&command[..], &[("TITAN__JOIN", "x")]].concat(),
    )
    .unwrap();
    assert_eq!(config.manager, "https://manager.example:41004");
    // What nobody reads is an error that names the variable.
    refused(
        manager("insecure = true", &[("TITAN__LISEN", "1")]),
        &["TITAN__LISEN", "`lisen`"],
    );
}

#[test]
fn every_key_is_known_to_the_others() {
    let mut keys = [
        fields::of::<ManagerConfig>(),
        fields::of::<PopConfig>(),
        fields::of::<EdgeConfig>(),
        // Those of the operator's command.
        &["manager", "token_file", "token", "ca", "insecure"][..],
    ]
    .concat();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys, fields::ALL);
}

#[test]
fn errors_name_file_and_line_variable_or_flag() {
    let toml = "insecure = true\n\nlisten = 'x'\n";
    refused(manager(toml, &[]), &["titan.toml:3: ", "listen"]);
    refused(manager("insecure = true\nlisten", &[]), &["titan.toml:2: "]);
    refused(
        manager("insecure = true", &[("TITAN__LISTEN", "x")]),
        &["TITAN__LISTEN: "],
    );
    refused(
        pop("", &[("TITAN__LIMITS__SESSIONS_MAX", "many")]),
        &["TITAN__LIMITS__SESSIONS_MAX: "],
    );
    let flagged = Source {
        flags: vec![("listen", "x".to_owned())],
        ..Source::default()
    };
    refused(
        ManagerConfig::load(flagged).map_err(|error| error.to_string()),
        &["--listen: "],
    );
    // A line that cannot be read may hold a secret.
    let error = manager("store = redis://:s3cret@host", &[]).unwrap_err();
    assert!(
        error.contains("titan.toml:1: ") && !error.contains("s3cret"),
        "{error}"
    );
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let toml = "insecure = true\nlisten = '127.0.0.1:1'\ndata = '/file'";
    let environment = [
        ("TITAN__LISTEN", "127.0.0.1:2"),
        ("TITAN__DATA", "/environment"),
    ];
    let mut source = source(&directory, toml, &environment);
    source.flags.push(("listen", "127.0.0.1:3".to_owned()));
    let config = ManagerConfig::load(source).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.data.to_str(), Some("/environment"));
    assert!(config.insecure);
}

#[test]
fn every_kind_of_value_fits_into_the_environment() {
    let environment = [
        ("TITAN__INSECURE", "true"),
        ("TITAN__NODE_TOKEN_LIFETIME", "90m"),
        ("TITAN__POPS", "a=wss://a:1, b=ws://b:2"),
        ("TITAN__LOG_FORMAT", "json"),
    ];
    let config = manager("", &environment).unwrap();
    assert_eq!(config.node_token_lifetime, Duration::from_secs(5_400));
    assert_eq!(
        config.pops[1],
        StaticPop {
            id: "b".to_owned(),
            url: "ws://b:2".to_owned()
        }
    );
    assert_eq!(config.log_format, crate::telemetry::LogFormat::Json);
    let environment = [
        // Texts that look like numbers or truth stay texts.
        ("TITAN__ID", "007"),
        ("TITAN__PUBLIC_URL", "wss://pop"),
        ("TITAN__TLS__CERT", "c"),
        ("TITAN__TLS__KEY", "true"),
        ("TITAN__LIMITS__SESSIONS_MAX", "12"),
        ("TITAN__LIMITS__CLIENT_HANDSHAKE_TIMEOUT", "1500ms"),
    ];
    let config = pop("", &environment).unwrap();
    assert_eq!((&*config.id, config.limits.clients_max), ("007", 12));
    assert_eq!(config.tls.unwrap().key.to_str(), Some("true"));
    assert_eq!(
        config.limits.client_handshake_timeout,
        Duration::from_millis(1_500)
    );
}

#[test]
fn plain_text_must_be_asked_for() {
    refused(manager("", &[]), &["`tls`", "insecure = true"]);
    refused(
        manager("insecure = true\n[tls]\ncert = 'c'\nkey = 'k'", &[]),
        &["contradicts"],
    );
    refused(pop("id = 'p'\npublic_url = 'wss://p'", &[]), &["`tls`"]);
    let toml = "id = 'p'\npublic_url = 'ws://p'\n[tls]\ncert = 'c'\nkey = 'k'";
    refused(pop(toml, &[]), &["`public_url`", "in clear"]);
    let toml = "node_id = 'n'\nca = 'c'\nmanager = 'http://m'";
    refused(
        edge(toml, &[("TITAN__JOIN", "x")]),
        &["`manager`", "in clear"],
    );
}

#[test]
fn values_that_make_no_sense_are_named() {
    for (toml, words) in [
        ("listen = 'x'", &["listen"][..]),
        ("node_token_lifetime = 30", &["duration"]),
        ("node_token_lifetime = '1s'", &["node_token_lifetime", "60"]),
        ("default_pop = 'a b'", &["default_pop"]),
        ("[[pops]]\nid = 'p'\nurl = 'http://p'", &["pops.url", "wss"]),
        (
            "[[pops]]\nid = 'p'\nurl = 'wss://p'\n[[pops]]\nid = 'p'\nurl = 'wss://q'",
            &["twice"],
        ),
    ] {
        refused(manager(&format!("insecure = true\n{toml}"), &[]), words);
    }
    refused(manager("this is no toml", &[]), &["titan.toml"]);
    refused(
        manager("insecure = true", &[("TITAN__POPS", "a")]),
        &["id=url"],
    );
    refused(
        pop("insecure = true\npublic_url = 'ws://p'", &[]),
        &["`id` is required"],
    );
    refused(
        pop("insecure = true\nid = 'p'", &[]),
        &["`public_url` is required"],
    );
    let limits =
        "insecure = true\nid = 'p'\npublic_url = 'ws://p'\n[limits]\nwindow_bytes_max = 40000";
    refused(pop(limits, &[]), &["window_bytes_max", "262144"]);
    let missing = Source {
        file: Some("/nowhere/titan.toml".into()),
        ..Source::default()
    };
    refused(
        ManagerConfig::load(missing).map_err(|error| error.to_string()),
        &["/nowhere/titan.toml"],
    );
}

#[test]
fn secrets_come_from_files_or_the_environment_only() {
    let toml = "node_id = 'n'\nca = 'c'\nmanager = 'https://m'";
    refused(edge(toml, &[]), &["join_file", "TITAN__JOIN"]);
    refused(
        edge(&format!("{toml}\njoin = 'oops'"), &[]),
        &["`join` is a secret", "join_file"],
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("join");
    let with_file = format!("{toml}\njoin_file = '{}'", path.display());
    refused(edge(&with_file, &[]), &["join_file"]);
    std::fs::write(&path, "s3cret\n").unwrap();
    let config = edge(&with_file, &[]).unwrap();
    assert_eq!(
        config.join.as_ref().map(crate::token::Secret::expose),
        Some("s3cret")
    );
    assert!(!format!("{config:?}").contains("s3cret"));
    refused(
        edge(&with_file, &[("TITAN__JOIN", "other")]),
        &["contradicts"],
    );
}

#[test]
fn flags_reach_the_configuration() {
    let args = EdgeArgs::try_parse_from([
        "titan-edge",
        "--node-id",
        "n",
        "--manager",
        "http://m",
        "--insecure",
        "--allow-target",
        "127.0.0.0/8",
        "--allow-target",
        "::1",
    ])
    .unwrap();
    let mut source = args.source();
    source.environment = HashMap::from([("TITAN__JOIN".to_owned(), "x".to_owned())]);
    let config = EdgeConfig::load(source).unwrap();
    assert_eq!(config.allow_targets, ["127.0.0.0/8", "::1"]);
    assert!(config.insecure);
    let args = PopArgs::try_parse_from([
        "titan-pop",
        "--id",
        "p",
        "--public-url",
        "ws://p",
        "--insecure",
    ]);
    let mut source = args.unwrap().source();
    source.environment.clear();
    assert_eq!(PopConfig::load(source).unwrap().id, "p");
    let args = ManagerArgs::try_parse_from([
        "titan-manager",
        "--listen",
        "127.0.0.1:0",
        "--data",
        "d",
        "--insecure",
    ]);
    let mut source = args.unwrap().source();
    source.environment.clear();
    assert_eq!(ManagerConfig::load(source).unwrap().listen.port(), 0);
}
