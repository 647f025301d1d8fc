//! What a well backend answers, by words of the path, wherever in the path they stand:
//!
//! - `/bytes/N`: N bytes with their length; `/chunked/N`: N bytes in chunks with a trailer;
//! - `/stream/N`: N chunks of 64 KiB; `/status/N`: that status;
//! - `/echo`: the body, framed as it came, with its trailers;
//! - anything else: the backend's name.
//!
//! A request with `X-Signature` that does not verify gets a 401.

use super::Shared;
use super::log::Seen;
use crate::support::sign;
use crate::support::wire::{Wire, pattern};
use std::io;

/// Answers a whole request.
pub(super) async fn answer(wire: &mut Wire, shared: &Shared, seen: &Seen) -> io::Result<()> {
    tokio::time::sleep(shared.think).await;
    if !sign::verifies(&seen.head, &seen.body.bytes) {
        return with_body(wire, shared, seen, "401 Unauthorized", b"bad signature\n").await;
    }
    let target = String::from_utf8_lossy(seen.head.target()).into_owned();
    let path = target.split('?').next().unwrap_or_default();
    let mut words = path.split('/');
    while let Some(word) = words.next() {
        let number = || {
            words
                .clone()
                .next()
                .and_then(|n| n.parse::<usize>().ok())
                .unwrap_or(0)
        };
        match word {
            "bytes" => return with_body(wire, shared, seen, "200 OK", &pattern(number())).await,
            "chunked" => {
                return chunked(wire, shared, &pattern(number()), &[("X-Sum", "31")]).await;
            }
            "stream" => return stream(wire, shared, number()).await,
            "status" => return status(wire, shared, u16::try_from(number()).unwrap_or(0)).await,
            "echo" => return echo(wire, shared, seen).await,
            _ => {}
        }
    }
    with_body(
        wire,
        shared,
        seen,
        "200 OK",
        format!("{}\n", shared.name).as_bytes(),
    )
    .await
}

/// Answers with a status, and with a short text where the status may have one.
pub(super) async fn status(wire: &mut Wire, shared: &Shared, status: u16) -> io::Result<()> {
    let bare = status == 204 || status == 304;
    let text = if bare { "" } else { "as asked\n" };
    let length = if bare {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", text.len())
    };
    let head = format!(
        "HTTP/1.1 {status} As Asked\r\nX-Backend: {}\r\n{length}\r\n{text}",
        shared.name
    );
    wire.send(head.as_bytes()).await
}

async fn with_body(
    wire: &mut Wire,
    shared: &Shared,
    seen: &Seen,
    status: &str,
    body: &[u8],
) -> io::Result<()> {
    let (name, length) = (&shared.name, body.len());
    let head = format!(
        "HTTP/1.1 {status}\r\nX-Backend: {name}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut whole = head.into_bytes();
    if seen.head.method() != "HEAD" {
        whole.extend_from_slice(body);
    }
    wire.send(&whole).await
}

async fn chunked(
    wire: &mut Wire,
    shared: &Shared,
    body: &[u8],
    trailers: &[(&str, &str)],
) -> io::Result<()> {
    let names: Vec<&str> = trailers.iter().map(|(name, _)| *name).collect();
    let announced = if names.is_empty() {
        String::new()
    } else {
        format!("Trailer: {}\r\n", names.join(", "))
    };
    let name = &shared.name;
    let head = format!(
        "HTTP/1.1 200 OK\r\nX-Backend: {name}\r\n{announced}Transfer-Encoding: chunked\r\n\r\n"
    );
    wire.send(head.as_bytes()).await?;
    for chunk in body.chunks(60_000) {
        send_chunk(wire, chunk).await?;
    }
    let fields: String = trailers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    wire.send(format!("0\r\n{fields}\r\n").as_bytes()).await
}

async fn stream(wire: &mut Wire, shared: &Shared, chunks: usize) -> io::Result<()> {
    wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await?;
    let chunk = pattern(64 * 1024);
    for _ in 0..chunks {
        send_chunk(wire, &chunk).await?;
        shared.log.lock().unwrap().streamed += chunk.len() as u64;
    }
    wire.send(b"0\r\n\r\n").await
}

async fn send_chunk(wire: &mut Wire, chunk: &[u8]) -> io::Result<()> {
    let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
    framed.extend_from_slice(chunk);
    framed.extend_from_slice(b"\r\n");
    wire.send(&framed).await
}

async fn echo(wire: &mut Wire, shared: &Shared, seen: &Seen) -> io::Result<()> {
    if seen.head.get("transfer-encoding").is_none() {
        return with_body(wire, shared, seen, "200 OK", &seen.body.bytes).await;
    }
    let trailers: Vec<(&str, &str)> = seen
        .body
        .trailers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    chunked(wire, shared, &seen.body.bytes, &trailers).await
}
