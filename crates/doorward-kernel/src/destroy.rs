//! Ends sockets of this network namespace (`SOCK_DESTROY`, `net/ipv4/inet_diag.c`); knows no reason to.

use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use crate::diag::{Connection, Diag, SOCK_DIAG, Transport};
use crate::guard::Guard;
use crate::socket::{Channel, KernelError};
use crate::wire::Writer;

/// `SOCK_DESTROY`.
const DESTROY: u16 = 21;

/// What became of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a socket may be gone, or the kernel unable to end it"]
pub enum Destroyed {
    /// It was ended: its owner reads `ECONNABORTED`, once. A TCP peer gets a reset; a UDP socket has no peer any
    /// more, but stays open and bound, and its owner may connect it anew.
    Done,
    /// There is no such socket any more.
    Gone,
    /// The kernel cannot end it: it was built without `CONFIG_INET_DIAG_DESTROY`. Older ones say so as well of a
    /// TCP socket that has become a mere timer (`TIME_WAIT`) in between.
    Unsupported,
}

/// A socket that may end those of the namespace in which it was opened.
pub struct Destroyer {
    channel: Channel,
    diag: Diag,
}

impl Destroyer {
    /// Opens a socket where the guard looked. Ending sockets needs `CAP_NET_ADMIN` there.
    pub fn open<Where>(guard: Guard<Where>) -> Result<Destroyer, KernelError> {
        if !guard.holds() {
            return Err(KernelError::Moved);
        }
        Ok(Destroyer { channel: Channel::open(SOCK_DIAG, "the end of a socket")?, diag: Diag::open()? })
    }

    /// Ends this very socket, told by its cookie.
    ///
    /// There is no form without a cookie (`INET_DIAG_NOCOOKIE`): where the connection is gone, the kernel would
    /// take the socket that listens at the same port, or the UDP socket that serves everybody there.
    pub fn destroy(&self, connection: &Connection) -> Result<Destroyed, KernelError> {
        let (local, remote) = (connection.local, connection.remote);
        let body = |w: &mut Writer| {
            w.raw(&[if local.is_ipv4() { 2 } else { 10 }, connection.transport.number(), 0, 0]);
            w.raw(&u32::MAX.to_ne_bytes());
            w.raw(&local.port().to_be_bytes());
            w.raw(&remote.port().to_be_bytes());
            w.raw(&address(local.ip()));
            w.raw(&address(remote.ip()));
            w.raw(&connection.interface.to_ne_bytes());
            for half in connection.cookie {
                w.raw(&half.to_ne_bytes());
            }
        };
        match self.channel.request(DESTROY, 0, body, |_| {}) {
            Ok(()) => Ok(Destroyed::Done),
            // Stale: there is a socket at these ends, but another.
            Err(KernelError::Refused { errno: Errno::NOENT | Errno::STALE, .. }) => Ok(Destroyed::Gone),
            Err(KernelError::Refused { errno: Errno::OPNOTSUPP, .. }) => Ok(Destroyed::Unsupported),
            Err(error) => Err(error),
        }
    }

    /// Ends the sockets between these two ends, however many there are: [`Destroyed::Done`] where one was ended.
    pub fn destroy_between(
        &self,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<Destroyed, KernelError> {
        let mut became = Destroyed::Gone;
        for one in self.diag.between(transport, local, remote)? {
            match self.destroy(&one)? {
                Destroyed::Gone => {}
                Destroyed::Unsupported => return Ok(Destroyed::Unsupported),
                Destroyed::Done => became = Destroyed::Done,
            }
        }
        Ok(became)
    }
}

fn address(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V6(addr) => addr.octets(),
        IpAddr::V4(addr) => {
            let mut all = [0; 16];
            all[..4].copy_from_slice(&addr.octets());
            all
        }
    }
}
