//! Names, as the system is configured to look them up: in its hosts file, then at its name servers.
//!
//! Every name is absolute: no search domain makes another host of it. A look-up is a future like any other;
//! dropping it ends it, and no thread waits for a name server.

use core::pin::pin;
use core::time::Duration;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, Resolver, TokioResolver};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant as StdInstant, SystemTime};
use tokio::time;

/// How often the files are looked at for changes, as when a laptop has moved to another network.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long addresses of one family are kept waiting for those of the other: RFC 8305 section 3.
const OTHER_FAMILY_WAIT: Duration = Duration::from_millis(50);

/// How long one question to a name server waits for its answer, at most: a lost packet costs no more.
const ANSWER_TIMEOUT_MAX: Duration = Duration::from_secs(2);

/// How often a question is asked, at least.
const ATTEMPTS_MIN: usize = 2;

/// How many answers are remembered, and for how long at most whatever they say.
const CACHE_COUNT: u64 = 4_096;
const CACHE_AGE_MAX: Duration = Duration::from_secs(300);
const CACHE_ABSENT_MAX: Duration = Duration::from_secs(10);

/// The most questions that may wait on one connection to a name server: more than callers ask at once.
const QUESTIONS_MAX: usize = 1_024;

/// The system's configuration, read again when its files change.
#[derive(Debug)]
pub(crate) struct Names {
    paths: [PathBuf; 2],
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    looked_at: Option<StdInstant>,
    /// When the files were last written.
    written: [Option<SystemTime>; 2],
    system: Option<Arc<System>>,
}

#[derive(Debug)]
struct System {
    hosts: Hosts,
    resolver: TokioResolver,
}

impl Default for Names {
    fn default() -> Self {
        let paths = ["/etc/resolv.conf", "/etc/hosts"].map(PathBuf::from);
        Self {
            paths,
            state: Mutex::default(),
        }
    }
}

impl Names {
    /// Returns the addresses of a name, those of one family as the name server ordered them.
    pub(crate) async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.system()?.resolve(absolute(name)?).await
    }

    fn system(&self) -> io::Result<Arc<System>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = StdInstant::now();
        let current = state
            .looked_at
            .is_some_and(|at| now.duration_since(at) < LOOK_INTERVAL);
        if let Some(system) = state.system.clone().filter(|_| current) {
            return Ok(system);
        }
        state.looked_at = Some(now);
        let written = [0, 1].map(|index| last_written(&self.paths[index]));
        if let Some(system) = state.system.clone().filter(|_| state.written == written) {
            return Ok(system);
        }
        let system = Arc::new(System::read()?);
        state.written = written;
        state.system = Some(Arc::clone(&system));
        Ok(system)
    }
}

/// Reads a name as one that no search domain is put behind.
fn absolute(name: &str) -> io::Result<Name> {
    let mut name = Name::from_ascii(name)
        .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error.to_string()))?;
    name.set_fqdn(true);
    Ok(name)
}

fn last_written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

impl System {
    fn read() -> io::Result<Self> {
        let (config, options) = match read_system_conf() {
            Ok(found) => found,
            Err(error) => {
                // As the C library does it.
                tracing::warn!(%error, "no name servers are configured; one on this host is asked");
                let here = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
                let config = ResolverConfig::from_name_servers(vec![here]);
                (config, ResolverOpts::default())
            }
        };
        let hosts = Hosts::from_system().unwrap_or_else(|error| {
            tracing::warn!(%error, "the hosts file cannot be read");
            Hosts::default()
        });
        Self::new(&config, options, hosts)
    }

    /// Takes the name servers and the options, and no search domain.
    fn new(config: &ResolverConfig, mut options: ResolverOpts, hosts: Hosts) -> io::Result<Self> {
        options.timeout = options.timeout.min(ANSWER_TIMEOUT_MAX);
        options.attempts = options.attempts.max(ATTEMPTS_MIN);
        options.use_hosts_file = ResolveHosts::Never;
        options.max_active_requests = QUESTIONS_MAX;
        options.cache_size = CACHE_COUNT;
        options.positive_max_ttl = Some(CACHE_AGE_MAX);
        options.negative_max_ttl = Some(CACHE_ABSENT_MAX);
        let config = ResolverConfig::from_name_servers(config.name_servers().to_vec());
        let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(failure)?;
        Ok(Self { hosts, resolver })
    }

    async fn resolve(&self, name: Name) -> io::Result<Vec<IpAddr>> {
        let here = self.here(&name);
        if !here.is_empty() {
            return Ok(here);
        }
        if name.is_localhost() {
            // RFC 6761 section 6.3: no name server is asked.
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        ask(&self.resolver, name).await
    }

    /// Returns the addresses that the hosts file gives a name. If it has any no name server is asked, not
    /// even for the other family.
    fn here(&self, name: &Name) -> Vec<IpAddr> {
        let families = [RecordType::A, RecordType::AAAA];
        let found = families.map(|family| {
            let query = Query::query(name.clone(), family);
            self.hosts.lookup_static_host(&query)
        });
        found.iter().flatten().flat_map(addresses).collect()
    }
}

/// Asks name servers for the addresses of both families.
async fn ask(resolver: &TokioResolver, name: Name) -> io::Result<Vec<IpAddr>> {
    let mut v6 = pin!(resolver.ipv6_lookup(name.clone()));
    let mut v4 = pin!(resolver.ipv4_lookup(name));
    let mut other_wait = pin!(time::sleep(Duration::ZERO));
    let (mut v6_open, mut v4_open) = (true, true);
    let mut found = Vec::new();
    let mut error = None;
    while v6_open || v4_open {
        let answer = tokio::select! {
            biased;
            answer = v6.as_mut(), if v6_open => {
                v6_open = false;
                answer
            }
            answer = v4.as_mut(), if v4_open => {
                v4_open = false;
                answer
            }
            () = other_wait.as_mut(), if !found.is_empty() => break,
        };
        match answer {
            Ok(answer) => {
                found.extend(addresses(&answer));
                other_wait.set(time::sleep(OTHER_FAMILY_WAIT));
            }
            Err(new) => error = Some(new),
        }
    }
    match error {
        Some(error) if found.is_empty() => Err(failure(error)),
        Some(_) | None => Ok(found),
    }
}

fn addresses(lookup: &Lookup) -> impl Iterator<Item = IpAddr> {
    let records = lookup.answers().iter();
    records.filter_map(|record| record.data.ip_addr())
}

fn failure(error: NetError) -> io::Error {
    // What the system says tells a want of this host's own from a name server that is away.
    if let NetError::Io(system) = &error
        && let Some(code) = system.raw_os_error()
    {
        return io::Error::from_raw_os_error(code);
    }
    // The resolver says no more if no name server could be asked; a socket tells whether this host has any.
    if matches!(error, NetError::NoConnections)
        && let Err(want) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
    {
        return want;
    }
    let kind = if error.is_no_records_found() {
        ErrorKind::NotFound
    } else if matches!(error, NetError::Busy) {
        ErrorKind::ResourceBusy
    } else {
        ErrorKind::TimedOut
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests;
