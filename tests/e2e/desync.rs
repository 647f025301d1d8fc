//! What one exchange leaves behind must never reach the next one, on either side.

use crate::support::backend::{Act, Backend, DieBy, Step};
use crate::support::policy::Policy;
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, eventually};
use crate::support::wire::pattern;

async fn one() -> (Backend, Proxy) {
    let backend = Backend::start("aws");
    let proxy = Proxy::start(&Policy::of(&[("aws/one", &backend)]).text()).await;
    (backend, proxy)
}

/// The backend answers and keeps the connection while half of the body is still to come.
#[tokio::test]
async fn an_early_answer_on_a_kept_connection_does_not_shift_the_next_one() {
    let (backend, proxy) = one().await;
    let early = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly";
    for round in 0..5 {
        backend.act_once(Act::Early(vec![Step::send(early)]));
        let mut client = proxy.client().await;
        client
            .send("PUT /read/up HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n")
            .await;
        client.send(pattern(100_000)).await;
        assert_eq!(client.answer("PUT").await.text(), "early");
        client.try_send(pattern(100_000)).await;
        client
            .try_send("GET /read/bytes/7 HTTP/1.1\r\nHost: h\r\n\r\n")
            .await;
        if let Some(next) = client.try_answer("GET").await {
            assert_eq!(next.body.bytes, pattern(7), "round {round}");
        }
        assert_eq!(
            proxy.get("/read/bytes/9").await.body.bytes,
            pattern(9),
            "round {round}"
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_midway_through_an_answer_shifts_nobody_elses() {
    let (backend, proxy) = one().await;
    for round in 0..10 {
        let mut client = proxy.client().await;
        client
            .send("GET /read/stream/400 HTTP/1.1\r\nHost: h\r\n\r\n")
            .await;
        assert_eq!(client.head().await.expect("a head").status(), 200);
        if round % 2 == 0 {
            client.reset()
        } else {
            drop(client)
        }
        assert_eq!(
            proxy.get("/read/bytes/9").await.body.bytes,
            pattern(9),
            "round {round}"
        );
    }
    assert!(
        backend.connections() >= 10,
        "a connection with half an answer is not used again"
    );
}

#[tokio::test]
async fn an_answer_to_a_request_that_timed_out_never_reaches_the_next_one() {
    let backend = Backend::start("aws");
    let routes = "[ { match: {}, class: public_read, pool: main, deadline: 300ms } ]";
    let policy = Policy::of(&[("aws/one", &backend)])
        .routes(routes)
        .pool("retry: { attempts: 1 }");
    let proxy = Proxy::start(&policy.text()).await;
    let late = Step::send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
    backend.act_once(Act::Script(vec![Step::Hold, late]));
    let mut client = proxy.client().await;
    assert_eq!(client.get("/slow").await.status(), 504);
    backend.release();
    for _ in 0..5 {
        assert_eq!(client.get("/x").await.text(), "aws\n");
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_bounded() {
    let (backend, proxy) = one().await;
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(5_000);
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    backend.act_once(Act::say_and_close(&format!("{endless}{last}")));
    let answer = proxy.get("/read/x").await;
    assert!([200, 502].contains(&answer.status()), "{}", answer.status());
    assert_eq!(proxy.get("/read/bytes/9").await.body.bytes, pattern(9));
}

#[tokio::test]
async fn a_refused_expectation_is_relayed_without_the_body() {
    let (backend, proxy) = one().await;
    let refusal = "HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    backend.act(Act::Early(vec![Step::send(refusal), Step::End(DieBy::Fin)]));
    let mut client = proxy.client().await;
    client
        .send(
            "PUT /read/up HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        )
        .await;
    let answer = client.answer("PUT").await;
    assert_eq!(answer.status(), 401, "{}", answer.text());
}

#[tokio::test]
async fn a_star_target_passes_as_it_is() {
    let (backend, proxy) = one().await;
    let answer = proxy
        .client()
        .await
        .ask("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    assert!(answer.is_ok(), "{}", answer.text());
    assert_eq!(backend.last().head.target(), b"*");
}

#[tokio::test]
async fn trailers_cannot_carry_what_a_head_may_not() {
    let (backend, proxy) = one().await;
    let trailers = "leeward-outcome: not-sent\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: x\r\nX-Good: 1\r\n";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n{trailers}\r\n"
    );
    backend.act_once(Act::say(&answer));
    let request = "GET /read/x HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n";
    let mut client = proxy.client().await;
    client.send(request).await;
    let Some(answer) = client.try_answer("GET").await else {
        return;
    };
    let bad = |name: &str| {
        [
            "leeward-outcome",
            "content-length",
            "transfer-encoding",
            "host",
        ]
        .contains(&name)
    };
    let spoofed = answer
        .body
        .trailers
        .iter()
        .find(|(name, _)| bad(&name.to_lowercase()));
    assert_eq!(spoofed, None);
    eventually("leeward lives", SOON, async || {
        proxy.get("/read/x").await.is_ok().then_some(())
    })
    .await;
}
