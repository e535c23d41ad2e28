//! What becomes of one end of a connection as it begins, as a plain value.

use std::fmt;
use std::net::IpAddr;

/// A translation of addresses, as it comes out for one packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Translated {
    /// Which end, and how.
    pub how: How,
    /// The new address; none where it stays, or the kernel chooses.
    pub addr: Option<IpAddr>,
    /// The new port; none where it stays, or the kernel chooses.
    pub port: Option<u16>,
}

/// How an end is translated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum How {
    /// The destination, to what is given.
    Destination,
    /// The destination, to an address of the interface where it arrived.
    Redirect,
    /// The source, to what is given.
    Source,
    /// The source, to an address of the interface where it leaves.
    Masquerade,
}

impl Translated {
    /// The source becomes an address of the interface where it leaves.
    pub const MASQUERADE: Translated = Translated { how: How::Masquerade, addr: None, port: None };

    /// The destination becomes another port.
    #[must_use]
    pub const fn to_port(port: u16) -> Translated {
        Translated { how: How::Destination, addr: None, port: Some(port) }
    }

    /// `to 10.0.0.5 port 22`, for people who know of what is spoken.
    #[must_use]
    pub fn becomes(&self) -> String {
        let words = self.to_string();
        let words = words.strip_prefix("leads this ").or_else(|| words.strip_prefix("sends this "));
        words.map_or_else(|| self.to_string(), str::to_owned)
    }
}

impl fmt::Display for Translated {
    /// `leads this to 10.0.0.5 port 22`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.how {
            How::Destination => "leads this to",
            How::Redirect => "leads this to its own address, to",
            How::Source => "sends this from",
            How::Masquerade => "sends this from its own address",
        })?;
        if let Some(addr) = self.addr {
            write!(f, " {addr}")?;
        }
        match (self.port, self.how) {
            (Some(port), How::Masquerade) => write!(f, ", from port {port}"),
            (Some(port), _) => write!(f, " port {port}"),
            (None, How::Redirect) => f.write_str(" the same port"),
            (None, _) => Ok(()),
        }
    }
}
