//! Ending sockets: the one that is meant gets an error, and no other, least of all one that listens.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use common::{fresh, skip};
use doorward_kernel::destroy::{Destroyed, Destroyer};
use doorward_kernel::diag::{Connection, Diag, Transport};
use doorward_kernel::link::Links;
use doorward_kernel::netns::OwnNetNs;
use doorward_kernel::{Guard, KernelError};

fn inside() -> (OwnNetNs, Destroyer, Diag) {
    let (own, _) = fresh();
    let links = Links::open().unwrap();
    links.set_up(links.link("lo").unwrap().unwrap().index).unwrap();
    let destroyer = Destroyer::open(Guard::for_own_namespace(&own).unwrap()).unwrap();
    (own, destroyer, Diag::open().unwrap())
}

/// Whether the kernel can; says so where not.
fn can(outcome: Destroyed) -> bool {
    if outcome == Destroyed::Unsupported {
        skip::skip("this kernel was built without CONFIG_INET_DIAG_DESTROY");
    }
    outcome != Destroyed::Unsupported
}

#[test]
fn a_server_that_talks_is_cut() {
    if skip::without_root() {
        return;
    }
    let (_own, destroyer, diag) = inside();
    // The last is IPv4 in a socket of IPv6.
    for (at, to) in
        [("127.0.0.1:6000", "127.0.0.1:6000"), ("[::1]:6000", "[::1]:6000"), ("[::]:6001", "127.0.0.1:6001")]
    {
        let listener = TcpListener::bind(at).unwrap();
        let mut cut = TcpStream::connect(to).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        let local = server.local_addr().unwrap();
        let mut spared = TcpStream::connect(to).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        let talking = std::thread::spawn(move || {
            loop {
                match server.write_all(b"x") {
                    Ok(()) => std::thread::sleep(Duration::from_millis(100)),
                    Err(error) => return error.kind(),
                }
            }
        });
        cut.read_exact(&mut [0; 3]).unwrap();
        let found = diag.between(Transport::Tcp, local, peer).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(diag.connections().unwrap().contains(&found[0]));
        let began = Instant::now();
        if !can(destroyer.destroy_between(Transport::Tcp, local, peer).unwrap()) {
            return;
        }
        assert_eq!(talking.join().unwrap(), ErrorKind::ConnectionAborted);
        assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
        // What came before may still be read; then the reset shows.
        let end = std::iter::repeat_with(|| cut.read(&mut [0; 64])).find(|read| !matches!(read, Ok(1..)));
        assert_eq!(end.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);

        other.write_all(b"y").unwrap();
        spared.read_exact(&mut [0]).unwrap();
        // The socket that listens is what the kernel finds at these ends now.
        assert_eq!(destroyer.destroy(&found[0]).unwrap(), Destroyed::Gone);
        assert_eq!(destroyer.destroy_between(Transport::Tcp, local, peer).unwrap(), Destroyed::Gone);
        TcpStream::connect(to).unwrap();
        listener.accept().unwrap();
    }
}

#[test]
fn a_connected_udp_socket_is_cut_and_an_open_one_is_not() {
    if skip::without_root() {
        return;
    }
    let (_own, destroyer, diag) = inside();
    for host in ["127.0.0.1", "::1"] {
        let at = |port| SocketAddr::new(host.parse().unwrap(), port);
        let serving = UdpSocket::bind(at(7000)).unwrap();
        let asking = UdpSocket::bind(at(7001)).unwrap();
        asking.connect(at(7000)).unwrap();
        let found = diag.with_peer(Transport::Udp).unwrap();
        assert_eq!(
            found.iter().map(|one| (one.local, one.remote)).collect::<Vec<_>>(),
            [(at(7001), at(7000))]
        );

        // The other way around there is a socket for everybody, which is not meant.
        let towards = destroyer.destroy_between(Transport::Udp, at(7000), at(7001)).unwrap();
        assert_eq!(towards, Destroyed::Gone);
        let imagined = Connection { local: at(7000), remote: at(7001), ..found[0] };
        assert_eq!(destroyer.destroy(&imagined).unwrap(), Destroyed::Gone);
        if !can(destroyer.destroy(&found[0]).unwrap()) {
            return;
        }
        assert_eq!(asking.recv(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
        // It stays open and keeps its port, without a peer.
        assert_eq!(diag.with_peer(Transport::Udp).unwrap(), []);
        assert_eq!(destroyer.destroy_between(Transport::Udp, at(7001), at(7000)).unwrap(), Destroyed::Gone);
        let another = UdpSocket::bind(at(0)).unwrap();
        another.send_to(b"x", at(7000)).unwrap();
        serving.recv(&mut [0]).unwrap();
    }
}

#[test]
fn who_went_elsewhere_ends_nothing() {
    if skip::without_root() {
        return;
    }
    let (own, _) = fresh();
    let guard = Guard::for_own_namespace(&own).unwrap();
    let _other = fresh();
    assert_eq!(Destroyer::open(guard).err(), Some(KernelError::Moved));
}
