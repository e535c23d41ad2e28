//! A packet from any address to any other crosses a pair of interfaces, and what was added goes away again.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use doorward_kernel::link::{Links, Route};
use doorward_kernel::netns::OwnNetNs;

/// One address on each side, and a router that is not there.
const PAIRS: [(&str, &str, &str); 2] =
    [("192.0.2.1", "198.51.100.7", "169.254.0.9"), ("2001:db8::1", "2001:db8:7::7", "fe80::9")];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn default(index: u32, via: &str) -> Route {
    Route { to: address(via), prefix_len: 0, via: Some(address(via)), index }
}

fn side(own: &OwnNetNs, addrs: [&str; 2], name: &str, peer: &[u8]) -> UdpSocket {
    own.namespace().enter().unwrap();
    let links = Links::open().unwrap();
    let index = links.link(name).unwrap().unwrap().index;
    assert!(links.wait_until_ready(index, Duration::from_secs(2)).unwrap());
    for ((_, _, via), addr) in PAIRS.into_iter().zip(addrs) {
        let prefix_len = if via.contains(':') { 128 } else { 32 };
        links.add_address(index, address(addr), prefix_len).unwrap();
        links.add_neighbour(index, address(via), peer).unwrap();
        for _ in 0..2 {
            links.set_route(default(index, via)).unwrap();
        }
    }
    let socket = UdpSocket::bind("[::]:5000").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket
}

#[test]
fn any_address_may_be_behind_a_pair() {
    if skip::without_root() {
        return;
    }
    let (here, there) = (OwnNetNs::make(), OwnNetNs::make());
    let [here, there] = [here, there].map(|made| {
        made.unwrap_or_else(|error| {
            panic!("this test makes network namespaces ({error}): run it as root or under `unshare -Ur`")
        })
    });
    here.namespace().enter().unwrap();
    let links = Links::open().unwrap();
    links.add_veth("eth0", "out0", there.namespace()).unwrap();
    let eth0 = links.link("eth0").unwrap().unwrap();
    assert!(!links.wait_until_ready(eth0.index, Duration::from_millis(5)).unwrap(), "nothing is on yet");
    links.set_up(eth0.index).unwrap();
    there.namespace().enter().unwrap();
    let theirs = Links::open().unwrap();
    let out0 = theirs.link("out0").unwrap().unwrap();
    theirs.set_up(out0.index).unwrap();
    let our_socket = side(&here, PAIRS.map(|pair| pair.0), "eth0", &out0.address);
    let their_socket = side(&there, PAIRS.map(|pair| pair.1), "out0", &eth0.address);
    for (mine, yours, _) in PAIRS {
        their_socket.send_to(b"there", (address(mine), 5000)).unwrap();
        let mut buffer = [0; 16];
        let (len, from) = our_socket.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from.ip().to_canonical()), (&b"there"[..], address(yours)));
        our_socket.send_to(b"back", from).unwrap();
        assert_eq!(their_socket.recv(&mut buffer).unwrap(), 4);
    }
    here.namespace().enter().unwrap();
    for (mine, yours, _) in PAIRS {
        assert_eq!(links.route_to(address(yours)), Some((eth0.index, Some(address(mine)))));
        assert_eq!(links.route_to(address(mine)).map(|(index, _)| index), Some(1), "by loopback");
    }
    for (mine, _, via) in PAIRS {
        let prefix_len = if via.contains(':') { 128 } else { 32 };
        links.remove_route(default(eth0.index, via)).unwrap();
        assert!(links.remove_route(default(eth0.index, via)).is_err());
        links.remove_address(eth0.index, address(mine), prefix_len).unwrap();
        assert!(links.remove_address(eth0.index, address(mine), prefix_len).is_err());
    }
    assert_eq!(links.route_to(address("198.51.100.7")), None, "there is no way any more");
}
