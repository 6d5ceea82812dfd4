use super::*;
use proptest::prelude::*;

const MAX: usize = 8192;

const USERS: usize = 5;

const LINE_MAX: usize = 300;

/// What is done to a queue.
#[derive(Clone, Debug)]
enum Step {
    Push { user: usize, len: usize },
    Write,
    Tell,
}

/// One user floods more often than the others say anything.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push = |user, len| Step::Push { user, len };
    let step = prop_oneof![
        6 => (0..LINE_MAX).prop_map(move |len| push(0, len)),
        4 => (0..USERS, 0..LINE_MAX).prop_map(move |(user, len)| push(user, len)),
        2 => Just(Step::Write),
        1 => Just(Step::Tell),
    ];
    prop::collection::vec(step, 0..300)
}

fn users() -> Vec<Arc<str>> {
    (0..USERS).map(|number| number.to_string().into()).collect()
}

fn line(len: usize) -> Box<[u8]> {
    vec![b'x'; len].into()
}

fn number(user: &str) -> usize {
    user.parse().unwrap()
}

impl Queue {
    /// Counts again.
    fn audit(&self) {
        let cost: usize = self
            .lines
            .values()
            .map(|waiting| cost_of(&waiting.line))
            .sum();
        assert_eq!(cost + self.free, MAX);
        let held: usize = self.users.values().map(|share| share.held).sum();
        assert_eq!(held, cost);
        let idle = |share: &Share| share.held == 0 && share.lost == 0;
        assert!(!self.users.values().any(idle), "{:?}", self.users);
        let lines: usize = self.users.values().map(|share| share.lines.len()).sum();
        assert_eq!(lines, self.lines.len());
        for (held, user) in &self.ranking {
            assert_eq!(self.users[user].held, *held);
        }
        let holders = self.users.values().filter(|share| share.held > 0).count();
        assert_eq!(holders, self.ranking.len());
    }
}

/// What has become of the lines of each user.
#[derive(Default)]
struct Tally {
    pushed: [u64; USERS],
    written: [u64; USERS],
    lost: [u64; USERS],
}

impl Tally {
    fn write(&mut self, queue: &mut Queue) -> bool {
        let Some(waiting) = queue.take() else {
            return false;
        };
        let user = number(&waiting.user);
        self.lost[user] += waiting.lost;
        let text = std::str::from_utf8(&waiting.line).unwrap();
        let expected = self.written[user] + self.lost[user];
        assert_eq!(
            text.trim(),
            expected.to_string(),
            "none is left out uncounted"
        );
        self.written[user] += 1;
        queue.settle(&waiting);
        true
    }

    fn push(&mut self, queue: &mut Queue, user: &Arc<str>, len: usize) {
        let own = number(user);
        let mut text = self.pushed[own].to_string().into_bytes();
        text.resize(text.len().max(len), b' ');
        self.pushed[own] += 1;
        let held = queue.users.get(user).map_or(0, |share| share.held);
        let within = held + cost_of(&text) < (MAX - LINE_MAX - LINE_COST) / USERS;
        queue.push(user, text.into());
        assert!(
            !within || queue.users[user].lost == 0,
            "an equal share is everyone's"
        );
    }

    fn tell(&mut self, queue: &mut Queue) {
        while self.write(queue) {}
        for loss in queue.take_losses() {
            self.lost[number(&loss.user.unwrap())] += loss.lines;
        }
    }
}

proptest! {
    #[test]
    fn every_line_is_written_in_its_turn_or_counted_and_no_flood_takes_a_share(steps in steps()) {
        let (users, mut queue, mut tally) = (users(), Queue::new(MAX), Tally::default());
        for step in steps.into_iter().chain([Step::Tell]) {
            match step {
                Step::Push { user, len } => tally.push(&mut queue, &users[user], len),
                Step::Write => {
                    tally.write(&mut queue);
                }
                Step::Tell => tally.tell(&mut queue),
            }
            queue.audit();
        }
        for user in 0..USERS {
            prop_assert_eq!(tally.written[user] + tally.lost[user], tally.pushed[user]);
        }
    }
}

#[test]
fn one_that_floods_gives_way_and_hears_how_much_it_lost() {
    let (users, mut queue) = (users(), Queue::new(MAX));
    let cost = cost_of(&line(100));
    let fit = MAX / cost;
    for _ in 0..1000 {
        queue.push(&users[0], line(100));
    }
    assert_eq!(queue.lines.len(), fit, "nobody else needs it");
    queue.push(&users[1], line(100));
    queue.push(&users[2], line(100));
    let held = |user: usize| queue.users[&users[user]].held / cost;
    assert_eq!([held(0), held(1), held(2)], [fit - 2, 1, 1]);
    assert_eq!(queue.users[&users[1]].lost, 0);
    let lost = Loss {
        user: Some(Arc::clone(&users[0])),
        lines: 1000 - u64::try_from(fit - 2).unwrap(),
    };
    assert_eq!(queue.take_losses(), [lost]);
}

#[test]
fn a_line_that_is_being_written_is_not_taken_back() {
    let (users, mut queue) = (users(), Queue::new(2 * cost_of(&line(100)) + 10));
    queue.push(&users[0], line(210));
    let writing = queue.take().unwrap();
    queue.push(&users[1], line(100));
    assert_eq!(queue.users[&users[1]].lost, 1);
    queue.settle(&writing);
    queue.push(&users[1], line(100));
    assert_eq!(queue.take().unwrap().lost, 1);
}

#[test]
fn who_loses_without_having_lines_is_named_up_to_a_limit() {
    let mut queue = Queue::new(LINE_COST);
    for number in 0..LOSERS_MAX + 5 {
        queue.push(&number.to_string().into(), line(1));
    }
    let losses = queue.take_losses();
    assert_eq!(losses.len(), LOSERS_MAX + 1);
    let last = Loss {
        user: None,
        lines: 5,
    };
    assert_eq!(losses.last(), Some(&last));
    assert!(queue.take_losses().is_empty());
}
