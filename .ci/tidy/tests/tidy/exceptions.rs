//! What is allowed for now.

use std::collections::BTreeMap;

/// The exceptions of one kind.
pub(crate) struct Exceptions {
    kind: &'static str,
    /// What is excepted, and with which number.
    allowed: BTreeMap<String, usize>,
}

/// Something out of order, with how much so.
pub(crate) struct Finding {
    /// What an exception for it would say.
    pub(crate) name: String,
    pub(crate) size: usize,
    /// What is wrong, for people.
    pub(crate) about: String,
}

const LIST: &str = include_str!("exceptions.txt");

/// Returns kind, number and name of each line.
fn lines(text: &str) -> impl Iterator<Item = (&str, usize, &str)> {
    let lines = text.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let mut parts = line.splitn(3, ' ');
        let mut part = || parts.next().expect("a kind, a number and a name");
        let (kind, size, name) = (part(), part(), part());
        (kind, size.parse().expect("a number after the kind"), name)
    })
}

/// Returns how many exceptions there are, and the sum of their numbers.
pub(crate) fn extent() -> (usize, usize) {
    lines(LIST).fold((0, 0), |(count, sum), (_, size, _)| (count + 1, sum + size))
}

impl Exceptions {
    pub(crate) fn read(kind: &'static str) -> Self {
        Self::parse(kind, LIST)
    }

    /// Parses lines of kind, number and name.
    fn parse(kind: &'static str, text: &str) -> Self {
        let allowed = lines(text)
            .filter(|(of, ..)| *of == kind)
            .map(|(_, size, name)| (name.to_owned(), size))
            .collect();
        Self { kind, allowed }
    }

    /// Returns what is wrong other than the exceptions say, and the exceptions that are needed no more.
    pub(crate) fn apply(mut self, findings: impl IntoIterator<Item = Finding>) -> Vec<String> {
        let mut wrong = Vec::new();
        for finding in findings {
            let allowed = self.allowed.remove(&finding.name).unwrap_or(0);
            if finding.size != allowed {
                wrong.push(format!(
                    "{}   (as an exception: {} {} {})",
                    finding.about, self.kind, finding.size, finding.name
                ));
            }
        }
        let unused = self.allowed.keys();
        wrong.extend(unused.map(|name| {
            format!(
                "exceptions.txt: take out `{} … {name}`: it is in order",
                self.kind
            )
        }));
        wrong
    }
}

#[test]
fn an_exception_holds_for_its_size_and_goes_when_it_is_not_needed() {
    let finding = |name: &str, size| Finding {
        name: name.to_owned(),
        size,
        about: name.to_owned(),
    };
    let exceptions = || Exceptions::parse("function", "# why\nfunction 80 a\ncircle 2 b\n");
    assert!(exceptions().apply([finding("a", 80)]).is_empty());
    for other in [79, 81] {
        assert_eq!(exceptions().apply([finding("a", other)]).len(), 1);
    }
    assert_eq!(exceptions().apply([]).len(), 1);
    assert_eq!(
        exceptions()
            .apply([finding("a", 80), finding("b", 1)])
            .len(),
        1
    );
}
