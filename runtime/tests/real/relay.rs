//! A relay between edge and POP that cuts connections at bytes that a seed chooses. It sees ciphertext
//! only.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use titan_core::rng::Rng;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};

/// A direction that went deaf is closed after at most this long, should nothing more arrive.
const DEAF_MAX: Duration = Duration::from_secs(1);

/// What happens to a connection when this many bytes went through the relay, all connections and both
/// directions together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Cut {
    at: u64,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum How {
    /// Both ends are reset.
    Reset,
    /// Both ends see the end of the stream.
    End,
    /// What goes this way is dropped without a word, until so many bytes more came from either side;
    /// then both ends are reset.
    Deaf { way: Way, bytes: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Way {
    ToPop,
    ToEdge,
}

impl Cut {
    /// Draws `count` cuts at random bytes below `end`; every kind of cut comes up equally often.
    pub(crate) fn draw(seed: u64, count: u64, end: u64) -> Vec<Self> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::new(bytes);
        let mut cuts: Vec<_> = (0..count)
            .map(|number| {
                let bytes = 1 + rng.below(128 << 10);
                let how = match number % 4 {
                    0 => How::Reset,
                    1 => How::End,
                    2 => How::Deaf {
                        way: Way::ToPop,
                        bytes,
                    },
                    _ => How::Deaf {
                        way: Way::ToEdge,
                        bytes,
                    },
                };
                let at = rng.below(end);
                Self { at, how }
            })
            .collect();
        cuts.sort_unstable();
        cuts
    }
}

/// A relay that lives as long as the test's process.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    cuts: Arc<AtomicUsize>,
}

impl Relay {
    pub(crate) fn start(to: SocketAddr, cuts: Vec<Cut>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::default(),
            cuts: Arc::default(),
        };
        let (accepted, done) = (Arc::clone(&relay.accepted), Arc::clone(&relay.cuts));
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async {
                let listener = TcpListener::from_std(listener).unwrap();
                let plan = Rc::new(RefCell::new(Plan {
                    carried: 0,
                    cuts: cuts.into(),
                }));
                loop {
                    let (near, _) = listener.accept().await.unwrap();
                    // The POP may not be there yet.
                    let Ok(far) = TcpStream::connect(to).await else {
                        continue;
                    };
                    accepted.fetch_add(1, Ordering::SeqCst);
                    let connection = Connection::new(Rc::clone(&plan), Arc::clone(&done));
                    spawn_local(connection.run(near, far));
                }
            });
        });
        relay
    }

    /// Returns how many connections came and found the POP.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Returns how many connections were cut.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// The cuts to come.
struct Plan {
    carried: u64,
    cuts: VecDeque<Cut>,
}

impl Plan {
    /// Returns how many of `len` bytes pass before a cut, and the cut.
    fn pass(&mut self, len: usize) -> (usize, Option<How>) {
        let end = self.carried + len as u64;
        match self.cuts.front().copied() {
            Some(Cut { at, how }) if at <= end => {
                self.cuts.pop_front();
                let len = usize::try_from(at.saturating_sub(self.carried)).unwrap();
                self.carried = self.carried.max(at);
                (len, Some(how))
            }
            Some(_) | None => {
                self.carried = end;
                (len, None)
            }
        }
    }
}

struct Connection {
    plan: Rc<RefCell<Plan>>,
    cuts: Arc<AtomicUsize>,
    /// Once deaf: which way, and the bytes left until the end.
    deaf: Cell<Option<(Way, u64)>>,
    turned_deaf: Notify,
}

impl Connection {
    fn new(plan: Rc<RefCell<Plan>>, cuts: Arc<AtomicUsize>) -> Self {
        Self {
            plan,
            cuts,
            deaf: Cell::new(None),
            turned_deaf: Notify::new(),
        }
    }

    async fn run(self, mut near: TcpStream, mut far: TcpStream) {
        let how = {
            let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
            let patience = async {
                self.turned_deaf.notified().await;
                tokio::time::sleep(DEAF_MAX).await;
            };
            tokio::select! {
                how = self.carry(Way::ToPop, near_in, far_out) => how,
                how = self.carry(Way::ToEdge, far_in, near_out) => how,
                () = patience => How::Reset,
            }
        };
        for mut stream in [near, far] {
            // Whichever end is gone already is past caring.
            let _ = match how {
                How::Reset | How::Deaf { .. } => stream.set_zero_linger(),
                How::End => stream.shutdown().await,
            };
        }
    }

    /// Carries one way until the connection is to end; says how.
    async fn carry(
        &self,
        way: Way,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> How {
        let mut block = vec![0; 64 << 10];
        loop {
            // The end of a direction is the end of both.
            let (Ok(len @ 1..), None | Some((_, 1..))) =
                (from.read(&mut block).await, self.deaf.get())
            else {
                return How::End;
            };
            let (pass, ends) = match self.deaf.get() {
                Some((deaf, left)) => {
                    let left = left.saturating_sub(len as u64);
                    self.deaf.set(Some((deaf, left)));
                    let pass = if way == deaf { 0 } else { len };
                    (pass, (left == 0).then_some(How::Reset))
                }
                None => self.cut(way, len),
            };
            if to.write_all(&block[..pass]).await.is_err() {
                return How::End;
            }
            if let Some(how) = ends {
                return how;
            }
        }
    }

    /// Returns how many of `len` bytes that came pass on, and how the connection ends behind them.
    fn cut(&self, way: Way, len: usize) -> (usize, Option<How>) {
        let (pass, how) = self.plan.borrow_mut().pass(len);
        if how.is_some() {
            self.cuts.fetch_add(1, Ordering::SeqCst);
        }
        match how {
            Some(How::Deaf { way: deaf, bytes }) => {
                self.deaf.set(Some((deaf, bytes)));
                self.turned_deaf.notify_one();
                (if way == deaf { pass } else { len }, None)
            }
            Some(How::Reset | How::End) | None => (pass, how),
        }
    }
}
