//! Runs the plan: loads by turns on all systems, memory on fresh processes.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::failure::{Context as _, Failure, Result};
use crate::load::{DONE, Values, Work};
use crate::plan::{Extent, Measurement, Method, PROCESSORS_EACH};
use crate::system::{Amount, Builds, Kind, System};
use crate::target::Target;

/// Visits for each tunnel. The POP chooses tunnels at random and a visit is two sessions, so of evenly chosen
/// tunnels e^-8, three in ten thousand, stay unused.
const VISITS_PER_TUNNEL: usize = 4;
/// Visits at once.
const VISITING: usize = 32;
/// Sessions that come and go before memory is first read: caches and allocators are warm then.
const WARM_COUNT: usize = 200;
/// Rest before memory is read, longer than the keepalive interval of tunnels, so that they are idle and have pinged.
const SETTLE_TIME: Duration = Duration::from_secs(7);

/// What one measurement gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What was measured.
    pub(crate) measurement: &'static Measurement,
    /// Each round's values, by [`Kind::index`].
    pub(crate) rounds: [Vec<Values>; Kind::ALL.len()],
}

impl Outcome {
    /// The median of a value over the rounds of one system.
    pub(crate) fn median(&self, kind: Kind, key: &str) -> Option<f64> {
        let rounds = &self.rounds[kind.index()];
        let mut samples = rounds
            .iter()
            .filter_map(|values| values.get(key).copied())
            .collect::<Vec<_>>();
        samples.sort_by(f64::total_cmp);
        let middle = samples.len() / 2;
        if samples.len() % 2 == 1 {
            return Some(samples[middle]);
        }
        Some((samples.get(middle.checked_sub(1)?)? + samples.get(middle)?) / 2.0)
    }
}

/// Everything a run needs to know.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// The systems to measure.
    pub(crate) kinds: &'a [Kind],
    /// What to measure.
    pub(crate) measurements: &'a [&'static Measurement],
    /// How long.
    pub(crate) extent: Extent,
    /// Where traffic ends.
    pub(crate) target: Target,
    /// Where Titan's daemons are.
    pub(crate) builds: &'a Builds,
}

impl Run<'_> {
    /// Measures everything.
    pub(crate) async fn outcomes(&self) -> Result<Vec<Outcome>> {
        let mut systems = Vec::new();
        if self
            .measurements
            .iter()
            .any(|measurement| matches!(measurement.method, Method::Load(..)))
        {
            for kind in self.kinds {
                eprintln!("starting {}", kind.name());
                systems.push(System::start(*kind, self.target, self.builds).await?);
            }
        }
        let mut outcomes = Vec::new();
        for (index, measurement) in self.measurements.iter().enumerate() {
            let progress = format!(
                "[{}/{}] {}",
                index + 1,
                self.measurements.len(),
                measurement.name
            );
            let mut outcome = Outcome {
                measurement,
                rounds: Default::default(),
            };
            match measurement.method {
                Method::Load(work, streams) => {
                    self.rounds(&mut systems, work, streams, &mut outcome, &progress)
                        .await
                }
                Method::TunnelMemory | Method::SessionMemory => {
                    self.memory(&mut outcome, &progress).await
                }
            }
            .context(measurement.name)?;
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    async fn rounds(
        &self,
        systems: &mut [System],
        work: Work,
        streams: usize,
        outcome: &mut Outcome,
        progress: &str,
    ) -> Result<()> {
        let Extent {
            rounds,
            warmup,
            duration,
            ..
        } = self.extent;
        let amount = Amount {
            streams,
            count: 0,
            warmup,
            duration,
        };
        for round in 0..rounds {
            // Another one goes first each time: whatever drifts within a round hits all alike.
            systems.rotate_left(usize::from(round > 0).min(systems.len()));
            for system in &mut *systems {
                let (began, used) = (Instant::now(), system.processor_time()?);
                let mut values = system.load(work, amount).await?;
                let used = system.processor_time()?.saturating_sub(used);
                count_processors(&mut values, used, began.elapsed());
                let (progress, round) = (progress.to_owned(), round + 1);
                let progress =
                    format!("{progress} round {round}/{rounds} {}", system.kind().name());
                report(&progress, outcome.measurement, &values);
                outcome.rounds[system.kind().index()].push(values);
            }
        }
        Ok(())
    }

    async fn memory(&self, outcome: &mut Outcome, progress: &str) -> Result<()> {
        for kind in self.kinds {
            let progress = format!("{progress} {}", kind.name());
            let tunnels = matches!(outcome.measurement.method, Method::TunnelMemory);
            if tunnels && *kind == Kind::Yardstick {
                continue; // Relays have no tunnels.
            }
            eprintln!("{progress}: starting fresh processes");
            let mut system = System::start(*kind, self.target, self.builds).await?;
            system
                .load(Work::Visit, Amount::sessions(VISITING, WARM_COUNT))
                .await?;
            sleep(SETTLE_TIME).await;
            let before = system.private_bytes()?;
            let (after, count) = if tunnels {
                (
                    self.with_tunnels(&mut system, &progress).await?,
                    self.extent.tunnels,
                )
            } else {
                (
                    self.with_sessions(&mut system, &progress).await?,
                    self.extent.sessions,
                )
            };
            let bytes = (after as f64 - before as f64) / count as f64;
            let values = Values::from([
                ("bytes".to_owned(), bytes),
                ("private_bytes_before".to_owned(), before as f64),
                ("private_bytes_after".to_owned(), after as f64),
            ]);
            report(&progress, outcome.measurement, &values);
            outcome.rounds[kind.index()].push(values);
        }
        Ok(())
    }

    async fn with_tunnels(&self, system: &mut System, progress: &str) -> Result<u64> {
        let count = self.extent.tunnels;
        eprintln!("{progress}: bringing {count} tunnels online");
        let titan = system
            .titan()
            .ok_or_else(|| Failure::new("relays have no tunnels"))?;
        titan.add_edges(count).await?;
        eprintln!("{progress}: using them");
        let visits = Amount::sessions(VISITING, VISITS_PER_TUNNEL * count);
        system.load(Work::Visit, visits).await?;
        sleep(SETTLE_TIME).await;
        system.check()?;
        system.private_bytes()
    }

    async fn with_sessions(&self, system: &mut System, progress: &str) -> Result<u64> {
        let count = self.extent.sessions;
        eprintln!("{progress}: opening {count} sessions");
        let (_, mut load) = system.hold(Work::Hold, Amount::sessions(1, count)).await?;
        sleep(SETTLE_TIME).await;
        load.check()?;
        system.check()?;
        system.private_bytes()
    }
}

/// Adds how many processors were busy, and how long for each of what the load did.
fn count_processors(values: &mut Values, used: Duration, elapsed: Duration) {
    let used = used.as_secs_f64();
    values.insert("processors".to_owned(), used / elapsed.as_secs_f64());
    if let Some(&done) = values.get(DONE)
        && done > 0.0
    {
        values.insert(PROCESSORS_EACH.to_owned(), used / done);
    }
}

fn report(progress: &str, measurement: &Measurement, values: &Values) {
    let rows = measurement.rows.iter().filter_map(|row| {
        let (scale, unit) = row.unit.scale();
        Some(format!(
            "{} {:.1} {unit}",
            row.key,
            values.get(row.key)? / scale
        ))
    });
    let processors = values
        .get("processors")
        .map(|value| format!("{value:.2} processors"));
    let shown = rows.chain(processors).collect::<Vec<_>>();
    eprintln!("{progress}: {}", shown.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_shared_by_what_was_done() {
        let mut values = Values::from([(DONE.to_owned(), 2e9)]);
        count_processors(&mut values, Duration::from_secs(3), Duration::from_secs(2));
        assert_eq!(values["processors"], 1.5);
        assert_eq!(values[PROCESSORS_EACH], 1.5e-9);
        let mut none = Values::from([(DONE.to_owned(), 0.0)]);
        count_processors(&mut none, Duration::from_secs(3), Duration::from_secs(2));
        assert!(!none.contains_key(PROCESSORS_EACH));
    }
}
