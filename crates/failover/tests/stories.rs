//! Scripted stories: what happens to a fleet, and what the engine makes of it.
//!
//! A story is `stories/NAME.txt`; what it should come to is `stories/NAME.out`. After a change of
//! behaviour, `LEEWARD_BLESS=1 cargo test -p leeward-failover --test stories` writes the new
//! transcripts: read them as a diff before committing them. The language is in `story/script.rs`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod story;

use std::fmt::Write;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/stories")
}

fn tell(name: &str) {
    let script = std::fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap();
    let told = story::tell(&script).unwrap_or_else(|problem| panic!("{name}.txt: {problem}"));
    let golden = folder().join(format!("{name}.out"));
    if std::env::var_os("LEEWARD_BLESS").is_some() {
        std::fs::write(golden, told).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    if told != expected {
        let mut report = String::new();
        let lines = told
            .lines()
            .zip(expected.lines().chain(std::iter::repeat("")));
        for (number, (is, was)) in lines.enumerate().filter(|(_, (is, was))| is != was).take(5) {
            writeln!(report, "line {}\n  was {was}\n  is  {is}", number + 1).unwrap();
        }
        panic!("{name} ends differently; LEEWARD_BLESS=1 accepts it\n{report}");
    }
}

macro_rules! stories {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            tell(stringify!($name));
        })*

        #[test]
        fn every_story_is_told() {
            let mut found: Vec<String> = std::fs::read_dir(folder())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|ext| ext == "txt"))
                .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            found.sort_unstable();
            let mut told = vec![$(stringify!($name).to_owned()),*];
            told.sort_unstable();
            assert_eq!(found, told);
        }
    };
}

stories! {
    a_flapping_site_is_held_down_longer_each_time
    a_site_that_flaps_in_its_hold_down_has_to_be_quiet_first
    a_provider_crashes_and_comes_home
    a_site_whose_endpoints_return_one_after_the_other_is_on_one_ramp
    a_suspended_process_ejects_nobody
    a_sick_endpoint_stays_sick_over_a_reload
    a_storm_of_503_with_green_probes
    all_probes_are_red_while_traffic_is_fine
    an_operator_evacuates_for_a_while
    an_order_writer_comes_home_by_itself
    everything_goes_down_and_comes_back
    one_of_two_endpoints_goes_down
    the_last_capacity_is_never_evacuated
    two_sites_of_a_provider_take_the_third_along
    new_addresses_are_probed_first
    an_address_that_is_no_longer_listed_stands_in
    a_name_that_lies_does_not_get_its_site_evacuated
    names_that_are_silent_for_too_long_go_but_never_the_last
    gray_failure_lowers_the_weight
    home_is_dead_at_the_start
    a_decentralized_site_drains_for_good
    a_name_that_resolves_late_keeps_its_writer
    a_restart_in_the_middle_of_an_outage
    a_restart_keeps_what_an_operator_said
    a_pause_makes_a_detour_and_no_evacuation
    a_hang_is_evacuated_once_a_probe_confirms_it
    a_blackhole_is_evacuated_for_its_dead_paths
    slow_answers_with_green_probes
    orders_fail_and_an_operator_moves_the_writer
    orders_fail_at_one_of_two_endpoints
    orders_fail_everywhere
    orders_fail_while_reads_succeed
    orders_hang_at_a_quiet_standby
    orders_hang_while_reads_are_answered
    some_orders_fail_while_reads_succeed
    orders_make_a_detour_where_they_are_fenced
    orders_of_one_client_fail
    orders_pause_and_come_back
    a_detour_is_no_way_out_when_all_is_silent
    server_errors_of_the_application_move_nothing
    a_full_backend_is_not_a_sick_one
    a_probe_that_asserts_sees_old_data
    a_provider_is_suspect_while_one_of_its_three_sites_is_down
    a_little_traffic_that_fails_is_seen_in_the_end
    a_reused_connection_that_was_closed_is_nobodys_failure
    the_writer_comes_home_after_orders_failed
    tls_handshakes_fail_at_home
    an_expired_certificate_hides_behind_connections_that_stand
    bodies_are_cut_in_the_middle
    callers_are_refused_and_nothing_moves
    a_link_is_cut_for_43_seconds
    a_standby_dies_unseen_by_requests
}
