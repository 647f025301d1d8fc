//! The words of label values that say how a client's address became known, and what was wrong with
//! what it said in HTTP/2.

/// What a PROXY header said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProxyHeader {
    /// Version 1 named a client.
    V1,
    /// Version 2 named a client.
    V2,
    /// It named none (`LOCAL`, `UNKNOWN`, a Unix socket): the peer itself is the client.
    Own,
}

impl ProxyHeader {
    /// Every word.
    pub const ALL: [ProxyHeader; 3] = [ProxyHeader::V1, ProxyHeader::V2, ProxyHeader::Own];

    /// The word in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            ProxyHeader::V1 => "v1",
            ProxyHeader::V2 => "v2",
            ProxyHeader::Own => "own",
        }
    }

    /// What it means, in a sentence for the reference.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            ProxyHeader::V1 => "Version 1 named a client.",
            ProxyHeader::V2 => "Version 2 named a client.",
            ProxyHeader::Own => {
                "It named none (`LOCAL`, `UNKNOWN`, a Unix socket): the peer itself is the client."
            }
        }
    }
}

/// A forwarding field that a trusted peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForwardingField {
    /// `X-Forwarded-For`.
    XFor,
    /// `X-Forwarded-Proto`.
    XProto,
    /// `X-Forwarded-Host`.
    XHost,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardingField {
    /// Every field.
    pub const ALL: [ForwardingField; 4] = [
        ForwardingField::XFor,
        ForwardingField::XProto,
        ForwardingField::XHost,
        ForwardingField::Forwarded,
    ];

    /// The word in labels and logs: the field's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            ForwardingField::XFor => "x-forwarded-for",
            ForwardingField::XProto => "x-forwarded-proto",
            ForwardingField::XHost => "x-forwarded-host",
            ForwardingField::Forwarded => "forwarded",
        }
    }
}

/// Why a stream was reset, or a connection ended, that broke a rule or a bound of HTTP/2 itself
/// (RFC 9113 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Http2Error {
    /// A malformed request, or a frame that may not come there.
    Protocol,
    /// More data than the window allows.
    FlowControl,
    /// A frame for a stream that has ended.
    StreamClosed,
    /// A frame of a wrong size.
    FrameSize,
    /// A stream beyond the limit of streams at a time.
    RefusedStream,
    /// Fields that cannot be decompressed.
    Compression,
    /// A flood.
    Calm,
}

impl Http2Error {
    /// Every word.
    pub const ALL: [Http2Error; 7] = [
        Http2Error::Protocol,
        Http2Error::FlowControl,
        Http2Error::StreamClosed,
        Http2Error::FrameSize,
        Http2Error::RefusedStream,
        Http2Error::Compression,
        Http2Error::Calm,
    ];

    /// What an error code of RST_STREAM or GOAWAY says of the one who gets it; `None` where it says
    /// nothing against him.
    pub const fn of_code(code: u32) -> Option<Http2Error> {
        match code {
            0x1 => Some(Http2Error::Protocol),
            0x3 => Some(Http2Error::FlowControl),
            0x5 => Some(Http2Error::StreamClosed),
            0x6 => Some(Http2Error::FrameSize),
            0x7 => Some(Http2Error::RefusedStream),
            0x9 => Some(Http2Error::Compression),
            0xb => Some(Http2Error::Calm),
            _ => None,
        }
    }

    /// The word in labels: the code's name in RFC 9113, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Http2Error::Protocol => "protocol_error",
            Http2Error::FlowControl => "flow_control_error",
            Http2Error::StreamClosed => "stream_closed",
            Http2Error::FrameSize => "frame_size_error",
            Http2Error::RefusedStream => "refused_stream",
            Http2Error::Compression => "compression_error",
            Http2Error::Calm => "enhance_your_calm",
        }
    }

    /// What it means, in a sentence for the reference.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Http2Error::Protocol => "A malformed request, or a frame that may not come there.",
            Http2Error::FlowControl => "More data than the window allows.",
            Http2Error::StreamClosed => "A frame for a stream that has ended.",
            Http2Error::FrameSize => "A frame of a wrong size.",
            Http2Error::RefusedStream => "A stream beyond `limits.max_streams`.",
            Http2Error::Compression => "Fields that cannot be decompressed.",
            Http2Error::Calm => "A flood: of resets, of empty or small frames, of errors.",
        }
    }
}

/// What an error of HTTP/2 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Http2Ended {
    /// One stream, by RST_STREAM.
    Stream,
    /// The connection, by GOAWAY.
    Connection,
}

impl Http2Ended {
    /// Both.
    pub const ALL: [Http2Ended; 2] = [Http2Ended::Stream, Http2Ended::Connection];

    /// The word in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Http2Ended::Stream => "stream",
            Http2Ended::Connection => "connection",
        }
    }
}
