//! Applications that speak SOCKS5.

use super::direction::{Direction, patient};
use super::head::Head;
use crate::daemons::account::{Connection as Counted, run_operator};
use crate::daemons::env::TurmoilEnv;
use crate::daemons::flows::End;
use crate::daemons::scenario::{Flows, Mode};
use crate::daemons::world::Shared;
use crate::overlay::{Destination, FAST, PASSWORD, Payload, TRUTHFUL};
use core::cell::Cell;
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use titan_core::time::Instant;
use titan_runtime::env::{Env as _, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

/// How long after a failure a client connects anew.
const RETRY: Duration = Duration::from_secs(1);

/// Runs all flows of the scenario, and its operator.
pub(crate) async fn run(shared: Rc<Shared>, env: TurmoilEnv) -> Result<(), String> {
    let mut flows = JoinSet::new();
    for index in 0..shared.flows.len() {
        let (shared, env) = (Rc::clone(&shared), env.clone());
        flows.spawn_local(async move { flow(&shared, &env, index).await });
    }
    flows.spawn_local(run_operator(shared, env));
    while flows.join_next().await.is_some() {}
    core::future::pending().await
}

/// Runs one flow, over as many connections as it may take.
async fn flow(shared: &Shared, env: &TurmoilEnv, index: usize) {
    let group = shared.flows.group(index, &shared.scenario);
    env.sleep_until(Instant::EPOCH + shared.flows.start(index))
        .await;
    let name = shared.flows.name(index);
    shared.log.note(format_args!("{name} begins"));
    for attempt in 0..=u64::from(group.retries) {
        let connection = Connection {
            shared,
            env,
            group,
            index,
            // Each attempt has bytes of its own.
            flow: (index as u64) << 8 | attempt,
        };
        let end = connection.run().await;
        shared.log.note(format_args!("{name} {end}"));
        if end == End::Complete || attempt == u64::from(group.retries) {
            return shared.ended(index, connection.flow, end);
        }
        env.sleep_until(env.now() + RETRY).await;
    }
}

/// One connection of a flow.
struct Connection<'a> {
    shared: &'a Shared,
    env: &'a TurmoilEnv,
    group: &'a Flows,
    index: usize,
    flow: u64,
}

impl Connection<'_> {
    async fn run(&self) -> End {
        let target = self.shared.target(self.index);
        let stream = match self.connect(target).await {
            Ok(stream) => stream,
            Err(Refusal::Reply(code)) => return End::Refused(code),
            Err(Refusal::Failed) => return End::Refused(0),
        };
        let head = Head {
            flow: self.flow,
            up: self.group.up.0,
            down: self.group.down.0,
            rounds: self.group.rounds.into(),
            pace: self.group.pace,
            reads: self.group.target_reads,
        };
        let received = Cell::new(0);
        let outcome = if head.rounds > 0 {
            self.rounds(stream, head, &received).await
        } else {
            self.stream(stream, head, &received).await
        };
        match outcome {
            Ok(()) => End::Complete,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => End::Torn(received.get()),
            Err(error) if error.kind() == ErrorKind::TimedOut => End::GaveUp(received.get()),
            Err(_) => End::Reset(received.get()),
        }
    }

    /// Logs in at the proxy and asks for the target.
    async fn connect(&self, to: Destination) -> Result<impl Stream, Refusal> {
        let proxy: SocketAddr = self.shared.proxy(self.group.pop);
        let mut stream = patient(self.env.connect(proxy)).await?;
        patient(stream.write_all(&[5, 1, 2])).await?;
        let mut answer = [0; 2];
        patient(stream.read_exact(&mut answer)).await?;
        let user = match (&self.group.user, self.group.mode) {
            (Some(user), _) => user,
            (None, Mode::Fast) => FAST,
            (None, Mode::Truthful) => TRUTHFUL,
        };
        let password = self.group.password.as_deref().unwrap_or(PASSWORD);
        let mut login = vec![1];
        for part in [user, password] {
            login.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
            login.extend(part.as_bytes());
        }
        patient(stream.write_all(&login)).await?;
        patient(stream.read_exact(&mut answer)).await?;
        if answer != [1, 0] {
            return Err(Refusal::Failed);
        }
        let request = to.request();
        patient(stream.write_all(&request)).await?;
        let mut reply = [0; 10];
        patient(stream.read_exact(&mut reply)).await?;
        match reply[1] {
            0 => {
                let local = stream.local_addr()?;
                self.shared.ledger.opened(Counted {
                    user: user.to_owned(),
                    password: password.to_owned(),
                    pop: self.group.pop,
                    tally: self.shared.network.tally_of(local),
                    handshake: (3 + login.len() + request.len(), 2 * 2 + reply.len()),
                });
                Ok(stream)
            }
            code => Err(Refusal::Reply(code)),
        }
    }

    /// Moves both directions at once.
    async fn stream(
        &self,
        stream: impl Stream,
        head: Head,
        received: &Cell<u64>,
    ) -> io::Result<()> {
        let who = self.shared.flow_name(self.flow);
        let (mut up, mut down) = self.directions(&who, head);
        let (mut read, mut write) = tokio::io::split(stream);
        let send = async {
            patient(write.write_all(&head.to_bytes())).await?;
            up.send(&mut write, head.up, self.group.pace).await?;
            write.shutdown().await
        };
        let receive = async {
            let came = |len| received.set(received.get() + len as u64);
            let rate = || self.shared.reads(self.group);
            down.receive(&mut read, head.down, rate, came).await?;
            if received.get() < head.down {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            down.end(&mut read).await
        };
        let (sent, came) = tokio::join!(send, receive);
        match sent {
            // A kernel tells of a reset once; the reader then finds an end.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(error),
            Ok(()) | Err(_) => came,
        }
    }

    /// Asks and waits for the answer, again and again.
    async fn rounds(
        &self,
        mut stream: impl Stream,
        head: Head,
        received: &Cell<u64>,
    ) -> io::Result<()> {
        let who = self.shared.flow_name(self.flow);
        let (mut up, mut down) = self.directions(&who, head);
        let (request, answer) = head.round();
        patient(stream.write_all(&head.to_bytes())).await?;
        for _ in 0..head.rounds {
            self.env
                .sleep_until(self.env.now() + self.group.think.duration())
                .await;
            let asked = self.env.now();
            up.send(&mut stream, request, self.group.pace).await?;
            let came = |len| received.set(received.get() + len as u64);
            let rate = || self.shared.reads(self.group);
            if down.receive(&mut stream, answer, rate, came).await? < answer {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.shared
                .flows
                .answered(self.index, self.env.now().since(asked));
        }
        stream.shutdown().await?;
        down.end(&mut stream).await
    }

    fn directions<'a>(&'a self, who: &'a str, head: Head) -> (Direction<'a>, Direction<'a>) {
        let direction = |payload| Direction {
            env: self.env,
            findings: &self.shared.findings,
            who,
            payload,
        };
        // What the rounds do not divide evenly is left out at both ends.
        let part = |len: u64| {
            len.checked_div(head.rounds)
                .map_or(len, |part| part * head.rounds)
        };
        (
            direction(Payload::new(self.flow, part(head.up))),
            direction(Payload::new(!self.flow, part(head.down))),
        )
    }
}

/// Why a client got no connection.
enum Refusal {
    /// The proxy said so.
    Reply(u8),
    /// There was no reply.
    Failed,
}

impl From<io::Error> for Refusal {
    fn from(_: io::Error) -> Self {
        Self::Failed
    }
}
