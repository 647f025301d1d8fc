//! Reads one answer at a time. Its length has to be declared: every backend of the bench does.

use std::io;

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of its body.
    pub(crate) length: u64,
    /// The other side ends the connection.
    pub(crate) closes: bool,
}

/// What has come of an answer.
#[derive(Default)]
pub(crate) struct Reader {
    /// A head that is not whole yet.
    head: Vec<u8>,
    /// The answer, and what is missing of its body.
    body: Option<(Answer, u64)>,
}

impl Reader {
    /// Takes the next bytes; the answer once it is whole.
    ///
    /// # Errors
    /// What is no answer, and bytes behind one: nothing was asked yet.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> io::Result<Option<Answer>> {
        let come = if self.body.is_some() {
            bytes.len()
        } else if self.head.is_empty() {
            match head(bytes)? {
                Some((answer, length)) => {
                    self.expect(answer);
                    bytes.len() - length
                }
                None => {
                    self.head.extend_from_slice(bytes);
                    return Ok(None);
                }
            }
        } else {
            self.head.extend_from_slice(bytes);
            let Some((answer, length)) = head(&self.head)? else {
                return Ok(None);
            };
            self.expect(answer);
            let come = self.head.len() - length;
            self.head.clear();
            come
        };
        let Some((answer, missing)) = self.body.take() else {
            return Ok(None);
        };
        match missing.checked_sub(come as u64) {
            Some(0) => Ok(Some(answer)),
            Some(missing) => {
                self.body = Some((answer, missing));
                Ok(None)
            }
            None => Err(malformed("bytes behind the answer")),
        }
    }

    fn expect(&mut self, answer: Answer) {
        let length = answer.length;
        self.body = Some((answer, length));
    }
}

/// The head of an answer and its length, once it is whole.
fn head(bytes: &[u8]) -> io::Result<Option<(Answer, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let length = match head.parse(bytes).map_err(malformed)? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(length) => length,
    };
    let (mut body, mut closes) = (None, false);
    for field in head.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(field.value).map_err(malformed)?;
            body = Some(text.parse().map_err(malformed)?);
        } else if field.name.eq_ignore_ascii_case("connection") {
            closes = field.value.eq_ignore_ascii_case(b"close");
        }
    }
    let answer = Answer {
        status: head.code.unwrap_or(0),
        length: body.ok_or_else(|| malformed("no Content-Length"))?,
        closes,
    };
    Ok(Some((answer, length)))
}

fn malformed(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
