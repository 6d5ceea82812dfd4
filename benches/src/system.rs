//! What can be measured: the yardstick and Titan, as running processes with a way in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::daemons::{self, Running, Transport};
use crate::failure::{Context as _, Failure, Result};
use crate::kernel;
use crate::load::{LoadArgs, Values, Work};
use crate::process::Process;
use crate::target::Target;

/// How long Titan may take from the start of its processes to the first answer through it.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a process that broke a load may take to end.
const END_TIME: Duration = Duration::from_millis(300);

/// One of the columns of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two plain relays.
    Yardstick,
    /// Titan with tunnels over plain WebSocket.
    Ws,
    /// Titan with tunnels over WebSocket and TLS.
    Wss,
    /// The daemons that are compared with, over plain WebSocket.
    OtherWs,
    /// The daemons that are compared with, over WebSocket and TLS.
    OtherWss,
}

/// Where the daemons of the columns are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Builds {
    /// Those that are measured.
    pub(crate) own: PathBuf,
    /// Those that they are compared with, if any.
    pub(crate) other: Option<PathBuf>,
}

impl Builds {
    fn of(&self, kind: Kind) -> &Path {
        match (kind, &self.other) {
            (Kind::OtherWs | Kind::OtherWss, Some(other)) => other,
            _ => &self.own,
        }
    }
}

impl Kind {
    /// All columns in the tables' order.
    pub(crate) const ALL: [Self; 5] = [
        Self::Yardstick,
        Self::Ws,
        Self::Wss,
        Self::OtherWs,
        Self::OtherWss,
    ];

    /// The column of the same transport in the build that is measured.
    pub(crate) fn own(self) -> Self {
        match self {
            Self::Yardstick => Self::Yardstick,
            Self::Ws | Self::OtherWs => Self::Ws,
            Self::Wss | Self::OtherWss => Self::Wss,
        }
    }

    /// Tells whether this is a column of the daemons that are compared with.
    pub(crate) fn is_other(self) -> bool {
        self != self.own()
    }

    fn transport(self) -> Option<Transport> {
        match self {
            Self::Yardstick => None,
            Self::Ws | Self::OtherWs => Some(Transport::Ws),
            Self::Wss | Self::OtherWss => Some(Transport::Wss),
        }
    }

    /// Place in the table and in arrays of samples.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Name in progress lines, in JSON and for `--only`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Yardstick => "yardstick",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::OtherWs => "other ws",
            Self::OtherWss => "other wss",
        }
    }
}

/// How much of what a load shall do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    /// Streams at once.
    pub(crate) streams: usize,
    /// Sessions in total, for works that count them.
    pub(crate) count: usize,
    /// Time before the window.
    pub(crate) warmup: Duration,
    /// The window.
    pub(crate) duration: Duration,
}

impl Amount {
    /// An amount for the works that count sessions instead of time.
    pub(crate) fn sessions(streams: usize, count: usize) -> Self {
        Self {
            streams,
            count,
            warmup: Duration::ZERO,
            duration: Duration::ZERO,
        }
    }
}

/// The processes of one column.
#[derive(Debug)]
pub(crate) struct System {
    kind: Kind,
    via: SocketAddr,
    processes: Processes,
    target: Target,
}

#[derive(Debug)]
enum Processes {
    /// First and second relay.
    Relays(Box<[Process; 2]>),
    Titan(Box<Running>),
}

impl System {
    /// Starts fresh processes and waits until a request through them is answered.
    pub(crate) async fn start(kind: Kind, target: Target, builds: &Builds) -> Result<Self> {
        let Some(transport) = kind.transport() else {
            return Self::start_relays(target).await;
        };
        let running = daemons::start(transport, builds.of(kind))
            .await
            .context(format_args!("cannot start Titan over {}", kind.name()))?;
        let via = running.proxy;
        let mut system = Self {
            kind,
            via,
            processes: Processes::Titan(Box::new(running)),
            target,
        };
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            match system.load(Work::Visit, Amount::sessions(1, 1)).await {
                Ok(_) => return Ok(system),
                Err(failure) if Instant::now() > deadline => return Err(failure),
                Err(_) => system.check()?,
            }
        }
    }

    async fn start_relays(target: Target) -> Result<Self> {
        let relay = |name, next: SocketAddr| {
            Process::own(name, &["relay".to_owned(), next.to_string()], None)
        };
        let mut second = relay("second relay", target.address)?;
        let [next] = second.addresses().await?;
        let mut first = relay("first relay", next)?;
        let [via] = first.addresses().await?;
        let processes = Processes::Relays(Box::new([first, second]));
        Ok(Self {
            kind: Kind::Yardstick,
            via,
            processes,
            target,
        })
    }

    /// Which column this is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Titan's daemons, if these are they.
    pub(crate) fn titan(&mut self) -> Option<&mut Running> {
        match &mut self.processes {
            Processes::Relays(_) => None,
            Processes::Titan(running) => Some(running),
        }
    }

    /// Runs a load through the system to its end.
    pub(crate) async fn load(&mut self, work: Work, amount: Amount) -> Result<Values> {
        self.hold(work, amount).await.map(|(values, _)| values)
    }

    /// Runs a load and keeps its process, which ends when it is dropped.
    pub(crate) async fn hold(&mut self, work: Work, amount: Amount) -> Result<(Values, Process)> {
        let (user, password) = match &self.processes {
            Processes::Relays(_) => (None, None),
            Processes::Titan(running) => {
                (Some(running.user.clone()), Some(running.password.as_str()))
            }
        };
        let args = LoadArgs {
            work,
            via: self.via,
            user,
            target: self.target.address,
            control: self.target.control,
            streams: amount.streams,
            count: amount.count,
            warmup_ms: amount.warmup.as_millis() as u64,
            duration_ms: amount.duration.as_millis() as u64,
        };
        let mut load = Process::load(&args, password)?;
        let values = load.values(amount.warmup + amount.duration).await;
        match values {
            Ok(values) => {
                self.check()?;
                Ok((values, load))
            }
            Err(failure) => {
                // A process that ends closes its sockets first; its end, if that is the cause, says more.
                sleep(END_TIME).await;
                self.check()?;
                let logs = self
                    .processes()
                    .map(|process| process.log())
                    .collect::<String>();
                Err(Failure::new(format!(
                    "{} {work:?}: {failure}{logs}",
                    self.kind.name()
                )))
            }
        }
    }

    /// Fails when one of the processes has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.processes().try_for_each(Process::check)
    }

    /// Processor time used so far by what stands between load and target: both relays, or POP and edge.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let ids = match &self.processes {
            Processes::Relays(relays) => relays.iter().map(Process::pid).collect(),
            Processes::Titan(running) => running.between(),
        };
        ids.into_iter().map(kernel::processor_time).sum()
    }

    /// User-space memory of the process that takes the clients: POP or first relay.
    pub(crate) fn private_bytes(&self) -> Result<u64> {
        kernel::private_bytes(match &self.processes {
            Processes::Relays(relays) => relays[0].pid(),
            Processes::Titan(running) => running.pop.pid(),
        })
    }

    fn processes(&mut self) -> Box<dyn Iterator<Item = &mut Process> + '_> {
        match &mut self.processes {
            Processes::Relays(relays) => Box::new(relays.iter_mut()),
            Processes::Titan(running) => Box::new(running.processes()),
        }
    }
}
