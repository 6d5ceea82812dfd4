//! What is asked for, when, and what comes of the answers.

use titan_core::account::ledger::{
    Ask, Config, Event, Instruction, Ledger, PlaceId, Question, Standing, Terms, Totals,
};
use titan_core::endpoint::{Carried, Grant, Rates};
use titan_core::time::{Duration, Instant};
use titan_proto::Code;

const MIB: u64 = 1 << 20;

/// One user at one POP, and the time in milliseconds.
pub(crate) struct Desk {
    pub(crate) ledger: Ledger,
    millis: u64,
    pub(crate) group: u32,
    place: PlaceId,
}

impl Desk {
    pub(crate) fn new(terms: &Terms) -> Self {
        let mut ledger = Ledger::new(Config::default(), 7);
        let millis = 1_000;
        let now = Instant::EPOCH + Duration::from_millis(millis);
        let admission = ledger.admit(now, 0, 42, terms).unwrap();
        assert_eq!((admission.group, admission.waits), (7, false));
        Self {
            ledger,
            millis,
            group: 7,
            place: admission.place,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::EPOCH + Duration::from_millis(self.millis)
    }

    /// Lets time pass, step by step, and does what is due.
    pub(crate) fn wait(&mut self, millis: u64) {
        let until = self.millis + millis;
        while let Some(due) = self.ledger.poll_timeout()
            && due.as_nanos() <= until * 1_000_000
        {
            self.millis = due.as_nanos().div_ceil(1_000_000);
            self.ledger.handle_timeout(due, 0);
            self.tell();
        }
        self.millis = until;
    }

    /// Answers reports as a store that takes everything and knows nothing else.
    fn tell(&mut self) {
        while let Some(ask) = self.ledger.poll_ask() {
            let Question::Report(batch) = &ask.question else {
                // Lost.
                self.ledger.handle_failure(self.now(), ask.id);
                continue;
            };
            let said = batch
                .iter()
                .map(|(_, totals)| Some(stands(totals.granted, 0, None)));
            let said: Vec<_> = said.collect();
            self.ledger.handle_answer(self.now(), ask.id, &said);
        }
    }

    pub(crate) fn instructions(&mut self) -> Vec<Instruction> {
        let told = core::iter::from_fn(|| self.ledger.poll_instruction());
        told.filter(|told| !matches!(told, Instruction::LimitRate { .. }))
            .collect()
    }

    /// Takes the question for a grant, and how much it wants.
    pub(crate) fn lease(&mut self) -> Option<(Ask, Totals, u64)> {
        while let Some(ask) = self.ledger.poll_ask() {
            if let Question::Grant { totals, want, .. } = ask.question {
                return Some((ask, totals, want));
            }
        }
        None
    }

    fn answer(&mut self, ask: &Ask, standing: Standing) {
        self.ledger
            .handle_answer(self.now(), ask.id, &[Some(standing)]);
    }

    fn carry(&mut self, bytes: u64) {
        let carried = Carried { up: 0, down: bytes };
        self.ledger.handle_carried(self.group, carried);
    }
}

pub(crate) fn terms(limit: Option<u64>) -> Terms {
    Terms {
        limit,
        enabled: true,
        password: 1,
        ..Terms::default()
    }
}

fn stands(granted: u64, held_elsewhere: u64, limit: Option<u64>) -> Standing {
    Standing {
        granted,
        charged: granted + held_elsewhere,
        limit,
        sessions_elsewhere: 0,
        held_elsewhere,
        share: Rates::default(),
    }
}

fn granted(total: u64, low: u64) -> Instruction {
    let total = Some(total);
    let grant = Grant { total, low };
    Instruction::Grant { group: 7, grant }
}

#[test]
fn nothing_moves_before_the_store_has_granted_it() {
    let mut desk = Desk::new(&terms(Some(100 * MIB)));
    assert_eq!(desk.instructions(), [granted(0, 0)]);
    let (ask, totals, want) = desk.lease().unwrap();
    assert_eq!((totals.granted, totals.sessions, want), (0, 1, MIB * 2));
    desk.answer(&ask, stands(want, 0, Some(100 * MIB)));
    assert_eq!(desk.instructions(), [granted(2 * MIB, MIB)]);
}

#[test]
fn who_has_no_limit_asks_for_nothing() {
    let mut desk = Desk::new(&terms(None));
    let grant = Grant {
        total: None,
        low: 0,
    };
    assert_eq!(
        desk.instructions(),
        [Instruction::Grant { group: 7, grant }]
    );
    assert!(desk.lease().is_none());
    desk.ledger.handle_low(desk.now(), 7);
    assert!(desk.lease().is_none());
}

#[test]
fn what_was_asked_before_the_store_forgot_is_told_again() {
    let mut desk = Desk::new(&terms(Some(100 * MIB)));
    desk.instructions();
    let (ask, ..) = desk.lease().unwrap();
    desk.ledger.reassert(desk.now());
    assert!(!desk.ledger.is_told());
    desk.wait(3_000);
    assert!(desk.ledger.is_told());
    // The answer is from the store that is no more: its grant is good, and nobody else knows of it.
    desk.answer(&ask, stands(2 * MIB, 0, Some(100 * MIB)));
    let grant = Grant {
        total: Some(MIB),
        low: MIB / 2,
    };
    assert_eq!(
        desk.instructions(),
        [Instruction::Recall { group: 7, grant }],
        "nothing has moved meanwhile: half of it goes back"
    );
    assert!(!desk.ledger.is_told());
    let now = desk.now();
    desk.ledger.handle_recalled(now, 7, Carried::default());
    desk.tell();
    desk.wait(3_000);
    assert!(desk.ledger.is_told());
}

#[test]
fn who_comes_after_the_store_forgot_keeps_nobody_waiting() {
    let mut desk = Desk::new(&terms(None));
    desk.ledger.reassert(desk.now());
    desk.wait(1_000);
    assert!(desk.ledger.is_told());
    let now = desk.now();
    desk.ledger.admit(now, 0, 8, &terms(None)).unwrap();
    assert!(desk.ledger.is_told(), "there was nothing of it to forget");
}

#[test]
fn an_answer_counts_once_and_only_while_it_is_asked_for() {
    let mut desk = Desk::new(&terms(Some(100 * MIB)));
    desk.instructions();
    let (ask, ..) = desk.lease().unwrap();
    desk.ledger.handle_failure(desk.now(), ask.id);
    desk.answer(&ask, stands(50 * MIB, 0, Some(100 * MIB)));
    assert_eq!(desk.instructions(), [], "it had been given up");
    desk.wait(199);
    assert!(desk.lease().is_none(), "not so soon");
    desk.millis += 1;
    desk.ledger.handle_timeout(desk.now(), 0);
    let (ask, ..) = desk.lease().unwrap();
    desk.answer(&ask, stands(5 * MIB, 0, Some(100 * MIB)));
    assert_eq!(desk.instructions(), [granted(5 * MIB, 5 * MIB / 2)]);
    desk.answer(&ask, stands(50 * MIB, 0, Some(100 * MIB)));
    assert_eq!(desk.instructions(), []);
}

#[test]
fn who_finds_nothing_while_others_hold_something_waits_six_seconds() {
    let mut desk = Desk::new(&terms(Some(MIB)));
    desk.instructions();
    let mut asked = 0;
    let began = desk.millis;
    loop {
        let Some((ask, ..)) = desk.lease() else {
            let due = desk.ledger.poll_timeout().unwrap();
            desk.millis = due.as_nanos() / 1_000_000;
            desk.ledger.handle_timeout(due, 0);
            continue;
        };
        asked += 1;
        desk.answer(&ask, stands(0, MIB, Some(MIB)));
        let told = desk.instructions();
        if !told.is_empty() {
            let code = Code::QuotaExceeded;
            assert_eq!(told, [Instruction::Exhaust { group: 7, code }]);
            break;
        }
    }
    assert_eq!((asked, desk.millis - began), (31, 6_000));
}

#[test]
fn who_finds_nothing_that_anybody_holds_is_cut_off_at_once_and_let_in_again() {
    let mut desk = Desk::new(&terms(Some(MIB)));
    desk.instructions();
    let (ask, ..) = desk.lease().unwrap();
    let mut spent = stands(0, 0, Some(MIB));
    spent.charged = MIB;
    desk.answer(&ask, spent);
    let code = Code::QuotaExceeded;
    assert_eq!(
        desk.instructions(),
        [Instruction::Exhaust { group: 7, code }]
    );
    let raised = terms(Some(3 * MIB));
    desk.ledger.handle_terms(desk.now(), 0, 7, Some(raised));
    assert_eq!(
        desk.instructions(),
        [],
        "not before the store has granted something"
    );
    let (ask, ..) = desk.lease().unwrap();
    desk.answer(&ask, stands(MIB, 0, Some(3 * MIB)));
    assert_eq!(desk.instructions(), [granted(MIB, MIB / 2)]);
}

#[test]
fn what_was_carried_when_a_lease_is_lowered_is_not_given_back() {
    let mut desk = Desk::new(&terms(Some(100 * MIB)));
    desk.instructions();
    let (ask, ..) = desk.lease().unwrap();
    desk.answer(&ask, stands(10 * MIB, 0, Some(100 * MIB)));
    desk.instructions();
    // The limit is lowered below what is charged.
    let mut lowered = terms(Some(4 * MIB));
    lowered.charged = 10 * MIB;
    desk.ledger.handle_terms(desk.now(), 0, 7, Some(lowered));
    let told = desk.instructions();
    let [Instruction::Recall { grant, .. }] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(grant.total, Some(4 * MIB));
    assert_eq!(desk.ledger.totals(7).unwrap().returned, 0, "not yet");
    let carried = Carried {
        up: MIB,
        down: 5 * MIB,
    };
    desk.ledger.handle_recalled(desk.now(), 7, carried);
    let totals = desk.ledger.totals(7).unwrap();
    assert_eq!(
        (totals.returned, totals.uploaded, totals.downloaded),
        (4 * MIB, MIB, 5 * MIB)
    );
}

#[test]
fn what_nobody_needs_is_given_back() {
    let mut desk = Desk::new(&terms(Some(100 * MIB)));
    desk.instructions();
    let (ask, ..) = desk.lease().unwrap();
    desk.answer(&ask, stands(20 * MIB, 0, Some(100 * MIB)));
    desk.instructions();
    desk.carry(MIB);
    desk.wait(2_100);
    let told = desk.instructions();
    let [Instruction::Recall { grant, .. }] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(grant.total, Some(5 * MIB), "four times the pace is kept");
}

#[test]
fn whoever_has_left_gives_everything_back() {
    let mut desk = Desk::new(&terms(Some(100 * MIB)));
    desk.instructions();
    let (ask, ..) = desk.lease().unwrap();
    desk.answer(&ask, stands(MIB, 0, Some(100 * MIB)));
    desk.instructions();
    desk.carry(1_000);
    desk.ledger.leave(desk.now(), desk.place);
    desk.wait(2_900);
    assert_eq!(desk.instructions(), [], "another session may come");
    desk.wait(2_000);
    assert_eq!(desk.instructions(), [Instruction::Forget { group: 7 }]);
    assert_eq!(desk.ledger.totals(7).unwrap().returned, 0, "not yet");
    let last = Carried {
        up: 500,
        down: 1_000,
    };
    desk.ledger.handle_forgotten(desk.now(), 7, None);
    assert_eq!(
        desk.ledger.totals(7).unwrap().returned,
        0,
        "it still has sessions"
    );
    desk.wait(2_100);
    assert_eq!(desk.instructions(), [Instruction::Forget { group: 7 }]);
    desk.ledger.handle_forgotten(desk.now(), 7, Some(last));
    assert_eq!(desk.ledger.totals(7).unwrap().returned, MIB - 1_500);
}

#[test]
fn a_user_who_comes_back_counts_on() {
    let mut ledger = Ledger::new(Config::default(), 0);
    let at = |millis| Instant::EPOCH + Duration::from_millis(millis);
    let mut group = 0;
    for round in 0..2_u64 {
        let start = 100_000 * round;
        let admission = ledger.admit(at(start), 0, 42, &terms(None)).unwrap();
        group = admission.group;
        while ledger.poll_instruction().is_some() {}
        ledger.handle_carried(group, Carried { up: 10, down: 20 });
        let totals = ledger.totals(group).unwrap();
        assert_eq!(
            (totals.uploaded, totals.downloaded),
            (10 * (round + 1), 20 * (round + 1))
        );
        ledger.leave(at(start), admission.place);
        let mut now = start;
        while ledger.totals(group).is_some() {
            now += 100;
            assert!(now < start + 60_000, "it is kept for ever");
            ledger.handle_timeout(at(now), 0);
            while let Some(told) = ledger.poll_instruction() {
                if told == (Instruction::Forget { group }) {
                    let last = Carried { up: 10, down: 20 };
                    ledger.handle_forgotten(at(now), group, Some(last));
                }
            }
            while let Some(ask) = ledger.poll_ask() {
                ledger.handle_answer(at(now), ask.id, &[Some(stands(0, 0, None))]);
            }
        }
        let released = core::iter::from_fn(|| ledger.poll_event());
        assert!(
            released
                .into_iter()
                .any(|event| event == Event::Released { group })
        );
        assert_eq!(ledger.poll_timeout(), None);
    }
    assert_eq!((group, ledger.usage().past), (1, 1));
}
