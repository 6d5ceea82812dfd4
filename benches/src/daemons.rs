//! How Titan's daemons are built, configured and started: all that the bench knows of their files, keys and paths.
//!
//! [`start`] gives one manager, one POP and one edge, each its own process, with a user in place.
//! [`Running::add_edges`] adds one process of many edges. Nothing else in the bench depends on the daemons.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use titan_runtime::tls::Authority;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::failure::{Context as _, Failure, Result};
use crate::kernel;
use crate::process::Process;
use crate::rest;

/// Programs of the runtime package that the bench starts.
const PROGRAMS: [&str; 3] = ["titan-manager", "titan-pop", "titan-edge"];
/// How long a daemon may take to do what is waited for.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the many edges may take to come online, TLS handshakes and back-off included.
const EDGES_TIMEOUT: Duration = Duration::from_secs(180);
const USER: &str = "bench";
const PASSWORD: &str = "bench-password";

/// What tunnels run over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Plain WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

/// Daemons that serve. Dropping them kills the processes and removes their data.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where the POP takes SOCKS5 clients.
    pub(crate) proxy: SocketAddr,
    /// A user who may use the proxy.
    pub(crate) user: String,
    /// The user's password.
    pub(crate) password: String,
    /// The POP's process.
    pub(crate) pop: Process,
    manager: Process,
    edges: Vec<Process>,
    site: Site,
}

impl Running {
    /// Every process, to see that it lives and what it costs.
    pub(crate) fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        [&mut self.pop, &mut self.manager]
            .into_iter()
            .chain(&mut self.edges)
    }

    /// The processes that traffic passes through: POP and edges.
    pub(crate) fn between(&self) -> Vec<u32> {
        let edges = self.edges.iter().map(Process::pid);
        edges.chain([self.pop.pid()]).collect()
    }

    /// Starts one process of `count` further edges and waits until each has a carrier.
    pub(crate) async fn add_edges(&mut self, count: usize) -> Result<()> {
        let wanted = self.carrier_count()? + count;
        let edge = self.site.edge("many", count)?;
        self.edges.push(edge);
        let deadline = Instant::now() + EDGES_TIMEOUT;
        while self.carrier_count()? < wanted {
            self.processes().try_for_each(Process::check)?;
            if Instant::now() > deadline {
                let found = self.carrier_count()?;
                return Err(self
                    .pop
                    .failure(&format!("has {found} carriers of {wanted}")));
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Counts carriers by their TCP connections, which needs no help from the daemons.
    fn carrier_count(&self) -> Result<usize> {
        kernel::established_count(self.site.tunnels.port())
    }
}

/// Starts manager, POP and one edge over `transport` on free loopback ports.
///
/// The user exists when this returns; the edge's tunnel may still be on its way.
pub(crate) async fn start(transport: Transport, bin_dir: &Path) -> Result<Running> {
    let site = Site::new(transport, bin_dir)?;
    let mut manager = site.manager()?;
    await_listener(&mut manager, site.manager).await?;
    let admin_token = await_file(&mut manager, &site.data().join("admin.token")).await?;
    site.create_user(&admin_token)
        .await
        .context("cannot create a user")?;
    let mut pop = site.pop()?;
    await_listener(&mut pop, site.proxy).await?;
    await_listener(&mut pop, site.tunnels).await?;
    let edges = vec![site.edge("edge", 1)?];
    let (user, password) = (USER.to_owned(), PASSWORD.to_owned());
    Ok(Running {
        proxy: site.proxy,
        user,
        password,
        pop,
        manager,
        edges,
        site,
    })
}

/// Builds the daemons in release beside the bench, which costs nothing when they are up to date, or takes the
/// folder that is given. Returns where they are.
pub(crate) async fn find(bin_dir: Option<&Path>) -> Result<PathBuf> {
    let folder = match bin_dir {
        Some(folder) => folder.to_owned(),
        None => build().await?,
    };
    match PROGRAMS
        .iter()
        .find(|program| !folder.join(program).is_file())
    {
        None => Ok(folder),
        Some(program) => Err(Failure::new(format!(
            "no {program} in {}",
            folder.display()
        ))),
    }
}

async fn build() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target_dir = own
        .ancestors()
        .nth(2)
        .ok_or_else(|| Failure::new(format!("{} is in no target folder", own.display())))?;
    eprintln!("building {} in release", PROGRAMS.join(", "));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--release", "-p", "titan-runtime", "--target-dir"])
        .arg(target_dir)
        .args(PROGRAMS.iter().flat_map(|program| ["--bin", program]))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .kill_on_drop(true);
    let status = cargo.status().await.context("cannot run cargo")?;
    if !status.success() {
        return Err(Failure::new(
            "the daemons do not build; --only yardstick needs none",
        ));
    }
    Ok(target_dir.join("release"))
}

/// Files and addresses of one installation.
#[derive(Debug)]
struct Site {
    transport: Transport,
    bin_dir: PathBuf,
    folder: TempDir,
    manager: SocketAddr,
    proxy: SocketAddr,
    tunnels: SocketAddr,
}

impl Site {
    fn new(transport: Transport, bin_dir: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("titan-bench-").tempdir()?;
        let [manager, proxy, tunnels] = free_addresses()?;
        let bin_dir = bin_dir.to_owned();
        let site = Self {
            transport,
            bin_dir,
            folder,
            manager,
            proxy,
            tunnels,
        };
        fs::create_dir(site.data())?;
        if !site.insecure() {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            Authority::load_or_create(&site.data(), &[], now.as_secs())
                .map_err(|error| Failure::new(error.to_string()))?;
        }
        Ok(site)
    }

    /// Data directory of manager and POP, which share a host.
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn ca(&self) -> PathBuf {
        self.data().join("ca.pem")
    }

    fn insecure(&self) -> bool {
        self.transport == Transport::Ws
    }

    /// The section that makes a daemon serve TLS.
    fn tls(&self) -> String {
        if self.insecure() {
            return String::new();
        }
        let (cert, key) = (
            self.data().join("server.pem"),
            self.data().join("server.key"),
        );
        format!("[tls]\ncert = {cert:?}\nkey = {key:?}\n")
    }

    fn manager_url(&self) -> String {
        let scheme = if self.insecure() { "http" } else { "https" };
        format!("{scheme}://{}", self.manager)
    }

    fn manager(&self) -> Result<Process> {
        let config = format!(
            "data = {:?}\nlisten = \"{}\"\ninsecure = {}\n{}",
            self.data(),
            self.manager,
            self.insecure(),
            self.tls(),
        );
        self.daemon("titan-manager", "manager", &config)
    }

    fn pop(&self) -> Result<Process> {
        let scheme = if self.insecure() { "ws" } else { "wss" };
        let config = format!(
            "id = \"pop\"\ndata = {:?}\nlisten_socks = \"{}\"\nlisten_tunnels = \"{tunnels}\"\n\
             public_url = \"{scheme}://{tunnels}\"\ninsecure = {}\n{}",
            self.data(),
            self.proxy,
            self.insecure(),
            self.tls(),
            tunnels = self.tunnels,
        );
        self.daemon("titan-pop", "pop", &config)
    }

    fn edge(&self, node_id: &str, copies: usize) -> Result<Process> {
        let mut config = format!(
            "node_id = \"{node_id}\"\nmanager = \"{}\"\njoin_file = {:?}\n\
             allow_targets = [\"127.0.0.0/8\"]\ninsecure = {}\n",
            self.manager_url(),
            self.data().join("join.secret"),
            self.insecure(),
        );
        if !self.insecure() {
            config += &format!("ca = {:?}\n", self.ca());
        }
        if copies > 1 {
            config += &format!("copies = {copies}\n");
        }
        self.daemon("titan-edge", node_id, &config)
    }

    fn daemon(&self, program: &str, name: &str, config: &str) -> Result<Process> {
        let file = self.folder.path().join(format!("{name}.toml"));
        fs::write(&file, config)?;
        let mut command = Command::new(self.bin_dir.join(program));
        command.arg("--config").arg(file);
        Process::daemon(&format!("{program} ({name})"), command)
    }

    async fn create_user(&self, admin_token: &str) -> Result<()> {
        let ca = (!self.insecure()).then(|| self.ca());
        let body = format!("{{\"name\":\"{USER}\",\"password\":\"{PASSWORD}\"}}");
        rest::post(self.manager, ca.as_deref(), "/v1/users", admin_token, &body).await
    }
}

/// Picks free ports; all are held until all are known, so they differ.
fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(addresses)
}

async fn await_listener(process: &mut Process, address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + START_TIMEOUT;
    while TcpStream::connect(address).await.is_err() {
        pause(process, deadline, || {
            format!("does not listen on {address}")
        })
        .await?;
    }
    Ok(())
}

async fn await_file(process: &mut Process, path: &Path) -> Result<String> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) | Err(_) => {
                pause(process, deadline, || {
                    format!("did not write {}", path.display())
                })
                .await?;
            }
        }
    }
}

async fn pause(
    process: &mut Process,
    deadline: Instant,
    complaint: impl FnOnce() -> String,
) -> Result<()> {
    process.check()?;
    if Instant::now() > deadline {
        return Err(process.failure(&complaint()));
    }
    sleep(Duration::from_millis(50)).await;
    Ok(())
}
