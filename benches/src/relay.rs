//! One relay of the yardstick: the plainest program that could stand in a POP's or an edge's place.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

use crate::failure::Result;

/// Bytes of the copy buffer of each direction, as the yardstick is defined.
const BUFFER_LEN: usize = 256 * 1024;
/// Wait after a failed accept: with all descriptors in use, trying at once would only burn the processor.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Starts a relay to `next` in the current runtime and tells where it listens.
pub(crate) async fn start(next: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    tokio::spawn(join(client, next));
                }
                Err(error) => {
                    eprintln!("cannot accept: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    Ok(address)
}

async fn join(mut client: TcpStream, next: SocketAddr) {
    let mut server = match TcpStream::connect(next).await {
        Ok(server) => server,
        Err(error) => return eprintln!("cannot connect to {next}: {error}"),
    };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    // Whichever side fails, both end; the load notices when that was not its own doing.
    let _ = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_LEN, BUFFER_LEN).await;
}
