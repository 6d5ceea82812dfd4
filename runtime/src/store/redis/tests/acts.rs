//! What is asked behind an act, so that it outlives the server: of a server that answers as it is told.

use crate::store::contract::NOW;
use crate::store::{ChangeLog as _, Order, Redis, StoreError, Users as _};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const ACT: &str = "EVALSHA";

/// A primary with a replica.
const PRIMARY: &str =
    "*3\r\n$6\r\nmaster\r\n:0\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$1\r\n1\r\n$1\r\n0\r\n";
const PRIMARY_ALONE: &str = "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n";
const REPLICA: &str = "*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n";
const FULL: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";

/// The run of the server, by which its connections begin.
const RUN: &str = "the-run";

#[derive(Clone, Copy)]
enum Answer {
    Usual,
    Say(&'static str),
    HangUp,
}
use Answer::{HangUp, Say, Usual};

/// A primary with a replica that confirms everything, unless told to answer otherwise.
struct Server {
    store: Redis,
    /// What was asked but for what connecting takes: over which connection, and the words.
    asked: Arc<Mutex<Vec<(usize, String)>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts one that is told by connection, counted from one, and command how to answer.
    async fn start(answer: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let (noted, answer) = (Arc::clone(&asked), Arc::new(answer));
        let task = tokio::spawn(async move {
            for connection in 1.. {
                let (client, _) = listener.accept().await.unwrap();
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut client = BufStream::new(client);
                    while let Some(words) = command(&mut client).await {
                        let said = match usual(&words) {
                            Err(connecting) => connecting.to_owned(),
                            Ok(usual) => {
                                noted.lock().unwrap().push((connection, words.join(" ")));
                                match answer(connection, &words[0]) {
                                    Usual => usual.to_owned(),
                                    Say(said) => said.to_owned(),
                                    HangUp => return,
                                }
                            }
                        };
                        // Whoever asked may be gone.
                        let _ = client.write_all(said.as_bytes()).await;
                        let _ = client.flush().await;
                    }
                });
            }
        });
        Self {
            store: Redis::new(&url).unwrap(),
            asked,
            task,
        }
    }

    /// Tries an act that is repeated if its answer is lost.
    async fn order(&self) -> Result<(), StoreError> {
        let order = Order::Migrate { nodes: Vec::new() };
        self.store.order("p", NOW, order).await
    }

    /// Returns over which connections a command was asked.
    fn asked(&self, command: &str) -> Vec<usize> {
        let asked = self.asked.lock().unwrap();
        let those = asked.iter().filter(|(_, words)| words.starts_with(command));
        those.map(|(connection, _)| *connection).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the words of a command.
async fn command(client: &mut BufStream<TcpStream>) -> Option<Vec<String>> {
    let mut line = String::new();
    let mut number = async |client: &mut BufStream<TcpStream>| {
        line.clear();
        client.read_line(&mut line).await.ok()?;
        line.trim_end().get(1..)?.parse::<usize>().ok()
    };
    let mut words = Vec::new();
    for _ in 0..number(client).await? {
        let mut word = vec![0; number(client).await? + 2];
        client.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned());
    }
    Some(words)
}

/// Returns how a command is answered; as an error if it belongs to connecting.
fn usual(words: &[String]) -> Result<&'static str, &'static str> {
    match &*words[0] {
        "INFO" => Err("$34\r\nrole:master\r\nrun_id:the-run\r\nx:y\r\n\r\n"),
        ACT if words.iter().any(|word| word.contains(RUN)) => Err(":1\r\n"),
        ACT | "HSET" | "WAIT" => Ok(":1\r\n"),
        "ROLE" => Ok(PRIMARY),
        _ => Err("+OK\r\n"),
    }
}

#[tokio::test]
async fn an_act_is_answered_once_a_replica_has_what_its_connection_wrote() {
    let server = Server::start(|_, _| Usual).await;
    server.order().await.unwrap();
    let asked = server.asked.lock().unwrap().clone();
    let behind: Vec<_> = asked[1..]
        .iter()
        .map(|(connection, words)| (*connection, &**words))
        .collect();
    assert!(asked[0].1.starts_with(ACT), "{asked:?}");
    assert_eq!(
        behind,
        [
            (1, "ROLE"),
            (1, "HSET titan:run kept 1"),
            (1, "WAIT 1 1000")
        ]
    );
    // Without a replica there is nobody to wait for.
    let alone = Server::start(|_, command| match command {
        "ROLE" => Say(PRIMARY_ALONE),
        _ => Usual,
    });
    let alone = alone.await;
    alone.order().await.unwrap();
    assert!(alone.asked("WAIT").is_empty());
}

#[tokio::test]
async fn what_is_said_behind_an_act_fails_it_and_has_no_other_tried() {
    for (behind, said, shown) in [
        ("ROLE", REPLICA, "became a replica"),
        (
            "ROLE",
            "-LOADING Redis is loading\r\n",
            "no replica confirms",
        ),
        ("HSET", "-READONLY You can't write\r\n", "became a replica"),
        ("HSET", "-NOREPLICAS Not enough\r\n", "no replica confirms"),
        ("WAIT", ":0\r\n", "no replica confirms"),
        ("WAIT", "-MASTERDOWN Link is down\r\n", "became a replica"),
    ] {
        let server = Server::start(
            move |_, command| {
                if command == behind { Say(said) } else { Usual }
            },
        );
        let server = server.await;
        // Twice is not as good as once: the second would find nobody.
        let error = server.store.delete_user("ann").await.unwrap_err();
        assert!(error.to_string().contains(shown), "{behind} {said} {error}");
        assert_eq!(server.asked(ACT), [1], "{behind} {said}");
    }
}

/// A server that is full takes what deletes, and no mark behind it.
#[tokio::test]
async fn a_full_server_confirms_an_act_only_over_the_connection_that_wrote_it() {
    let server = Server::start(|_, command| match command {
        "HSET" => Say(FULL),
        _ => Usual,
    });
    let server = server.await;
    server.order().await.unwrap();
    assert_eq!(server.asked("WAIT"), [1]);

    let server = Server::start(|connection, command| match (connection, command) {
        (1, ACT) => HangUp,
        (_, "HSET") => Say(FULL),
        _ => Usual,
    });
    let server = server.await;
    let error = server.order().await.unwrap_err().to_string();
    assert_eq!(server.asked(ACT), [1, 2]);
    assert!(error.contains("no replica confirms"), "{error}");
}

#[tokio::test]
async fn a_refusal_does_not_hide_an_earlier_try_without_an_answer() {
    let server = Server::start(|_, command| match command {
        ACT => Say(FULL),
        _ => Usual,
    });
    let server = server.await;
    let error = server.order().await.unwrap_err().to_string();
    assert!(
        error.contains("OOM") && !error.contains("may have happened"),
        "{error}"
    );
    let server = Server::start(|connection, command| match (connection, command) {
        (1, ACT) => HangUp,
        (_, ACT) => Say(FULL),
        _ => Usual,
    });
    let server = server.await;
    let error = server.order().await.unwrap_err().to_string();
    assert_eq!(server.asked(ACT), [1, 2]);
    assert!(
        error.contains("OOM") && error.contains("may have happened"),
        "{error}"
    );
}
