//! A netlink socket: requests, dumps, answers; knows the protocol's manners, not what is talked about.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::time::Duration;

use netlink_sys::Socket;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::Timeout;
use rustix::net::{RecvFlags, SendFlags, recv, sendto, sockopt};

use crate::message::{Message, Messages, flag};
use crate::wire::Writer;

/// Larger than any reply of a dump (32 KiB) and any answer.
const REPLY: usize = 1 << 16;
/// Room for the answers of a transaction in which everything is wrong. A bound, not a use of memory.
const ANSWERS: usize = 1 << 25;

/// No time at all would mean to wait for ever.
const SHORTEST: Duration = Duration::from_millis(1);

/// A dump that others keep changing is given up.
const DUMPS: u32 = 20;

/// Why the kernel could not be asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KernelError {
    /// No socket of this kind.
    #[error("the kernel offers no {what}: {errno}")]
    Open {
        /// What the socket is for.
        what: &'static str,
        /// Why not.
        errno: Errno,
    },
    /// The thread is in another namespace than the one that was allowed.
    #[error("this thread is not in the network namespace that was looked at")]
    Moved,
    /// Sending or receiving failed.
    #[error("talking to the kernel about {what} failed: {errno}")]
    Io {
        /// What about.
        what: &'static str,
        /// Why.
        errno: Errno,
    },
    /// The kernel said no.
    #[error("the kernel refused {what}: {}{errno}", text.as_ref().map(|t| format!("{t}: ")).unwrap_or_default())]
    Refused {
        /// What.
        what: &'static str,
        /// Why.
        errno: Errno,
        /// The kernel's own words.
        text: Option<String>,
    },
    /// Others changed it again and again while it was read.
    #[error("{what} kept changing while they were read")]
    Unsettled {
        /// What.
        what: &'static str,
    },
}

/// A socket of one netlink protocol.
pub(crate) struct Channel {
    socket: Socket,
    what: &'static str,
    seq: Cell<u32>,
    /// Room for what the kernel says, kept from one question to the next.
    buffer: Cell<Vec<u8>>,
}

/// What a dump gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dumped {
    /// All of it.
    Whole,
    /// It changed under the reader, who must begin anew.
    Torn,
    /// The reader had enough. The socket cannot be used any more.
    Left,
}

impl Channel {
    pub(crate) fn open(protocol: isize, what: &'static str) -> Result<Channel, KernelError> {
        let refused = |error: std::io::Error| KernelError::Open {
            what,
            errno: Errno::from_io_error(&error).unwrap_or(Errno::INVAL),
        };
        let mut socket = Socket::new(protocol).map_err(refused)?;
        socket.bind_auto().map_err(refused)?;
        // Better messages; a kernel without them still answers.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        if sockopt::set_socket_recv_buffer_size_force(&socket, ANSWERS).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(&socket, ANSWERS);
        }
        Ok(Channel { socket, what, seq: Cell::new(1), buffer: Cell::default() })
    }

    /// Makes room for one message of this size, as far as this user may.
    pub(crate) fn make_room(&self, bytes: usize) {
        let wanted = bytes.saturating_add(4096);
        if sockopt::set_socket_send_buffer_size_force(&self.socket, wanted).is_err() {
            let _ = sockopt::set_socket_send_buffer_size(&self.socket, wanted);
        }
    }

    /// So many bytes may wait here until they are read, as far as this user may.
    pub(crate) fn receive_room(&self, bytes: usize) {
        if sockopt::set_socket_recv_buffer_size_force(&self.socket, bytes).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(&self.socket, bytes);
        }
    }

    /// The largest message that fits now.
    pub(crate) fn room(&self) -> usize {
        sockopt::socket_send_buffer_size(&self.socket).map_or(0, |size| size.saturating_sub(32))
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        let kernel = SocketAddrNetlink::new(0, 0);
        let sent = rustix::io::retry_on_intr(|| sendto(&self.socket, bytes, SendFlags::empty(), &kernel))?;
        if sent == bytes.len() { Ok(()) } else { Err(Errno::MSGSIZE) }
    }

    /// Reads all answers that are there, which are all: the kernel queues them before sending returns.
    /// Says whether some were lost.
    pub(crate) fn answers(&self, mut each: impl FnMut(&Message)) -> Result<bool, KernelError> {
        let mut lost = false;
        loop {
            match self.receive(RecvFlags::DONTWAIT, |bytes| Messages::new(bytes).for_each(|one| each(&one))) {
                Ok(()) => {}
                Err(Errno::AGAIN) => return Ok(lost),
                Err(Errno::NOBUFS) => lost = true,
                Err(errno) => return Err(self.io(errno)),
            }
        }
    }

    /// Asks for a list; torn or not is for the caller to see.
    pub(crate) fn dump(
        &self,
        kind: u16,
        body: impl Fn(&mut Writer),
        mut each: impl FnMut(&Message) -> ControlFlow<()>,
    ) -> Result<Dumped, KernelError> {
        let seq = self.ask(kind, flag::DUMP, body)?;
        let mut torn = false;
        loop {
            let mut take = |bytes: &[u8]| {
                for message in Messages::new(bytes).filter(|message| message.seq == seq) {
                    torn |= message.flags & flag::DUMP_INTR != 0;
                    match message.answer() {
                        Some(answer) if answer.errno != 0 => {
                            return Some(Err(self.refused(answer.errno, answer.text)));
                        }
                        Some(_) if torn => return Some(Ok(Dumped::Torn)),
                        Some(_) if message.is_done() => return Some(Ok(Dumped::Whole)),
                        None if each(&message).is_break() => return Some(Ok(Dumped::Left)),
                        Some(_) | None => {}
                    }
                }
                None
            };
            match self.receive(RecvFlags::empty(), &mut take) {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(Errno::NOBUFS) => torn = true,
                Err(errno) => return Err(self.io(errno)),
            }
        }
    }

    /// Asks for a list until it is whole.
    pub(crate) fn list<T>(
        &self,
        kind: u16,
        body: impl Fn(&mut Writer),
        each: impl Fn(&Message) -> Option<T>,
    ) -> Result<Vec<T>, KernelError> {
        for _ in 0..DUMPS {
            let mut list = Vec::new();
            let dumped = self.dump(kind, &body, |message| {
                list.extend(each(message));
                ControlFlow::Continue(())
            })?;
            if dumped == Dumped::Whole {
                return Ok(list);
            }
        }
        Err(KernelError::Unsettled { what: self.what })
    }

    /// Asks for one thing, or for one change, and waits for the answer.
    pub(crate) fn request(
        &self,
        kind: u16,
        flags: u16,
        body: impl FnOnce(&mut Writer),
        mut each: impl FnMut(&Message),
    ) -> Result<(), KernelError> {
        let seq = self.ask(kind, flags | flag::ACK, body)?;
        loop {
            let mut take = |bytes: &[u8]| {
                for message in Messages::new(bytes).filter(|message| message.seq == seq) {
                    match message.answer() {
                        None => each(&message),
                        Some(answer) if answer.errno == 0 => return Some(Ok(())),
                        Some(answer) => return Some(Err(self.refused(answer.errno, answer.text))),
                    }
                }
                None
            };
            let taken = self.receive(RecvFlags::empty(), &mut take).map_err(|errno| self.io(errno))?;
            if let Some(end) = taken {
                return end;
            }
        }
    }

    /// Waits so long for what the kernel says unasked, then takes all that is there; nothing stands for what was
    /// lost because it was not read in time.
    pub(crate) fn listen(
        &self,
        patience: Duration,
        mut each: impl FnMut(Option<&[u8]>) -> ControlFlow<()>,
    ) -> Result<(), KernelError> {
        sockopt::set_socket_timeout(&self.socket, Timeout::Recv, Some(patience.max(SHORTEST)))
            .map_err(|errno| self.io(errno))?;
        let mut flags = RecvFlags::empty();
        loop {
            let next = match self.receive(flags, |bytes| each(Some(bytes))) {
                Err(Errno::NOBUFS) => each(None),
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(self.io(errno)),
                Ok(next) => next,
            };
            if next.is_break() {
                return Ok(());
            }
            flags = RecvFlags::DONTWAIT;
        }
    }

    /// What the kernel says next, in one piece.
    fn receive<T>(&self, flags: RecvFlags, take: impl FnOnce(&[u8]) -> T) -> Result<T, Errno> {
        let mut buffer = self.buffer.take();
        buffer.clear();
        // Not filled before it is read into: that would touch all of it for a few bytes.
        buffer.reserve(REPLY);
        let read = rustix::io::retry_on_intr(|| recv(&self.socket, spare_capacity(&mut buffer), flags));
        let taken = read.map(|_| take(&buffer));
        self.buffer.set(buffer);
        taken
    }

    fn ask(&self, kind: u16, flags: u16, body: impl FnOnce(&mut Writer)) -> Result<u32, KernelError> {
        let seq = self.seq.get();
        self.seq.set(seq.wrapping_add(1));
        let mut w = Writer::default();
        let open = w.begin(kind, flag::REQUEST | flags, seq);
        body(&mut w);
        w.end(open);
        let bytes = w.finish().map_err(|_| self.io(Errno::MSGSIZE))?;
        self.send(&bytes).map_err(|errno| self.io(errno))?;
        Ok(seq)
    }

    fn io(&self, errno: Errno) -> KernelError {
        KernelError::Io { what: self.what, errno }
    }

    fn refused(&self, errno: i32, text: Option<String>) -> KernelError {
        KernelError::Refused { what: self.what, errno: Errno::from_raw_os_error(errno), text }
    }
}
