//! Slowing guessers down.

use super::login::is_user_name;
use super::table::Table;
use core::time::Duration;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use titan_core::time::Instant;

/// The most users and addresses whose failures are remembered; about 2 MB.
const SUBJECTS_MAX: usize = 16_384;

/// How many failures of a user cost nothing: people mistype.
const USER_FREE: u32 = 3;

/// How many failures of an address cost nothing: many users may share one.
const ADDRESS_FREE: u32 = 10;

/// The first delay; each further failure doubles it.
const DELAY_MIN: Duration = Duration::from_millis(250);

/// The longest delay: a user who knows the password still gets in within a handshake's deadline,
/// however hard others guess.
const DELAY_MAX: Duration = Duration::from_secs(4);

/// After this long without a failure all is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(900);

/// Remembers failed logins in a bounded table and says how long the next attempt waits. Delays, never
/// locks out.
pub(crate) struct Throttle(Mutex<Table<Subject, Failures>>);

/// Whose failures are counted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Subject {
    /// A user name.
    User(String),
    /// An address; all of an IPv6 /64 are one, since one host has that many.
    Address(IpAddr),
}

#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    last: Instant,
    /// Attempts under way. They count for a user, so that guessing in parallel gains nothing.
    pending: u32,
}

/// An attempt under way. It ends by [`Attempt::failed`], [`Attempt::succeeded`], or being given up.
pub(crate) struct Attempt<'a> {
    throttle: &'a Throttle,
    address: Subject,
    user: Option<Subject>,
    delay: Duration,
}

impl Throttle {
    /// Begins an attempt from `address` as `user`; names that no user can have are not counted.
    pub(crate) fn begin(&self, address: IpAddr, user: Option<&str>, now: Instant) -> Attempt<'_> {
        let address = Subject::Address(network(address));
        let user = user
            .filter(|name| is_user_name(name))
            .map(|name| Subject::User(name.to_owned()));
        let mut delay = self.with(&address, now, |failures| {
            failures.pending += 1;
            delay(failures.count, ADDRESS_FREE)
        });
        if let Some(user) = &user {
            delay = delay.max(self.with(user, now, |failures| {
                failures.pending += 1;
                self::delay(failures.count + failures.pending - 1, USER_FREE)
            }));
        }
        Attempt {
            throttle: self,
            address,
            user,
            delay,
        }
    }

    fn with<T>(&self, subject: &Subject, now: Instant, look: impl FnOnce(&mut Failures) -> T) -> T {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.get(subject).is_none() {
            table
                .insert(subject.clone(), Failures::default(), |_, _| true)
                .expect("every entry may go");
        }
        let (_, _, failures) = table.get(subject).expect("it was just there or inserted");
        if now.since(failures.last) > FORGET_AFTER {
            failures.count = 0;
        }
        look(failures)
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self(Mutex::new(Table::new(SUBJECTS_MAX)))
    }
}

impl Attempt<'_> {
    /// Returns how long to wait before looking at the credentials.
    pub(crate) const fn delay(&self) -> Duration {
        self.delay
    }

    /// Ends an attempt with wrong credentials.
    pub(crate) fn failed(self, now: Instant) {
        for subject in self.user.iter().chain([&self.address]) {
            self.throttle.with(subject, now, |failures| {
                failures.count = failures.count.saturating_add(1);
                failures.last = now;
            });
        }
    }

    /// Ends an attempt with right credentials. The address stays suspect: who has one account could
    /// otherwise guess at others for free.
    pub(crate) fn succeeded(self) {
        if let Some(user) = &self.user {
            self.throttle
                .with(user, Instant::EPOCH, |failures| failures.count = 0);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        for subject in self.user.iter().chain([&self.address]) {
            // The entry may have been given up and made anew meanwhile.
            self.throttle.with(subject, Instant::EPOCH, |failures| {
                failures.pending = failures.pending.saturating_sub(1);
            });
        }
    }
}

fn delay(count: u32, free: u32) -> Duration {
    match count.checked_sub(free) {
        None | Some(0) => Duration::ZERO,
        Some(excess) => DELAY_MIN
            .saturating_mul(1 << (excess - 1).min(16))
            .min(DELAY_MAX),
    }
}

/// Returns an address, or the /64 that an IPv6 address is in: one host has all of that.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(1_000_000_000_000);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(throttle: &Throttle, from: &str, user: Option<&str>) -> Duration {
        let attempt = throttle.begin(address(from), user, NOW);
        let delay = attempt.delay();
        attempt.failed(NOW);
        delay
    }

    #[test]
    fn a_user_is_slowed_down_whatever_the_address_until_success() {
        let throttle = Throttle::default();
        let delays: Vec<_> = (0..12)
            .map(|index| fail(&throttle, &format!("10.0.0.{index}"), Some("ann")).as_millis())
            .collect();
        assert_eq!(
            delays,
            [0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000, 4000]
        );
        assert_eq!(fail(&throttle, "10.0.1.1", Some("bob")), Duration::ZERO);
        throttle
            .begin(address("10.0.1.2"), Some("ann"), NOW)
            .succeeded();
        assert_eq!(fail(&throttle, "10.0.1.3", Some("ann")), Duration::ZERO);
    }

    #[test]
    fn an_address_is_slowed_down_whatever_the_user() {
        let throttle = Throttle::default();
        for index in 0..=ADDRESS_FREE {
            let delay = fail(&throttle, "2001:db8::1", Some(&format!("user{index}")));
            assert_eq!(delay, Duration::ZERO);
        }
        let neighbour = throttle.begin(address("2001:db8::ffff:1"), None, NOW);
        assert_eq!(neighbour.delay(), DELAY_MIN);
        neighbour.succeeded();
        assert_eq!(fail(&throttle, "2001:db8::2", None), DELAY_MIN);
        assert_eq!(fail(&throttle, "2001:db8:0:1::1", None), Duration::ZERO);
        let later = NOW + FORGET_AFTER + Duration::from_nanos(1);
        let attempt = throttle.begin(address("2001:db8::1"), None, later);
        assert_eq!(attempt.delay(), Duration::ZERO);
    }

    #[test]
    fn guessing_in_parallel_gains_nothing() {
        let throttle = Throttle::default();
        let begin = || throttle.begin(address("10.0.0.1"), Some("ann"), NOW);
        let attempts: Vec<_> = (0..6).map(|_| begin()).collect();
        let delays: Vec<_> = attempts
            .iter()
            .map(|attempt| attempt.delay().as_millis())
            .collect();
        assert_eq!(delays, [0, 0, 0, 0, 250, 500]);
        drop(attempts);
        assert_eq!(begin().delay(), Duration::ZERO);
    }

    #[test]
    fn endless_users_and_addresses_stay_within_the_bound() {
        let throttle = Throttle::default();
        for index in 0..SUBJECTS_MAX as u32 {
            let from = IpAddr::V4(index.into());
            throttle
                .begin(from, Some(&format!("user{index}")), NOW)
                .failed(NOW);
        }
        let mut table = throttle.0.lock().unwrap();
        assert!(table.get(&Subject::User("user1".to_owned())).is_none());
        assert!(
            table
                .get(&Subject::User(format!("user{}", SUBJECTS_MAX - 1)))
                .is_some()
        );
    }
}
