//! Each kind of answer that cannot be used, at each moment: at a cold start, running, after a restart.

use super::restart::Restart;
use super::{
    QUESTIONS, assert_served_by, endpoints, family, policy, wait_for, wait_for_result,
    wait_until_served_by,
};
use crate::support::dns::{Dns, Say};
use crate::support::proxy::Proxy;
use crate::support::temp::TempDir;
use std::net::IpAddr;

/// A bad answer while all is well: it is counted, and nothing else happens.
async fn a_bad_answer_while_running(say: Say, result: &str) {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    let proxy = Proxy::start(&policy(&backends, &[&server], "").text()).await;
    wait_for(&proxy, "127.0.0.1", true, "healthy").await;
    server.says("api.test", say);
    wait_for_result(&proxy, result).await;
    assert_served_by(&proxy, "127.0.0.1").await;
    wait_for_result(&proxy, result).await;
    let known = endpoints(&proxy).await;
    assert_eq!(
        known,
        [("127.0.0.1".to_owned(), true, "healthy".to_owned())]
    );
    assert!(proxy.client().await.order("/order", "o").await.is_ok());
}

/// A bad answer from the start: requests are answered truly, and the first good one is used.
async fn a_bad_answer_at_a_cold_start(say: Say, result: &str) {
    let (backends, server) = (family(1), Dns::start());
    server.says("api.test", say);
    let text = policy(&backends, &[&server], "").text();
    let proxy = Proxy::launch(TempDir::new(), &text, &[]).await;
    proxy
        .wait_for_metric(QUESTIONS, &[("result", result)], 1.0)
        .await;
    let answer = proxy.client().await.order("/order", "o").await;
    assert_eq!((answer.status(), answer.outcome()), (503, Some("not-sent")));
    server.says("api.test", Say::addresses(&["127.0.0.1"]));
    wait_until_served_by(&proxy, "127.0.0.1").await;
}

/// A bad answer from the moment of a restart on: what was known before serves at once, and goes on.
async fn a_bad_answer_after_a_restart(say: Say, result: &str) {
    let mut restart = Restart::after(1, &["127.0.0.1"], &[]).await;
    restart.start(say).await;
    let proxy = &restart.proxy;
    assert_served_by(proxy, "127.0.0.1").await;
    assert!(proxy.client().await.order("/order", "o").await.is_ok());
    wait_for_result(proxy, result).await;
    wait_for_result(proxy, result).await;
    wait_for(proxy, "127.0.0.1", true, "healthy").await;
    assert_eq!(endpoints(proxy).await.len(), 1);
    assert_served_by(proxy, "127.0.0.1").await;
    // And a good answer is taken as ever.
    restart
        .server
        .says("api.test", Say::addresses(&["127.0.0.1", "127.0.0.5"]));
    wait_for(proxy, "127.0.0.5", true, "down").await;
    assert_served_by(proxy, "127.0.0.1").await;
}

/// A test for each kind of answer: running, at a cold start and after a restart.
macro_rules! bad_answers {
    ($($running:ident, $cold:ident, $restart:ident: $say:expr, $result:literal;)*) => {
        $(
            #[tokio::test]
            async fn $running() {
                a_bad_answer_while_running($say, $result).await;
            }

            #[tokio::test]
            async fn $cold() {
                a_bad_answer_at_a_cold_start($say, $result).await;
            }

            #[tokio::test]
            async fn $restart() {
                a_bad_answer_after_a_restart($say, $result).await;
            }
        )*
    };
}

fn there() -> Vec<IpAddr> {
    vec!["127.0.0.9".parse().unwrap()]
}

bad_answers! {
    nxdomain_takes_nothing_away,
    nxdomain_at_a_cold_start_is_overcome,
    nxdomain_after_a_restart_takes_nothing_away:
        Say::NxDomain, "nxdomain";
    servfail_takes_nothing_away,
    servfail_at_a_cold_start_is_overcome,
    servfail_after_a_restart_takes_nothing_away:
        Say::ServFail, "servfail";
    a_resolver_that_refuses_takes_nothing_away,
    a_resolver_that_refuses_at_a_cold_start_is_overcome,
    a_resolver_that_refuses_after_a_restart_takes_nothing_away:
        Say::Refused, "servfail";
    a_timeout_takes_nothing_away,
    a_timeout_at_a_cold_start_is_overcome,
    a_timeout_after_a_restart_takes_nothing_away:
        Say::Silence, "timeout";
    an_empty_answer_takes_nothing_away,
    an_empty_answer_at_a_cold_start_is_overcome,
    an_empty_answer_after_a_restart_takes_nothing_away:
        Say::Nothing, "empty";
    an_answer_without_addresses_takes_nothing_away,
    an_answer_without_addresses_at_a_cold_start_is_overcome,
    an_answer_without_addresses_after_a_restart_takes_nothing_away:
        Say::addresses(&[]), "empty";
    a_truncated_answer_takes_nothing_away,
    a_truncated_answer_at_a_cold_start_is_overcome,
    a_truncated_answer_after_a_restart_takes_nothing_away:
        Say::CutAlways(there()), "truncated";
    a_cname_loop_takes_nothing_away,
    a_cname_loop_at_a_cold_start_is_overcome,
    a_cname_loop_after_a_restart_takes_nothing_away:
        Say::Alias("api.test".to_owned()), "cname_loop";
    an_answer_for_another_name_takes_nothing_away,
    an_answer_for_another_name_at_a_cold_start_is_overcome,
    an_answer_for_another_name_after_a_restart_takes_nothing_away:
        Say::OtherName(there()), "other_name";
    an_answer_to_another_question_takes_nothing_away,
    an_answer_to_another_question_at_a_cold_start_is_overcome,
    an_answer_to_another_question_after_a_restart_takes_nothing_away:
        Say::OtherQuestion(there()), "timeout";
    an_unreadable_answer_takes_nothing_away,
    an_unreadable_answer_at_a_cold_start_is_overcome,
    an_unreadable_answer_after_a_restart_takes_nothing_away:
        Say::Garbage, "malformed";
}
