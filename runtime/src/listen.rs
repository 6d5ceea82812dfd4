//! Listening at an address that something else may hold for a while.

use crate::env::{Env, Listener as _, Stream};
use core::time::Duration;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How long to wait for an address that a connection holds, which may be one that lasts.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// How often the address is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How long to look for another listener there.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Listens at an address, and returns at which. `what` names the listener to people.
///
/// The system may have given the port to an outgoing connection, as the ports that are usual here lie
/// in the range for those. Then this waits, says so, and gives up after two minutes.
///
/// # Errors
/// Fails at once if another listener is there, or for any other reason.
pub(crate) async fn listen<E: Env>(
    env: &E,
    at: SocketAddr,
    what: &str,
) -> io::Result<(E::Listener, SocketAddr)> {
    let deadline = env.now() + WAIT_MAX;
    let mut told = false;
    loop {
        let error = match env.listen(at).await {
            Ok(listener) => {
                let bound = listener.local_addr()?;
                return Ok((listener, bound));
            }
            Err(error) => error,
        };
        if error.kind() != io::ErrorKind::AddrInUse || env.now() >= deadline {
            return Err(error);
        }
        if has_listener(env, at).await {
            return Err(io::Error::new(
                error.kind(),
                format!("{error}: another process listens there"),
            ));
        }
        if !told {
            told = true;
            tracing::warn!(
                %at,
                "waiting to listen for {what}: a connection holds the port (take one outside of \
                 net.ipv4.ip_local_port_range, or list it in net.ipv4.ip_local_reserved_ports)"
            );
        }
        env.sleep_until(env.now() + RETRY).await;
    }
}

/// Tells whether somebody listens in the way: as the world says, or else as a connection tells.
async fn has_listener<E: Env>(env: &E, at: SocketAddr) -> bool {
    if let Some(known) = env.has_listener(at) {
        return known;
    }
    let here: &[IpAddr] = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
        // It is in the way of IPv4 too.
        IpAddr::V6(ip) if ip.is_unspecified() => &[
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            IpAddr::V4(Ipv4Addr::LOCALHOST),
        ],
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => &[ip],
    };
    for &ip in here {
        let answered = tokio::select! {
            biased;
            connected = env.connect(SocketAddr::new(ip, at.port())) => {
                connected.is_ok_and(|stream| !is_own_end(&stream))
            }
            () = env.sleep_until(env.now() + LOOK_TIMEOUT) => false,
        };
        if answered {
            return true;
        }
    }
    false
}

/// Tells whether a connection has met itself: the system may give one to a port of this host just that port.
fn is_own_end(stream: &impl Stream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(near), Ok(far)) => near == far,
        (Ok(_) | Err(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::tokio::{TcpStream, TokioEnv};
    use socket2::{Domain, Socket, Type};
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_port_that_a_connection_holds_is_waited_for() {
        let env = TokioEnv::new();
        let far = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // As the system binds an outgoing connection.
        let near = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        near.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        near.connect(&far.local_addr().unwrap().into()).unwrap();
        let at = near.local_addr().unwrap().as_socket().unwrap();
        let refused = env.listen(at).await.map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);

        let listening = listen(&env, at, "a test");
        tokio::pin!(listening);
        let early = timeout(Duration::from_millis(50), &mut listening);
        assert!(early.await.is_err(), "the port is held");
        // A reset leaves nothing behind that would hold it longer.
        near.set_linger(Some(Duration::ZERO)).unwrap();
        drop(near);
        let (_listener, bound) = listening.await.unwrap();
        assert_eq!(bound, at);
    }

    #[tokio::test]
    async fn a_port_where_another_listens_is_an_error_at_once() {
        let env = TokioEnv::new();
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = other.local_addr().unwrap();
        let told = timeout(Duration::from_secs(10), listen(&env, at, "a test"));
        let error = told.await.unwrap().map(drop).unwrap_err();
        assert!(
            error.to_string().contains("another process listens"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_listener_anywhere_is_in_the_way_of_one_everywhere() {
        let env = TokioEnv::new();
        let other = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
        let at = SocketAddr::from(([0, 0, 0, 0], other.local_addr().unwrap().port()));
        let error = listen(&env, at, "a test").await.map(drop).unwrap_err();
        assert!(
            error.to_string().contains("another process listens"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_connection_that_meets_itself_is_no_listener() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        let own = socket.local_addr().unwrap();
        socket.connect(&own).unwrap();
        socket.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(socket.into()).unwrap();
        assert!(is_own_end(&TcpStream::from(stream)));
        let far = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = tokio::net::TcpStream::connect(far.local_addr().unwrap()).await;
        assert!(!is_own_end(&TcpStream::from(stream.unwrap())));
    }
}
