//! A tunnel outlives its connection.

use crate::content::Content;
use crate::process::eventually;
use crate::server::{PATIENCE, Server};
use crate::site::Site;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const CUTS: u64 = 5;
const LEN: u64 = 200_000_000;

#[test]
fn a_transfer_survives_its_carrier_being_cut_over_and_over() {
    let mut site = Site::new();
    let relay = Relay::start(site.tunnels);
    site.public = relay.address;
    let _daemons = site.start_all("one");
    let (down, up) = (Content::new(1, LEN), Content::new(2, LEN));
    let server = Server::start(move |mut stream| {
        let mut out = stream.try_clone()?;
        let sender = thread::spawn(move || {
            down.send(&mut out)?;
            out.shutdown(Shutdown::Write)
        });
        up.receive_to_end(&mut stream)?;
        sender.join().unwrap()
    });

    let mut client = site.connect(server.address).unwrap();
    let mut out = client.try_clone().unwrap();
    let sender = thread::spawn(move || {
        up.send(&mut out)?;
        out.shutdown(Shutdown::Write)
    });
    let mut cuts = 0;
    down.receive_noting(&mut client, |len| {
        if cuts < CUTS && len > (cuts + 1) * LEN / (CUTS + 1) {
            relay.cut();
            cuts += 1;
        }
    })
    .unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    sender.join().unwrap().unwrap();
    server.outcome().unwrap();
    assert_eq!((cuts, server.accepted()), (CUTS, 1));
    assert!(relay.accepted() > CUTS, "each cut makes a new connection");
}

/// Stands between edge and POP; sees ciphertext only.
struct Relay {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
    live: Arc<Mutex<Vec<Pair>>>,
}

struct Pair {
    streams: [TcpStream; 2],
    carried: Arc<AtomicU64>,
}

impl Relay {
    fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::default(),
            live: Arc::default(),
        };
        let (accepted, live) = (Arc::clone(&relay.accepted), Arc::clone(&relay.live));
        thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                // The POP may not be there yet.
                let Ok(far) = TcpStream::connect(to) else {
                    continue;
                };
                accepted.fetch_add(1, Ordering::SeqCst);
                let carried = Arc::<AtomicU64>::default();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let carried = Arc::clone(&carried);
                    thread::spawn(move || {
                        // The end of a direction is the end of both.
                        let _ = carry(&mut from, &mut to, &carried);
                        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                    });
                }
                let streams = [near, far];
                live.lock().unwrap().push(Pair { streams, carried });
            }
        });
        relay
    }

    /// Cuts the connection that carries, once one does.
    fn cut(&self) {
        eventually("a carrier carries", PATIENCE, || {
            let mut live = self.live.lock().unwrap();
            let Some(at) = live
                .iter()
                .position(|pair| pair.carried.load(Ordering::SeqCst) > 1_000_000)
            else {
                return false;
            };
            for stream in live.swap_remove(at).streams {
                // It may have ended by itself.
                let _ = stream.shutdown(Shutdown::Both);
            }
            true
        });
    }

    fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }
}

fn carry(from: &mut TcpStream, to: &mut TcpStream, carried: &AtomicU64) -> io::Result<()> {
    let mut block = vec![0; 64 << 10];
    loop {
        let len = from.read(&mut block)?;
        if len == 0 {
            return Ok(());
        }
        to.write_all(&block[..len])?;
        carried.fetch_add(len as u64, Ordering::SeqCst);
    }
}
