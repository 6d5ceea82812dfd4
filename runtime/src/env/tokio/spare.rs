//! A descriptor kept for the day that there is no other.
//!
//! A process that has used up its descriptors cannot even accept a connection to refuse it. Giving this
//! one up makes room for just that.

use std::fs::File;
use std::io;

/// A descriptor in reserve.
#[derive(Debug, Default)]
pub(super) struct Descriptor(Option<File>);

impl Descriptor {
    /// Takes one if none is there and the system has one.
    pub(super) fn keep(&mut self) {
        if cfg!(unix) && self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    /// Lets it go. Returns whether there was one.
    pub(super) fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// Tells whether an error is the want of a descriptor.
pub(super) fn is_want(error: &io::Error) -> bool {
    #[cfg(unix)]
    return matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

#[cfg(all(test, unix))]
mod tests {
    use crate::env::tokio::TokioEnv;
    use crate::env::{Env as _, Listener as _};
    use core::time::Duration;
    use socket2::{Domain, Socket, Type};
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::process::Command;
    use std::{env, fs, sync, thread};
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    const WITHOUT_DESCRIPTORS: &str = "TITAN_TEST_ACCEPT_WITHOUT_DESCRIPTORS";

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn who_comes_while_there_is_no_descriptor_is_refused_at_once() {
        if env::var_os(WITHOUT_DESCRIPTORS).is_some() {
            return listen_without_descriptors();
        }
        let name =
            "env::tokio::spare::tests::who_comes_while_there_is_no_descriptor_is_refused_at_once";
        let output = Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
            .arg(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(WITHOUT_DESCRIPTORS, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    /// Connects by a socket that was made before, and returns how the connection ends. What is returned keeps the
    /// descriptor from others.
    fn come(socket: Socket, at: SocketAddr) -> (TcpStream, ErrorKind) {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(&at.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        let end = stream.read_exact(&mut [0]).unwrap_err().kind();
        (stream, end)
    }

    fn listen_without_descriptors() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let any = "127.0.0.1:0".parse().unwrap();
            let mut listener = TokioEnv::new().listen(any).await.unwrap();
            let at = listener.local_addr().unwrap();
            let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let newcomers = [(); 3].map(|()| socket());
            let last = socket();
            let (taken, all_taken) = sync::mpsc::channel();
            let (told, ends) = oneshot::channel();
            thread::spawn(move || {
                all_taken.recv_timeout(PATIENCE).unwrap();
                told.send(newcomers.map(|socket| come(socket, at)))
            });
            let mut files = Vec::new();
            let crowd = async {
                // The listener waits by now.
                while let Ok(file) = fs::File::open("/dev/null") {
                    files.push(file);
                }
                taken.send(()).unwrap();
                ends.await.unwrap()
            };
            let ends = tokio::select! {
                biased;
                accepted = listener.accept() => panic!("{accepted:?}"),
                ends = timeout(PATIENCE, crowd) => ends.unwrap(),
            };
            let kinds = ends.each_ref().map(|(_, end)| *end);
            assert_eq!(kinds, [ErrorKind::ConnectionReset; 3]);

            drop((files, ends));
            let come = thread::spawn(move || {
                last.connect(&at.into()).unwrap();
                TcpStream::from(last).write_all(b"hello").unwrap();
            });
            let accepted = timeout(PATIENCE, listener.accept()).await.unwrap();
            let (mut stream, _) = accepted.unwrap();
            let mut got = Vec::new();
            let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut got);
            timeout(PATIENCE, read).await.unwrap().unwrap();
            assert_eq!(got, b"hello");
            come.join().unwrap();
        });
    }
}
