//! Dense integer ids. They index vectors, cost nothing to compare and make recorded runs small.
//!
//! `ProviderId`, `SiteId`, `PoolId`, `BackendId` and `RouteId` are positions in the policy that
//! assigned them and mean nothing under another policy. An `EndpointId` is never given twice in one
//! process, so a late observation can never be charged to the wrong address.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The position that this id stands for.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl From<usize> for $name {
            fn from(index: usize) -> Self {
                Self(u32::try_from(index).unwrap_or(u32::MAX))
            }
        }
    )*};
}

ids! {
    /// Position of a provider in [`crate::Policy::providers`].
    ProviderId;
    /// Position of a site in [`crate::Policy::sites`].
    SiteId;
    /// Position of a pool in [`crate::Policy::pools`].
    PoolId;
    /// Position of a backend in [`crate::Policy::backends`].
    BackendId;
    /// Position of a route in the compiled policy.
    RouteId;
    /// One address of one backend. Never reused within a process.
    EndpointId;
}
