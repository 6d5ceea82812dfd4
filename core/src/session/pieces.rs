//! The pieces of a queue: mostly none, or one.

use alloc::collections::VecDeque;
use core::mem;

/// Pieces in their order. One alone needs no table: most requests and answers are one.
#[derive(Debug, Default)]
pub(super) enum Pieces<T> {
    #[default]
    None,
    One(T),
    /// More of them, or what is left of more.
    Many(VecDeque<T>),
}

impl<T> Pieces<T> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(pieces) => pieces.len(),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(piece) => (Some(piece), None),
            Self::Many(pieces) => (None, Some(pieces)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::None => None,
            Self::One(piece) => Some(piece),
            Self::Many(pieces) => pieces.front_mut(),
        }
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::None => None,
            Self::One(piece) => Some(piece),
            Self::Many(pieces) => pieces.back_mut(),
        }
    }

    pub(super) fn push_back(&mut self, piece: T) {
        if self.is_empty() {
            *self = Self::One(piece);
        } else {
            self.table().push_back(piece);
        }
    }

    pub(super) fn push_front(&mut self, piece: T) {
        if self.is_empty() {
            *self = Self::One(piece);
        } else {
            self.table().push_front(piece);
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let Self::Many(pieces) = self else {
            return match mem::take(self) {
                Self::One(piece) => Some(piece),
                Self::None | Self::Many(_) => None,
            };
        };
        let piece = pieces.pop_front();
        if pieces.is_empty() {
            // What is idle holds no table.
            *self = Self::None;
        }
        piece
    }

    /// Takes all pieces but the first `at`.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        if at == 0 {
            return mem::take(self);
        }
        match self {
            Self::Many(pieces) if at < pieces.len() => Self::Many(pieces.split_off(at)),
            Self::None | Self::One(_) | Self::Many(_) => Self::None,
        }
    }

    fn table(&mut self) -> &mut VecDeque<T> {
        if let Self::One(_) = self
            && let Self::One(piece) = mem::take(self)
        {
            let mut pieces = VecDeque::with_capacity(4);
            pieces.push_back(piece);
            *self = Self::Many(pieces);
        }
        match self {
            Self::Many(pieces) => pieces,
            Self::None | Self::One(_) => unreachable!("there is a piece, and it has a table now"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pieces;
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Back(u8),
        Front(u8),
        Pop,
        Split(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            any::<u8>().prop_map(Op::Back),
            any::<u8>().prop_map(Op::Front),
            Just(Op::Pop),
            (0usize..4).prop_map(Op::Split),
        ]
    }

    proptest! {
        #[test]
        fn pieces_are_what_a_table_of_them_is(ops in prop::collection::vec(op(), 0..40)) {
            let mut pieces = Pieces::default();
            let mut model = VecDeque::new();
            for op in ops {
                match op {
                    Op::Back(piece) => { pieces.push_back(piece); model.push_back(piece); }
                    Op::Front(piece) => { pieces.push_front(piece); model.push_front(piece); }
                    Op::Pop => prop_assert_eq!(pieces.pop_front(), model.pop_front()),
                    Op::Split(at) => {
                        let rest: Vec<u8> = pieces.split_off(at).iter().copied().collect();
                        let at = at.min(model.len());
                        prop_assert_eq!(rest, Vec::from(model.split_off(at)));
                    }
                }
                prop_assert!(pieces.iter().eq(model.iter()));
                prop_assert_eq!(pieces.len(), model.len());
                prop_assert_eq!(pieces.is_empty(), model.is_empty());
                prop_assert_eq!(pieces.front_mut(), model.front_mut());
                prop_assert_eq!(pieces.back_mut(), model.back_mut());
            }
        }
    }
}
