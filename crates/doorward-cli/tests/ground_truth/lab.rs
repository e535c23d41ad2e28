//! The throw-away network: a host with named interfaces, wires into each, raw sockets of several users; judges
//! nothing, and touches no namespace but the two that it makes.

use crate::draft::{Draft, Track, put_header_checksum};
use crate::flows::Flows;
use crate::opinion::Kernel;
use crate::oracle;
use crate::world::OWNERS;
use doorward::net::Family;
use doorward::ruleset::Hook;
use doorward::trace::Device;
use doorward_kernel::Socket;
use doorward_kernel::link::Links;
use doorward_kernel::netns::OwnNetNs;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, sockopt};
use rustix::net::{SendFlags, sendto};
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Marks that routing looks at: to this host, or by the interface of this place.
const HERE: u8 = 0x7f;
/// Bit of the way that leaves a packet out of connection tracking.
pub(crate) const UNTRACKED: u8 = 0x80;
/// First byte of the link address of everything that is sent here.
pub(crate) const SENDER: u8 = 0x0e;
/// Packets of a burst.
pub(crate) const BURST: usize = 8_192;
/// Their numbers begin here: at output they are priorities, and the kernel gives its own packets small ones.
pub(crate) const FIRST_ID: usize = 64;

/// The network.
pub(crate) struct Lab {
    pub(crate) socket: Socket,
    pub(crate) kernel: Kernel,
    pub(crate) flows: Flows,
    addresses: Vec<[u8; 6]>,
    wires: Vec<OwnedFd>,
    senders: Vec<Sender>,
    host: OwnNetNs,
    _outside: OwnNetNs,
}

/// Sockets of a user of the host, per family.
struct Sender {
    owner: (u32, u32),
    four: OwnedFd,
    six: OwnedFd,
}

/// What a packet says besides its bytes, each by its place in a list that the meter has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) id: u16,
    pub(crate) mark: u8,
    pub(crate) ct_mark: u8,
}

impl Lab {
    /// Makes it, with these interfaces.
    pub(crate) fn build(names: &[&str]) -> Lab {
        let outside = OwnNetNs::make().unwrap();
        // Nobody out there may speak by itself.
        for switch in ["all", "default", "lo"] {
            write_switch(&format!("ipv6/conf/{switch}/disable_ipv6"), "1");
        }
        let out_links = Links::open().unwrap();
        let (host, socket) = oracle::fresh();
        set_switches();
        let links = Links::open().unwrap();
        links.set_up(1).unwrap();
        let wire = |at: usize| format!("wire{at}");
        for (at, name) in names.iter().enumerate() {
            links.add_veth(name, &wire(at), outside.namespace()).unwrap();
        }
        let all = links.links().unwrap();
        let found: Vec<_> =
            names.iter().map(|name| all.iter().find(|link| link.name == **name).unwrap()).collect();
        let devices: Vec<Device> = found
            .iter()
            .map(|link| Device {
                name: link.name.clone(),
                index: link.index,
                kind: link.kind.clone(),
                group: Some(link.group),
            })
            .collect();
        for (at, link) in found.iter().enumerate() {
            links.set_up(link.index).unwrap();
            let peer = out_links.link(&wire(at)).unwrap().unwrap();
            out_links.set_up(peer.index).unwrap();
        }
        for device in &devices {
            assert!(links.wait_until_ready(device.index, Duration::from_secs(3)).unwrap());
        }
        route(&devices);
        let senders = OWNERS.iter().map(|owner| Sender::open(&host, *owner)).collect();
        let flows = Flows::open();
        outside.namespace().enter().unwrap();
        let wires = (0..names.len()).map(|at| open_wire(&wire(at))).collect();
        host.namespace().enter().unwrap();
        let addresses = found.iter().map(|link| link.address.as_slice().try_into().unwrap()).collect();
        let kernel = Kernel { devices, reads_fragments: false };
        Lab { socket, kernel, flows, addresses, wires, senders, host, _outside: outside }
    }

    /// Moves this thread to the host.
    pub(crate) fn enter(&self) {
        self.host.namespace().enter().unwrap();
    }

    /// Sends a packet; what the kernel refuses at once shows as one that never met the hook.
    pub(crate) fn send(&self, draft: &Draft, label: Label) {
        if draft.hook == Hook::Output {
            self.send_from_host(draft, label);
        } else {
            let frame = self.frame(draft, label);
            let sent = socket::send(self.wires[draft.iif].as_raw_fd(), &frame, MsgFlags::empty());
            assert_eq!(sent, Ok(frame.len()), "the wire takes everything");
        }
    }

    /// The link header of a packet that arrives.
    pub(crate) fn link_header(&self, draft: &Draft, label: Label) -> Vec<u8> {
        let mut way = if draft.hook == Hook::Input { HERE } else { u8::try_from(draft.oif + 1).unwrap() };
        if draft.track == Track::Untracked {
            way |= UNTRACKED;
        }
        let [high, low] = label.id.to_be_bytes();
        let mut header = self.addresses[draft.iif].to_vec();
        header.extend([SENDER, way, label.mark, label.ct_mark, high, low]);
        header.extend(if draft.family == Family::V4 { [0x08, 0x00] } else { [0x86, 0xdd] });
        header
    }

    fn frame(&self, draft: &Draft, label: Label) -> Vec<u8> {
        let mut frame = self.link_header(draft, label);
        let mut network = draft.network.clone();
        if draft.hook == Hook::Forward {
            // The kernel takes one off before the hook.
            network[if draft.family == Family::V4 { 8 } else { 7 }] += 1;
            if draft.family == Family::V4 {
                put_header_checksum(&mut network);
            }
        }
        frame.extend(network);
        append_rest(&mut frame, draft);
        frame
    }

    fn send_from_host(&self, draft: &Draft, label: Label) {
        let sender = self.senders.iter().find(|sender| sender.owner == draft.owner).unwrap();
        let raw = if draft.family == Family::V4 { &sender.four } else { &sender.six };
        let mut number = u32::from(label.id) | u32::from(label.ct_mark) << 16;
        if draft.track == Track::Untracked {
            number |= u32::from(UNTRACKED) << 24;
        }
        socket::setsockopt(raw, sockopt::Priority, &number.cast_signed()).unwrap();
        socket::setsockopt(raw, sockopt::Mark, &draft.mark).unwrap();
        let mut packet = draft.network.clone();
        append_rest(&mut packet, draft);
        // The kernel routes by this address and looks at none in the header.
        let to = beyond(draft.family, draft.oif);
        let _ = sendto(raw, &packet, SendFlags::empty(), &SocketAddr::new(to, 0));
    }
}

fn append_rest(bytes: &mut Vec<u8>, draft: &Draft) {
    for (_, extension) in &draft.extensions {
        bytes.extend(extension);
    }
    bytes.extend(&draft.transport);
}

/// An address behind the interface of this place, and behind no other.
fn beyond(family: Family, place: usize) -> IpAddr {
    let last = u8::try_from(place + 1).unwrap();
    match family {
        Family::V4 => IpAddr::from([198, 18, 0, last]),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, last.into())),
    }
}

/// The socket at the far end of an interface; this thread is out there.
fn open_wire(name: &str) -> OwnedFd {
    let wire = socket::socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let mut interfaces = nix::ifaddrs::getifaddrs().unwrap();
    let address = interfaces
        .find_map(|one| (one.interface_name == name).then(|| one.address?.as_link_addr().copied()).flatten())
        .expect("the other end is there");
    socket::bind(wire.as_raw_fd(), &address).unwrap();
    wire
}

impl Sender {
    /// Who opens a socket is whom the kernel sees in its packets.
    fn open(host: &OwnNetNs, owner: (u32, u32)) -> Sender {
        let open = |family| {
            rustix::net::socket_with(
                family,
                rustix::net::SocketType::RAW,
                rustix::net::SocketFlags::CLOEXEC,
                Some(rustix::net::ipproto::RAW),
            )
            .unwrap()
        };
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    host.namespace().enter().unwrap();
                    become_owner(owner);
                    Sender {
                        owner,
                        four: open(rustix::net::AddressFamily::INET),
                        six: open(rustix::net::AddressFamily::INET6),
                    }
                })
                .join()
                .unwrap()
        })
    }
}

/// Makes this thread, and no other of the process, a user who may still open raw sockets.
fn become_owner((user, group): (u32, u32)) {
    use rustix::thread::{
        Gid, Uid, capabilities, set_capabilities, set_keep_capabilities, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    };
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    set_keep_capabilities(true).unwrap();
    set_thread_groups(&[]).unwrap();
    set_thread_res_gid(group, group, group).unwrap();
    set_thread_res_uid(user, user, user).unwrap();
    let mut sets = capabilities(None).unwrap();
    sets.effective = sets.permitted;
    set_capabilities(None, sets).unwrap();
}

/// Leads packets by the mark of their way, and makes addresses of several types for `fib`.
fn route(devices: &[Device]) {
    use std::fmt::Write as _;
    for (flag, everything, test, types) in [
        (
            "-4",
            "0.0.0.0/0",
            "198.18.0",
            "local 10.1.255.0/24 dev lo table local\nbroadcast 192.0.2.1 dev FIRST table local\n\
             unreachable 203.0.113.128/25 table local\n",
        ),
        (
            "-6",
            "::/0",
            "2001:2::",
            "local fd00::/16 dev lo table local\nunreachable 2001:db8:de00::/40\nunicast 2001:db8::/33 dev FIRST\n",
        ),
    ] {
        let mut text = format!("route add local {everything} dev lo table 99\n");
        let prefix = if flag == "-4" { format!("{test}.0/24") } else { format!("{test}/64") };
        let _ = writeln!(text, "rule add pref 10 to {prefix} lookup 98");
        let _ = writeln!(text, "rule add pref 20 fwmark {HERE} lookup 99");
        for (at, device) in devices.iter().enumerate() {
            let (number, name) = (at + 1, &device.name);
            let host = if flag == "-4" { format!("{test}.{number}") } else { format!("{test}{number:x}") };
            let _ = writeln!(text, "route add {host} dev {name} table 98");
            let _ = writeln!(text, "route add default dev {name} table {}", 100 + number);
            let _ = writeln!(text, "rule add pref {} fwmark {number} lookup {}", 20 + number, 100 + number);
        }
        // Who changes a packet at output has it routed anew, by no way of ours.
        let _ = writeln!(text, "route add default dev {}", devices[0].name);
        // What is said of an address must not decide where its packets go.
        text.push_str("rule add pref 32000 lookup local\nrule del pref 0\n");
        for line in types.replace("FIRST", &devices[0].name).lines() {
            let _ = writeln!(text, "route add {line}");
        }
        ip(&[flag, "-batch", "-"], &text);
    }
    // Who sends needs some address.
    ip(&["-6", "addr", "add", "2001:2:0:1::1/128", "dev", &devices[0].name, "nodad"], "");
    ip(&["-4", "addr", "add", "198.18.1.1/32", "dev", &devices[0].name], "");
}

fn ip(args: &[&str], text: &str) {
    use std::io::Write as _;
    let mut child = Command::new("ip")
        .args(args)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test routes with `ip`: install the package iproute2");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "ip {args:?}: {}\n{text}", String::from_utf8_lossy(&output.stderr));
}

/// Switches that would let the kernel itself drop what the rules are to judge.
fn set_switches() {
    for (switch, value) in [
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/conf/all/accept_local", "1"),
        ("ipv4/conf/default/accept_local", "1"),
        ("ipv4/conf/all/route_localnet", "1"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/send_redirects", "0"),
        ("ipv4/ip_forward", "1"),
        ("ipv4/ip_early_demux", "0"),
        ("ipv6/conf/all/disable_ipv6", "0"),
        ("ipv6/conf/default/disable_ipv6", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/all/forwarding", "1"),
        // Checksums and windows are not what is tried here.
        ("netfilter/nf_conntrack_checksum", "0"),
        ("netfilter/nf_conntrack_tcp_be_liberal", "1"),
    ] {
        write_switch(switch, value);
    }
}

fn write_switch(switch: &str, value: &str) {
    // What cannot be switched shows as packets that do not reach the hook.
    let _ = fs::write(format!("/proc/sys/net/{switch}"), value);
}
