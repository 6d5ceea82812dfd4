//! The operator's commands against a manager.

use crate::harness::Manager;
use crate::world::LoopbackEnv;
use clap::Parser;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use titan_runtime::cli::{self, CliError};
use titan_runtime::config::TlsFiles;
use titan_runtime::manager::ADMIN_TOKEN_FILE;
use titan_runtime::tls::Authority;

#[derive(Parser)]
struct Titan {
    #[command(subcommand)]
    command: cli::Command,
}

pub(crate) async fn titan(it: &Manager, line: &str) -> Result<String, CliError> {
    let manager = format!("http://{}", it.address);
    let token_file = it.data.path().join(ADMIN_TOKEN_FILE);
    titan_with(line, &manager, &token_file, None).await
}

async fn titan_with(
    line: &str,
    manager: &str,
    token_file: &Path,
    ca: Option<&Path>,
) -> Result<String, CliError> {
    let words = std::iter::once("titan").chain(line.split_whitespace());
    let command = Titan::try_parse_from(words).unwrap().command;
    let mut environment = HashMap::from([
        ("TITAN__MANAGER".to_owned(), manager.to_owned()),
        (
            "TITAN__INSECURE".to_owned(),
            manager.starts_with("http:").to_string(),
        ),
        (
            "TITAN__TOKEN_FILE".to_owned(),
            token_file.display().to_string(),
        ),
    ]);
    if let Some(ca) = ca {
        environment.insert("TITAN__CA".to_owned(), ca.display().to_string());
    }
    let mut out = Vec::new();
    cli::run(&LoopbackEnv, &environment, command, &mut out).await?;
    Ok(String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn users_and_nodes_are_kept_by_commands() {
    let it = Manager::start().await;
    it.register("pop-1", 1).await;
    it.register("pop-2", 1).await;
    it.online("edge-1", "pop-1").await;
    let shown = titan(
        &it,
        "user create ann --traffic-limit 2.5G --expires-at +30d",
    )
    .await
    .unwrap();
    assert!(
        shown.contains("traffic limit     2.5 GB") && shown.contains("password"),
        "{shown}"
    );
    let listed = titan(&it, "user list").await.unwrap();
    assert!(listed.starts_with("NAME  ENABLED  LIMIT"), "{listed}");
    titan(&it, "user create bob --disabled").await.unwrap();
    let page = titan(&it, "user list --limit 1").await.unwrap();
    assert!(page.ends_with("There is more: --cursor ann\n"), "{page}");
    let json: Value = serde_json::from_str(&titan(&it, "user list --json").await.unwrap()).unwrap();
    assert_eq!(json["users"][1]["enabled"], false);
    titan(&it, "user start bob").await.unwrap();
    let modified = titan(
        &it,
        "user modify ann --traffic-limit none --upload-rate 1MiB --json",
    )
    .await;
    let modified: Value = serde_json::from_str(&modified.unwrap()).unwrap();
    assert_eq!(
        (&modified["traffic_limit"], &modified["upload_rate"]),
        (&Value::Null, &1_048_576.into())
    );
    for line in [
        "user show ann",
        "user password ann",
        "user stop ann",
        "user adjust ann --reset",
        "user delete bob",
        "node list --pop pop-1",
        "node show edge-1",
        "node kick edge-1 --retry-after 5",
        "node migrate edge-1 --to pop-2",
        "node migrate --from pop-1 --count 1 --to pop-2",
        "node export",
        "pop list",
        "pop drain pop-2",
        "blacklist add 192.0.2.7 edge-9 --reason abuse",
        "blacklist add 2001:db8::/64 --reason abuse",
        "blacklist ips",
        "blacklist nodes",
        "blacklist remove 192.0.2.7",
        "blacklist remove 2001:db8::/64",
        "blacklist remove edge-9",
        "stats show ann",
        "stats usage ann",
        "stats chart ann --resolution day",
        "token create ci --role operator --expires-at +1d",
        "token list",
        "token whoami",
        "audit list --limit 5",
    ] {
        let text = titan(&it, line).await;
        let text = text.unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(!text.is_empty(), "{line}");
    }
    let refused = titan(&it, "user show carol").await.unwrap_err();
    assert_eq!(refused.to_string(), "not_found: there is no user `carol`");
    it.stop().await;
}

#[tokio::test]
async fn scripts_see_from_the_exit_code_what_is_wrong() {
    let it = Manager::start().await;
    it.user("ann").await;
    let wrong = it.data.path().join("wrong.token");
    std::fs::write(&wrong, "f".repeat(64)).unwrap();
    let reader = it.data.path().join("reader.token");
    std::fs::write(&reader, it.token("read-only").await.1).unwrap();
    let admin = it.data.path().join(ADMIN_TOKEN_FILE);
    let missing = it.data.path().join("missing.token");
    let here = format!("http://{}", it.address);
    // A port that was free a moment ago, and one where somebody else answers.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let code = async |line: &'static str, manager: String, token: std::path::PathBuf| {
        tokio::task::spawn_blocking(move || {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_titan"))
                .args(line.split_whitespace())
                .envs([("TITAN__MANAGER", &*manager), ("TITAN__INSECURE", "true")])
                .env("TITAN__TOKEN_FILE", token)
                .output()
                .unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(output.stdout.is_empty() || output.status.success());
            (output.status.code().unwrap(), error)
        })
        .await
        .unwrap()
    };
    for (line, manager, token, expected, says) in [
        ("user show ann", &here, &admin, 0, ""),
        ("user show ann --json", &here, &reader, 0, ""),
        ("user show", &here, &admin, 2, "Usage:"),
        (
            "user show ann",
            &nobody,
            &admin,
            3,
            "the manager is not reached",
        ),
        (
            "user show ann",
            &here,
            &wrong,
            4,
            "unauthorized: A valid token is required",
        ),
        ("user delete ann", &here, &reader, 4, "forbidden_role: "),
        ("user show ann", &here, &missing, 4, "missing.token"),
        (
            "user show bob",
            &here,
            &admin,
            5,
            "not_found: there is no user `bob`",
        ),
        ("user create ann", &here, &admin, 6, "user_exists: "),
        (
            "user create a-b",
            &here,
            &admin,
            6,
            "bad_request: name must be",
        ),
        (
            "audit verify --head 1:00",
            &here,
            &admin,
            7,
            "the audit log does not verify",
        ),
    ] {
        let (code, error) = code(line, manager.clone(), token.clone()).await;
        assert_eq!(code, expected, "{line}: {error}");
        assert!(error.contains(says), "{line}: {error}");
        assert!(
            !error.contains('\n') || error.lines().count() == 1 || code == 2,
            "{error}"
        );
    }
    it.stop().await;
}

#[tokio::test]
async fn commands_speak_tls_and_say_what_is_missing() {
    let data = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(data.path(), &[], crate::world::now()).unwrap();
    let it = Manager::start_with(data, |config| {
        config.insecure = false;
        config.tls = Some(TlsFiles {
            cert: authority.cert.clone(),
            key: authority.key.clone(),
        });
    })
    .await;
    let manager = format!("https://{}", it.address);
    let token = it.data.path().join(ADMIN_TOKEN_FILE);
    let whoami = titan_with("token whoami", &manager, &token, Some(&authority.ca))
        .await
        .unwrap();
    assert!(whoami.contains("admin.token"), "{whoami}");
    let error = titan_with("token whoami", &manager, &token, None)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no CA file"), "{error}");
    let missing = it.data.path().join("nothing");
    let error = titan_with("token whoami", &manager, &missing, Some(&authority.ca)).await;
    assert!(error.unwrap_err().to_string().contains("nothing"));
    let none = Titan::try_parse_from(["titan", "token", "whoami"])
        .unwrap()
        .command;
    let error = cli::run(&LoopbackEnv, &HashMap::new(), none, &mut Vec::new())
        .await
        .unwrap_err();
    assert!(matches!(error, CliError::NoToken), "{error}");
    it.stop().await;
}

#[test]
fn the_command_completes_itself_and_wants_a_token() {
    let titan = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_titan"));
        command
            .env_remove("TITAN__TOKEN")
            .env_remove("TITAN__TOKEN_FILE");
        command.args(words).output().unwrap()
    };
    for shell in ["bash", "zsh", "fish"] {
        let output = titan(&["completions", shell]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("blacklist"),
            "{shell}"
        );
    }
    for command in [
        "up",
        "user",
        "node",
        "pop",
        "blacklist",
        "token",
        "stats",
        "audit",
    ] {
        assert!(titan(&[command, "--help"]).status.success(), "{command}");
    }
    let refused = titan(&["user", "list", "--json"]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && error.contains("TITAN__TOKEN_FILE"),
        "{error}"
    );
}

#[tokio::test]
async fn the_token_is_not_sent_in_clear_unless_asked_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "the-admin-token").unwrap();
    let environment = HashMap::from([
        ("TITAN__MANAGER".to_owned(), url),
        (
            "TITAN__TOKEN_FILE".to_owned(),
            file.path().display().to_string(),
        ),
    ]);
    let ask = async |line: &str| {
        let command = Titan::try_parse_from(line.split(' ')).unwrap().command;
        cli::run(&LoopbackEnv, &environment, command, &mut Vec::new()).await
    };
    let error = ask("titan node list").await.unwrap_err();
    assert!(matches!(error, CliError::Clear(_)), "{error}");
    assert!(error.to_string().contains("--insecure"), "{error}");
    // Nobody has knocked; with the flag somebody does.
    tokio::select! {
        biased;
        knocked = listener.accept() => drop(knocked.unwrap()),
        answer = ask("titan node list --insecure") => panic!("{answer:?}"),
    }
}
