//! A user's rate over two POPs while its shares change.

use core::cell::Cell;
use core::time::Duration;
use std::net::SocketAddr;
use std::rc::Rc;
use titan_runtime::store::{UserChange, Users as _};
use titan_sim::net::{Config, run};
use titan_sim::overlay::{Client, Demand, FAST, Overlay, Targets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

/// Bytes per second, both POPs together.
const RATE: u64 = 1_000_000;

/// How often what has come is noted.
const STEP: Duration = Duration::from_millis(500);

/// Notes in ten seconds, over which the rate is promised, and in the four after which shares have settled.
const WINDOW: usize = 20;
const SETTLED: usize = 8;

/// More than anybody waits for.
const ENDLESS: u64 = 1 << 40;

/// What a session that is nearly idle asks for each second.
const TRICKLE: u64 = 1_000;

/// Downloads for as long as it is held, as fast as it may.
async fn download(client: Client, target: SocketAddr, came: Rc<Cell<u64>>) {
    let (code, mut stream) = client.connect(target).await.expect("the proxy replies");
    assert_eq!(code, 0);
    let demand = Demand {
        down: ENDLESS,
        ..Demand::default()
    };
    stream
        .write_all(&demand.header())
        .await
        .expect("it is open");
    let mut buffer = vec![0; 64 << 10];
    loop {
        let len = stream.read(&mut buffer).await.expect("it goes on");
        assert!(len > 0, "it goes on");
        came.set(came.get() + len as u64);
    }
}

/// Downloads a little each second, for ever.
async fn trickle(client: Client, target: SocketAddr, came: Rc<Cell<u64>>) {
    let demand = Demand {
        down: TRICKLE,
        ..Demand::default()
    };
    loop {
        let (code, mut stream) = client.connect(target).await.expect("the proxy replies");
        assert_eq!(code, 0);
        stream
            .write_all(&demand.header())
            .await
            .expect("it is open");
        let mut answer = vec![0; 1_000];
        stream
            .read_exact(&mut answer)
            .await
            .expect("it is answered");
        came.set(came.get() + TRICKLE);
        sleep(Duration::from_secs(1)).await;
    }
}

/// Bytes that had come at each note, and at which notes something changed.
struct Measured {
    notes: Vec<u64>,
    changes: Vec<usize>,
}

/// Has one user download at two POPs, at one of them, at both again, at the other.
async fn measured(overlay: &Overlay, target: SocketAddr) -> Measured {
    let came = Rc::new(Cell::new(0));
    let clients = [overlay.client(FAST), overlay.client_of_another(2, FAST)];
    let idle = clients
        .each_ref()
        .map(|client| spawn_local(trickle(client.clone(), target, Rc::clone(&came))));
    let mut busy: [Option<JoinHandle<()>>; 2] = [None, None];
    let (mut notes, mut changes) = (Vec::new(), Vec::new());
    for wanted in [
        [true, true],
        [true, false],
        [true, true],
        [false, true],
        [true, true],
    ] {
        for (index, wanted) in wanted.into_iter().enumerate() {
            match (&busy[index], wanted) {
                (Some(task), false) => {
                    task.abort();
                    busy[index] = None;
                }
                (None, true) => {
                    let task = download(clients[index].clone(), target, Rc::clone(&came));
                    busy[index] = Some(spawn_local(task));
                }
                (Some(_), true) | (None, false) => {}
            }
        }
        changes.push(notes.len());
        for _ in 0..2 * WINDOW {
            sleep(STEP).await;
            notes.push(came.get());
            let mut tasks = busy.iter().flatten().chain(&idle);
            assert!(tasks.all(|task| !task.is_finished()), "a session has ended");
        }
    }
    busy.iter()
        .flatten()
        .chain(&idle)
        .for_each(JoinHandle::abort);
    Measured { notes, changes }
}

#[test]
fn a_rate_over_two_pops_is_as_exact_as_the_page_says_while_its_shares_change() {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::up(&world, 1).await;
        overlay.start_another_pop(2).await;
        let edge = overlay.add_edge(2);
        overlay.start_edge(&edge);
        overlay.online(&edge).await;
        let at = overlay.generation(&edge).await;
        assert_eq!(at.expect("it is online").0, "pop-2");
        let mut targets = Targets::new(&world);
        let target = targets.start(1).await;
        let rate = UserChange {
            download_rate: Some(Some(RATE)),
            ..UserChange::default()
        };
        let changed = overlay.store().change_user(FAST, rate).await;
        assert!(changed.expect("the store is there").is_some());
        let Measured { notes, changes } = measured(&overlay, target).await;
        let mut ratios = [[f64::MAX, 0.0]; 2];
        for start in changes[0] + SETTLED..notes.len() - WINDOW {
            let moved = notes[start + WINDOW] - notes[start];
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let ratio = moved as f64 / (10 * RATE) as f64;
            let is_settled = !changes
                .iter()
                .any(|at| (start.saturating_sub(SETTLED)..start + WINDOW).contains(at));
            let [least, most] = &mut ratios[usize::from(is_settled)];
            (*least, *most) = (least.min(ratio), most.max(ratio));
        }
        let [changing, settled] = ratios;
        println!("of the rate: {settled:?} settled, {changing:?} around a change");
        assert!(settled[0] >= 0.9 && settled[1] <= 1.1, "{settled:?}");
        // A quarter more for two seconds; and less by what the one that stops had, half, for four.
        assert!(changing[1] <= 1.1 + 0.25 * 2.0 / 10.0, "{changing:?}");
        assert!(changing[0] >= 0.9 - 0.5 * 4.0 / 10.0, "{changing:?}");
    });
}
