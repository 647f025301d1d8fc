//! Why a request is refused: the status that the client gets, the words, the label of the counter.
//!
//! Owns the list. Decides nothing: the rest of `framing` does, and the serve loop for the two
//! timeouts.

/// Why the bytes of a client are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// The first line is not `method SP target SP HTTP/1.x`.
    RequestLine,
    /// A line ends with a bare LF, or has a bare CR in it.
    LineEnd,
    /// More than one empty line before the request line.
    EmptyLines,
    /// A method that is longer than any that exists.
    Method,
    /// CONNECT: leeward is no forward proxy.
    Connect,
    /// TRACE: it would show a client what leeward adds.
    Trace,
    /// A version other than HTTP/1.0 and HTTP/1.1, the preface of HTTP/2 among them.
    Version,
    /// A byte in the target that could not be passed on unchanged.
    Target,
    /// A `#` in the target.
    Fragment,
    /// A target that is not a path, an absolute URI, or `*` with OPTIONS.
    TargetForm,
    /// A target beyond its bound.
    TargetTooLong,
    /// A field without a name, without a colon, or with other bytes than a token's in its name.
    FieldName,
    /// A control byte in the value of a field.
    FieldValue,
    /// A line that begins with white space.
    Fold,
    /// Request line and fields together beyond their bound.
    HeadTooLarge,
    /// Too many fields.
    TooManyFields,
    /// A Content-Length that is no plain number, or stands twice.
    ContentLength,
    /// Content-Length beside Transfer-Encoding.
    LengthAndCoding,
    /// A Transfer-Encoding that is not `chunked`, or stands twice, or in HTTP/1.0.
    TransferEncoding,
    /// A Transfer-Encoding that exists, but is not served.
    TransferCoding,
    /// No Host in HTTP/1.1.
    HostMissing,
    /// More than one Host.
    HostTwice,
    /// A Host that is not `name[:port]`.
    Host,
    /// An absolute target that names another authority than Host.
    HostDiffers,
    /// An expectation other than `100-continue`.
    Expect,
    /// An upgrade to HTTP/2 in the clear.
    H2c,
    /// An upgrade with a body, or with another method than GET.
    Upgrade,
    /// A Connection field that is no list of tokens, or names Host or a field that frames the body.
    Connection,
    /// A body beyond its bound.
    BodyTooLarge,
    /// A malformed chunk.
    Chunk,
    /// Chunk extensions beyond their bound.
    ChunkExtensions,
    /// A trailer that is malformed, or that may not be one.
    Trailer,
    /// Trailers beyond their bounds.
    TrailersTooLarge,
    /// The head did not come in time.
    HeadTimeout,
    /// The body did not come in time.
    BodyTimeout,
}

impl Refusal {
    /// The status that the client gets, where it is not too late for one.
    pub(crate) const fn status(self) -> u16 {
        self.row().0
    }

    /// The label of the counter: lower case and underscores, one of a bounded set.
    pub(crate) const fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The reason in words, for the client.
    pub(crate) const fn reason(self) -> &'static str {
        self.row().2
    }

    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::RequestLine => (400, "request_line", "Malformed request line"),
            Self::LineEnd => (400, "line_end", "A line that does not end with CRLF"),
            Self::EmptyLines => (400, "empty_lines", "Empty lines before the request line"),
            Self::Method => (501, "method", "Unknown method"),
            Self::Connect => (501, "connect", "CONNECT is not served"),
            Self::Trace => (405, "trace", "TRACE is not allowed"),
            Self::Version => (505, "version", "Only HTTP/1.0 and HTTP/1.1 are served"),
            Self::Target => (
                400,
                "target",
                "Bytes in the target that must be percent-encoded",
            ),
            Self::Fragment => (400, "fragment", "A fragment in the target"),
            Self::TargetForm => (400, "target_form", "Not a target of this method"),
            Self::TargetTooLong => (414, "target_too_long", "Target too long"),
            Self::FieldName => (400, "field_name", "Malformed field name"),
            Self::FieldValue => (400, "field_value", "Control bytes in a field value"),
            Self::Fold => (400, "fold", "A folded field line"),
            Self::HeadTooLarge => (431, "head_too_large", "Header fields too large"),
            Self::TooManyFields => (431, "too_many_fields", "Too many header fields"),
            Self::ContentLength => (
                400,
                "content_length",
                "Malformed or repeated Content-Length",
            ),
            Self::LengthAndCoding => (
                400,
                "length_and_coding",
                "Content-Length beside Transfer-Encoding",
            ),
            Self::TransferEncoding => (
                400,
                "transfer_encoding",
                "Malformed or repeated Transfer-Encoding",
            ),
            Self::TransferCoding => (501, "transfer_coding", "Only chunked is served"),
            Self::HostMissing => (400, "host_missing", "Host is missing"),
            Self::HostTwice => (400, "host_twice", "More than one Host"),
            Self::Host => (400, "host", "Malformed Host"),
            Self::HostDiffers => (400, "host_differs", "Host differs from the target"),
            Self::Expect => (417, "expect", "Unknown expectation"),
            Self::H2c => (501, "h2c", "No upgrade to HTTP/2"),
            Self::Upgrade => (400, "upgrade", "An upgrade must be a GET without a body"),
            Self::Connection => (
                400,
                "connection",
                "Malformed Connection, or it names a field that must stay",
            ),
            Self::BodyTooLarge => (413, "body_too_large", "Body too large"),
            Self::Chunk => (400, "chunk", "Malformed chunk"),
            Self::ChunkExtensions => (400, "chunk_extensions", "Chunk extensions too large"),
            Self::Trailer => (400, "trailer", "Malformed or forbidden trailer"),
            Self::TrailersTooLarge => (431, "trailers_too_large", "Trailers too large"),
            Self::HeadTimeout => (408, "head_timeout", "The head did not come in time"),
            Self::BodyTimeout => (408, "body_timeout", "The body did not come in time"),
        }
    }
}
