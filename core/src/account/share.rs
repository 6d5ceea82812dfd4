//! How POPs divide the rate of a user who has sessions at several.
//!
//! Each POP says how fast the user would be there if it could: what it *wants*. Who wants less than an
//! even part gets what it wants, the others get even parts of the rest, and what nobody wants is divided
//! evenly. So shares follow demand, and two who want everything get half each.
//!
//! What a POP was given it *has* until it is given something else. A share shrinks at once and grows
//! by what others hold no more; only somebody who finds nothing at all gets a little more than there is,
//! until the others have shrunk.

/// All who want nothing have this part of the rate between them, so that a first byte finds something.
const IDLE_PART: u64 = 16;

/// Who comes to others that hold everything gets this part of an even one, or half of what is left of this
/// part of the rate if that is less.
const NEWCOMER_PART: u64 = 4;

/// What a POP wants of a rate and has of it, in bytes per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stake {
    /// How fast the user would be there.
    pub wants: u64,
    /// How fast the user may be there.
    pub has: u64,
}

/// Returns how fast a user may be at a POP that wants so much, in bytes per second; `rate` is the user's
/// over all POPs, `others` are the other ones with sessions of it. A rate of zero is no limit, and so is
/// a share of it; a share of a limit is at least one.
///
/// If all POPs hold what this has returned to them for the same wants, they hold no more than the rate
/// together, or one each. Meanwhile they hold less than a quarter more than that.
#[must_use]
pub fn divide(rate: u64, wants: u64, others: &[Stake]) -> u64 {
    if rate == 0 {
        return 0;
    }
    let count = others.len() as u64 + 1;
    let held: u64 = others
        .iter()
        .map(|other| other.has.min(rate))
        .fold(0, u64::saturating_add);
    let free = rate.saturating_sub(held);
    // Half of what is left of the part beyond the rate: however many come, they stay within it.
    let beyond = (rate / NEWCOMER_PART).saturating_sub(held.saturating_sub(rate));
    let least = (rate / NEWCOMER_PART / count).min(beyond / 2);
    target(rate, wants, others).min(free.max(least)).max(1)
}

/// Returns the share of a POP as if nobody held anything.
fn target(rate: u64, wants: u64, others: &[Stake]) -> u64 {
    let count = others.len() as u64 + 1;
    let idle = rate / IDLE_PART / count;
    let wants = wants.clamp(idle, rate);
    let others = others.iter().map(|other| other.wants.clamp(idle, rate));
    let mut all: alloc::vec::Vec<u64> = others.chain([wants]).collect();
    all.sort_unstable();
    let (mut left, mut own) = (rate, None);
    for (unserved, wanted) in (1..=count).rev().zip(all) {
        let given = wanted.min(left / unserved);
        left -= given;
        if wanted == wants {
            own.get_or_insert(given);
        }
    }
    own.unwrap_or(0) + left / count
}

#[cfg(test)]
mod tests {
    use super::{Stake, divide};
    use crate::rng::Rng;
    use alloc::vec::Vec;

    const ALL: u64 = u64::MAX;

    fn wanting(wants: u64) -> Stake {
        Stake { wants, has: 0 }
    }

    #[test]
    fn who_is_alone_has_everything() {
        for wants in [0, 1, 500, 1_000, ALL] {
            assert_eq!(divide(1_000, wants, &[]), 1_000);
        }
        assert_eq!(divide(0, ALL, &[wanting(ALL)]), 0, "no limit");
        assert_eq!(divide(1, 0, &[wanting(ALL); 9]), 1);
        assert_eq!(
            divide(
                ALL,
                ALL,
                &[Stake {
                    wants: ALL,
                    has: ALL
                }]
            ),
            ALL / 8
        );
    }

    #[test]
    fn shares_follow_what_is_wanted() {
        // Both want everything, one wants little, one wants nothing, both want little.
        assert_eq!(divide(1_600, ALL, &[wanting(ALL)]), 800);
        assert_eq!(divide(1_600, 300, &[wanting(ALL)]), 300);
        assert_eq!(divide(1_600, ALL, &[wanting(300)]), 1_300);
        assert_eq!(divide(1_600, 0, &[wanting(ALL)]), 50);
        assert_eq!(divide(1_600, ALL, &[wanting(0)]), 1_550);
        assert_eq!(divide(1_600, 200, &[wanting(400)]), 700);
        assert_eq!(divide(1_600, 400, &[wanting(200)]), 900);
        let two = [wanting(100), wanting(ALL)];
        assert_eq!(divide(1_600, ALL, &two), 750);
    }

    #[test]
    fn a_share_grows_by_what_others_hold_no_more() {
        let has = |has| Stake { wants: ALL, has };
        assert_eq!(divide(1_600, ALL, &[has(1_600)]), 200);
        assert_eq!(divide(1_600, ALL, &[has(1_000)]), 600);
        assert_eq!(divide(1_600, ALL, &[has(800)]), 800);
        assert_eq!(divide(1_600, ALL, &[has(0)]), 800);
    }

    #[test]
    fn however_many_come_while_one_holds_all_they_stay_within_a_quarter_beyond() {
        for rate in [1, 100, 1_600, ALL / 64] {
            let mut stakes = Vec::from([Stake {
                wants: ALL,
                has: rate,
            }]);
            for _ in 0..32 {
                let has = divide(rate, ALL, &stakes);
                stakes.push(Stake { wants: ALL, has });
                let sum: u128 = stakes.iter().map(|stake| u128::from(stake.has)).sum();
                let most = u128::from(rate) + u128::from(rate / 4) + stakes.len() as u128;
                assert!(sum <= most, "{stakes:?}");
            }
        }
    }

    /// POPs that are answered one by one, as a store does it.
    struct Pops {
        rate: u64,
        stakes: Vec<Stake>,
    }

    impl Pops {
        fn drawn(rng: &mut Rng) -> Self {
            let bits = rng.below(40);
            let rate = 1 + rng.below(2 << bits);
            let stakes = (0..1 + rng.below(6)).map(|_| Stake {
                wants: wants(rng, rate),
                has: 0,
            });
            Self {
                rate,
                stakes: stakes.collect(),
            }
        }

        fn answer(&mut self, index: usize) {
            let mut others = self.stakes.clone();
            let own = others.remove(index);
            self.stakes[index].has = divide(self.rate, own.wants, &others);
        }

        fn sum(&self) -> u64 {
            self.stakes.iter().map(|stake| stake.has).sum()
        }

        /// Returns the rate, or as much as it must be.
        fn most(&self) -> u64 {
            self.rate.max(self.stakes.len() as u64)
        }
    }

    fn wants(rng: &mut Rng, rate: u64) -> u64 {
        match rng.below(4) {
            0 => 0,
            1 => ALL,
            _ => rng.below(rate + 1),
        }
    }

    #[test]
    fn in_any_order_shares_come_to_what_is_wanted_and_stay_within_the_rate() {
        let mut rng = Rng::new([7; 32]);
        for _ in 0..20_000 {
            let mut pops = Pops::drawn(&mut rng);
            let count = pops.stakes.len();
            // Wants change in between; who comes last is a newcomer.
            for _ in 0..rng.below(20) {
                let index = usize::try_from(rng.below(count as u64)).unwrap();
                pops.stakes[index].wants = wants(&mut rng, pops.rate);
                pops.answer(index);
                let most = pops.most();
                let count = count as u64;
                assert!(pops.sum() <= most + most / 4 + count, "{:?}", pops.stakes);
            }
            // Everybody twice: once to shrink and once to grow.
            for index in (0..count).chain(0..count) {
                pops.answer(index);
            }
            assert!(pops.sum() <= pops.most(), "{:?}", pops.stakes);
            let lost = pops.most() - pops.sum();
            assert!(lost <= 2 * count as u64, "{lost} of {:?}", pops.stakes);
            let (rate, idle) = (pops.rate, pops.rate / 16 / count as u64);
            let even = rate / count as u64;
            for stake in &pops.stakes {
                let least = stake.wants.clamp(idle, rate).min(even);
                // Some have one byte each of a rate that is smaller than that.
                assert!(stake.has + count as u64 >= least, "{stake:?} of {rate}");
            }
            // Who gets less than it wants gets as much as anybody.
            let largest = pops.stakes.iter().map(|stake| stake.has).max();
            for stake in &pops.stakes {
                let short = stake.has + (count as u64) < stake.wants.clamp(idle, rate);
                let last = largest.is_none_or(|largest| stake.has + count as u64 >= largest);
                assert!(!short || last, "{stake:?} of {:?}", pops.stakes);
            }
        }
    }
}
