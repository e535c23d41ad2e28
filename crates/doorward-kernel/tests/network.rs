//! Interfaces, addresses, routes and sockets in namespaces of their own, with the kernel's own traffic as oracle.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use common::{fresh, skip};
use doorward_kernel::diag::{Diag, Transport};
use doorward_kernel::link::{Address, Links, Route};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_pair_of_namespaces_talks_over_both_families() {
    if skip::without_root() {
        return;
    }
    let (outside, _) = fresh();
    let far = Links::open().unwrap();
    let (inside, _) = fresh();
    let near = Links::open().unwrap();
    near.add_veth("in0", "out0", outside.namespace()).unwrap();
    let here = near.link("in0").unwrap().unwrap();
    let there = far.link("out0").unwrap().unwrap();
    assert_eq!(here.kind.as_deref(), Some("veth"));
    assert!(!here.is_up());
    for (links, link, four, six) in
        [(&near, &here, "192.0.2.1", "2001:db8::1"), (&far, &there, "192.0.2.2", "2001:db8::2")]
    {
        let lo = links.link("lo").unwrap().unwrap();
        assert!(lo.is_loopback());
        links.set_up(lo.index).unwrap();
        links.set_up(link.index).unwrap();
        links.add_address(link.index, ip(four), 24).unwrap();
        links.add_address(link.index, ip(six), 64).unwrap();
    }
    near.set_mtu(here.index, 1400).unwrap();
    let seen = near.link("in0").unwrap().unwrap();
    assert!(seen.is_up());
    assert_eq!(seen.mtu, 1400);
    assert!(near.addresses().unwrap().contains(&Address {
        index: here.index,
        addr: ip("192.0.2.1"),
        prefix_len: 24
    }));

    // A prefix behind the other end, so that the route is needed.
    far.add_address(there.index, ip("198.51.100.9"), 32).unwrap();
    near.add_route(Route {
        to: ip("198.51.100.0"),
        prefix_len: 24,
        via: Some(ip("192.0.2.2")),
        index: here.index,
    })
    .unwrap();
    near.add_neighbour(here.index, ip("192.0.2.2"), &there.address).unwrap();

    for addr in ["198.51.100.9", "2001:db8::2"] {
        outside.namespace().enter().unwrap();
        let listener = TcpListener::bind(SocketAddr::new(ip(addr), 4000)).unwrap();
        inside.namespace().enter().unwrap();
        let mut client = TcpStream::connect(SocketAddr::new(ip(addr), 4000)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    near.delete(here.index).unwrap();
    assert!(far.link("out0").unwrap().is_none());
}

#[test]
fn a_bridge_takes_ports() {
    if skip::without_root() {
        return;
    }
    let (own, _) = fresh();
    let links = Links::open().unwrap();
    links.add_bridge("br0").unwrap();
    links.add_veth("d0", "d1", own.namespace()).unwrap();
    let bridge = links.link("br0").unwrap().unwrap();
    let port = links.link("d0").unwrap().unwrap();
    assert_eq!((bridge.kind.as_deref(), port.kind.as_deref()), (Some("bridge"), Some("veth")));
    links.set_master(port.index, bridge.index).unwrap();
    assert_eq!(links.link("d0").unwrap().unwrap().master, Some(bridge.index));
    links.set_up(port.index).unwrap();
    links.set_down(port.index).unwrap();
    assert!(!links.link("d0").unwrap().unwrap().is_up());
}

#[test]
fn an_interface_that_swallows() {
    if skip::without_root() {
        return;
    }
    let (_own, _) = fresh();
    let links = Links::open().unwrap();
    match links.add_dummy("d0") {
        Ok(()) => assert_eq!(links.link("d0").unwrap().unwrap().kind.as_deref(), Some("dummy")),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("Unknown device type"), "{text}");
        }
    }
    let error = links.add_bridge("lo").unwrap_err().to_string();
    assert!(error.starts_with("the kernel refused network interfaces: "), "{error}");
}

#[test]
fn sockets_are_listed() {
    if skip::without_root() {
        return;
    }
    let (_own, _) = fresh();
    let links = Links::open().unwrap();
    links.set_up(links.link("lo").unwrap().unwrap().index).unwrap();
    let four = TcpListener::bind("127.0.0.1:5001").unwrap();
    let _six = TcpListener::bind("[::]:5002").unwrap();
    let _udp = UdpSocket::bind("0.0.0.0:5003").unwrap();
    let client = TcpStream::connect("127.0.0.1:5001").unwrap();
    let mapped = TcpStream::connect("127.0.0.1:5002").unwrap();
    let (_server, _) = four.accept().unwrap();

    let diag = Diag::open().unwrap();
    let mut listeners: Vec<_> = diag
        .listeners()
        .unwrap()
        .into_iter()
        .map(|one| (one.transport, one.local.to_string(), one.both_families))
        .collect();
    listeners.sort();
    assert_eq!(
        listeners,
        [
            (Transport::Tcp, "127.0.0.1:5001".to_owned(), false),
            (Transport::Tcp, "[::]:5002".to_owned(), true),
            (Transport::Udp, "0.0.0.0:5003".to_owned(), false),
        ]
    );
    let connections: Vec<_> =
        diag.connections().unwrap().into_iter().map(|one| (one.local, one.remote)).collect();
    for stream in [client, mapped] {
        let pair = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        assert!(connections.contains(&pair), "{pair:?} of {connections:?}");
        assert!(connections.contains(&(pair.1, pair.0)), "{pair:?} of {connections:?}");
    }
}
