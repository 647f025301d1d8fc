//! What a request means, and what that allows. The table of DESIGN section 6, as code.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a request means. It comes from the route, never from the HTTP method; a request that no
/// route classes is an [`Class::Order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Market data and other unsigned reads: may be repeated anywhere, hedged, rescued.
    PublicRead,
    /// A signed read of one account: may be repeated once.
    PrivateRead,
    /// Anything that moves money or positions. Reaches at most one backend.
    Order,
    /// Takes an order back. Repeating one is harmless, so it is tried once more.
    Cancel,
    /// A WebSocket or another long upgraded connection.
    Stream,
    /// Raw TCP, FIX among it.
    Tcp,
}

/// When a failed attempt may be followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// While the retry budget, the attempt limit and the deadline allow.
    Budgeted,
    /// Once more.
    Once,
    /// Only when it is proven that the backend received none of it.
    ProvenNotSent,
    /// Only until a connection stands.
    AtConnect,
}

impl Class {
    /// Every class, in the order of their ids.
    pub const ALL: [Class; 6] = [
        Class::PublicRead,
        Class::PrivateRead,
        Class::Order,
        Class::Cancel,
        Class::Stream,
        Class::Tcp,
    ];

    /// The word of the policy file and of metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::PublicRead => "public_read",
            Class::PrivateRead => "private_read",
            Class::Order => "order",
            Class::Cancel => "cancel",
            Class::Stream => "stream",
            Class::Tcp => "tcp",
        }
    }

    /// When a failed attempt of this class may be followed by another.
    pub const fn repeat(self) -> Repeat {
        match self {
            Class::PublicRead => Repeat::Budgeted,
            Class::PrivateRead | Class::Cancel => Repeat::Once,
            Class::Order => Repeat::ProvenNotSent,
            Class::Stream | Class::Tcp => Repeat::AtConnect,
        }
    }

    /// Whether a second attempt may go beside one that is slow or at an endpoint that says nothing.
    pub const fn goes_beside(self) -> bool {
        matches!(self.repeat(), Repeat::Budgeted)
    }

    /// Whether it is placed elsewhere at once when the endpoint that it waits for is left.
    pub const fn is_rescued(self) -> bool {
        matches!(self.repeat(), Repeat::Budgeted | Repeat::Once)
    }

    /// Whether the pool's single writer takes it.
    pub const fn goes_to_writer(self) -> bool {
        matches!(self, Class::Order | Class::Cancel)
    }

    /// The time that all attempts share, where the policy names none. Fits signature windows.
    pub const fn default_deadline(self) -> Option<Duration> {
        match self {
            Class::PublicRead | Class::PrivateRead => Some(Duration::from_secs(5)),
            Class::Order | Class::Cancel => Some(Duration::from_secs(2)),
            Class::Stream | Class::Tcp => None,
        }
    }
}
