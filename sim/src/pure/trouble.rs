//! What goes wrong in a scenario, piece by piece, and the scenario without each.

use super::scenario::{Answer, Habit, Limits, Scenario};

/// One thing that goes wrong in a scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct Trouble {
    /// What it is, for people.
    pub what: String,
    /// The scenario in which it does not happen.
    pub without: Scenario,
}

impl Scenario {
    /// Returns everything that goes wrong: each fault, each dial that fails, each socket that fails,
    /// stops, stalls or is slow, and memory that is short. Slow paths, small windows and short limits are not
    /// counted: they are how things are, not what happens to them.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        let mut list = List {
            scenario: self,
            troubles: Vec::new(),
        };
        for (index, timed) in self.faults.iter().enumerate() {
            let what = format!("{:?} at {} ms", timed.fault, timed.at);
            list.add(what, |scenario| {
                scenario.faults.remove(index);
            });
        }
        for (index, flow) in self.flows.iter().enumerate() {
            for (nth, answer) in flow.answers.iter().enumerate() {
                if *answer != Answer::Connects {
                    let what = format!("dial {nth} of flow {index} {answer:?}");
                    list.add(what, |scenario| {
                        scenario.flows[index].answers[nth] = Answer::Connects;
                    });
                }
            }
            list.habit(index, "client", &flow.client, |scenario| {
                &mut scenario.flows[index].client
            });
            list.habit(index, "target", &flow.target, |scenario| {
                &mut scenario.flows[index].target
            });
        }
        let usual = Limits::default();
        if self.limits.memory_budget < usual.memory_budget {
            list.add("memory is short".to_owned(), |scenario| {
                scenario.limits.memory_budget = usual.memory_budget;
            });
        }
        list.troubles
    }
}

struct List<'a> {
    scenario: &'a Scenario,
    troubles: Vec<Trouble>,
}

impl List<'_> {
    fn add(&mut self, what: String, remove: impl FnOnce(&mut Scenario)) {
        let mut without = self.scenario.clone();
        remove(&mut without);
        self.troubles.push(Trouble { what, without });
    }

    fn habit(
        &mut self,
        flow: usize,
        who: &str,
        habit: &Habit,
        of: impl Fn(&mut Scenario) -> &mut Habit,
    ) {
        let who = format!("{who} of flow {flow}");
        if habit.fails() {
            self.add(format!("{who} fails"), |scenario| {
                of(scenario).fails_at = None;
                of(scenario).fails_from = None;
            });
        }
        if habit.stops_at.is_some() {
            self.add(format!("{who} stops reading"), |scenario| {
                of(scenario).stops_at = None;
            });
        }
        if habit.stalls_at.is_some() {
            self.add(format!("{who} stalls"), |scenario| {
                of(scenario).stalls_at = None;
            });
        }
        if habit.pause > 0 {
            self.add(format!("{who} is slow"), |scenario| {
                of(scenario).pause = 0;
            });
        }
        if habit.reads_from > 0 {
            self.add(format!("{who} reads late"), |scenario| {
                of(scenario).reads_from = 0;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{Answer, Fault, Flow, Habit, Scenario, Timed};

    #[test]
    fn each_trouble_is_listed_and_can_be_taken_out() {
        let scenario = Scenario {
            faults: vec![Timed {
                at: 5,
                fault: Fault::Storm { sees: 1 },
            }],
            flows: vec![Flow {
                answers: vec![Answer::Connects, Answer::Refuses],
                target: Habit {
                    stalls_at: Some(3),
                    ..Habit::default()
                },
                ..Flow::default()
            }],
            ..Scenario::default()
        };
        let troubles = scenario.troubles();
        assert_eq!(troubles.len(), 3, "{troubles:?}");
        for trouble in &troubles {
            assert_eq!(trouble.without.troubles().len(), 2, "{}", trouble.what);
        }
        let calm = Scenario {
            flows: vec![Flow::default()],
            ..Scenario::default()
        };
        assert!(calm.troubles().is_empty());
    }
}
