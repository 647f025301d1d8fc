//! The PROXY header (versions 1 and 2) at the beginning of a connection of a named peer.
//!
//! Owns how much is read: exactly the header, never a byte behind it, so that TLS or HTTP starts on
//! a socket as fresh as any other. What the bytes mean is `ppp`'s. Refuses what is missing, broken
//! or too long. Called by `listener` before anything else is read; the time limit is there.
//!
//! Source: "The PROXY protocol", versions 1 and 2, of the HAProxy project.

use leeward_metrics::ProxyHeader;
use ppp::{v1, v2};
use std::io;
use std::net::SocketAddr;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest header of version 1, its line end included.
const MAX_V1: usize = 107;
/// The shortest header of version 1: `PROXY UNKNOWN` and its line end. The fixed part of version 2
/// is longer, so this many bytes can be read before it is known which of the two it is.
const MIN_V1: usize = 15;
/// The fixed part of version 2.
const FIXED_V2: usize = 16;
/// The longest header of version 2 that is taken, extensions included.
const MAX_V2: usize = 4096;
/// Where version 2 has its version and its command.
const COMMAND: usize = 12;
/// Version 2, `LOCAL`: whatever follows says nothing of a client.
const LOCAL: u8 = 0x20;

/// What a header said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// The client's address; `None` when the peer spoke for itself.
    pub(crate) client: Option<SocketAddr>,
    /// In which version.
    pub(crate) how: ProxyHeader,
}

/// Why there is no header.
#[derive(Debug)]
pub(crate) enum NoHeader {
    /// The connection ended or broke before the end of the header.
    Cut,
    /// The first bytes are not those of a header.
    Missing,
    /// It is longer than it may be.
    TooLong,
    /// It begins like one and is none.
    Malformed,
}

impl NoHeader {
    /// In words, for the log.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            NoHeader::Cut => "the connection ended within its PROXY header",
            NoHeader::Missing => "no PROXY header",
            NoHeader::TooLong => "the PROXY header is too long",
            NoHeader::Malformed => "the PROXY header is malformed",
        }
    }
}

impl From<io::Error> for NoHeader {
    fn from(_: io::Error) -> Self {
        NoHeader::Cut
    }
}

/// Reads the header off `stream`, and nothing behind it. Waits as long as the peer does.
pub(crate) async fn read(stream: &mut TcpStream) -> Result<Said, NoHeader> {
    let mut header = Vec::with_capacity(MAX_V1);
    while header.len() < MIN_V1 {
        let room = MIN_V1 - header.len();
        let mut rest = [0; MIN_V1];
        let len = stream.read(&mut rest[..room]).await?;
        if len == 0 {
            return Err(NoHeader::Cut);
        }
        header.extend_from_slice(&rest[..len]);
        if !may_begin(&header) {
            return Err(NoHeader::Missing);
        }
    }
    if header.starts_with(v2::PROTOCOL_PREFIX) {
        read_v2(stream, header).await
    } else {
        read_v1(stream, header).await
    }
}

/// Whether a header can begin so.
fn may_begin(bytes: &[u8]) -> bool {
    [b"PROXY ".as_slice(), v2::PROTOCOL_PREFIX]
        .iter()
        .any(|prefix| {
            let len = prefix.len().min(bytes.len());
            bytes[..len] == prefix[..len]
        })
}

async fn read_v2(stream: &mut TcpStream, mut header: Vec<u8>) -> Result<Said, NoHeader> {
    let fixed = header.len();
    header.resize(FIXED_V2, 0);
    stream.read_exact(&mut header[fixed..]).await?;
    let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if FIXED_V2 + rest > MAX_V2 {
        return Err(NoHeader::TooLong);
    }
    header.resize(FIXED_V2 + rest, 0);
    stream.read_exact(&mut header[FIXED_V2..]).await?;
    parse_v2(&header)
}

fn parse_v2(header: &[u8]) -> Result<Said, NoHeader> {
    let own = Said {
        client: None,
        how: ProxyHeader::Own,
    };
    if header.get(COMMAND) == Some(&LOCAL) {
        return Ok(own);
    }
    let parsed = v2::Header::try_from(header).map_err(|_| NoHeader::Malformed)?;
    if parsed.protocol != v2::Protocol::Stream {
        return Ok(own);
    }
    let client: SocketAddr = match parsed.addresses {
        v2::Addresses::IPv4(ip) => (ip.source_address, ip.source_port).into(),
        v2::Addresses::IPv6(ip) => (ip.source_address, ip.source_port).into(),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => return Ok(own),
    };
    Ok(Said {
        client: Some(client),
        how: ProxyHeader::V2,
    })
}

/// Looks at what has come before it takes it, so that it takes no more than the line.
async fn read_v1(stream: &mut TcpStream, mut header: Vec<u8>) -> Result<Said, NoHeader> {
    while !header.ends_with(b"\n") {
        let room = MAX_V1 - header.len();
        if room == 0 {
            return Err(NoHeader::TooLong);
        }
        let mut seen = [0; MAX_V1];
        let len = stream.peek(&mut seen[..room]).await?;
        if len == 0 {
            return Err(NoHeader::Cut);
        }
        // What has come without an end of line belongs to the line, so taking it is no mistake,
        // and the next look waits for more.
        let line = memchr::memchr(b'\n', &seen[..len]).map_or(len, |end| end + 1);
        stream.read_exact(&mut seen[..line]).await?;
        header.extend_from_slice(&seen[..line]);
    }
    parse_v1(&header)
}

fn parse_v1(header: &[u8]) -> Result<Said, NoHeader> {
    let parsed = v1::Header::try_from(header).map_err(|_| NoHeader::Malformed)?;
    let named = parsed.addresses != v1::Addresses::Unknown;
    if parsed.header.len() != header.len() || (named && header.contains(&b'+')) {
        // A carriage return within the line, or a port with a sign, which numbers in Rust may have.
        return Err(NoHeader::Malformed);
    }
    let client: SocketAddr = match parsed.addresses {
        v1::Addresses::Tcp4(ip) => (ip.source_address, ip.source_port).into(),
        v1::Addresses::Tcp6(ip) => (ip.source_address, ip.source_port).into(),
        v1::Addresses::Unknown => {
            return Ok(Said {
                client: None,
                how: ProxyHeader::Own,
            });
        }
    };
    Ok(Said {
        client: Some(client),
        how: ProxyHeader::V1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2 with this command, family, and what follows.
    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [
            v2::PROTOCOL_PREFIX,
            &[command, family],
            length.as_slice(),
            rest,
        ]
        .concat()
    }

    fn client(said: Result<Said, NoHeader>) -> Option<String> {
        said.unwrap().client.map(|client| client.to_string())
    }

    #[test]
    fn version_1_names_the_client_or_nobody() {
        let tcp4 = parse_v1(b"PROXY TCP4 192.0.2.9 198.51.100.1 56324 443\r\n");
        assert_eq!(client(tcp4).as_deref(), Some("192.0.2.9:56324"));
        let tcp6 = parse_v1(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 443\r\n");
        assert_eq!(client(tcp6).as_deref(), Some("[2001:db8::1]:1"));
        assert_eq!(client(parse_v1(b"PROXY UNKNOWN\r\n")), None);
        let long = b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n";
        assert_eq!(client(parse_v1(long)), None);
    }

    #[test]
    fn a_line_of_version_1_that_is_not_exact_is_refused() {
        for bad in [
            "PROXY TCP4 192.0.2.9 198.51.100.1 56324 443\n",
            "PROXY TCP4 192.0.2.9 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.9 198.51.100.1 56324 65536\r\n",
            "PROXY TCP4 192.0.2.9 198.51.100.1 056 443\r\n",
            "PROXY TCP4 192.0.2.999 198.51.100.1 1 2\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP4  192.0.2.9 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.9 198.51.100.1 1 2 \r\n",
            "PROXY TCP4 192.0.2.9\r198.51.100.1 1 2\r\n",
            "PROXY TCP5 192.0.2.9 198.51.100.1 1 2\r\n",
            "PROXY UDP4 192.0.2.9 198.51.100.1 1 2\r\n",
            "PROXY \r\n",
            "PROXY TCP4 192.0.2.9 198.51.100.1 1 +2\r\n",
        ] {
            assert!(parse_v1(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(parse_v1(b"PROXY TCP4 \xff\xfe 198.51.100.1 1 2\r\n").is_err());
    }

    #[test]
    fn version_2_names_the_client_or_nobody() {
        let four = [192, 0, 2, 9, 198, 51, 100, 1, 0xdc, 0x04, 1, 0xbb];
        assert_eq!(
            client(parse_v2(&v2(0x21, 0x11, &four))).as_deref(),
            Some("192.0.2.9:56324")
        );
        let with_extension = [&four[..], &[4, 0, 1, 0]].concat();
        assert!(client(parse_v2(&v2(0x21, 0x11, &with_extension))).is_some());
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        assert_eq!(
            client(parse_v2(&v2(0x21, 0x21, &six))).as_deref(),
            Some("[2001:db8::]:0")
        );
        assert_eq!(client(parse_v2(&v2(0x20, 0x11, &four))), None, "LOCAL");
        assert_eq!(client(parse_v2(&v2(0x20, 0xff, b""))), None, "LOCAL");
        assert_eq!(client(parse_v2(&v2(0x21, 0x00, b""))), None, "unspecified");
        assert_eq!(client(parse_v2(&v2(0x21, 0x12, &four))), None, "datagrams");
        assert_eq!(client(parse_v2(&v2(0x21, 0x31, &[0; 216]))), None, "Unix");
    }

    #[test]
    fn version_2_with_an_unknown_word_or_too_little_behind_it_is_refused() {
        let four = [192, 0, 2, 9, 198, 51, 100, 1, 0, 1, 0, 2];
        for (command, family, rest) in [
            (0x11, 0x11, &four[..]),
            (0x31, 0x11, &four[..]),
            (0x22, 0x11, &four[..]),
            (0x21, 0x41, &four[..]),
            (0x21, 0x13, &four[..]),
            (0x21, 0x11, &four[..11]),
            (0x21, 0x21, &[0; 35]),
            (0x21, 0x31, &[0; 215]),
        ] {
            let header = v2(command, family, rest);
            assert!(parse_v2(&header).is_err(), "{command:x} {family:x}");
        }
    }

    #[test]
    fn what_cannot_become_a_header_is_seen_at_its_first_byte() {
        assert!(may_begin(b"P") && may_begin(b"PROXY TCP4") && may_begin(b"\r\n\r\n"));
        for other in [
            "GET / HTTP/1.1",
            "\x16\x03\x01",
            "PRI * HTTP/2",
            "PROXY\t",
            "\r\nG",
        ] {
            assert!(!may_begin(other.as_bytes()), "{other:?}");
        }
    }
}
