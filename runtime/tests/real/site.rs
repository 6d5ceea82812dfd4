//! Manager, POP and edges as separate processes, configured by files and joined by TLS.

use crate::process::{Process, eventually};
use crate::server::PATIENCE;
use crate::socks::{self, USER};
use crate::titan::daemon;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use titan_runtime::store::{Embedded, Location, Mode};
use titan_runtime::telemetry::FILTER_VARIABLE;
use titan_runtime::tls::Authority;

/// Where one site's daemons are and what they are told.
#[derive(Debug)]
pub(crate) struct Site {
    data: TempDir,
    authority: Authority,
    manager: SocketAddr,
    pub(crate) proxy: SocketAddr,
    /// Where the POP listens for edges.
    pub(crate) tunnels: SocketAddr,
    /// Where edges find it.
    pub(crate) public: SocketAddr,
    store: Option<String>,
    /// Where the daemon that is started next logs.
    log: Mutex<Option<File>>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let tunnels = free_address();
        Self {
            authority: Authority::load_or_create(data.path(), &[], now).unwrap(),
            data,
            manager: free_address(),
            proxy: free_address(),
            tunnels,
            public: tunnels,
            store: None,
            log: Mutex::default(),
        }
    }

    /// Has the daemons share this store.
    pub(crate) fn with_store(self, store: String) -> Self {
        Self {
            store: Some(store),
            ..self
        }
    }

    /// Starts a manager that knows the tests' user.
    pub(crate) fn manager(&self) -> Process {
        self.manager_with("")
    }

    /// Starts a manager with more in its configuration.
    pub(crate) fn manager_with(&self, more: &str) -> Process {
        self.manager_changed(more, |_| {})
    }

    /// Does the same by a command that is changed at last.
    pub(crate) fn manager_changed(&self, more: &str, change: impl FnOnce(&mut Command)) -> Process {
        let config = format!("listen = \"{}\"\n{more}\n{}", self.manager, self.common());
        let program = env!("CARGO_BIN_EXE_titan-manager");
        let process = self.start_changed(program, "manager", &config, change);
        eventually("the manager answers", PATIENCE, || {
            self.rest("healthz", None).is_some()
        });
        let user = json!({ "name": USER.0, "password": USER.1 });
        // After a restart it is known already.
        self.rest("v1/users", Some(&user));
        process
    }

    /// Starts another manager, with a directory and a key of its own, that shares the store and the join
    /// secret, and returns where it listens.
    pub(crate) fn another_manager(&self, data: &Path) -> (Process, SocketAddr) {
        let join = "join.secret";
        fs::copy(self.data.path().join(join), data.join(join)).unwrap();
        let address = free_address();
        let config = format!(
            "listen = \"{address}\"\n{}",
            self.common().replace(
                &format!("data = {:?}", self.data.path()),
                &format!("data = {data:?}")
            )
        );
        let process = self.start(env!("CARGO_BIN_EXE_titan-manager"), "manager-2", &config);
        eventually("the second manager listens", PATIENCE, || {
            TcpStream::connect(address).is_ok()
        });
        (process, address)
    }

    /// Starts a POP; it may take a moment to listen.
    pub(crate) fn pop(&self) -> Process {
        self.pop_with("")
    }

    /// Does the same with more in its configuration.
    pub(crate) fn pop_with(&self, more: &str) -> Process {
        self.pop_changed(more, |_| {})
    }

    /// Does the same by a command that is changed at last.
    pub(crate) fn pop_changed(&self, more: &str, change: impl FnOnce(&mut Command)) -> Process {
        let config = format!(
            "id = \"pop\"\nlisten_socks = \"{}\"\nlisten_tunnels = \"{}\"\n\
             public_url = \"wss://{public}\"\nresume_url = \"wss://{public}\"\n{}{more}",
            self.proxy,
            self.tunnels,
            self.common(),
            public = self.public,
        );
        self.start_changed(env!("CARGO_BIN_EXE_titan-pop"), "pop", &config, change)
    }

    /// Starts another POP beside, and returns where applications connect there.
    pub(crate) fn another_pop(&self) -> (Process, SocketAddr) {
        self.another_pop_as("pop-2")
    }

    /// Starts another POP beside under any id, and returns where applications connect there.
    pub(crate) fn another_pop_as(&self, id: &str) -> (Process, SocketAddr) {
        let (proxy, tunnels) = (free_address(), free_address());
        let config = format!(
            "id = \"{id}\"\nlisten_socks = \"{proxy}\"\nlisten_tunnels = \"{tunnels}\"\n\
             public_url = \"wss://{tunnels}\"\n{}",
            self.common(),
        );
        let process = self.start(env!("CARGO_BIN_EXE_titan-pop"), "pop-2", &config);
        eventually("the second POP listens", PATIENCE, || {
            TcpStream::connect(proxy).is_ok()
        });
        (process, proxy)
    }

    /// Starts a POP again as it was started before; it may take a moment to listen.
    pub(crate) fn pop_again(&self, id: &str) -> Process {
        let path = self.data.path().join(id).with_extension("toml");
        Process::spawn(
            daemon(env!("CARGO_BIN_EXE_titan-pop"))
                .arg("--config")
                .arg(path),
        )
    }

    /// Orders a POP to drain.
    pub(crate) fn order_to_drain(&self, pop: &str) {
        let path = format!("v1/pops/{pop}/drain");
        let answer = self.rest(&path, Some(&Value::Null)).unwrap();
        assert_eq!(answer["draining"], true);
    }

    /// Starts an edge that may reach loopback; it may take a moment to be online.
    pub(crate) fn edge(&self, id: &str) -> Process {
        self.edge_at(self.manager, id)
    }

    /// Starts an edge that asks another manager.
    pub(crate) fn edge_at(&self, manager: SocketAddr, id: &str) -> Process {
        self.edge_changed(manager, id, |_| {})
    }

    /// Starts an edge by a command that is changed at last.
    pub(crate) fn edge_with(&self, id: &str, change: impl FnOnce(&mut Command)) -> Process {
        self.edge_changed(self.manager, id, change)
    }

    fn edge_changed(
        &self,
        manager: SocketAddr,
        id: &str,
        change: impl FnOnce(&mut Command),
    ) -> Process {
        let config = format!(
            "node_id = \"{id}\"\nmanager = \"https://{}\"\nca = {:?}\njoin_file = {:?}\n\
             allow_targets = [\"127.0.0.0/8\"]\n",
            manager,
            self.authority.ca,
            self.data.path().join("join.secret"),
        );
        self.start_changed(env!("CARGO_BIN_EXE_titan-edge"), id, &config, change)
    }

    /// Starts everything with one edge, and waits until it serves.
    pub(crate) fn start_all(&self, edge: &str) -> [Process; 3] {
        let daemons = [self.manager(), self.pop(), self.edge(edge)];
        self.wait_online(edge, PATIENCE);
        daemons
    }

    /// Waits until an edge is online.
    pub(crate) fn wait_online(&self, edge: &str, limit: Duration) {
        eventually("the edge is online", limit, || self.is_online(edge));
    }

    pub(crate) fn is_online(&self, edge: &str) -> bool {
        let nodes = self.rest("v1/nodes", None);
        let nodes = nodes.as_ref().and_then(|page| page["nodes"].as_array());
        nodes.is_some_and(|nodes| nodes.iter().any(|node| node["id"] == edge))
    }

    /// Returns the POP at which an edge is online.
    pub(crate) fn pop_of(&self, edge: &str) -> Option<String> {
        let node = self.rest(&format!("v1/nodes/{edge}"), None)?;
        Some(node["online"]["pop"].as_str()?.to_owned())
    }

    /// Returns the data directory.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Returns the store in the data directory.
    pub(crate) fn store(&self) -> Embedded {
        Embedded::open(&Location::Data(self.data.path().to_owned()), Mode::Thread).unwrap()
    }

    /// Asks the manager as an edge does, and returns the token for its POP.
    pub(crate) fn node_token(&self, edge: &str) -> String {
        let join = fs::read_to_string(self.data.path().join("join.secret")).unwrap();
        let output = Command::new("curl")
            .args(["-q", "-s", "--fail", "--noproxy", "*", "--max-time", "20"])
            .arg("--cacert")
            .arg(&self.authority.ca)
            .args(["-H", &format!("Authorization: Bearer {}", join.trim())])
            .arg(format!("https://{}/node/pop?nodeid={edge}", self.manager))
            .output();
        let answer: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Comes to the POP as an edge does, and returns the status and the code of its answer.
    pub(crate) fn knock(&self, edge: &str, token: &str) -> (String, String) {
        self.knock_from("127.0.0.1", edge, token)
    }

    /// Does the same from another address.
    pub(crate) fn knock_from(&self, ip: &str, edge: &str, token: &str) -> (String, String) {
        let output = Command::new("curl")
            .args([
                "-q",
                "-s",
                "-i",
                "--http1.1",
                "--noproxy",
                "*",
                "--max-time",
                "2",
            ])
            .args(["--interface", ip])
            .arg("--cacert")
            .arg(&self.authority.ca)
            .args(["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"])
            .args(["-H", "Sec-WebSocket-Version: 13"])
            .args(["-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
            .args(["-H", "Sec-WebSocket-Protocol: titan.v2"])
            .args(["-H", &format!("Authorization: Bearer {token}")])
            .arg(format!(
                "https://{}/ws/node?id={edge}&os=test&version=1",
                self.tunnels
            ))
            .output();
        let output = output.unwrap().stdout;
        let head = String::from_utf8_lossy(&output).into_owned();
        let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let code = head
            .lines()
            .find_map(|line| line.strip_prefix("titan-code: "));
        (status, code.unwrap_or_default().trim().to_owned())
    }

    pub(crate) fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        socks::connect(self.proxy, target)
    }

    /// Waits until a new session to an echoing target works.
    pub(crate) fn wait_service(&self, target: SocketAddr, limit: Duration) {
        eventually("service returns", limit, || {
            let stream = self.connect(target);
            stream.is_ok_and(|mut stream| echoes(&mut stream).is_ok())
        });
    }

    fn common(&self) -> String {
        let store = self.store.as_ref();
        let store = store.map_or_else(String::new, |store| format!("store = {store:?}\n"));
        format!(
            "data = {:?}\n{store}[tls]\ncert = {:?}\nkey = {:?}\n",
            self.data.path(),
            self.authority.cert,
            self.authority.key
        )
    }

    fn start(&self, program: &str, name: &str, config: &str) -> Process {
        self.start_changed(program, name, config, |_| {})
    }

    fn start_changed(
        &self,
        program: &str,
        name: &str,
        config: &str,
        change: impl FnOnce(&mut Command),
    ) -> Process {
        let path = self.data.path().join(name).with_extension("toml");
        fs::write(&path, config).unwrap();
        let mut command = daemon(program);
        command.arg("--config").arg(path);
        change(&mut command);
        if let Some(log) = self.log.lock().unwrap().take() {
            command.env(FILTER_VARIABLE, "info").stderr(log);
        }
        Process::spawn(&mut command)
    }

    /// Returns an operator's command that asks the manager.
    pub(crate) fn titan(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_titan"));
        command
            .env("TITAN__MANAGER", format!("https://{}", self.manager))
            .env("TITAN__CA", &self.authority.ca)
            .env("TITAN__TOKEN_FILE", self.data.path().join("admin.token"));
        command
    }

    /// Starts a daemon that logs into a file.
    pub(crate) fn logged(&self, name: &str, start: impl FnOnce(&Self) -> Process) -> Process {
        *self.log.lock().unwrap() = Some(File::create(self.log_of(name)).unwrap());
        start(self)
    }

    /// Returns the file into which a daemon logs.
    pub(crate) fn log_of(&self, name: &str) -> PathBuf {
        self.data.path().join(name).with_extension("log")
    }

    /// Starts a POP with a data directory of its own, by a command that is changed at last.
    pub(crate) fn pop_apart(&self, data: &Path, change: impl FnOnce(&mut Command)) -> Process {
        let (cert, key) = (data.join("tls.pem"), data.join("tls.key"));
        fs::copy(&self.authority.cert, &cert).unwrap();
        fs::copy(&self.authority.key, &key).unwrap();
        let config = format!(
            "id = \"pop\"\nlisten_socks = \"{}\"\nlisten_tunnels = \"{}\"\n\
             public_url = \"wss://{}\"\ndata = {data:?}\nstore = {:?}\n\
             [tls]\ncert = {cert:?}\nkey = {key:?}\n",
            self.proxy,
            self.tunnels,
            self.public,
            self.store.as_deref().unwrap(),
        );
        let path = data.join("pop.toml");
        fs::write(&path, config).unwrap();
        // Whoever it runs as can get at the program there.
        let program = data.join("titan-pop");
        fs::copy(env!("CARGO_BIN_EXE_titan-pop"), &program).unwrap();
        let mut command = daemon(&program);
        command.arg("--config").arg(path);
        change(&mut command);
        Process::spawn(&mut command)
    }

    /// Starts a POP that carries tunnels without TLS, and says so to the manager.
    pub(crate) fn pop_in_clear(&self) -> Process {
        let config = format!(
            "id = \"pop\"\nlisten_socks = \"{}\"\nlisten_tunnels = \"{}\"\n\
             public_url = \"ws://{}\"\ninsecure = true\ndata = {:?}\n",
            self.proxy,
            self.tunnels,
            self.public,
            self.data.path(),
        );
        self.start(env!("CARGO_BIN_EXE_titan-pop"), "pop", &config)
    }

    /// Asks the manager, if it is there: to look, or to do something with a body.
    pub(crate) fn rest(&self, path: &str, body: Option<&Value>) -> Option<Value> {
        let method = if body.is_some() { "POST" } else { "GET" };
        let answer = self.call(method, path, body)?;
        serde_json::from_slice(&answer).ok()
    }

    /// Asks the manager, and returns what it answers unless that is an error.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Vec<u8>> {
        let token = fs::read_to_string(self.data.path().join("admin.token")).ok()?;
        let mut curl = Command::new("curl");
        curl.args(["-q", "-s", "--fail", "--noproxy", "*", "--max-time", "20"]);
        curl.args(["-X", method]);
        curl.arg("--cacert").arg(&self.authority.ca).arg("-H");
        curl.arg(format!("Authorization: Bearer {}", token.trim()));
        if let Some(body) = body {
            curl.args([
                "-H",
                "Content-Type: application/json",
                "-d",
                &body.to_string(),
            ]);
        }
        let answer = curl
            .arg(format!("https://{}/{path}", self.manager))
            .output()
            .unwrap();
        answer.status.success().then_some(answer.stdout)
    }
}

/// Sends a word through an echoing target and waits for it.
pub(crate) fn echoes(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"hello")?;
    let mut echo = [0; 5];
    stream.read_exact(&mut echo)?;
    if &echo == b"hello" {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Returns an address that stays free while a daemon is away: its port is not one of those that the
/// system gives to clients.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 600).unwrap() * 20;
    (0..12_000)
        .find_map(|_| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed);
            let address = (Ipv4Addr::LOCALHOST, 20_000 + (first + next) % 12_000).into();
            TcpListener::bind(address).is_ok().then_some(address)
        })
        .unwrap()
}
