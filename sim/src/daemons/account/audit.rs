//! What the store says of a user, held against what moved.

use super::tally::Moved;
use crate::daemons::store::at_once;
use crate::daemons::world::Shared;
use titan_runtime::store::{Accounts as _, Resolution, Users as _};

/// Everything there is to say of a user's account in the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    pub(super) charged: u64,
    pub(super) is_limited: bool,
    /// It was counted anew from zero in between.
    pub(super) was_reset: bool,
    /// What the record says was moved, since it was counted anew.
    pub(super) counted: Moved,
    /// The sum of the statistics.
    pub(super) charted: Moved,
    pub(super) parts: Vec<Part>,
}

/// What one process of a POP has done.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) name: String,
    /// It died, and nobody heard its last words.
    pub(super) crashed: bool,
    pub(super) moved: Moved,
    /// What the store was told.
    pub(super) told: Moved,
    /// What was granted and not given back.
    pub(super) kept: u64,
}

impl Statement {
    /// Draws it up; none if there is no such user.
    pub(super) fn read(shared: &Shared, user: &str) -> Option<Self> {
        let store = &shared.store.store;
        let read = "the store in memory can be read";
        let record = at_once(store.user(user)).expect(read)?;
        let holders = at_once(store.usage(user)).expect(read)?;
        let buckets = at_once(store.traffic(user, Resolution::FiveMinutes, 0, u64::from(u32::MAX)));
        let mut parts = Vec::new();
        let mut moved = shared.ledger.moved_by_life(user);
        for pop in 1..=u64::from(shared.scenario.topology.pops) {
            let host = shared.host(&format!("pop-{pop}"));
            for (index, life) in shared.network.lives(host.ip).iter().enumerate() {
                let mut part = Part {
                    name: format!("{} (process {})", host.name, index + 1),
                    crashed: life.crashed,
                    moved: moved.remove(&(pop, index)).unwrap_or_default(),
                    ..Part::default()
                };
                let holders = holders.iter().filter(|at| {
                    at.holder.pop == host.name && Some(at.holder.incarnation) == life.incarnation
                });
                for holder in holders {
                    part.told = part.told.plus(Moved {
                        up: holder.uploaded,
                        down: holder.downloaded,
                    });
                    part.kept += holder.granted - holder.returned;
                }
                parts.push(part);
            }
        }
        let charted = buckets
            .expect(read)?
            .iter()
            .fold(Moved::default(), |sum, bucket| {
                sum.plus(Moved {
                    up: bucket.uploaded,
                    down: bucket.downloaded,
                })
            });
        Some(Self {
            charged: record.charged,
            is_limited: record.settings.traffic_limit.is_some(),
            was_reset: shared.ledger.was_reset(user),
            counted: Moved {
                up: record.uploaded,
                down: record.downloaded,
            },
            charted,
            parts,
        })
    }

    /// Returns what stays charged of grants whose holders died.
    pub(super) fn lost(&self) -> u64 {
        let crashed = self.parts.iter().filter(|part| part.crashed);
        crashed
            .map(|part| part.kept.saturating_sub(part.moved.total()))
            .sum()
    }

    /// Holds all of it against each other.
    ///
    /// # Errors
    /// Says what does not fit.
    pub(super) fn judge(&self) -> Result<(), String> {
        for part in &self.parts {
            part.judge(self.is_limited)?;
        }
        let told = |part: &Part| part.told;
        let told = self
            .parts
            .iter()
            .map(told)
            .fold(Moved::default(), Moved::plus);
        if self.charted != told {
            let charted = self.charted;
            return Err(format!("statistics say {charted:?}, POPs {told:?}"));
        }
        if !self.was_reset && self.counted != told {
            let counted = self.counted;
            return Err(format!("the record says {counted:?}, POPs {told:?}"));
        }
        let crashed = self.parts.iter().any(|part| part.crashed);
        let due = match self.was_reset {
            false => self.parts.iter().map(|part| part.kept).sum(),
            true if !crashed => self.counted.total(),
            // What a dead process had spent before the reset is known to nobody.
            true => return Ok(()),
        };
        if self.charged != due {
            let charged = self.charged;
            return Err(format!("{charged} bytes are charged: {due} are due"));
        }
        Ok(())
    }
}

impl Part {
    fn judge(&self, is_limited: bool) -> Result<(), String> {
        let Self {
            name,
            moved,
            told,
            kept,
            ..
        } = self;
        if !self.crashed {
            if moved != told {
                return Err(format!("{name} moved {moved:?} and told {told:?}"));
            }
            if *kept != told.total() {
                let told = told.total();
                return Err(format!("{name} keeps {kept} bytes for {told}"));
            }
            return Ok(());
        }
        if told.up > moved.up || told.down > moved.down {
            return Err(format!("{name} died: it moved {moved:?} and told {told:?}"));
        }
        if is_limited && moved.total() > *kept {
            return Err(format!("{name} died: it moved {moved:?} of {kept} bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Moved, Part, Statement};

    fn moved(up: u64, down: u64) -> Moved {
        Moved { up, down }
    }

    fn part(crashed: bool, moved: Moved, told: Moved, kept: u64) -> Part {
        Part {
            name: "pop-1".to_owned(),
            crashed,
            moved,
            told,
            kept,
        }
    }

    /// Two processes, of which the first died with 10 bytes untold and 90 granted in vain.
    fn statement() -> Statement {
        Statement {
            charged: 230,
            is_limited: true,
            was_reset: false,
            counted: moved(40, 90),
            charted: moved(40, 90),
            parts: vec![
                part(true, moved(20, 20), moved(10, 20), 130),
                part(false, moved(30, 70), moved(30, 70), 100),
            ],
        }
    }

    #[test]
    fn what_fits_is_found_right() {
        assert_eq!(statement().judge(), Ok(()));
        assert_eq!(statement().lost(), 90);
        let reset = Statement {
            charged: 100,
            was_reset: true,
            counted: moved(30, 70),
            ..statement()
        };
        assert_eq!(reset.judge(), Ok(()));
    }

    #[test]
    fn each_number_that_does_not_fit_is_told() {
        let wrong = |change: fn(&mut Statement), words: &str| {
            let mut statement = statement();
            change(&mut statement);
            let message = statement.judge().unwrap_err();
            assert!(message.contains(words), "{message}");
        };
        wrong(|all| all.parts[1].told.up += 1, "and told");
        wrong(|all| all.parts[1].told.down -= 1, "and told");
        wrong(|all| all.parts[1].kept += 1, "keeps 101 bytes for 100");
        wrong(|all| all.parts[0].told.up = 21, "died: it moved");
        wrong(|all| all.parts[0].kept = 39, "of 39 bytes");
        wrong(|all| all.charted.down += 1, "statistics say");
        wrong(|all| all.counted.up -= 1, "the record says");
        wrong(|all| all.charged -= 1, "229 bytes are charged: 230 are due");
        wrong(|all| all.charged += 1, "231 bytes are charged");
        wrong(
            |all| {
                all.was_reset = true;
                all.parts.remove(0);
                all.counted = moved(3, 7);
                all.charted = moved(30, 70);
                all.charged = 11;
            },
            "11 bytes are charged: 10 are due",
        );
    }
}
