//! The sweep finds what it is there to find: each bug, switched on alone, within a few seeds.

use leeward_failover::bugs::{Bug, inject};
use leeward_simulate::sweep::{Bad, sweep};

/// Seeds that a bug has to be found in.
const SEEDS: u64 = 48;

/// Plays seeds with a bug switched on until one is bad; says which and what was found.
fn found(bug: Bug) -> Option<Bad> {
    inject(Some(bug));
    let bad = sweep(0..SEEDS, 1).into_iter().next();
    inject(None);
    bad
}

macro_rules! bugs {
    ($($name:ident: $bug:ident, $($word:literal)|+;)*) => {$(
        #[test]
        fn $name() {
            let bad = found(Bug::$bug).expect("the sweep finds nothing");
            eprintln!("{bad}");
            let about = bad.found.iter().any(|found| $(found.contains($word))||+);
            assert!(about, "found something else than {}: {bad}", concat!($($word, " "),+));
        }
    )*};
}

bugs! {
    an_order_that_was_sent_is_sent_again: OrderSentAgain, "P1";
    orders_go_where_reads_go: WriterIgnored, "P1";
    a_hold_down_is_over_as_soon_as_it_begins: NoHoldDown, "P7";
    a_hold_down_never_grows: HoldDownNeverGrows, "P7";
    a_place_that_returns_gets_all_its_load_at_once: NoRamp, "P7" | "of at most";
    nothing_is_chosen_while_everything_looks_bad: NothingInPanic, "P4";
    a_reload_forgets_that_an_endpoint_was_down: ReloadHeals, "P5" | "P10";
    a_name_that_says_nothing_empties_its_backend: EmptyNameEmpties, "P6";
    retries_have_no_budget: NoRetryBudget, "P8";
    a_provider_is_never_left_for_its_sites: ProviderNeverLeft, "detection";
    standbys_get_their_warmth_ten_times_over: TooWarm, "P7";
    one_clients_failures_alone_shut_an_order_path: OneClientMovesOrders, "one client alone" | "for no reason";
    orders_trickle_home_while_the_way_is_proved: OrdersTrickleHome, "is the writer";
    time_alone_opens_an_order_path: TimeProvesOrders, "orders: the path" | "P7";
    a_detour_counts_as_a_move_of_the_writer: DetourMovesWriter, "makes a detour" | "P1";
}
