//! Interfaces, addresses, routes and neighbours over rtnetlink; enough to build a network to rehearse in.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use crate::message::{Message, flag};
use crate::netns::NetNs;
use crate::socket::{Channel, KernelError};
use crate::wire::{Attrs, Writer, array, text};

/// `NETLINK_ROUTE`.
const ROUTE: isize = 0;
const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const GETADDR: u16 = 22;
const NEWROUTE: u16 = 24;
const DELROUTE: u16 = 25;
const GETROUTE: u16 = 26;
const NEWNEIGH: u16 = 28;

/// `IFF_UP`.
const UP: u32 = 1;
/// An address that is not in use by then is left to itself.
const PATIENCE: Duration = Duration::from_secs(1);
/// `IF_OPER_UP`.
const OPER_UP: u8 = 6;

mod ifla {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const MASTER: u16 = 10;
    pub(super) const OPERSTATE: u16 = 16;
    pub(super) const LINKINFO: u16 = 18;
    pub(super) const GROUP: u16 = 27;
    pub(super) const NET_NS_FD: u16 = 28;
    /// Within [`LINKINFO`].
    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    /// Within the data of a veth.
    pub(super) const VETH_PEER: u16 = 1;
}

/// A socket for the interfaces of the namespace in which it was opened.
pub struct Links {
    channel: Channel,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is, where that has a name: `veth`, `bridge`, `dummy`, `wireguard`, …
    pub kind: Option<String>,
    /// `IFF_*`.
    pub flags: u32,
    /// Largest packet.
    pub mtu: u32,
    /// Address of the link layer; empty where it has none.
    pub address: Vec<u8>,
    /// Number of the bridge or bond that it belongs to.
    pub master: Option<u32>,
    /// Number of its group, usually 0.
    pub group: u32,
}

impl Link {
    /// Whether it is switched on.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.flags & UP != 0
    }

    /// Whether it is a loopback interface.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        self.flags & 0x8 != 0
    }
}

/// An address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address {
    /// Number of the interface.
    pub index: u32,
    /// The address.
    pub addr: IpAddr,
    /// Length of its prefix.
    pub prefix_len: u8,
}

/// Where packets to a prefix go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Route {
    /// Any address of the prefix; with length 0 it still tells the family.
    pub to: IpAddr,
    /// Length of the prefix; 0 is the default route.
    pub prefix_len: u8,
    /// The router, if it is not on the link itself.
    pub via: Option<IpAddr>,
    /// Number of the interface.
    pub index: u32,
}

impl Links {
    /// Opens a socket in the namespace of this thread.
    pub fn open() -> Result<Links, KernelError> {
        Ok(Links { channel: Channel::open(ROUTE, "network interfaces")? })
    }

    /// All interfaces.
    pub fn links(&self) -> Result<Vec<Link>, KernelError> {
        self.channel.list(GETLINK, |w| ifinfo(w, 0, 0, 0), read_link)
    }

    /// The interface of this name.
    pub fn link(&self, name: &str) -> Result<Option<Link>, KernelError> {
        Ok(self.links()?.into_iter().find(|link| link.name == name))
    }

    /// All addresses.
    pub fn addresses(&self) -> Result<Vec<Address>, KernelError> {
        self.channel.list(GETADDR, |w| w.raw(&[0; 8]), read_address)
    }

    /// Makes a pair of interfaces, the second in another namespace.
    pub fn add_veth(&self, name: &str, peer: &str, peer_in: &NetNs) -> Result<(), KernelError> {
        self.make(name, "veth", |w| {
            w.nest(ifla::INFO_DATA, |w| {
                w.nest(ifla::VETH_PEER, |w| {
                    ifinfo(w, 0, 0, 0);
                    w.str(ifla::IFNAME, peer);
                    w.ne32(ifla::NET_NS_FD, peer_in.as_fd().as_raw_fd().cast_unsigned());
                });
            });
        })
    }

    /// Makes an interface that swallows what is sent.
    pub fn add_dummy(&self, name: &str) -> Result<(), KernelError> {
        self.make(name, "dummy", |_| {})
    }

    /// Makes a bridge.
    pub fn add_bridge(&self, name: &str) -> Result<(), KernelError> {
        self.make(name, "bridge", |_| {})
    }

    fn make(&self, name: &str, kind: &str, data: impl FnOnce(&mut Writer)) -> Result<(), KernelError> {
        self.change(NEWLINK, flag::CREATE | flag::EXCL, |w| {
            ifinfo(w, 0, 0, 0);
            w.str(ifla::IFNAME, name);
            w.nest(ifla::LINKINFO, |w| {
                w.str(ifla::INFO_KIND, kind);
                data(w);
            });
        })
    }

    /// Deletes an interface, and the other end of a pair with it.
    pub fn delete(&self, index: u32) -> Result<(), KernelError> {
        self.change(DELLINK, 0, |w| ifinfo(w, index, 0, 0))
    }

    /// Switches an interface on.
    pub fn set_up(&self, index: u32) -> Result<(), KernelError> {
        self.change(NEWLINK, 0, |w| ifinfo(w, index, UP, UP))
    }

    /// Waits until an interface carries packets: a pair drops them until the kernel has heard, some time after
    /// both ends were switched on, that they are. Says whether it does.
    pub fn wait_until_ready(&self, index: u32, patience: Duration) -> Result<bool, KernelError> {
        let begin = Instant::now();
        loop {
            let ready = self.is_ready(index)?;
            if ready || begin.elapsed() > patience {
                return Ok(ready);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_ready(&self, index: u32) -> Result<bool, KernelError> {
        let mut ready = false;
        let read = |message: &Message| {
            let attrs = message.body.get(16..).unwrap_or_default();
            // The queue has a name before it is switched on; this state changes together with it.
            ready = Attrs::find(attrs, ifla::OPERSTATE) == Some(&[OPER_UP]);
        };
        self.channel.request(GETLINK, 0, |w| ifinfo(w, index, 0, 0), read)?;
        Ok(ready)
    }

    /// Switches an interface off.
    pub fn set_down(&self, index: u32) -> Result<(), KernelError> {
        self.change(NEWLINK, 0, |w| ifinfo(w, index, 0, UP))
    }

    /// Sets the largest packet.
    pub fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), KernelError> {
        self.change(NEWLINK, 0, |w| {
            ifinfo(w, index, 0, 0);
            w.ne32(ifla::MTU, mtu);
        })
    }

    /// Puts an interface into a bridge.
    pub fn set_master(&self, index: u32, bridge: u32) -> Result<(), KernelError> {
        self.change(NEWLINK, 0, |w| {
            ifinfo(w, index, 0, 0);
            w.ne32(ifla::MASTER, bridge);
        })
    }

    /// Gives an interface an address, usable at once if the interface is: IPv6 does not look for duplicates first.
    pub fn add_address(&self, index: u32, addr: IpAddr, prefix_len: u8) -> Result<(), KernelError> {
        const LOCAL: u16 = 2;
        const ADDRESS: u16 = 1;
        const NODAD: u8 = 2;
        self.change(NEWADDR, flag::CREATE | flag::EXCL, |w| {
            w.raw(&[family(addr), prefix_len, if addr.is_ipv6() { NODAD } else { 0 }, 0]);
            w.raw(&index.to_ne_bytes());
            w.put(LOCAL, &octets(addr));
            w.put(ADDRESS, &octets(addr));
        })?;
        // The kernel puts an IPv6 address into use a little later, on its own time.
        let begin = Instant::now();
        while addr.is_ipv6() && begin.elapsed() < PATIENCE && !self.is_local(addr) && self.is_ready(index)? {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Whether packets to this address are for this host.
    fn is_local(&self, addr: IpAddr) -> bool {
        const DST: u16 = 1;
        const LOCAL: u8 = 2;
        let mut local = false;
        let asked = self.channel.request(
            GETROUTE,
            0,
            |w| {
                w.raw(&[family(addr), if addr.is_ipv6() { 128 } else { 32 }, 0, 0]);
                w.raw(&[0; 8]);
                w.put(DST, &octets(addr));
            },
            |message| local = message.body.get(7) == Some(&LOCAL),
        );
        asked.is_ok() && local
    }

    /// Where a packet to this address would go, and the address that it would come from; none if nowhere.
    pub fn route_to(&self, addr: IpAddr) -> Option<(u32, Option<IpAddr>)> {
        const DST: u16 = 1;
        const OIF: u16 = 4;
        const SOURCE: u16 = 7;
        /// `RTN_UNICAST`, `RTN_LOCAL`
        const LEADS: [u8; 2] = [1, 2];
        let mut found = None;
        let read = |message: &Message| {
            let attrs = message.body.get(12..).unwrap_or_default();
            let index = Attrs::find(attrs, OIF).and_then(|bytes| array(bytes, 0)).map(u32::from_ne_bytes);
            let leads = message.body.get(7).is_some_and(|kind| LEADS.contains(kind));
            found =
                index.filter(|_| leads).map(|index| (index, Attrs::find(attrs, SOURCE).and_then(address)));
        };
        let question = |w: &mut Writer| {
            w.raw(&[family(addr), if addr.is_ipv6() { 128 } else { 32 }, 0, 0]);
            w.raw(&[0; 8]);
            w.put(DST, &octets(addr));
        };
        // A host without a route says so with an error.
        self.channel.request(GETROUTE, 0, question, read).ok()?;
        found
    }

    /// Takes an address from an interface.
    pub fn remove_address(&self, index: u32, addr: IpAddr, prefix_len: u8) -> Result<(), KernelError> {
        const LOCAL: u16 = 2;
        self.change(DELADDR, 0, |w| {
            w.raw(&[family(addr), prefix_len, 0, 0]);
            w.raw(&index.to_ne_bytes());
            w.put(LOCAL, &octets(addr));
        })
    }

    /// Adds a route to the main table.
    pub fn add_route(&self, route: Route) -> Result<(), KernelError> {
        self.route(NEWROUTE, flag::CREATE | flag::EXCL, route)
    }

    /// Puts a route in the place of the one to the same prefix, if there is one.
    pub fn set_route(&self, route: Route) -> Result<(), KernelError> {
        self.route(NEWROUTE, flag::CREATE | flag::REPLACE, route)
    }

    /// Forgets a route.
    pub fn remove_route(&self, route: Route) -> Result<(), KernelError> {
        self.route(DELROUTE, 0, route)
    }

    fn route(&self, kind: u16, flags: u16, route: Route) -> Result<(), KernelError> {
        const DST: u16 = 1;
        const OIF: u16 = 4;
        const GATEWAY: u16 = 5;
        const MAIN: u8 = 254;
        const STATIC: u8 = 4;
        const UNICAST: u8 = 1;
        /// The router is on the link, also where no address of the interface says so.
        const ONLINK: u32 = 4;
        let scope = if route.via.is_some() { 0 } else { 253 };
        self.change(kind, flags, |w| {
            w.raw(&[family(route.to), route.prefix_len, 0, 0, MAIN, STATIC, scope, UNICAST]);
            w.raw(&if route.via.is_some() { ONLINK } else { 0 }.to_ne_bytes());
            if route.prefix_len > 0 {
                w.put(DST, &octets(route.to));
            }
            w.ne32(OIF, route.index);
            if let Some(via) = route.via {
                w.put(GATEWAY, &octets(via));
            }
        })
    }

    /// Says for good which link address an address has, so that nobody needs to be asked.
    pub fn add_neighbour(&self, index: u32, addr: IpAddr, link_address: &[u8]) -> Result<(), KernelError> {
        const DST: u16 = 1;
        const LLADDR: u16 = 2;
        const PERMANENT: u16 = 0x80;
        self.change(NEWNEIGH, flag::CREATE | flag::EXCL, |w| {
            w.raw(&[family(addr), 0, 0, 0]);
            w.raw(&index.to_ne_bytes());
            w.raw(&PERMANENT.to_ne_bytes());
            w.raw(&[0, 0]);
            w.put(DST, &octets(addr));
            w.put(LLADDR, link_address);
        })
    }

    fn change(&self, kind: u16, flags: u16, body: impl FnOnce(&mut Writer)) -> Result<(), KernelError> {
        self.channel.request(kind, flags, body, |_| {})
    }
}

/// `struct ifinfomsg`.
fn ifinfo(w: &mut Writer, index: u32, flags: u32, change: u32) {
    w.raw(&[0; 4]);
    w.raw(&index.to_ne_bytes());
    w.raw(&flags.to_ne_bytes());
    w.raw(&change.to_ne_bytes());
}

/// `AF_INET` or `AF_INET6`.
fn family(addr: IpAddr) -> u8 {
    if addr.is_ipv6() { 10 } else { 2 }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(array::<4>(bytes, 0)?)),
        16 => Some(IpAddr::from(array::<16>(bytes, 0)?)),
        _ => None,
    }
}

fn read_link(message: &Message) -> Option<Link> {
    (message.kind == NEWLINK).then_some(())?;
    let number = |bytes: &[u8]| array(bytes, 0).map(u32::from_ne_bytes);
    let mut link = Link {
        index: u32::from_ne_bytes(array(message.body, 4)?),
        name: String::new(),
        kind: None,
        flags: u32::from_ne_bytes(array(message.body, 8)?),
        mtu: 0,
        address: Vec::new(),
        master: None,
        group: 0,
    };
    for (kind, payload) in Attrs::new(message.body.get(16..)?) {
        match kind {
            ifla::IFNAME => link.name = text(payload),
            ifla::ADDRESS => link.address = payload.to_vec(),
            ifla::MTU => link.mtu = number(payload).unwrap_or(0),
            ifla::MASTER => link.master = number(payload),
            ifla::GROUP => link.group = number(payload).unwrap_or(0),
            ifla::LINKINFO => link.kind = Attrs::find(payload, ifla::INFO_KIND).map(text),
            _ => {}
        }
    }
    Some(link)
}

fn read_address(message: &Message) -> Option<Address> {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    (message.kind == NEWADDR).then_some(())?;
    let attrs = message.body.get(8..)?;
    // On a point-to-point link the other attribute is the peer's.
    let bytes = Attrs::find(attrs, LOCAL).or_else(|| Attrs::find(attrs, ADDRESS))?;
    Some(Address {
        index: u32::from_ne_bytes(array(message.body, 4)?),
        addr: address(bytes)?,
        prefix_len: *message.body.get(1)?,
    })
}
