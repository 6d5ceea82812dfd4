//! The operator's commands against a manager.

use crate::harness::Manager;
use crate::world::World;
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

async fn titan(it: &Manager, line: &str) -> Result<String, CliError> {
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
            "TITAN__TOKEN_FILE".to_owned(),
            token_file.display().to_string(),
        ),
    ]);
    if let Some(ca) = ca {
        environment.insert("TITAN__CA".to_owned(), ca.display().to_string());
    }
    let mut out = Vec::new();
    cli::run(&World, &environment, command, &mut out).await?;
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
        "blacklist ips",
        "blacklist nodes",
        "blacklist remove 192.0.2.7",
        "blacklist remove edge-9",
        "stats show ann",
        "stats usage ann",
        "stats chart ann --resolution day",
        "token create ci --role operator --expires-at +1d",
        "token list",
        "token whoami",
        "audit list --limit 5",
    ] {
        let text = titan(&it, line)
            .await
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(!text.is_empty(), "{line}");
    }
    let refused = titan(&it, "user show carol").await.unwrap_err();
    assert_eq!(refused.to_string(), "not_found: there is no user `carol`");
    it.stop().await;
}

#[tokio::test]
async fn tampering_with_the_record_is_found() {
    let it = Manager::start().await;
    for name in ["ann", "bob", "carol"] {
        titan(&it, &format!("blacklist add {name}")).await.unwrap();
    }
    let verified: Value =
        serde_json::from_str(&titan(&it, "audit verify --json").await.unwrap()).unwrap();
    assert_eq!(verified["records"], 6);
    let noted = verified["head"].as_str().unwrap().to_owned();
    titan(&it, "blacklist remove ann").await.unwrap();
    // Whoever noted an end finds it again.
    titan(&it, &format!("audit verify --head {noted}"))
        .await
        .unwrap();

    let database = rusqlite::Connection::open(it.data.path().join("titan.db")).unwrap();
    // Whoever can write the file can take the store's own guard away.
    let guards: Vec<String> = database
        .prepare("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for guard in guards {
        database
            .execute_batch(&format!("DROP TRIGGER {guard}"))
            .unwrap();
    }
    let tampered = async |change: &str, back: &str| {
        assert_eq!(database.execute(change, []).unwrap(), 1, "{change}");
        let found = titan(&it, "audit verify").await.unwrap_err();
        assert!(matches!(found, CliError::Tampered(_)), "{found}");
        database.execute_batch(back).unwrap();
        titan(&it, "audit verify").await.unwrap();
    };
    for column in ["actor", "source", "action", "subject", "detail"] {
        tampered(
            &format!("UPDATE audit SET {column} = {column} || 'x' WHERE seq = 3"),
            &format!("UPDATE audit SET {column} = substr({column}, 1, length({column}) - 1) WHERE seq = 3"),
        )
        .await;
    }
    tampered(
        "UPDATE audit SET at = at + 1 WHERE seq = 1",
        "UPDATE audit SET at = at - 1 WHERE seq = 1",
    )
    .await;
    database
        .execute_batch("CREATE TABLE kept AS SELECT * FROM audit WHERE seq = 4")
        .unwrap();
    tampered(
        "DELETE FROM audit WHERE seq = 4",
        "INSERT INTO audit SELECT * FROM kept",
    )
    .await;
    // The last records can be cut off without a trace but for who noted the end.
    database
        .execute("DELETE FROM audit WHERE seq > 4", [])
        .unwrap();
    titan(&it, "audit verify").await.unwrap();
    let found = titan(&it, &format!("audit verify --head {noted}"))
        .await
        .unwrap_err();
    assert!(found.to_string().contains("is gone"), "{found}");
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
    let error = cli::run(&World, &HashMap::new(), none, &mut Vec::new())
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
