//! What the policy translates, followed to where it ends: for probes in thought, and with whole conversations.

use super::lab::Lab;
use super::place::Places;
use super::plan::{Door, Plan, some_of};
use super::talk::{PATIENCE, Talks, wait};
use super::{Failure, Fate};
use doorward::meaning::{Addressed, Connection, Host, Limits, Packet, Path, judge, translate};
use doorward::net::{Family, Proto};
use doorward::resolve::model::{Nat, Peers, Resolved, Traffic, Translation, Verdict};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

/// Ports that may be open for what passes through, besides those that sentences name.
const USUAL: [u16; 6] = [443, 80, 53, 123, 22, 7777];

/// The connection as the host judges it, where the policy leads it elsewhere as it arrives.
pub(super) fn follow(
    policy: &Resolved,
    host: &Host,
    places: &Places,
    connection: &Connection,
) -> Option<Connection> {
    let iif = match &connection.path {
        Path::In { iface, .. } if iface != "lo" => iface.clone(),
        Path::Forward { iif, addressed: Some(_), .. } => iif.clone(),
        _ => return None,
    };
    let (end, _) = translate::led(policy, host, connection)?;
    let Packet::Ports { proto, from, opens, .. } = connection.packet else { return None };
    let addressed = Some(Addressed { to: connection.addressed(), port: connection.port()? });
    let path = match end.addr {
        Some(_) => Path::Forward { iif, oif: places.inner.clone(), addressed },
        None => Path::In { iface: iif, addressed },
    };
    Some(Connection {
        path,
        from: connection.from,
        to: end.addr.unwrap_or(connection.addressed()),
        packet: Packet::Ports { proto, from, to: end.port?, opens },
    })
}

/// Opens a connection for each sentence that translates, and sees who answers.
pub(super) fn talk(
    lab: &mut Lab,
    policy: &Resolved,
    plan: &Plan,
    places: &Places,
    talks: &mut Talks,
) -> Result<(), Failure> {
    let own = [plan.own.as_slice(), &places.published.both()].concat();
    let host = Host { own };
    let mut talker = Talker { lab, policy, places, host, talks };
    for nat in &policy.nat {
        for family in Family::BOTH.into_iter().filter(|family| nat.what.covers(*family)) {
            let tried = match &nat.what {
                Translation::Masquerade { .. } => talker.leaves(nat, family)?,
                Translation::Redirect { .. } | Translation::Publish { .. } => talker.arrives(nat, family)?,
            };
            if !tried {
                let words = "no connection of it is allowed, so none was opened";
                talker.talks.left_out.push(format!("{}: {family}: {words}", nat.origin));
            }
        }
    }
    talker.lab.lead_nowhere();
    let home = places.interfaces.first().cloned().unwrap_or_default();
    talker.lab.leave_by(&home)
}

struct Talker<'a> {
    lab: &'a mut Lab,
    policy: &'a Resolved,
    places: &'a Places,
    host: Host,
    talks: &'a mut Talks,
}

impl Talker<'_> {
    /// Whether the policy lets a connection pass, whatever its limits have counted.
    fn passes(&self, connection: &Connection) -> bool {
        let judgement = judge(self.policy, &self.host, connection, Limits::Spent);
        judgement.verdict == Verdict::Allow && !judgement.limited
    }

    fn row(&mut self, nat: &Nat, of: &Connection, went: bool) {
        let door = Door {
            origin: Some(nat.origin.clone()),
            words: nat.origin.comment(),
            subject: (usize::MAX - 5, false),
            promised: Verdict::Allow,
        };
        let verdict = if went { Verdict::Allow } else { Verdict::Block };
        self.talks.cells.push((door, of.family(), of.to_string(), Fate::Judged(verdict)));
        self.talks.packets += 1;
    }

    /// `redirect` and `publish`: whoever comes from outside gets to who is told.
    fn arrives(&mut self, nat: &Nat, family: Family) -> Result<bool, Failure> {
        let mut tried = false;
        let iface = self.places.interfaces.first().cloned().unwrap_or_default();
        self.lab.leave_by(&iface)?;
        for (proto, range) in nat.what.ports() {
            let to = self.places.host.of(family);
            let packet = Packet::Ports { proto: *proto, from: 40_000, to: range.last(), opens: true };
            // Who speaks for anyone has the same address behind each interface.
            let from = self.places.container.of(family);
            let sent =
                Connection { path: Path::In { iface: iface.clone(), addressed: None }, from, to, packet };
            let Some(led) = follow(self.policy, &self.host, self.places, &sent) else { continue };
            let Packet::Ports { to: port, .. } = led.packet else { continue };
            if *proto == Proto::SCTP || !self.passes(&led) {
                continue;
            }
            let end = SocketAddr::new(led.to, port);
            let elsewhere = matches!(led.path, Path::Forward { .. });
            if elsewhere {
                self.lab.lead([led.to], &self.places.inner);
            }
            let Some(client) = self.lab.outside.get(&iface) else { continue };
            let server = if elsewhere {
                let Some(inner) = self.lab.outside.get(&self.places.inner) else { continue };
                inner.add_own_address(led.to);
                inner
            } else {
                &self.lab.host
            };
            client.add_own_address(from);
            server.enter()?;
            let asks = SocketAddr::new(to, range.last());
            let went = if *proto == Proto::TCP {
                let Some(listener) = wait(|| TcpListener::bind(end).ok()) else { continue };
                client.enter()?;
                tried_again(|| seen_by(&listener, from, asks))
            } else {
                let Some(socket) = wait(|| UdpSocket::bind(end).ok()) else { continue };
                client.enter()?;
                tried_again(|| seen_by_udp(&socket, from, asks))
            };
            tried = true;
            self.row(nat, &led, went == Some(from));
        }
        Ok(tried)
    }

    /// `masquerade`: who answers has seen an address of this host.
    fn leaves(&mut self, nat: &Nat, family: Family) -> Result<bool, Failure> {
        let Translation::Masquerade { from, on } = &nat.what else { return Ok(false) };
        let peers = Peers { only: Some(from.clone()), except: None };
        let (Some(client), Some(on)) = (some_of(&peers, family, 1).first().copied(), on.first()) else {
            return Ok(false);
        };
        let oif = super::place::example(on);
        let to = self.places.container.of(family);
        let inner = [self.places.inner.clone()];
        let named = self.policy.rules.iter().flat_map(|rule| &rule.traffic).filter_map(|thing| match thing {
            Traffic::Ports(Proto::TCP, range) => Some(range.first()),
            _ => None,
        });
        let of = |port, iif: &String| Connection {
            path: Path::Forward { iif: iif.clone(), oif: oif.clone(), addressed: None },
            from: client,
            to,
            packet: Packet::Ports { proto: Proto::TCP, from: 40_000, to: port, opens: true },
        };
        let ports: Vec<u16> = named.take(1000).chain(USUAL).collect();
        let comes_by = inner.iter().chain(&self.places.interfaces).filter(|iif| **iif != oif);
        let found = comes_by
            .flat_map(|iif| ports.iter().map(move |port| (iif, port)))
            .map(|(iif, port)| (iif.clone(), of(*port, iif)))
            .find(|(_, one)| self.passes(one));
        let Some((iif, connection)) = found else { return Ok(false) };
        let at = SocketAddr::new(to, connection.port().unwrap_or(0));
        self.lab.lead([client], &iif);
        self.lab.leave_by(&oif)?;
        let (Some(server), Some(inner)) = (self.lab.outside.get(&oif), self.lab.outside.get(&iif)) else {
            return Ok(false);
        };
        inner.add_own_address(client);
        server.add_own_address(to);
        server.enter()?;
        let Some(listener) = wait(|| TcpListener::bind(at).ok()) else { return Ok(false) };
        inner.enter()?;
        let seen = tried_again(|| seen_by(&listener, client, at));
        self.row(nat, &connection, seen.is_some_and(|peer| self.host.own.contains(&peer)));
        Ok(true)
    }
}

/// A lost packet is no verdict: the first ones behind a fresh address of IPv6 often are.
fn tried_again<T>(attempt: impl Fn() -> Option<T>) -> Option<T> {
    const TRIES: usize = 3;
    (0..TRIES).find_map(|_| attempt())
}

/// The address that a listener sees, once both have said something.
fn seen_by(listener: &TcpListener, from: IpAddr, to: SocketAddr) -> Option<IpAddr> {
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).ok()?;
    // Linux gives up a connect after that time, too.
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE)).ok()?;
    // A fresh address of IPv6 is not there at once.
    wait(|| bind(&socket, &SocketAddr::new(from, 0)).ok())?;
    connect(&socket, &to).ok()?;
    let mut client = TcpStream::from(socket);
    listener.set_nonblocking(true).ok()?;
    let (mut server, peer) = wait(|| listener.accept().ok())?;
    let mut buffer = [0; 4];
    server.set_nonblocking(false).ok()?;
    for stream in [&server, &client] {
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
    }
    client.write_all(b"door").ok()?;
    server.read_exact(&mut buffer).ok()?;
    server.write_all(b"ward").ok()?;
    client.read_exact(&mut buffer).ok()?;
    Some(peer.ip())
}

/// The same for datagrams.
fn seen_by_udp(server: &UdpSocket, from: IpAddr, to: SocketAddr) -> Option<IpAddr> {
    let client = wait(|| UdpSocket::bind((from, 0)).ok())?;
    let mut buffer = [0; 16];
    for socket in [server, &client] {
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
    }
    client.send_to(b"door", to).ok()?;
    let (_, peer) = server.recv_from(&mut buffer).ok()?;
    server.send_to(b"ward", peer).ok()?;
    client.recv_from(&mut buffer).ok().filter(|(_, answers)| *answers == to)?;
    Some(peer.ip())
}
