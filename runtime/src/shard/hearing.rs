//! Carriers that are not read while memory is used up, and how they are read again: some at once, and each
//! that is read calls the next. All at once would fill again in one turn what has become free, and which of them
//! come late would not depend on who has waited longest.

use std::collections::BTreeMap;

/// Carriers called at once.
const CALLED_MAX: usize = 16;

/// A place in the line: whoever came earlier has the smaller one.
pub(super) type Ticket = u64;

/// The line of carriers that wait to be read.
#[derive(Debug)]
pub(super) struct Hearing<K> {
    line: BTreeMap<Ticket, K>,
    next: Ticket,
    /// Carriers are read, for all that is known.
    open: bool,
}

impl<K> Default for Hearing<K> {
    fn default() -> Self {
        Self {
            line: BTreeMap::new(),
            next: 0,
            open: true,
        }
    }
}

impl<K> Hearing<K> {
    /// Lets a carrier wait that is not read. One that waits already keeps its place.
    pub(super) fn wait(&mut self, place: &mut Option<Ticket>, carrier: K) {
        self.open = false;
        if place.is_some_and(|ticket| self.line.contains_key(&ticket)) {
            return;
        }
        self.line.insert(self.next, carrier);
        *place = Some(self.next);
        self.next += 1;
    }

    /// Returns those to be called now that carriers are read again; they have left the line.
    pub(super) fn open(&mut self) -> impl Iterator<Item = K> {
        self.open = true;
        (0..CALLED_MAX).map_while(|_| self.call())
    }

    /// Returns who is to be called next: a carrier is read, or will not be any more.
    pub(super) fn pass(&mut self, place: &mut Option<Ticket>) -> Option<K> {
        if let Some(ticket) = place.take() {
            self.line.remove(&ticket);
        }
        self.call()
    }

    fn call(&mut self) -> Option<K> {
        if !self.open {
            return None;
        }
        self.line.pop_first().map(|(_, carrier)| carrier)
    }
}

#[cfg(test)]
mod tests {
    use super::{CALLED_MAX, Hearing, Ticket};
    use std::collections::VecDeque;

    /// Carriers that wait in a line, those that were called, and those that were read, in order.
    struct Line {
        hearing: Hearing<usize>,
        places: Vec<Option<Ticket>>,
        called: VecDeque<usize>,
        read: Vec<usize>,
    }

    impl Line {
        fn of(count: usize) -> Self {
            let mut line = Self {
                hearing: Hearing::default(),
                places: vec![None; count],
                called: VecDeque::new(),
                read: Vec::new(),
            };
            for carrier in 0..count {
                line.wait(carrier);
            }
            line
        }

        fn wait(&mut self, carrier: usize) {
            self.hearing.wait(&mut self.places[carrier], carrier);
        }

        fn open(&mut self) {
            self.called.extend(self.hearing.open());
        }

        fn leave(&mut self, carrier: usize) {
            self.called
                .extend(self.hearing.pass(&mut self.places[carrier]));
        }

        /// The first that was called is read.
        fn read_one(&mut self) -> bool {
            let Some(carrier) = self.called.pop_front() else {
                return false;
            };
            self.read.push(carrier);
            self.leave(carrier);
            true
        }
    }

    #[test]
    fn some_are_called_at_once_and_each_that_is_read_calls_the_next() {
        let mut line = Line::of(100);
        line.open();
        assert_eq!(line.called.len(), CALLED_MAX);
        for read in 1..=100 {
            assert!(line.read_one());
            assert_eq!(line.called.len(), CALLED_MAX.min(100 - read));
        }
        assert!(!line.read_one());
        assert!(line.read.iter().copied().eq(0..100), "{:?}", line.read);
    }

    #[test]
    fn who_is_not_read_after_all_waits_behind_those_who_were_not_called() {
        let mut line = Line::of(40);
        line.open();
        for _ in 0..4 {
            assert!(line.read_one());
        }
        // Memory is used up again: those that were called find that out, and nobody else is called.
        while let Some(carrier) = line.called.pop_front() {
            line.wait(carrier);
            line.wait(carrier);
        }
        assert_eq!(line.read.len(), 4);
        line.open();
        while line.read_one() {}
        let order = (0..4).chain(20..40).chain(4..20);
        assert!(line.read.iter().copied().eq(order), "{:?}", line.read);
    }

    #[test]
    fn nobody_waits_for_those_who_go_away() {
        let mut line = Line::of(60);
        line.leave(20);
        line.open();
        // All that were called go away unread, one that waits too, and one has come without a call.
        for carrier in 0..CALLED_MAX {
            line.called.retain(|&called| called != carrier);
            line.leave(carrier);
        }
        line.leave(40);
        line.leave(50);
        while line.read_one() {}
        let gone = [20, 40, 50];
        let order = (CALLED_MAX..60).filter(|carrier| !gone.contains(carrier));
        let mut read = line.read.clone();
        read.sort_unstable();
        assert!(read.into_iter().eq(order), "{:?}", line.read);
    }
}
