//! `titan up`: manager, POP and edges in one process, to try things out.
//!
//! Each daemon runs as it does on its own, on a thread of its own, over real sockets and TLS by a CA
//! that the data directory keeps.

use crate::auth::{Cost, hash_drawn_password, hash_password, is_user_name};
use crate::config::{EdgeConfig, ManagerConfig, PopConfig, TlsFiles};
use crate::daemon::{Stop, Stopping, interrupted, spawn, stopped};
use crate::descriptors::Descriptors;
use crate::env::Env as _;
use crate::env::tokio::TokioEnv;
use crate::manager::{ADMIN_TOKEN_FILE, JOIN_SECRET_FILE};
use crate::store::{Embedded, Location, Mode, NewUser, ReplyMode, UserChange, Users as _};
use crate::tls::{Authority, client_config, server_config};
use crate::token::Secret;
use crate::{data, edge, manager, memory, pop};
use core::error::Error;
use core::time::Duration;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};

/// The user made when none is asked for.
const DEFAULT_USER: &str = "titan";

/// The file that keeps that user's password.
const PASSWORD_FILE: &str = "user.password";

/// What an application's connection takes: a descriptor at the POP and one at the edge.
const CONNECTION_DESCRIPTORS: u64 = 2;

/// How long the edges may take to come online.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// What to bring up.
#[derive(Clone, Debug, clap::Args)]
pub struct UpArgs {
    /// Where applications connect by SOCKS5.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1080")]
    pub listen: SocketAddr,
    /// Where the manager listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:41004")]
    pub manager: SocketAddr,
    /// Where the edges connect.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:41005")]
    pub tunnels: SocketAddr,
    /// The directory of the store, the secrets and the CA.
    #[arg(long, value_name = "DIR", default_value = "titan-data")]
    pub data: PathBuf,
    /// How many edges to run.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub edges: u16,
    /// A user to create, or whose password to set; without it a user `titan` with a password that the
    /// data directory keeps. For trying out: other secrets are never taken from a command line.
    #[arg(long, value_name = "NAME:PASSWORD")]
    pub user: Option<String>,
    /// Answer clients only once the exit has dialled, with the true outcome.
    #[arg(long)]
    pub truthful: bool,
    /// A block of private or local addresses that the edges may reach; may be repeated.
    #[arg(long = "allow-target", value_name = "CIDR")]
    pub allow_targets: Vec<String>,
    /// Carry tunnels and REST without TLS.
    #[arg(long)]
    pub insecure: bool,
    /// Print one line of JSON instead of a text when ready.
    #[arg(long)]
    pub json: bool,
}

/// What runs, for whoever wants to use it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Ready {
    /// Where applications connect.
    pub proxy: SocketAddr,
    /// A user.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// Where the manager is.
    pub manager: String,
    /// Where edges connect.
    pub pop: String,
    /// The CA's certificate; absent without TLS.
    pub ca: Option<PathBuf>,
    /// The admin token.
    pub admin_token: String,
    /// The join secret.
    pub join: String,
}

type Failure = Box<dyn Error + Send + Sync>;

type Daemon = (
    &'static str,
    JoinHandle<std::io::Result<Result<(), Failure>>>,
);

/// Waits for a daemon's thread, and tells how it ended.
fn join(
    name: &str,
    thread: JoinHandle<std::io::Result<Result<(), Failure>>>,
) -> Result<(), Box<dyn Error>> {
    let ended = thread.join().map_err(|_| format!("{name} failed"))?;
    Ok(ended?.map_err(|error| format!("{name}: {error}"))?)
}

/// Runs everything until a signal comes. `announce` is told when all edges are online.
///
/// # Errors
/// Fails if anything cannot start, and if a daemon ends by itself.
pub async fn run(args: UpArgs, announce: impl FnOnce(&Ready)) -> Result<(), Box<dyn Error>> {
    data::check(&args.data)?;
    let (stop, stopping) = watch::channel(Stop::No);
    let mut daemons = Vec::new();
    let started = tokio::select! {
        biased;
        () = interrupted() => Ok(None),
        started = start(&args, &stopping, &mut daemons) => started.map(Some),
    };
    let mut outcome = match started {
        Ok(Some(ready)) => {
            announce(&ready);
            tokio::select! {
                biased;
                () = interrupted() => Ok(()),
                name = ended(&daemons) => Err(format!("{name} ended by itself").into()),
            }
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    stop.send_replace(Stop::Now);
    while let Some((name, thread)) = daemons.pop() {
        // All are waited for: the POP has a last word to say also if an edge failed.
        let ended = join(name, thread);
        outcome = outcome.and(ended);
    }
    outcome
}

/// Starts the daemons one after the other, each when the one before is ready.
async fn start(
    args: &UpArgs,
    stopping: &Stopping,
    daemons: &mut Vec<Daemon>,
) -> Result<Ready, Box<dyn Error>> {
    let env = TokioEnv::new();
    let store = Embedded::open(&Location::Data(args.data.clone()), Mode::Thread)?;
    let (user, password) = make_user(args, &env, &store).await?;
    let authority = if args.insecure {
        None
    } else {
        let names = [args.manager, args.tunnels].map(|address| address.ip().to_string());
        Some(Authority::load_or_create(
            &args.data,
            &names,
            env.unix_time().as_secs(),
        )?)
    };
    let files = authority.as_ref().map(|authority| TlsFiles {
        cert: authority.cert.clone(),
        key: authority.key.clone(),
    });
    let ca = authority.as_ref().map(|authority| authority.ca.clone());

    let manager_at = {
        let config = ManagerConfig {
            data: args.data.clone(),
            listen: args.manager,
            tls: files.clone(),
            insecure: args.insecure,
            ..ManagerConfig::default()
        };
        let (ready, bound) = oneshot::channel();
        let (env, store, stop) = (env.clone(), store.clone(), stopping.clone());
        let thread = spawn("titan-manager", move || async move {
            manager::run(env, config, store, ready, stopped(stop))
                .await
                .map_err(Failure::from)
        })?;
        daemons.push(("manager", thread));
        ready_or(bound, daemons).await?
    };

    let tunnels = fixed_port(args.tunnels)?;
    let scheme = |encrypted, plain| if args.insecure { plain } else { encrypted };
    let pop_url = format!("{}://{tunnels}", scheme("wss", "ws"));
    let pop_at = {
        let config = fitted(PopConfig {
            id: "pop-1".into(),
            data: args.data.clone(),
            listen_socks: Some(args.listen),
            listen_tunnels: tunnels,
            public_url: pop_url.clone(),
            tls: files.clone(),
            insecure: args.insecure,
            resume_over_plaintext: args.insecure,
            ..PopConfig::default()
        });
        let tls = match &files {
            Some(files) => Some(server_config(&files.cert, &files.key)?),
            None => None,
        };
        let (ready, bound) = oneshot::channel();
        let (_, census) = mpsc::channel(1);
        let (env, stop) = (env.clone(), stopping.clone());
        let thread = spawn("titan-pop", move || async move {
            pop::run(env, config, store, tls, ready, census, stop)
                .await
                .map_err(Failure::from)
        })?;
        daemons.push(("pop", thread));
        ready_or(bound, daemons).await?
    };

    let manager_url = format!("{}://{manager_at}", scheme("https", "http"));
    let join = Secret::load(&args.data.join(JOIN_SECRET_FILE))?;
    start_edges(
        args,
        &env,
        &manager_url,
        ca.clone(),
        &join,
        stopping,
        daemons,
    )
    .await?;
    Ok(Ready {
        proxy: pop_at.clients[0],
        user,
        password,
        manager: manager_url,
        pop: pop_url,
        ca,
        admin_token: Secret::load(&args.data.join(ADMIN_TOKEN_FILE))?
            .expose()
            .to_owned(),
        join: join.expose().to_owned(),
    })
}

/// Cuts the limits of the POP down to its share of the process's descriptors, and to its memory.
fn fitted(mut config: PopConfig) -> PopConfig {
    Descriptors::raise()
        .share(CONNECTION_DESCRIPTORS)
        .fit_pop(&mut config);
    memory::fit_pop(&mut config.limits);
    config
}

async fn start_edges(
    args: &UpArgs,
    env: &TokioEnv,
    manager: &str,
    ca: Option<PathBuf>,
    join: &Secret,
    stopping: &Stopping,
    daemons: &mut Vec<Daemon>,
) -> Result<(), Box<dyn Error>> {
    let mut config = EdgeConfig {
        node_id: "edge".into(),
        manager: manager.to_owned(),
        join: Some(join.clone()),
        allow_targets: args.allow_targets.clone(),
        insecure: args.insecure,
        copies: u32::from(args.edges),
        ca: ca.clone(),
        ..EdgeConfig::default()
    };
    Descriptors::raise()
        .share(CONNECTION_DESCRIPTORS)
        .fit_edge(&mut config);
    memory::fit_edge(&mut config);
    let tls = match &ca {
        Some(ca) => Some(client_config(Some(ca))?),
        None => None,
    };
    let (attached, mut online) = mpsc::channel(usize::from(args.edges));
    let (clone, stop) = (env.clone(), stopping.clone());
    let thread = spawn("titan-edge", move || async move {
        edge::run_copies(clone, config, tls, attached, stop)
            .await
            .map_err(Failure::from)
    })?;
    daemons.push(("edge", thread));
    let deadline = env.now() + READY_TIMEOUT;
    for count in 0..args.edges {
        tokio::select! {
            biased;
            one = online.recv() => if one.is_none() {
                return Err(first_failure(daemons));
            },
            () = env.sleep_until(deadline) => {
                return Err(format!("only {count} of {} edges came online", args.edges).into());
            }
        }
    }
    Ok(())
}

/// Creates the user, or makes sure that the password is the one asked for.
async fn make_user(
    args: &UpArgs,
    env: &TokioEnv,
    store: &Embedded,
) -> Result<(String, String), Box<dyn Error>> {
    let (name, password, is_drawn) = match &args.user {
        Some(user) => {
            let (name, password) = user.split_once(':').ok_or("--user wants NAME:PASSWORD")?;
            (name.to_owned(), password.to_owned(), false)
        }
        None => {
            let kept = Secret::load_or_create(&args.data.join(PASSWORD_FILE), env.seed())?;
            // Somebody may have put another one into the file.
            let is_drawn = kept.to_bytes().is_some();
            (DEFAULT_USER.to_owned(), kept.expose().to_owned(), is_drawn)
        }
    };
    if !is_user_name(&name) {
        return Err(format!(
            "--user: `{name}` is no name of a user: 1 to 64 of A-Z a-z 0-9 . _ @, the first a letter \
             or digit; `-` and `:` part a name from what follows"
        )
        .into());
    }
    if password.is_empty() || password.len() > 255 {
        return Err("--user: a password has 1 to 255 bytes, or SOCKS5 cannot carry it".into());
    }
    let reply = if args.truthful {
        ReplyMode::Truthful
    } else {
        ReplyMode::Fast
    };
    let password_hash = hash(env, &password, is_drawn).await;
    let change = UserChange {
        password_hash: Some(password_hash.clone()),
        enabled: Some(true),
        reply: Some(reply),
        ..UserChange::default()
    };
    if store.change_user(&name, change).await?.is_none() {
        let created_at = env.unix_time().as_secs();
        let mut user = NewUser::new(name.clone(), password_hash, created_at);
        user.settings.reply = reply;
        store.create_user(user).await?;
    }
    Ok((name, password))
}

/// Hashes a password as the manager does.
async fn hash(env: &TokioEnv, password: &str, is_drawn: bool) -> String {
    let seed = env.seed();
    if is_drawn {
        return hash_drawn_password(password, seed);
    }
    let mut salt = [0; 16];
    salt.copy_from_slice(&seed[..16]);
    let (plain, cost) = (password.to_owned(), Cost::default());
    env.work(move || hash_password(&plain, salt, cost)).await
}

/// Picks a free port if none is asked for: the URL that edges are told must name it.
fn fixed_port(address: SocketAddr) -> std::io::Result<SocketAddr> {
    if address.port() == 0 {
        TcpListener::bind(address)?.local_addr()
    } else {
        Ok(address)
    }
}

async fn ready_or<T>(
    bound: oneshot::Receiver<T>,
    daemons: &mut Vec<Daemon>,
) -> Result<T, Box<dyn Error>> {
    match bound.await {
        Ok(bound) => Ok(bound),
        Err(_) => Err(first_failure(daemons)),
    }
}

/// Returns why the daemon started last did not come up.
fn first_failure(daemons: &mut Vec<Daemon>) -> Box<dyn Error> {
    let Some((name, thread)) = daemons.pop() else {
        return "nothing was started".into();
    };
    match thread.join() {
        Ok(Ok(Err(error))) => format!("{name}: {error}").into(),
        Ok(Err(error)) => format!("{name}: {error}").into(),
        Ok(Ok(Ok(()))) | Err(_) => format!("{name} did not come up").into(),
    }
}

/// Waits until a daemon's thread ends.
async fn ended(daemons: &[Daemon]) -> &'static str {
    let mut interval = tokio::time::interval(Duration::from_millis(500));
    loop {
        interval.tick().await;
        if let Some((name, _)) = daemons.iter().find(|(_, thread)| thread.is_finished()) {
            return name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_password_that_was_drawn_has_the_hash_of_those() {
        let data = tempfile::tempdir().unwrap();
        let mut args = UpArgs {
            listen: ([127, 0, 0, 1], 0).into(),
            manager: ([127, 0, 0, 1], 0).into(),
            tunnels: ([127, 0, 0, 1], 0).into(),
            data: data.path().to_owned(),
            edges: 1,
            user: None,
            truthful: false,
            allow_targets: Vec::new(),
            insecure: true,
            json: false,
        };
        let (env, store) = (
            TokioEnv::new(),
            Embedded::open(&Location::Memory, Mode::Inline).unwrap(),
        );
        let hash_of = async |args: &UpArgs| {
            let (name, password) = make_user(args, &env, &store).await.unwrap();
            let user = store.user(&name).await.unwrap().unwrap();
            (password, user.password_hash)
        };
        let (password, hash) = hash_of(&args).await;
        assert!(
            password.len() == 64 && hash.starts_with("$drawn-"),
            "{hash}"
        );
        // What an operator put there, or named, may be guessed.
        std::fs::write(data.path().join(PASSWORD_FILE), "secret").unwrap();
        let (password, hash) = hash_of(&args).await;
        assert!(
            password == "secret" && hash.starts_with("$argon2id$"),
            "{hash}"
        );
        args.user = Some("ann:secret".to_owned());
        let (_, hash) = hash_of(&args).await;
        assert!(hash.starts_with("$argon2id$"), "{hash}");
    }
}
