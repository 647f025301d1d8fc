//! What names and other sources of addresses said.
//!
//! Owns the words for how a question ended and why an address was refused. Counts what the control
//! thread tells, and decides nothing.

use crate::Metrics;
use crate::family;
use std::fmt::Debug;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[doc = $meaning])+ $variant,)*
        }

        impl $name {
            /// Every one of them.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The word in labels and logs.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }

            pub(crate) const fn meaning(self) -> &'static str {
                match self {
                    $($name::$variant => concat!($($meaning),+),)*
                }
            }
        }
    };
}

words! {
    /// How a question about a backend's addresses ended.
    LookupResult {
        /// Addresses came.
        Answered = "answered",
        /// The name does not exist.
        NxDomain = "nxdomain",
        /// There is no address: no record, or an empty list.
        Empty = "empty",
        /// The resolver says that it failed, or that it will not answer.
        ServFail = "servfail",
        /// No answer in time.
        Timeout = "timeout",
        /// The answer was cut, over TCP as well.
        Truncated = "truncated",
        /// Aliases lead in a circle, or on without an end.
        CnameLoop = "cname_loop",
        /// The answer is about another name.
        OtherName = "other_name",
        /// The answer cannot be read, or is larger than what is read.
        Malformed = "malformed",
        /// The resolver, the service or the file cannot be reached.
        Unreachable = "unreachable",
    }
}

words! {
    /// Why an address was refused.
    AddressRefusal {
        /// It is private, and the backend's addresses were public.
        Private = "private",
        /// Nobody can be there: unspecified, multicast or broadcast.
        Unusable = "unusable",
        /// The backend has as many addresses as it may.
        TooMany = "too_many",
        /// It belongs to another name than the one that was asked for.
        OtherName = "other_name",
        /// A target of a file or a service that is no address.
        BadTarget = "bad_target",
    }
}

/// Addresses of one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressCounts {
    /// Named now.
    pub listed: usize,
    /// Named once, and kept.
    pub retained: usize,
    /// Written in the policy.
    pub literal: usize,
}

impl Metrics {
    /// Shows that `resolver` will be asked about a backend: zeros.
    pub fn show_names(&self, pool: &str, backend: &str, resolver: &str) {
        let numbers = &mut self.lock().numbers;
        for result in LookupResult::ALL {
            let labels = [pool, backend, resolver, result.as_str()];
            numbers.add(&family::DNS_QUESTIONS, &labels, 0.0);
        }
        for reason in AddressRefusal::ALL {
            let labels = [pool, backend, reason.as_str()];
            numbers.add(&family::DNS_REFUSED, &labels, 0.0);
        }
    }

    /// A question about a backend's addresses ended. `resolver` is an address of the policy's, or
    /// `file` or `http`.
    pub fn question(&self, pool: &str, backend: &str, resolver: &str, result: LookupResult) {
        let labels = [pool, backend, resolver, result.as_str()];
        self.lock()
            .numbers
            .add(&family::DNS_QUESTIONS, &labels, 1.0);
    }

    /// So many addresses of an answer were refused.
    pub fn refused_addresses(&self, pool: &str, backend: &str, reason: AddressRefusal, n: usize) {
        let labels = [pool, backend, reason.as_str()];
        let numbers = &mut self.lock().numbers;
        numbers.add(&family::DNS_REFUSED, &labels, n as f64);
    }

    /// How many addresses a backend has.
    pub fn set_addresses(&self, pool: &str, backend: &str, counts: AddressCounts) {
        let numbers = &mut self.lock().numbers;
        let states = [
            ("listed", counts.listed),
            ("retained", counts.retained),
            ("literal", counts.literal),
        ];
        for (state, count) in states {
            numbers.set(
                &family::DNS_ADDRESSES,
                &[pool, backend, state],
                count as f64,
            );
        }
    }

    /// A backend has no names any more: nothing of its addresses is shown. What was counted stays.
    pub fn forget_names(&self, pool: &str, backend: &str) {
        self.lock()
            .numbers
            .remove(&family::DNS_ADDRESSES, &[pool, backend]);
    }
}
