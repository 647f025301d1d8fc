//! The ways in which a backend can behave. Only words here; [`super::serve`] does them.

use std::time::Duration;

/// What a backend does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Runs it and answers by its path, see [`super::site`].
    Serve,
    /// Runs it and answers with this status.
    Status(u16),
    /// Runs it and answers after this time.
    After(Duration),
    /// Runs it and never answers.
    Hang,
    /// Reads the head, then nothing until it is released; then reads on and runs it when all of it
    /// is there.
    StopReading,
    /// Runs it and does these steps instead of an answer.
    Script(Vec<Step>),
    /// Does these steps when the head is there, and only then reads the body.
    Early(Vec<Step>),
    /// Dies when so many bytes of it have arrived; runs it first when these were all. With 0 dies
    /// at accept, and on a connection that was idle at its first byte.
    Die(u64, DieBy),
    /// Dies at the first byte of a request on a connection that was used before; serves the others.
    DieOnReuse(DieBy),
}

/// How a backend dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DieBy {
    /// Says FIN, reads nothing more.
    Fin,
    /// Resets the connection.
    Rst,
}

/// A step of a script. After the last one the connection waits for the next request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends exactly these bytes.
    Send(Vec<u8>),
    /// Waits until the test releases the backend.
    Hold,
    /// Ends the connection in this way.
    End(DieBy),
    /// Sends back what comes, until the peer ends it; remembers how it did.
    Echo,
}

impl Act {
    /// Sends this text instead of an answer and keeps the connection.
    pub(crate) fn say(text: &str) -> Self {
        Act::Script(vec![Step::send(text)])
    }

    /// Sends this text instead of an answer and ends the connection in order.
    pub(crate) fn say_and_close(text: &str) -> Self {
        Act::Script(vec![Step::send(text), Step::End(DieBy::Fin)])
    }
}

impl Step {
    /// Sends exactly this text.
    pub(crate) fn send(text: &str) -> Self {
        Step::Send(text.as_bytes().to_vec())
    }
}
