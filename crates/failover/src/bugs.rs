//! Bugs that the simulator has to find, one at a time.
//!
//! Only builds with the feature `injected-bugs` can switch one on; in all others
//! the switch is the constant `false`, and what it guards is compiled away. A release build
//! with the feature does not compile.

#[cfg(all(feature = "injected-bugs", not(debug_assertions)))]
compile_error!("injected-bugs is for tests: it must not be in a build that ships");

/// A bug, named after what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An order that was sent is sent again.
    OrderSentAgain,
    /// Orders go where reads go.
    WriterIgnored,
    /// A hold-down is over as soon as it begins.
    NoHoldDown,
    /// A hold-down never grows.
    HoldDownNeverGrows,
    /// A place that returns gets all its load at once.
    NoRamp,
    /// Nothing is chosen while everything looks bad.
    NothingInPanic,
    /// A reload forgets that an endpoint was down.
    ReloadHeals,
    /// A name that says nothing empties its backend.
    EmptyNameEmpties,
    /// Retries have no budget.
    NoRetryBudget,
    /// A provider is never left for its sites.
    ProviderNeverLeft,
    /// Standbys get their warmth ten times over.
    TooWarm,
    /// One client's failures alone shut an order path.
    OneClientMovesOrders,
    /// Orders trickle home while its order path is on trial: two providers write.
    OrdersTrickleHome,
    /// Time alone opens an order path that was shut.
    TimeProvesOrders,
    /// A detour of the orders counts as a move of their writer.
    DetourMovesWriter,
    /// Orders that fail in part shut no order path.
    PartialFailuresIgnored,
    /// Where there is no room, orders are turned away before public reads.
    ReadsBeforeOrders,
}

#[cfg(feature = "injected-bugs")]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static INJECTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Switches a bug on in this thread, or all of them off.
    pub fn inject(bug: Option<Bug>) {
        INJECTED.set(bug);
    }

    pub(crate) fn is_injected(bug: Bug) -> bool {
        INJECTED.get() == Some(bug)
    }
}

#[cfg(feature = "injected-bugs")]
pub use switch::inject;
#[cfg(feature = "injected-bugs")]
pub(crate) use switch::is_injected;

#[cfg(not(feature = "injected-bugs"))]
#[inline(always)]
pub(crate) const fn is_injected(_: Bug) -> bool {
    false
}
