use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use tokio::io::AsyncReadExt;

fn names(of: &[&str]) -> Names {
    let mut names = Names::default();
    of.iter().for_each(|name| names.push(name.as_bytes()));
    names
}

fn written_back(of: &[&str], head: &str) -> String {
    let mut bytes = head.as_bytes().to_vec();
    names(of).write_back(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn names_are_written_as_they_came_and_nothing_else_is() {
    assert_eq!(
        written_back(
            &["hOsT", "X-A", "X-B", "x-A"],
            "GET /host: HTTP/1.1\r\nhost: x-a: b\r\nx-a: 1\r\nx-a: 2\r\nx-b: host\r\nvia: 1\r\n\r\nx-a: body\r\n"
        ),
        "GET /host: HTTP/1.1\r\nhOsT: x-a: b\r\nX-A: 1\r\nx-A: 2\r\nX-B: host\r\nvia: 1\r\n\r\nx-a: body\r\n"
    );
}

#[test]
fn an_interim_answer_keeps_its_own() {
    assert_eq!(
        written_back(
            &["X-A"],
            "HTTP/1.1 100 Continue\r\nx-a: 0\r\n\r\nHTTP/1.1 200 OK\r\nx-a: 1\r\n\r\n"
        ),
        "HTTP/1.1 100 Continue\r\nx-a: 0\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"
    );
    let switched = written_back(&["Upgrade"], "HTTP/1.1 101 S\r\nupgrade: w\r\n\r\n");
    assert_eq!(switched, "HTTP/1.1 101 S\r\nUpgrade: w\r\n\r\n");
}

#[test]
fn lower_case_and_far_too_many_names_are_left_out() {
    assert!(!names(&["host", "x-a"]).matter());
    assert!(names(&["host", "x-A"]).matter());
    let many = vec!["X"; 257];
    assert!(!names(&many).matter());
}

/// Gives a chunk a read.
struct Chunks(VecDeque<Vec<u8>>);

impl AsyncRead for Chunks {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(chunk) = this.0.front_mut() {
            let now: Vec<u8> = chunk.drain(..chunk.len().min(buf.remaining())).collect();
            buf.put_slice(&now);
            if chunk.is_empty() {
                this.0.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes as many bytes of each write as it is told, and none where that is 0.
struct Stingy {
    takes: VecDeque<usize>,
    got: Vec<u8>,
}

impl AsyncWrite for Stingy {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let takes = this.takes.pop_front().unwrap_or(usize::MAX);
        if takes == 0 {
            return Poll::Pending;
        }
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.to_vec()).collect();
        let taken = takes.min(all.len());
        this.got.extend_from_slice(&all[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Writes messages as hyper does: what was not taken is offered again, with the body behind it.
fn write_all(messages: &[(Option<Names>, &str, &str)], takes: &[usize]) -> String {
    let mut io = Stingy {
        takes: takes.iter().copied().collect(),
        got: Vec::new(),
    };
    let (mut writer, casing) = (HeadWriter::default(), Casing::default());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for (names, head, body) in messages {
        casing.give(names.clone().map(Rc::new));
        let (mut head, mut body) = (head.as_bytes(), body.as_bytes());
        while !head.is_empty() || !body.is_empty() {
            let bufs = [IoSlice::new(head), IoSlice::new(body)];
            let bufs = if head.is_empty() {
                &bufs[1..]
            } else {
                &bufs[..]
            };
            if let Poll::Ready(taken) = writer.poll_write(&mut io, &mut cx, bufs, &casing) {
                let taken = taken.unwrap();
                let of_head = taken.min(head.len());
                head = &head[of_head..];
                body = &body[taken - of_head..];
            }
        }
    }
    String::from_utf8(io.got).unwrap()
}

proptest! {
    /// However little of it a write takes, the bytes go out once and in order.
    #[test]
    fn a_head_goes_out_whole_however_little_is_taken(
        takes in prop::collection::vec(0..40_usize, 0..60),
    ) {
        let head = "POST / HTTP/1.1\r\nhost: h\r\nx-api-key: k\r\n\r\n";
        let given = || Some(names(&["Host", "X-API-KEY"]));
        let out = write_all(&[(given(), head, "x-api-key: body"), (given(), head, "")], &takes);
        let meant = "POST / HTTP/1.1\r\nHost: h\r\nX-API-KEY: k\r\n\r\n";
        prop_assert_eq!(out, format!("{meant}x-api-key: body{meant}"));
    }

    /// However the bytes come, the names are those of the answer.
    #[test]
    fn the_names_of_an_answer_are_noted_however_its_bytes_come(cuts in prop::collection::vec(1..30_usize, 0..40)) {
        let answer = "HTTP/1.1 103 Early\r\nLINK: x\r\n\r\nHTTP/1.1 200 OK\r\nX-One: 1\r\ntwo: 2\r\n\r\nNot-A-Name: 1\r\n\r\n";
        let mut left = answer.as_bytes();
        let mut chunks = VecDeque::new();
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (now, later) = left.split_at(cut.min(left.len()));
            chunks.push_back(now.to_vec());
            left = later;
        }
        chunks.retain(|chunk| !chunk.is_empty());
        let (mut cased, casing) = Cased::new(Chunks(chunks));
        casing.expect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut got = String::new();
        runtime.block_on(cased.read_to_string(&mut got)).unwrap();
        prop_assert_eq!(got, answer);
        let taken = casing.take();
        prop_assert_eq!(taken.as_deref(), Some(&names(&["X-One", "two"])));
        prop_assert!(cased.partial.is_empty());
    }
}

#[test]
fn one_answer_after_another_is_told_apart() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let answers = [
        (
            "HTTP/1.1 200 OK\r\nX-A: 1\r\nB: 2\r\n\r\nbody",
            Some(["X-A", "B"]),
        ),
        (
            "HTTP/1.1 200 OK\r\nX-A: 2\r\nB: 3\r\n\r\n",
            Some(["X-A", "B"]),
        ),
        ("HTTP/1.1 204 No\r\n\r\nX-A: 1\r\n\r\n", None),
        (
            "HTTP/1.1 200 OK\r\nX-A: 1\r\nC: 2\r\n\r\n",
            Some(["X-A", "C"]),
        ),
        ("HTTP/1.1 200 OK\r\nx-a: 1\r\nc: 2\r\n\r\n", None),
    ];
    let chunks = answers.iter().map(|(text, _)| text.as_bytes().to_vec());
    let (mut cased, casing) = Cased::new(Chunks(chunks.collect()));
    for (text, meant) in answers {
        casing.expect();
        let mut got = vec![0; text.len()];
        runtime.block_on(cased.read_exact(&mut got)).unwrap();
        let taken = casing.take();
        assert_eq!(
            taken.as_deref(),
            meant.map(|meant| names(&meant)).as_ref(),
            "{text}"
        );
    }
}

#[test]
fn names_are_not_given_to_what_hyper_still_holds() {
    let casing = Casing::default();
    casing.behind.set(true);
    casing.give(Some(Rc::new(names(&["X-A"]))));
    assert!(casing.give.take().is_none());
}
