//! Which part of a user's rate it is held to at this POP, and what the store is told for it.

use crate::asking::terms;
use titan_core::account::ledger::{
    Config, Event, Instruction, Ledger, PlaceId, Question, Standing, Terms, Totals,
};
use titan_core::endpoint::{Carried, Rates};
use titan_core::time::{Duration, Instant};

const RATE: u64 = 1_000_000;

/// The user with a rate, and one without who is there, too.
const RATED: u64 = 42;
const FREE: u64 = 43;

/// What the store says of the user.
#[derive(Clone, Copy)]
enum Store {
    /// Nothing: it is away.
    Away,
    /// How many sessions there are elsewhere, and how fast the user may be here.
    Says(u64, u64),
}

struct Pop {
    ledger: Ledger,
    millis: u64,
    places: Vec<PlaceId>,
    carried: Carried,
    store: Store,
    /// When the store was told of the user, in ms, and what.
    told: Vec<(u64, Totals)>,
    /// What the endpoint was told last.
    down: u64,
    untold_count: usize,
}

fn rated() -> Terms {
    Terms {
        rates: Rates { up: 0, down: RATE },
        ..terms(None)
    }
}

impl Pop {
    fn new(store: Store) -> Self {
        let mut pop = Self {
            ledger: Ledger::new(Config::default(), 7),
            millis: 1_000,
            places: Vec::new(),
            carried: Carried::default(),
            store,
            told: Vec::new(),
            down: 0,
            untold_count: 0,
        };
        pop.admit(RATED, &rated());
        pop
    }

    fn now(&self) -> Instant {
        Instant::EPOCH + Duration::from_millis(self.millis)
    }

    fn admit(&mut self, user: u64, terms: &Terms) {
        let admission = self.ledger.admit(self.now(), 0, user, terms).unwrap();
        self.places.push(admission.place);
        self.follow();
        self.tell();
    }

    /// Lets time pass while the user moves so many bytes per second.
    fn run(&mut self, millis: u64, speed: u64) {
        for _ in 0..millis / 50 {
            self.millis += 50;
            self.carried.down += speed / 20;
            for user in [RATED, FREE] {
                if let Some(group) = self.ledger.group_of(user) {
                    self.ledger.handle_carried(group, self.carried);
                }
            }
            let now = self.now();
            if self.ledger.poll_timeout().is_some_and(|due| due <= now) {
                self.ledger.handle_timeout(now, 0);
                self.follow();
                self.tell();
            }
        }
    }

    fn follow(&mut self) {
        while let Some(instruction) = self.ledger.poll_instruction() {
            match instruction {
                Instruction::LimitRate { group, rates }
                    if self.ledger.group_of(RATED) == Some(group) =>
                {
                    self.down = rates.down;
                }
                Instruction::Forget { group } => {
                    let last = Some(self.carried);
                    self.ledger.handle_forgotten(self.now(), group, last);
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self) {
        while let Some(ask) = self.ledger.poll_ask() {
            let Question::Report(batch) = &ask.question else {
                panic!("nobody has a limit");
            };
            let rated = self.ledger.group_of(RATED);
            let of_rated = batch.iter().filter(|(group, _)| Some(*group) == rated);
            let millis = self.millis;
            self.told
                .extend(of_rated.map(|(_, totals)| (millis, *totals)));
            let Store::Says(sessions_elsewhere, share) = self.store else {
                self.ledger.handle_failure(self.now(), ask.id);
                continue;
            };
            let standing = |totals: &Totals| Standing {
                granted: totals.granted,
                charged: totals.granted,
                limit: None,
                sessions_elsewhere,
                held_elsewhere: 0,
                share: Rates { up: 0, down: share },
            };
            let said: Vec<_> = batch.iter().map(|(_, told)| Some(standing(told))).collect();
            self.ledger.handle_answer(self.now(), ask.id, &said);
            self.follow();
        }
        while let Some(event) = self.ledger.poll_event() {
            match event {
                Event::Told => {
                    let unreported = self.ledger.unreported().count();
                    assert_eq!(unreported, 0, "the driver forgets its journal");
                }
                Event::Untold => self.untold_count += 1,
                _ => {}
            }
        }
    }

    fn last(&self) -> Totals {
        self.told.last().unwrap().1
    }

    /// Returns the shortest time between two exchanges, in ms.
    fn closest(&self) -> u64 {
        let times = self.told.windows(2).map(|two| two[1].0 - two[0].0);
        times.min().unwrap()
    }
}

#[test]
fn a_newcomer_has_a_quarter_until_the_store_has_told() {
    let mut pop = Pop::new(Store::Away);
    assert_eq!(pop.down, RATE / 4);
    pop.run(10_000, 0);
    assert_eq!(pop.down, RATE / 4, "no more while the store is away");
    assert_eq!(pop.told[0].0, 1_200, "it is asked soon");
    assert!(pop.closest() >= 1_000, "and not often: {:?}", pop.told);
    assert_eq!(pop.last().wants.down, 0);
    pop.store = Store::Says(0, RATE);
    pop.run(1_100, 0);
    assert_eq!(pop.down, RATE);
}

#[test]
fn who_is_alone_costs_nothing_more() {
    let mut pop = Pop::new(Store::Says(0, RATE));
    pop.run(1_000, 0);
    pop.told.clear();
    pop.run(20_000, RATE / 2);
    assert!(pop.told.len() <= 10 && pop.closest() >= 2_000);
    assert_eq!(pop.down, RATE);
    pop.run(2_000, 0);
    pop.told.clear();
    pop.run(20_000, 0);
    assert!(pop.told.is_empty(), "{:?}", pop.told);
}

#[test]
fn who_shares_says_every_second_what_is_wanted() {
    let mut pop = Pop::new(Store::Says(1, 300_000));
    pop.run(10_000, 0);
    assert_eq!(pop.down, 300_000);
    assert_eq!((pop.last().wants.down, pop.last().sessions), (0, 1));
    assert!((9..=11).contains(&pop.told.len()), "{:?}", pop.told);
    pop.run(2_000, 300_000);
    assert_eq!(pop.last().wants.down, u64::MAX, "it is held back");
    pop.run(2_000, 100_000);
    let wants = pop.last().wants.down;
    assert!((110_000..=130_000).contains(&wants), "{wants}");
    pop.told.remove(0);
    assert!(pop.closest() >= 1_000, "{:?}", pop.told);
    // Nobody may be faster than the whole, whatever the store says.
    pop.store = Store::Says(1, 2 * RATE);
    pop.run(1_100, 0);
    assert_eq!(pop.down, RATE);
    pop.store = Store::Says(1, 300_000);
    pop.run(1_100, 0);
    pop.store = Store::Away;
    pop.run(60_000, 300_000);
    assert_eq!(pop.down, 300_000, "the last share stays");
    pop.store = Store::Says(0, RATE);
    pop.run(1_100, 0);
    assert_eq!(pop.down, RATE);
}

#[test]
fn who_comes_back_begins_anew_and_who_leaves_says_so() {
    let mut pop = Pop::new(Store::Says(1, 300_000));
    pop.run(5_000, 300_000);
    let place = pop.places.remove(0);
    pop.ledger.leave(pop.now(), place);
    pop.run(1_100, 0);
    assert_eq!(pop.last().sessions, 0, "others have it within a second");
    pop.told.clear();
    pop.run(1_000, 0);
    assert!(pop.told.is_empty(), "{:?}", pop.told);
    pop.store = Store::Away;
    pop.admit(RATED, &rated());
    assert_eq!(pop.down, RATE / 4);
    pop.store = Store::Says(1, 200_000);
    pop.run(1_100, 0);
    assert_eq!(pop.down, 200_000);
    assert!(pop.told.iter().all(|(_, told)| told.sessions == 1));
    // One who was alone and comes back is as fast as before.
    pop.store = Store::Says(0, RATE);
    pop.run(1_100, 0);
    let place = pop.places.remove(0);
    pop.ledger.leave(pop.now(), place);
    pop.run(1_000, 0);
    pop.admit(RATED, &rated());
    assert_eq!(pop.down, RATE);
}

#[test]
fn an_exchange_of_rates_is_no_report_of_everybody() {
    let mut pop = Pop::new(Store::Says(1, 300_000));
    pop.admit(FREE, &terms(None));
    pop.run(4_000, 300_000);
    for _ in 0..20 {
        pop.store = Store::Away;
        pop.run(2_350, 300_000);
        pop.store = Store::Says(1, 300_000);
        // What is told meanwhile is looked at above.
        pop.run(2_800, 300_000);
    }
    assert!(pop.untold_count >= 20);
}

#[test]
fn a_round_that_is_answered_late_leaves_no_deadline_in_the_past() {
    let mut pop = Pop::new(Store::Says(1, RATE / 2));
    pop.run(300, 0);
    let due = pop.ledger.poll_timeout().unwrap();
    pop.millis = due.as_nanos() / 1_000_000;
    pop.ledger.handle_timeout(pop.now(), 0);
    let ask = pop.ledger.poll_ask().expect("those who share are told of");
    // By now it is time to tell of everybody.
    pop.millis += 5_000;
    let said = Standing {
        granted: 0,
        charged: 0,
        limit: None,
        sessions_elsewhere: 1,
        held_elsewhere: 0,
        share: Rates {
            up: 0,
            down: RATE / 2,
        },
    };
    pop.ledger.handle_answer(pop.now(), ask.id, &[Some(said)]);
    assert_eq!(pop.ledger.poll_ask(), None);
    assert!(pop.ledger.poll_timeout().unwrap() > pop.now());
}
