//! Where a session is.

use crate::arena::TunnelId;
use crate::tunnel::Ticket;

/// Where a session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// On no tunnel: over, or between two exits.
    Adrift,
    /// Waits for its turn on a tunnel; its CREATE gives it a number.
    Queued(TunnelId, Ticket),
    /// The peer knows it, or is about to, by this number.
    On {
        tunnel: TunnelId,
        number: u64,
        lines: Lines,
    },
}

/// Which of its tunnel's two lines a session stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lines {
    /// Its place in the line for DATA.
    pub(super) data: Option<Ticket>,
    pub(super) control: bool,
}

impl Place {
    pub(crate) const fn numbered(tunnel: TunnelId, number: u64) -> Self {
        Self::On {
            tunnel,
            number,
            lines: Lines {
                data: None,
                control: false,
            },
        }
    }

    pub(crate) const fn tunnel(self) -> Option<TunnelId> {
        match self {
            Self::Adrift => None,
            Self::Queued(tunnel, _) | Self::On { tunnel, .. } => Some(tunnel),
        }
    }

    pub(crate) const fn number(self) -> Option<u64> {
        match self {
            Self::Adrift | Self::Queued(..) => None,
            Self::On { number, .. } => Some(number),
        }
    }
}
