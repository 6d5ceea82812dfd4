//! Look-ups at a name server of the test's own.

use super::*;
use crate::env::Env as _;
use crate::env::tokio::TokioEnv;
use hickory_resolver::proto::rr::RData;
use std::net::SocketAddr;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A name server that knows every name but those that begin with `slow`, to which it says nothing, and
/// those that begin with `no`, which do not exist.
struct Server {
    at: SocketAddr,
    asked: mpsc::UnboundedReceiver<String>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let (tell, asked) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1_500];
            loop {
                let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
                let (name, family) = question(&buffer[..len]);
                if let Some(answer) = answer(&buffer[..len], &name, family) {
                    socket.send_to(&answer, from).await.unwrap();
                }
                // The test may have seen enough.
                let _ = tell.send(name);
            }
        });
        Self { at, asked, task }
    }

    fn system(&self) -> System {
        let server = NameServerConfig::udp_and_tcp(self.at.ip());
        let config = ResolverConfig::from_name_servers(vec![server]);
        self.system_of(config, ResolverOpts::default())
    }

    /// Returns a configuration of name servers on this host, of which this is the only one.
    fn system_of(&self, config: ResolverConfig, options: ResolverOpts) -> System {
        let (domain, search, mut servers) = config.into_parts();
        let connections = servers.iter_mut().flat_map(|one| &mut one.connections);
        connections.for_each(|connection| connection.port = self.at.port());
        let config = ResolverConfig::from_parts(domain, search, servers);
        System::new(&config, options, Hosts::default()).unwrap()
    }

    /// Ends it, and returns the names it was asked for.
    async fn asked(&mut self) -> Vec<String> {
        self.task.abort();
        let mut asked = Vec::new();
        while let Some(name) = self.asked.recv().await {
            asked.push(name);
        }
        asked.sort();
        asked.dedup();
        asked
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the name that is asked for, and the type of record.
fn question(message: &[u8]) -> (String, u8) {
    let (mut name, mut rest) = (String::new(), &message[12..]);
    while rest[0] != 0 {
        let (label, after) = rest[1..].split_at(rest[0].into());
        name += core::str::from_utf8(label).unwrap();
        name += ".";
        rest = after;
    }
    (name, rest[2])
}

fn answer(message: &[u8], name: &str, family: u8) -> Option<Vec<u8>> {
    const NO_SUCH_NAME: u8 = 3;
    let code = if name.starts_with("no") {
        NO_SUCH_NAME
    } else {
        0
    };
    let address: &[u8] = match family {
        _ if name.starts_with("slow") => return None,
        _ if code != 0 => &[],
        1 => &[192, 0, 2, 1],
        // The server keeps silent about the other family of these.
        _ if name.starts_with("four") => return None,
        _ => &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    };
    let end = 12 + name.len() + 1 + 4;
    let mut out = message[..end].to_vec();
    let count = u8::from(!address.is_empty());
    out[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    if count > 0 {
        let len = u8::try_from(address.len()).unwrap();
        out.extend([0xc0, 12, 0, family, 0, 1, 0, 0, 0, 60, 0, len]);
        out.extend(address);
    }
    Some(out)
}

fn name(text: &str) -> Name {
    absolute(text).unwrap()
}

#[tokio::test]
async fn addresses_of_both_families_are_found_and_names_are_absolute() {
    let mut server = Server::start().await;
    let system = server.system();
    let found = system.resolve(name("a.test")).await.unwrap();
    let expected: [IpAddr; 2] = ["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()];
    assert!(expected.iter().all(|address| found.contains(address)) && found.len() == 2);
    for text in ["single", "no-such.test", "no.such.test."] {
        let error = system
            .resolve(name(text))
            .await
            .err()
            .map(|error| error.kind());
        let missing = text.starts_with("no").then_some(ErrorKind::NotFound);
        assert_eq!(error, missing, "{text}");
    }
    assert_eq!(
        server.asked().await,
        ["a.test.", "no-such.test.", "no.such.test.", "single."]
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_search_domain_of_the_system_makes_another_name_of_any() {
    let mut server = Server::start().await;
    let text = "nameserver 127.0.0.1\nsearch evil.test\noptions ndots:5\n";
    let (config, options) = hickory_resolver::system_conf::parse_resolv_conf(text).unwrap();
    let system = server.system_of(config, options);
    // Names that do not exist are those for which a search goes on.
    for text in ["no", "no.", "no.such", "no.such.", "single", "dotted.test."] {
        let found = system.resolve(name(text)).await;
        assert_eq!(found.is_err(), text.starts_with("no"), "{text}");
    }
    assert_eq!(
        server.asked().await,
        ["dotted.test.", "no.", "no.such.", "single."]
    );
}

#[tokio::test]
async fn one_family_does_not_wait_long_for_the_other() {
    let server = Server::start().await;
    let found = timeout(
        Duration::from_secs(1),
        server.system().resolve(name("four.test")),
    )
    .await;
    let found = found.expect("it has an address").unwrap();
    assert_eq!(found, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
}

#[tokio::test]
async fn a_silent_name_holds_up_no_other_and_leaves_nothing_behind() {
    let server = Server::start().await;
    let system = Arc::new(server.system());
    let slow: Vec<_> = (0..300)
        .map(|index| {
            let system = Arc::clone(&system);
            tokio::spawn(async move { system.resolve(name(&format!("slow{index}.test"))).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let found = timeout(Duration::from_secs(2), system.resolve(name("a.test"))).await;
    found.expect("it is answered at once").unwrap();
    slow.iter().for_each(JoinHandle::abort);
    for task in slow {
        assert!(task.await.unwrap_err().is_cancelled());
    }
    let found = timeout(Duration::from_secs(2), system.resolve(name("b.test"))).await;
    found.expect("it is answered at once").unwrap();
}

#[test]
fn a_runtime_ends_while_a_name_is_looked_up() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let begun = runtime.block_on(async {
        let server = Server::start().await;
        let system = server.system();
        let looked_up = system.resolve(name("slow.test"));
        let late = timeout(Duration::from_millis(50), looked_up).await;
        assert!(late.is_err());
        StdInstant::now()
    });
    drop(runtime);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn the_hosts_file_comes_first_and_localhost_is_this_host() {
    let env = TokioEnv::new();
    let found = env.resolve("localhost").await.unwrap();
    assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback));
    let found = env.resolve("any.localhost.").await.unwrap();
    assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback));

    let server = Server::start().await;
    let mut system = server.system();
    let (listed, address) = (name("slow.test"), Ipv4Addr::new(192, 0, 2, 9));
    let query = Query::query(listed.clone(), RecordType::A);
    let lookup = Lookup::from_rdata(query, RData::A(address.into()));
    system.hosts.insert(listed.clone(), RecordType::A, lookup);
    assert_eq!(
        system.resolve(listed).await.unwrap(),
        [IpAddr::from(address)]
    );
}

/// Says that this process is the one that has no descriptors.
#[cfg(unix)]
const WITHOUT_DESCRIPTORS: &str = "TITAN_TEST_WITHOUT_DESCRIPTORS";

#[cfg(unix)]
#[test]
fn a_want_of_descriptors_is_told_as_such() {
    if std::env::var_os(WITHOUT_DESCRIPTORS).is_some() {
        return look_up_without_descriptors();
    }
    let name = "env::tokio::names::tests::a_want_of_descriptors_is_told_as_such";
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(WITHOUT_DESCRIPTORS, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[cfg(unix)]
fn look_up_without_descriptors() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
        let options = ResolverOpts::default();
        let config = ResolverConfig::from_name_servers(vec![server]);
        let system = System::new(&config, options, Hosts::default()).unwrap();
        let mut taken = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            taken.push(file);
        }
        let error = system.resolve(name("a.test")).await.unwrap_err();
        assert!(crate::dial::is_own_want(&error), "{error:?}");
    });
}
