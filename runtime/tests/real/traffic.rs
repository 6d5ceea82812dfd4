//! Transfers of every shape arrive whole.

use crate::content::Content;
use crate::process::Process;
use crate::server::{PATIENCE, Server};
use crate::titan::Titan;
use crate::{curl, http};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[test]
fn a_gibibyte_arrives_whole_in_either_direction_and_a_signal_ends_it_well() {
    let (mut titan, server) = (Titan::up(), http::start());
    let down = Content::new(1, GIB);
    let code = timed("1 GiB down", down, || {
        curl::download(titan.curl().arg(url(&server, down)), down)
    });
    assert_eq!(code.unwrap(), 0);
    server.outcome().unwrap();

    let up = Content::new(2, GIB);
    let code = timed("1 GiB up", up, || {
        curl::upload(titan.curl().arg(url(&server, up)), up)
    });
    assert_eq!(code.unwrap(), 0);
    server.outcome().unwrap();
    assert_eq!(server.accepted(), 2);

    titan.process.terminate();
    let status = titan.process.wait(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn two_hundred_transfers_of_mixed_sizes_at_once_arrive_whole() {
    const EACH_WAY: u64 = 100;
    let (titan, server) = (Titan::up(), http::start());
    let files = tempfile::tempdir().unwrap();
    let content = |index: u64| {
        // Nothing, one byte, around the sizes of frames and windows, and up to 5 MiB.
        let sizes = [
            0,
            1,
            1000,
            32 << 10,
            (32 << 10) + 1,
            64 << 10,
            256 << 10,
            MIB,
            3 * MIB,
            5 * MIB,
        ];
        Content::new(index, sizes[usize::try_from(index).unwrap() % sizes.len()])
    };
    let file = |index: u64| files.path().join(index.to_string());
    let (mut down, mut up) = (String::new(), String::new());
    for index in 0..EACH_WAY {
        let content = content(index);
        writeln!(
            down,
            "url = {}\noutput = {}",
            url(&server, content),
            file(index).display()
        )
        .unwrap();
    }
    for index in EACH_WAY..2 * EACH_WAY {
        let content = content(index);
        content
            .send(&mut File::create(file(index)).unwrap())
            .unwrap();
        writeln!(
            up,
            "url = {}\nupload-file = {}",
            url(&server, content),
            file(index).display()
        )
        .unwrap();
    }
    let start = |name: &str, config: String| {
        let path = files.path().join(name);
        fs::write(&path, config).unwrap();
        let mut command = titan.curl();
        command.args([
            "--parallel",
            "--parallel-immediate",
            "--parallel-max",
            "100",
        ]);
        Process::spawn(command.args(["-H", "Expect:", "--config"]).arg(path))
    };
    let mut transfers = [start("down", down), start("up", up)];
    for transfer in &mut transfers {
        assert_eq!(transfer.wait(PATIENCE).code(), Some(0));
    }
    for _ in 0..2 * EACH_WAY {
        server.outcome().unwrap();
    }
    for index in 0..EACH_WAY {
        // curl makes no file of nothing.
        let mut file = match File::open(file(index)) {
            Err(_) if content(index).len == 0 => continue,
            file => file.unwrap(),
        };
        content(index).receive_to_end(&mut file).unwrap();
    }
}

#[test]
fn a_client_that_ended_its_direction_gets_all_that_is_streamed_after() {
    let content = Content::new(3, 50 * MIB);
    let titan = Titan::up();
    let server = Server::start(move |mut stream| {
        let mut request = String::new();
        stream.read_to_string(&mut request)?;
        assert_eq!(request, "now you");
        content.send(&mut stream)
    });
    let mut client = titan.connect(server.address).unwrap();
    client.write_all(b"now you").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    content.receive_to_end(&mut client).unwrap();
    server.outcome().unwrap();
}

#[test]
fn a_target_that_ended_its_direction_gets_all_that_is_streamed_after() {
    let content = Content::new(4, 50 * MIB);
    let titan = Titan::up();
    let server = Server::start(move |mut stream| {
        stream.write_all(b"now you")?;
        stream.shutdown(Shutdown::Write)?;
        content.receive_to_end(&mut stream)
    });
    let mut client = titan.connect(server.address).unwrap();
    let mut greeting = String::new();
    client.read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "now you");
    content.send(&mut client).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.outcome().unwrap();
}

#[test]
fn an_early_answer_arrives_whole_when_the_target_ends_its_direction_and_closes() {
    early_answers(true);
}

#[test]
fn an_early_answer_arrives_whole_when_the_target_resets_after_it() {
    early_answers(false);
}

/// The target reads next to nothing of a large request, answers, and closes.
fn early_answers(shutdown: bool) {
    let answer = Content::new(5, MIB);
    let request = Content::new(6, 50 * MIB);
    let titan = Titan::up();
    let server = Server::start(move |mut stream| {
        http::read_head(&mut stream)?;
        stream.read_exact(&mut [0; 1024])?;
        stream.write_all(http::ok(answer.len).as_bytes())?;
        answer.send(&mut stream)?;
        if shutdown {
            stream.shutdown(Shutdown::Write)?;
        }
        // Closing with unread bytes is a reset, which takes what is unsent with it: no exit could
        // deliver what has not reached it.
        delivered(&stream)
    });
    let files = tempfile::tempdir().unwrap();
    let body = files.path().join("body");
    request.send(&mut File::create(&body).unwrap()).unwrap();
    for repetition in 0..20 {
        let mut command = titan.curl();
        command.args(["-H", "Expect:", "--data-binary"]);
        command.arg(format!("@{}", body.display()));
        let code = curl::download(command.arg(url(&server, request)), answer);
        let code = code.unwrap_or_else(|error| panic!("repetition {repetition}: {error}"));
        // After a reset curl may say that it could not send everything: 55 and 56.
        let fine: &[i32] = if shutdown { &[0] } else { &[0, 55, 56] };
        assert!(
            fine.contains(&code),
            "repetition {repetition}: curl ended with {code}"
        );
        server.outcome().unwrap();
    }
}

/// Waits until the peer's kernel has all that was written.
fn delivered(stream: &TcpStream) -> io::Result<()> {
    let (near, far) = (stream.local_addr()?, stream.peer_addr()?);
    let hex = |address: SocketAddr| match address {
        SocketAddr::V4(address) => {
            let ip = u32::from_ne_bytes(address.ip().octets());
            format!("{ip:08X}:{:04X}", address.port())
        }
        SocketAddr::V6(_) => panic!("{address} is not what servers listen at"),
    };
    let pair = format!(" {} {} ", hex(near), hex(far));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let table = fs::read_to_string("/proc/net/tcp")?;
        let line = table.lines().find(|line| line.contains(&pair));
        // `sl local remote st tx_queue:rx_queue …`; a FIN counts as one byte.
        let queue = line.and_then(|line| line.split_whitespace().nth(4));
        if queue.is_none_or(|queue| queue.starts_with("00000000:")) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn url(server: &Server, content: Content) -> String {
    format!("http://{}/{}/{}", server.address, content.seed, content.len)
}

/// Prints how fast that was; shown with `--nocapture`.
#[allow(
    clippy::print_stderr,
    reason = "tests have no other way to tell figures"
)]
fn timed<T>(what: &str, content: Content, transfer: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = transfer();
    let rate = content.len as f64 / start.elapsed().as_secs_f64() / 1e6;
    eprintln!("{what}: {rate:.0} MB/s");
    out
}
