//! Carriers between a POP and an edge, and what is on its way on them.

use std::collections::VecDeque;
use titan_core::endpoint::CarrierId;
use titan_proto::{Code, Frame};

/// Which way a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    ToPop,
    ToEdge,
}

/// A carrier. An end that is `None` is gone, or played by the test.
#[derive(Debug)]
pub struct Link {
    pub edge: usize,
    pub pop: Option<CarrierId>,
    pub at_edge: Option<CarrierId>,
    pub to_pop: Pipe,
    pub to_edge: Pipe,
}

#[derive(Debug, Default)]
pub struct Pipe {
    pub(super) items: VecDeque<Parcel>,
    /// Nothing arrives.
    pub held: bool,
    /// Nothing can be sent.
    pub blocked: bool,
}

#[derive(Debug)]
pub(super) enum Parcel {
    Frame(Frame),
    Ping([u8; 8]),
    Pong([u8; 8]),
    Close(Code),
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub link: usize,
    pub way: Way,
    pub frame: Frame,
}

impl Way {
    pub fn back(self) -> Self {
        match self {
            Self::ToPop => Self::ToEdge,
            Self::ToEdge => Self::ToPop,
        }
    }
}

impl Link {
    pub(super) fn new(edge: usize, pop: Option<CarrierId>, at_edge: Option<CarrierId>) -> Self {
        Self {
            edge,
            pop,
            at_edge,
            to_pop: Pipe::default(),
            to_edge: Pipe::default(),
        }
    }

    pub fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::ToPop => &mut self.to_pop,
            Way::ToEdge => &mut self.to_edge,
        }
    }
}

impl Pipe {
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.items.back(), Some(Parcel::Close(_)))
    }
}
