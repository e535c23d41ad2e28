//! Sockets of this network namespace as the kernel lists them (`inet_diag`); knows no process names.

use std::net::{IpAddr, SocketAddr};

use crate::message::Message;
use crate::socket::{Channel, KernelError};
use crate::wire::{Attrs, Writer, array};

/// `NETLINK_SOCK_DIAG`.
pub(crate) const SOCK_DIAG: isize = 4;
/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `INET_DIAG_SKV6ONLY`.
const V6ONLY: u16 = 11;
/// States as bits: `1 << TCP_*`. A UDP socket is established where it is connected, and closed where not.
const ESTABLISHED: u32 = 1 << 1;
const CLOSE: u32 = 1 << 7;
const LISTEN: u32 = 1 << 10;
/// With a peer: all but closed, listening, and those that are a timer only (`TIME_WAIT`, 6).
const WITH_PEER: u32 = 0xfff & !(1 | CLOSE | LISTEN | 1 << 6);
/// Length of `struct inet_diag_msg`.
const ANSWER: usize = 72;

/// A transport protocol that has sockets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// `IPPROTO_*`.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Transport::Tcp => 6,
            Transport::Udp => 17,
        }
    }
}

/// A socket that waits for anybody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Listener {
    /// Its protocol.
    pub transport: Transport,
    /// Where it waits; an unspecified address is any of the family.
    pub local: SocketAddr,
    /// An IPv6 socket on any address that takes IPv4 as well.
    pub both_families: bool,
    /// Number of the interface to which it is bound; 0 for any.
    pub interface: u32,
    /// Who owns it.
    pub uid: u32,
    /// Its inode, as in `/proc/PID/fd`.
    pub inode: u32,
}

/// A socket with a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Connection {
    /// Its protocol.
    pub transport: Transport,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Number of the interface to which it is bound; 0 for any.
    pub interface: u32,
    /// The kernel's number of this very socket, which no other gets (`idiag_cookie`).
    pub cookie: [u32; 2],
    /// Who owns it.
    pub uid: u32,
    /// Its inode, as in `/proc/PID/fd`.
    pub inode: u32,
}

/// A socket for asking about sockets of the namespace in which it was opened.
pub struct Diag {
    channel: Channel,
}

impl Diag {
    /// Opens a socket in the namespace of this thread.
    pub fn open() -> Result<Diag, KernelError> {
        Ok(Diag { channel: Channel::open(SOCK_DIAG, "sockets")? })
    }

    /// TCP sockets that listen, UDP sockets without a peer.
    pub fn listeners(&self) -> Result<Vec<Listener>, KernelError> {
        let mut all = self.listeners_of(Transport::Tcp)?;
        all.extend(self.listeners_of(Transport::Udp)?);
        Ok(all)
    }

    /// The same for one protocol. For TCP the kernel looks at its small table of listeners only.
    pub fn listeners_of(&self, transport: Transport) -> Result<Vec<Listener>, KernelError> {
        let state = match transport {
            Transport::Tcp => LISTEN,
            Transport::Udp => CLOSE,
        };
        let answers = self.ask(transport, state, (0, 0))?;
        // A UDP socket that was never bound has no port.
        let bound = answers.into_iter().filter(|one| one.local.port() != 0);
        let listener = |one: Answer| Listener {
            transport,
            local: one.local,
            both_families: one.local.is_ipv6() && one.local.ip().is_unspecified() && !one.v6only,
            interface: one.interface,
            uid: one.uid,
            inode: one.inode,
        };
        Ok(bound.map(listener).collect())
    }

    /// Established TCP connections; IPv4 in an IPv6 socket is told as IPv4. The kernel walks its whole table for it,
    /// which takes milliseconds.
    pub fn connections(&self) -> Result<Vec<Connection>, KernelError> {
        self.peers(Transport::Tcp, ESTABLISHED, (0, 0))
    }

    /// All sockets with a peer: TCP from its first SYN until it has nothing more to say, UDP that is connected.
    pub fn with_peer(&self, transport: Transport) -> Result<Vec<Connection>, KernelError> {
        self.peers(transport, WITH_PEER, (0, 0))
    }

    /// The sockets between these two ends: one, or none; several where they are bound to different interfaces, or
    /// share an address. The kernel compares the ports: it walks its table, which takes a time for each call, so
    /// that who looks for many takes [`Diag::with_peer`].
    pub fn between(
        &self,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<Vec<Connection>, KernelError> {
        let (local, remote) = (plain(local), plain(remote));
        let mut all = self.peers(transport, WITH_PEER, (local.port(), remote.port()))?;
        // Without the scope of a link-local address, which the interface says.
        let same = |a: SocketAddr, b: SocketAddr| (a.ip(), a.port()) == (b.ip(), b.port());
        all.retain(|one| same(one.local, local) && same(one.remote, remote));
        Ok(all)
    }

    /// Sockets in these states, with these ports where they are not 0.
    fn peers(
        &self,
        transport: Transport,
        states: u32,
        ports: (u16, u16),
    ) -> Result<Vec<Connection>, KernelError> {
        let connection = |one: Answer| Connection {
            transport,
            local: plain(one.local),
            remote: plain(one.remote),
            interface: one.interface,
            cookie: one.cookie,
            uid: one.uid,
            inode: one.inode,
        };
        Ok(self.ask(transport, states, ports)?.into_iter().map(connection).collect())
    }

    fn ask(&self, transport: Transport, states: u32, ports: (u16, u16)) -> Result<Vec<Answer>, KernelError> {
        let mut all = Vec::new();
        for family in [2, 10] {
            let request = |w: &mut Writer| {
                w.raw(&[family, transport.number(), 0, 0]);
                w.raw(&states.to_ne_bytes());
                w.raw(&ports.0.to_be_bytes());
                w.raw(&ports.1.to_be_bytes());
                w.raw(&[0; 44]);
            };
            match self.channel.list(BY_FAMILY, request, read_answer) {
                Ok(list) => all.extend(list),
                // A kernel without IPv6, or without the diagnosis module of this protocol.
                Err(KernelError::Refused { errno, .. }) if errno == rustix::io::Errno::NOENT => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

struct Answer {
    local: SocketAddr,
    remote: SocketAddr,
    interface: u32,
    cookie: [u32; 2],
    uid: u32,
    inode: u32,
    v6only: bool,
}

/// Reads `struct inet_diag_msg`.
fn read_answer(message: &Message) -> Option<Answer> {
    (message.kind == BY_FAMILY).then_some(())?;
    let body = message.body;
    let number = |at: usize| Some(u32::from_ne_bytes(array(body, at)?));
    let port = |at: usize| Some(u16::from_be_bytes(array(body, at)?));
    let addr = |at: usize| match body.first()? {
        2 => Some(IpAddr::from(array::<4>(body, at)?)),
        10 => Some(IpAddr::from(array::<16>(body, at)?)),
        _ => None,
    };
    Some(Answer {
        local: SocketAddr::new(addr(8)?, port(4)?),
        remote: SocketAddr::new(addr(24)?, port(6)?),
        interface: number(40)?,
        cookie: [number(44)?, number(48)?],
        uid: number(64)?,
        inode: number(68)?,
        v6only: Attrs::find(body.get(ANSWER..)?, V6ONLY).is_some_and(|value| value.first() == Some(&1)),
    })
}
