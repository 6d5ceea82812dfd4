//! One direction of a flow at one end.

use crate::daemons::env::TurmoilEnv;
use crate::daemons::findings::Findings;
use crate::daemons::units::Rate;
use crate::overlay::Payload;
use core::future::Future;
use core::time::Duration;
use std::io::{self, ErrorKind};
use titan_runtime::env::Env as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time;

/// Most bytes of one read or write.
const CHUNK: usize = 16 * 1024;

/// How long an end waits for a peer from which nothing comes, or that takes nothing.
const PATIENCE: Duration = Duration::from_secs(90);

/// One direction of one flow at one end.
pub(super) struct Direction<'a> {
    pub(super) env: &'a TurmoilEnv,
    pub(super) findings: &'a Findings,
    /// Who reports what is wrong.
    pub(super) who: &'a str,
    pub(super) payload: Payload,
}

impl Direction<'_> {
    /// Sends the next `len` bytes.
    pub(super) async fn send(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        len: u64,
        pace: Option<Rate>,
    ) -> io::Result<()> {
        let end = self.payload.left() - len;
        let start = self.env.now();
        let mut sent = 0;
        while self.payload.left() > end {
            let chunk = self.payload.chunk();
            let left = usize::try_from(self.payload.left() - end).unwrap_or(usize::MAX);
            let chunk = &chunk[..chunk.len().min(CHUNK).min(left)];
            let len = patient(stream.write(chunk)).await?;
            self.payload.advance(len);
            sent += len as u64;
            if let Some(pace) = pace {
                self.env.sleep_until(start + pace.time(sent)).await;
            }
        }
        Ok(())
    }

    /// Receives and checks the next `len` bytes, or fewer at an end; returns how many.
    pub(super) async fn receive(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        len: u64,
        pace: impl Fn() -> Option<Rate>,
        mut came: impl FnMut(usize),
    ) -> io::Result<u64> {
        let mut buffer = vec![0; CHUNK];
        let mut received = 0;
        while received < len {
            let room = usize::try_from(len - received).unwrap_or(CHUNK).min(CHUNK);
            let count = patient(stream.read(&mut buffer[..room])).await?;
            if count == 0 {
                break;
            }
            self.check(&buffer[..count])?;
            received += count as u64;
            came(count);
            if let Some(pace) = pace() {
                let pause = pace.time(count as u64);
                self.env.sleep_until(self.env.now() + pause).await;
            }
        }
        Ok(received)
    }

    /// Goes on by bytes that must be the next ones.
    fn check(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let expected = self.payload.chunk();
            let len = expected.len().min(bytes.len());
            if len == 0 || bytes[..len] != expected[..len] {
                let left = self.payload.left();
                let (who, findings) = (self.who, self.findings);
                findings.wrong(
                    1,
                    format!("{who}: other bytes than were sent, {left} from the end"),
                );
                return Err(ErrorKind::InvalidData.into());
            }
            self.payload.advance(len);
            bytes = &bytes[len..];
        }
        Ok(())
    }

    /// Expects the end of the stream.
    pub(super) async fn end(&self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        if patient(stream.read(&mut [0])).await? > 0 {
            let who = self.who;
            self.findings
                .wrong(1, format!("{who}: bytes behind the end"));
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(())
    }
}

/// Waits, but not for ever.
pub(super) async fn patient<T>(wait: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let outcome = time::timeout(PATIENCE, wait).await;
    outcome.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}
