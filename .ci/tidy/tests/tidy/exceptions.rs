//! What is allowed for now.

use std::collections::BTreeMap;

/// The exceptions of one kind.
pub(crate) struct Exceptions {
    kind: &'static str,
    /// What is excepted, and up to which number.
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

impl Exceptions {
    pub(crate) fn read(kind: &'static str) -> Self {
        Self::parse(kind, include_str!("exceptions.txt"))
    }

    /// Parses lines of kind, number and name.
    fn parse(kind: &'static str, text: &str) -> Self {
        let allowed = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .filter_map(|line| {
                let mut parts = line.splitn(3, ' ');
                let (of, size, name) = (parts.next()?, parts.next()?, parts.next()?);
                let size = size.parse().expect("a number after the kind");
                (of == kind).then(|| (name.to_owned(), size))
            })
            .collect();
        Self { kind, allowed }
    }

    /// Returns what is wrong beyond the exceptions, and the exceptions that are needed no more.
    pub(crate) fn apply(mut self, findings: impl IntoIterator<Item = Finding>) -> Vec<String> {
        let mut wrong = Vec::new();
        for finding in findings {
            let allowed = self.allowed.remove(&finding.name).unwrap_or(0);
            if finding.size > allowed {
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
fn an_exception_holds_up_to_its_size_and_goes_when_it_is_not_needed() {
    let finding = |name: &str, size| Finding {
        name: name.to_owned(),
        size,
        about: name.to_owned(),
    };
    let exceptions = || Exceptions::parse("function", "# why\nfunction 80 a\ncircle 2 b\n");
    assert!(exceptions().apply([finding("a", 80)]).is_empty());
    assert_eq!(exceptions().apply([finding("a", 81)]).len(), 1);
    assert_eq!(exceptions().apply([]).len(), 1);
    assert_eq!(
        exceptions().apply([finding("a", 1), finding("b", 1)]).len(),
        1
    );
}
