//! The words of label values that say how a client's address became known.

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
