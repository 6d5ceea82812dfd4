//! Servers that send and take what a client asks for.

use super::direction::{Direction, patient};
use super::head::Head;
use crate::daemons::env::TurmoilEnv;
use crate::daemons::ports::TARGET_PORT;
use crate::daemons::world::Shared;
use crate::overlay::Payload;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::rc::Rc;
use titan_runtime::env::{Env as _, Listener as _, Stream};
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

/// Serves for ever.
pub(crate) async fn run(shared: Rc<Shared>, env: TurmoilEnv, at: IpAddr) -> Result<(), String> {
    let listener = env.listen((at, TARGET_PORT).into()).await;
    let mut listener = listener.map_err(|error| error.to_string())?;
    let mut visits = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = visits.join_next() => {}
            accepted = listener.accept() => {
                let (stream, _) = accepted.map_err(|error| error.to_string())?;
                let (shared, env) = (Rc::clone(&shared), env.clone());
                visits.spawn_local(async move {
                    // What fails here shows at the client.
                    let _ = visit(&shared, &env, stream).await;
                });
            }
        }
    }
}

async fn visit(shared: &Shared, env: &TurmoilEnv, mut stream: impl Stream) -> io::Result<()> {
    let mut head = [0; Head::LEN];
    patient(stream.read_exact(&mut head)).await?;
    let head = Head::from_bytes(&head);
    if !shared.visited(head.flow) {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let who = format!("target of {}", shared.flow_name(head.flow));
    let direction = |payload| Direction {
        env,
        findings: &shared.findings,
        who: &who,
        payload,
    };
    let mut up = direction(Payload::new(head.flow, head.up));
    let mut down = direction(Payload::new(!head.flow, head.down));
    if head.rounds > 0 {
        let (request, answer) = head.round();
        for _ in 0..head.rounds {
            if up
                .receive(&mut stream, request, || head.reads, |_| {})
                .await?
                < request
            {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            down.send(&mut stream, answer, head.pace).await?;
        }
        up.end(&mut stream).await?;
        shared.served(head.flow);
        return stream.shutdown().await;
    }
    let (mut read, mut write) = tokio::io::split(stream);
    let receive = async {
        let received = up
            .receive(&mut read, head.up, || head.reads, |_| {})
            .await?;
        if received == head.up {
            up.end(&mut read).await?;
            shared.served(head.flow);
        }
        Ok(())
    };
    let send = async {
        down.send(&mut write, head.down, head.pace).await?;
        write.shutdown().await
    };
    tokio::try_join!(receive, send).map(|_| ())
}
