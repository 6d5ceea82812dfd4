//! Closing a socket without losing what is still on its way.

use super::relay::RelayEnd;
use crate::env::{Env, Stream};
use core::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long a peer may go on sending what nobody reads before it is cut off.
const LINGER: Duration = Duration::from_secs(10);

/// How long what was written may take to leave before a reset follows it.
const FLUSH: Duration = Duration::from_secs(2);

/// How often the kernel is asked what is left.
const FLUSH_STEP: Duration = Duration::from_millis(5);

/// Ends a socket the way its relay ended.
pub(crate) async fn linger<E: Env>(env: &E, mut stream: E::Stream, end: RelayEnd) {
    match end {
        RelayEnd::Complete { reading: false } => stream.set_end_on_drop(),
        // Closing with unread bytes would reset the connection, and the peer's kernel may then throw
        // away the answer that it has not read.
        RelayEnd::Complete { reading: true } | RelayEnd::Refused => {
            stream.set_end_on_drop();
            let deadline = env.now() + LINGER;
            tokio::select! {
                biased;
                () = discard(&mut stream) => {}
                () = env.sleep_until(deadline) => stream.set_abort_on_drop(),
            }
        }
        RelayEnd::Failed(_) => {
            let deadline = env.now() + FLUSH;
            while stream.unsent().is_some_and(|len| len > 0) && env.now() < deadline {
                env.sleep_until(env.now() + FLUSH_STEP).await;
            }
            stream.set_abort_on_drop();
        }
        RelayEnd::Broken => stream.set_abort_on_drop(),
    }
}

/// Ends our direction and reads the other to its end.
async fn discard<S: Stream>(stream: &mut S) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut scratch = [0; 4096];
    while stream.read(&mut scratch).await.is_ok_and(|len| len > 0) {}
}
