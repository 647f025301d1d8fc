//! The phases of a proxy's life, from serving to gone.

/// Where a proxy stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It is not ready any more but still accepts, so that what is in front can notice.
    Lingering,
    /// It accepts no more and lets what is in flight end.
    Draining,
}

impl Phase {
    pub(crate) const fn as_u8(self) -> u8 {
        match self {
            Phase::Serving => 0,
            Phase::Lingering => 1,
            Phase::Draining => 2,
        }
    }

    pub(crate) const fn from_u8(value: u8) -> Self {
        match value {
            0 => Phase::Serving,
            1 => Phase::Lingering,
            _ => Phase::Draining,
        }
    }

    /// The word in the status.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Phase::Serving => "serving",
            Phase::Lingering => "lingering",
            Phase::Draining => "draining",
        }
    }
}
