//! The throw-away network: a host, an outside behind each of its interfaces, and sockets that send anything.
//!
//! Everything here belongs to namespaces that this process made; where it came from is never changed.

use super::Failure;
use super::packet;
use super::place::{Pair, Places};
use doorward::meaning::{Connection, Owner};
use doorward::net::Family;
use doorward_kernel::link::{Links, Route};
use doorward_kernel::netns::{self, OwnNetNs};
use doorward_kernel::{Guard, Socket};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The router behind each interface; it needs no address of its own.
const ROUTER: Pair = Pair {
    four: IpAddr::V4(Ipv4Addr::new(169, 254, 77, 1)),
    six: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x77, 1)),
};
/// The name of each link on its outer side.
const OUTER: &str = "wire";
/// How long a link may take to carry packets.
const PATIENCE: Duration = Duration::from_secs(3);

/// One network namespace and what is needed in it.
pub(super) struct Side {
    own: OwnNetNs,
    links: Links,
    pub(super) rules: Socket,
    raw: Raw,
}

/// Sockets that send whole packets, per family.
struct Raw {
    four: Result<OwnedFd, Errno>,
    six: Result<OwnedFd, Errno>,
}

/// The network.
pub(super) struct Lab {
    pub(super) host: Side,
    /// What is behind each interface of the host.
    pub(super) outside: BTreeMap<String, Side>,
    indexes: BTreeMap<String, u32>,
    owners: BTreeMap<(u32, u32), Raw>,
    /// As whom everything here is opened.
    me: Owner,
    /// Whether other users can be played.
    plays_users: bool,
    routes: Vec<Route>,
}

/// Makes this process fit to make network namespaces: as root it is, anybody else becomes `me` of a user
/// namespace of its own. Says whether that was needed.
pub(super) fn enter_user_namespace(me: Owner) -> Result<(), Failure> {
    // A thread that just ended may still count for a moment, and only a process of one thread may do this.
    for _ in 0..100 {
        match netns::become_user_of_own_user_namespace(me.uid, me.gid) {
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) if error.raw_os_error() == Some(Errno::NOSPC.raw_os_error()) => {
                return Err(Failure::Forbidden("it allows no more user namespaces".to_owned()));
            }
            other => return other.map_err(|error| Failure::Forbidden(error.to_string())),
        }
    }
    Err(Failure::Forbidden("this process has several threads".to_owned()))
}

impl Side {
    fn make() -> Result<Side, Failure> {
        let own = OwnNetNs::make().map_err(|error| Failure::Forbidden(error.to_string()))?;
        let guard = Guard::for_own_namespace(&own).map_err(|error| Failure::Forbidden(error.to_string()))?;
        set_switches();
        let links = Links::open()?;
        let rules = Socket::open(guard)?;
        if let Some(lo) = links.link("lo")? {
            links.set_up(lo.index)?;
        }
        let raw = Raw::open();
        // A capability that was lost on the way shows here first.
        if raw.four.as_ref().is_err_and(|errno| *errno == Errno::PERM) {
            return Err(Failure::Forbidden("no raw sockets in a namespace of our own".to_owned()));
        }
        Ok(Side { own, links, rules, raw })
    }

    /// Moves this thread here, for sockets that are opened next.
    pub(super) fn enter(&self) -> Result<(), Failure> {
        self.own.namespace().enter().map_err(|error| Failure::System(error.to_string()))
    }

    /// Gives this side an address of its own; says whether the kernel took it.
    pub(super) fn add_address(&self, index: u32, addr: IpAddr) -> bool {
        self.links.add_address(index, addr, bits(addr)).is_ok()
    }

    /// The same on `lo`.
    pub(super) fn add_own_address(&self, addr: IpAddr) -> bool {
        self.add_address(1, addr)
    }
}

impl Raw {
    /// As the user and in the namespace of this thread.
    fn open() -> Raw {
        let open = |family| {
            socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(rustix::net::ipproto::RAW))
        };
        Raw { four: open(AddressFamily::INET), six: open(AddressFamily::INET6) }
    }

    fn of(&self, family: Family) -> Result<&OwnedFd, Errno> {
        match family {
            Family::V4 => &self.four,
            Family::V6 => &self.six,
        }
        .as_ref()
        .map_err(|errno| *errno)
    }
}

impl Lab {
    /// Builds it; the first interface is where everything goes that has no other way.
    pub(super) fn build(places: &Places, me: Owner, plays_users: bool) -> Result<Lab, Failure> {
        let host = Side::make()?;
        let mut lab = Lab {
            host,
            outside: BTreeMap::new(),
            indexes: BTreeMap::new(),
            owners: BTreeMap::new(),
            me,
            plays_users,
            routes: Vec::new(),
        };
        for name in places.interfaces.iter().chain([&places.inner]) {
            let side = Side::make()?;
            lab.host.enter()?;
            lab.host.links.add_veth(name, OUTER, side.own.namespace())?;
            let inner = named(&lab.host.links, name)?;
            let outer = named(&side.links, OUTER)?;
            lab.host.links.set_up(inner.index)?;
            side.links.set_up(outer.index)?;
            for router in ROUTER.both() {
                // Without IPv6 in the kernel half of this fails, and the probes say so.
                let _ = lab.host.links.add_neighbour(inner.index, router, &outer.address);
                let _ = side.links.add_neighbour(outer.index, router, &inner.address);
                let _ = side.links.set_route(default_route(outer.index, router));
            }
            lab.indexes.insert(name.clone(), inner.index);
            lab.outside.insert(name.clone(), side);
        }
        for (name, side) in &lab.outside {
            let outer = named(&side.links, OUTER)?;
            let index = lab.index(name);
            let ready = side.links.wait_until_ready(outer.index, PATIENCE)?
                && lab.host.links.wait_until_ready(index, PATIENCE)?;
            if !ready {
                return Err(Failure::System(format!("the link `{name}` does not come up")));
            }
            // Every outside has an address to speak from; they never meet each other.
            for addr in places.anyone.both() {
                side.add_address(outer.index, addr);
            }
        }
        for addr in places.host.both() {
            lab.host.add_address(lab.index(first(places)), addr);
        }
        lab.leave_by(first(places))?;
        Ok(lab)
    }

    fn index(&self, name: &str) -> u32 {
        self.indexes.get(name).copied().unwrap_or(0)
    }

    /// Lets everything that the host sends leave by this interface.
    pub(super) fn leave_by(&mut self, name: &str) -> Result<(), Failure> {
        for router in ROUTER.both() {
            let set = self.host.links.set_route(default_route(self.index(name), router));
            if router.is_ipv4() {
                set?;
            }
        }
        Ok(())
    }

    /// Lets packets for these addresses pass through to an interface.
    pub(super) fn lead(&mut self, to: impl IntoIterator<Item = IpAddr>, name: &str) {
        for to in to {
            let via = Some(ROUTER.of(Family::of(to)));
            let route = Route { to, prefix_len: bits(to), via, index: self.index(name) };
            if self.host.links.set_route(route).is_ok() {
                self.routes.push(route);
            }
        }
    }

    /// Ends that.
    pub(super) fn lead_nowhere(&mut self) {
        for route in self.routes.drain(..) {
            let _ = self.host.links.remove_route(route);
        }
    }

    /// Makes addresses the host's own.
    pub(super) fn adopt(&self, addrs: &[IpAddr]) {
        for addr in addrs {
            self.host.add_own_address(*addr);
        }
    }

    /// Whether this user's packets can be sent here.
    pub(super) fn can_be(&self, owner: Owner) -> bool {
        self.plays_users || owner == self.me
    }

    /// Sends a probe from where it comes from.
    pub(super) fn send(
        &mut self,
        connection: &Connection,
        mark: u32,
        owner: Option<Owner>,
    ) -> Result<(), Errno> {
        let bytes = packet::build(connection, mark);
        let family = connection.family();
        let to = connection.addressed();
        let raw = if packet::is_sent_here(connection) {
            match owner {
                Some(owner) if owner != self.me => self.sockets_of(owner)?.of(family)?,
                _ => self.host.raw.of(family)?,
            }
        } else {
            let side = self.outside.get(connection.iface()).ok_or(Errno::NODEV)?;
            side.raw.of(family)?
        };
        let sent = sendto(raw, &bytes, SendFlags::empty(), &SocketAddr::new(to, 0));
        match sent {
            // A firewall that drops what is sent says so with these.
            Ok(_) | Err(Errno::PERM | Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::ACCESS) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Sockets that belong to a user: who opens a socket is whom the kernel sees in its packets.
    fn sockets_of(&mut self, owner: Owner) -> Result<&Raw, Errno> {
        let key = (owner.uid, owner.gid);
        if !self.owners.contains_key(&key) {
            let own = &self.host.own;
            let opened = std::thread::scope(|scope| {
                scope
                    .spawn(|| {
                        own.namespace()
                            .enter()
                            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::PERM))?;
                        become_owner(owner)?;
                        Ok(Raw::open())
                    })
                    .join()
                    .unwrap_or(Err(Errno::PERM))
            })?;
            self.owners.insert(key, opened);
        }
        self.owners.get(&key).ok_or(Errno::PERM)
    }
}

/// Makes this thread, and no other of the process, a user who may still open raw sockets.
fn become_owner(owner: Owner) -> Result<(), Errno> {
    use rustix::thread::{
        Gid, Uid, capabilities, set_capabilities, set_keep_capabilities, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    };
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    set_keep_capabilities(true)?;
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    let mut sets = capabilities(None)?;
    sets.effective = sets.permitted;
    set_capabilities(None, sets)
}

fn first(places: &Places) -> &str {
    places.interfaces.first().map_or("eth0", String::as_str)
}

fn named(links: &Links, name: &str) -> Result<doorward_kernel::link::Link, Failure> {
    links.link(name)?.ok_or_else(|| Failure::System(format!("the link `{name}` is gone")))
}

fn default_route(index: u32, router: IpAddr) -> Route {
    Route { to: router, prefix_len: 0, via: Some(router), index }
}

fn bits(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}

/// Switches of this namespace that would let the kernel itself drop what the firewall is to judge, or keep
/// refusals back. What cannot be switched shows as packets that do not arrive.
fn set_switches() {
    for (switch, value) in [
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/conf/all/accept_local", "1"),
        ("ipv4/conf/all/route_localnet", "1"),
        ("ipv4/ip_forward", "1"),
        ("ipv4/icmp_ratelimit", "0"),
        ("ipv4/icmp_msgs_per_sec", "100000"),
        ("ipv4/icmp_msgs_burst", "100000"),
        ("ipv6/conf/all/disable_ipv6", "0"),
        ("ipv6/conf/default/disable_ipv6", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/icmp/ratelimit", "0"),
    ] {
        let _ = fs::write(format!("/proc/sys/net/{switch}"), value);
    }
}
