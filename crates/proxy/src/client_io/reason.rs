//! Which counter a refusal goes to.
//!
//! Owns the mapping from the many refusals to the few labels of `leeward-metrics`; kept out of
//! `framing`, which knows nothing but bytes. Called by the service.

use crate::framing::Refusal;
use leeward_metrics::RefusedReason;

impl Refusal {
    /// The label under which this refusal is counted.
    pub(crate) const fn counted_as(self) -> RefusedReason {
        match self {
            Self::RequestLine | Self::EmptyLines | Self::LineEnd => RefusedReason::Malformed,
            Self::Method | Self::Connect | Self::Trace => RefusedReason::BadMethod,
            Self::Version => RefusedReason::BadVersion,
            Self::Target | Self::Fragment | Self::TargetForm | Self::TargetTooLong => {
                RefusedReason::BadTarget
            }
            Self::FieldName | Self::FieldValue | Self::Fold | Self::Connection | Self::Trailer => {
                RefusedReason::BadHeader
            }
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => {
                RefusedReason::HeaderTooLarge
            }
            Self::HostMissing | Self::HostTwice | Self::Host | Self::HostDiffers => {
                RefusedReason::BadHost
            }
            Self::Expect | Self::H2c | Self::Upgrade => RefusedReason::BadExpectation,
            Self::HeadTimeout => RefusedReason::HeaderTimeout,
            Self::ContentLength
            | Self::LengthAndCoding
            | Self::TransferEncoding
            | Self::TransferCoding
            | Self::BodyTooLarge
            | Self::Chunk
            | Self::ChunkExtensions
            | Self::BodyTimeout => RefusedReason::BadFraming,
        }
    }
}
