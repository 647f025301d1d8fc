//! One connection, plain or TLS: writes a request, reads its answer, never blocks.

use crate::answer::{Answer, Reader};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

pub(crate) struct Connection {
    pub(crate) socket: Socket,
    tls: Option<Box<ClientConnection>>,
    /// Bytes of the request that are still to be written; TLS keeps its own.
    unsent: usize,
    reader: Reader,
}

impl Connection {
    /// Begins to connect.
    pub(crate) fn open(port: u16, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::IPV4,
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()) {
            Err(error)
                if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
            {
                return Err(error);
            }
            _ => {}
        }
        let tls = match tls {
            Some(config) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                let session = ClientConnection::new(Arc::clone(config), name);
                Some(Box::new(session.map_err(io::Error::other)?))
            }
            None => None,
        };
        Ok(Self {
            socket,
            tls,
            unsent: 0,
            reader: Reader::default(),
        })
    }

    /// Begins a request. True when some of it is still to be written (`write`).
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<bool> {
        self.unsent = request.len();
        if let Some(tls) = &mut self.tls {
            self.unsent = 0;
            tls.writer().write_all(request)?;
        }
        self.write(request)
    }

    /// Writes what the kernel takes. True when more is to be written.
    pub(crate) fn write(&mut self, request: &[u8]) -> io::Result<bool> {
        loop {
            let written = match &mut self.tls {
                Some(tls) if tls.wants_write() => tls.write_tls(&mut &self.socket),
                Some(_) => return Ok(false),
                None if self.unsent > 0 => {
                    (&self.socket).write(&request[request.len() - self.unsent..])
                }
                None => return Ok(false),
            };
            match written {
                Ok(bytes) => self.unsent = self.unsent.saturating_sub(bytes),
                Err(error) if blocks(&error) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what has come, once; the answer when it is whole.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<Answer>> {
        let Some(tls) = &mut self.tls else {
            return match (&self.socket).read(buffer) {
                Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => self.reader.take(&buffer[..bytes]),
                Err(error) if blocks(&error) => Ok(None),
                Err(error) => Err(error),
            };
        };
        match tls.read_tls(&mut &self.socket) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if blocks(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        tls.process_new_packets().map_err(io::Error::other)?;
        let mut answer = None;
        loop {
            match tls.reader().read(buffer) {
                // The end may have come with the answer.
                Ok(0) if answer.is_some() => return Ok(answer),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) if answer.is_none() => answer = self.reader.take(&buffer[..bytes])?,
                Ok(_) => return Err(ErrorKind::InvalidData.into()),
                Err(error) if blocks(&error) => return Ok(answer),
                Err(error) => return Err(error),
            }
        }
    }
}

fn blocks(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
