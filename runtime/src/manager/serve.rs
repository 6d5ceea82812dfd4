//! HTTP/1.1 over any world's listener.

use super::access::Peer;
use super::guests::{Guest, Guests, Seat};
use crate::env::{Env, Listener as _, Stream as _, StreamRole};
use axum::Router;
use core::pin::pin;
use core::time::Duration;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How long a client may take for its TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take for the head of a request, and be silent between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How much of a request's head is buffered, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// How long a connection is kept: one that takes its answers too slowly must not hold its place
/// forever.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(300);

/// How long a connection that is to end may take to finish the request under way.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after a failed accept, which mostly means that descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is done and all connections have ended.
pub(super) async fn serve<E: Env>(
    env: E,
    mut listener: E::Listener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    guests: Arc<Guests>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let tls = tls.map(TlsAcceptor::from);
    let stop = watch::Sender::new(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Some(guest) = guests.admit(peer.ip()) else {
                        tracing::debug!(%peer, "too many connections from there");
                        stream.set_abort_on_drop();
                        continue;
                    };
                    stream.tune(StreamRole::Flow);
                    connections.spawn(Connection {
                        env: env.clone(),
                        tls: tls.clone(),
                        router: router.clone(),
                        peer: peer.ip(),
                        stop: stop.subscribe(),
                    }.hold(stream, guest));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    env.sleep_until(env.now() + ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    // Each ends within the drain timeout by itself.
    while connections.join_next().await.is_some() {}
}

struct Connection<E> {
    env: E,
    tls: Option<TlsAcceptor>,
    router: Router,
    peer: IpAddr,
    stop: watch::Receiver<bool>,
}

impl<E: Env> Connection<E> {
    /// Serves a connection until it ends or has to make room for another one.
    async fn hold(self, stream: E::Stream, guest: Guest) {
        let seat = Arc::clone(&guest.seat);
        tokio::select! {
            biased;
            () = guest.seat.unseated() => {}
            () = self.run(stream, seat) => {}
        }
    }

    async fn run(mut self, stream: E::Stream, seat: Arc<Seat>) {
        let Some(tls) = self.tls.take() else {
            return self.http(stream, seat).await;
        };
        let shaken = tokio::select! {
            biased;
            shaken = tls.accept(stream) => shaken,
            () = self.env.sleep_until(self.env.now() + TLS_TIMEOUT) => return,
            _ = self.stop.wait_for(|stop| *stop) => return,
        };
        match shaken {
            Ok(stream) => self.http(stream, seat).await,
            Err(error) => tracing::debug!(peer = %self.peer, %error, "no TLS"),
        }
    }

    async fn http(mut self, stream: impl AsyncRead + AsyncWrite + Unpin, seat: Arc<Seat>) {
        let router = TowerToHyperService::new(self.router);
        let peer = Peer(self.peer);
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(Arc::clone(&seat));
            let busy = seat.busy();
            let answer = router.call(request);
            async move {
                let _busy = busy;
                answer.await
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = async {
                let old = self.env.sleep_until(self.env.now() + CONNECTION_AGE_MAX);
                tokio::select! {
                    biased;
                    _ = self.stop.wait_for(|stop| *stop) => {}
                    () = old => {}
                }
            } => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    biased;
                    ended = connection => ended,
                    () = self.env.sleep_until(self.env.now() + DRAIN_TIMEOUT) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %self.peer, %error, "connection failed");
        }
    }
}
