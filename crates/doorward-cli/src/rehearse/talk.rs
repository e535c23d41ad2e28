//! Whole conversations with the policy loaded: answers come back, and limits are spent; crafts no packet.

use super::lab::{Lab, Side};
use super::led;
use super::meter;
use super::place::Places;
use super::plan::{Door, Plan};
use super::{Failure, Fate};
use doorward::meaning::{
    Connection, Decider, Host, Judgement, Limits, Owner, Packet, Path, judge, translate,
};
use doorward::net::{Family, Proto};
use doorward::resolve::model::{Limit, Resolved, Rule, Traffic, Verdict, Way};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// An answer comes at once here, or not at all.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);
/// More connections than that are not opened to spend a limit.
const BURST: u32 = 40;
/// Ports that may be open outwards.
const OUTWARD: [u16; 8] = [7777, 443, 80, 53, 123, 25, 22, 853];

/// What came of it: rows of the table with one cell filled each.
#[derive(Default)]
pub(super) struct Talks {
    pub(super) cells: Vec<(Door, Family, String, Fate)>,
    pub(super) left_out: Vec<String>,
    pub(super) packets: u64,
}

/// Talks.
pub(super) fn talk(
    lab: &mut Lab,
    policy: &Resolved,
    plan: &Plan,
    places: &Places,
    limits: bool,
    progress: &mut impl FnMut(&str),
) -> Result<Talks, Failure> {
    progress("opening connections through the policy");
    meter::remove(&lab.host.rules)?;
    for side in lab.outside.values() {
        meter::remove(&side.rules)?;
    }
    let iface = places.interfaces.first().cloned().unwrap_or_default();
    let Some(outside) = lab.outside.get(&iface) else {
        return Ok(Talks::default());
    };
    let host = Host { own: plan.own.clone() };
    let mut talker =
        Talker { policy, places, host, iface, here: &lab.host, outside, talks: Talks::default() };
    for family in Family::BOTH {
        for proto in [Proto::TCP, Proto::UDP] {
            talker.outwards(family, proto)?;
            talker.inwards(family, proto)?;
        }
    }
    for rule in policy.rules.iter().filter(|rule| rule.ways.contains(&Way::In)) {
        if let Some(limit) = rule.limit {
            talker.limit(rule, limit, limits)?;
        }
    }
    let mut talks = talker.talks;
    led::talk(lab, policy, plan, places, &mut talks)?;
    Ok(talks)
}

struct Talker<'a> {
    policy: &'a Resolved,
    places: &'a Places,
    host: Host,
    iface: String,
    here: &'a Side,
    outside: &'a Side,
    talks: Talks,
}

impl Talker<'_> {
    fn judge(&self, connection: &Connection, limits: Limits) -> Judgement {
        judge(self.policy, &self.host, connection, limits)
    }

    fn row(&mut self, at: usize, words: &str, promised: Verdict, of: &Connection, went: bool) {
        let door =
            Door { origin: None, words: words.to_owned(), subject: (usize::MAX - 9 + at, false), promised };
        let verdict = if went { Verdict::Allow } else { Verdict::Block };
        self.talks.cells.push((door, of.family(), of.to_string(), Fate::Judged(verdict)));
    }

    /// What this host opens is answered.
    fn outwards(&mut self, family: Family, proto: Proto) -> Result<(), Failure> {
        let (from, to) = (self.places.host.of(family), self.places.anyone.of(family));
        let connection = |port| Connection {
            path: Path::Out { iface: self.iface.clone(), owner: Some(Owner { uid: 0, gid: 0 }) },
            from,
            to,
            packet: Packet::Ports { proto, from: 40_000, to: port, opens: true },
        };
        let allowed = |port: &u16| self.judge(&connection(*port), Limits::Unspent).verdict == Verdict::Allow;
        let Some(port) = OUTWARD.into_iter().find(allowed) else {
            return Ok(());
        };
        let of = connection(port);
        if let Some(went) = exchange(proto, self.outside, self.here, SocketAddr::new(to, port))? {
            self.row(0, "built in: answers to what this host opens", Verdict::Allow, &of, went);
        }
        Ok(())
    }

    /// What comes in is answered, and goes on.
    fn inwards(&mut self, family: Family, proto: Proto) -> Result<(), Failure> {
        let to = self.places.host.of(family);
        let ports =
            self.policy.rules.iter().flat_map(|rule| &rule.traffic).filter_map(|traffic| match traffic {
                Traffic::Ports(of, range) if *of == proto => Some(range.first()),
                _ => None,
            });
        let unlimited = |port: &u16| {
            let connection = self.inward(family, proto, *port);
            let judgement = self.judge(&connection, Limits::Spent);
            // What is led elsewhere is answered there.
            let stays = translate::led(self.policy, &self.host, &connection).is_none();
            judgement.verdict == Verdict::Allow && !judgement.limited && stays
        };
        let Some(port) = ports.take(1000).find(unlimited) else {
            return Ok(());
        };
        let of = self.inward(family, proto, port);
        if let Some(went) = exchange(proto, self.here, self.outside, SocketAddr::new(to, port))? {
            self.row(1, "built in: what was let in goes on", Verdict::Allow, &of, went);
        }
        Ok(())
    }

    fn inward(&self, family: Family, proto: Proto, port: u16) -> Connection {
        Connection {
            path: Path::In { iface: self.iface.clone(), addressed: None },
            from: self.places.anyone.of(family),
            to: self.places.host.of(family),
            packet: Packet::Ports { proto, from: 40_000, to: port, opens: true },
        }
    }

    /// Spends a limit with real handshakes: as many as the bucket holds pass, and the next does not.
    fn limit(&mut self, rule: &Rule, limit: Limit, limits: bool) -> Result<(), Failure> {
        let tcp = rule.traffic.iter().find_map(|traffic| match traffic {
            Traffic::Ports(Proto::TCP, range) => Some(range.first()),
            _ => None,
        });
        let Some(port) = tcp else { return Ok(()) };
        let decides = |judgement: &Judgement| {
            judgement.limited && matches!(&judgement.by, Decider::Sentence(origin) if *origin == rule.origin)
        };
        for family in Family::BOTH {
            let of = self.inward(family, Proto::TCP, port);
            if !decides(&self.judge(&of, Limits::Unspent)) {
                continue;
            }
            if !limits {
                self.talks
                    .left_out
                    .push(format!("{}: its limit was not spent: `--limits` does", rule.origin));
                return Ok(());
            }
            // A token that comes back while the bucket is emptied would let one more in.
            if limit.burst > BURST || limit.seconds < limit.rate {
                self.talks.left_out.push(format!("{}: its limit is too high to be spent here", rule.origin));
                return Ok(());
            }
            self.spend(rule, limit, &of, SocketAddr::new(self.places.host.of(family), port))?;
            if !limit.per_source {
                return Ok(());
            }
        }
        Ok(())
    }

    fn spend(&mut self, rule: &Rule, limit: Limit, of: &Connection, at: SocketAddr) -> Result<(), Failure> {
        self.here.enter()?;
        let Ok(listener) = TcpListener::bind(at) else { return Ok(()) };
        self.outside.enter()?;
        let within = (0..limit.burst).filter(|_| say_by_tcp(&listener, at).is_some()).count();
        let all = u32::try_from(within).is_ok_and(|within| within == limit.burst);
        let words = format!("{} (the first {})", rule.origin.comment(), limit.burst);
        self.row(2, &words, Verdict::Allow, of, all);
        let above = say_by_tcp(&listener, at).is_some();
        let words = format!("{} (one more)", rule.origin.comment());
        let spent = self.judge(of, Limits::Spent).verdict;
        if spent != Verdict::Reject {
            self.row(3, &words, spent, of, above);
        }
        Ok(())
    }
}

/// Whether two sides can say something and hear the answer; none where one cannot even listen.
fn exchange(proto: Proto, server: &Side, client: &Side, at: SocketAddr) -> Result<Option<bool>, Failure> {
    server.enter()?;
    if proto == Proto::TCP {
        let Ok(listener) = TcpListener::bind(at) else { return Ok(None) };
        client.enter()?;
        return Ok(Some(say_by_tcp(&listener, at).is_some()));
    }
    let Ok(socket) = UdpSocket::bind(at) else { return Ok(None) };
    client.enter()?;
    Ok(Some(say_by_udp(&socket, at).is_some()))
}

/// A greeting and its answer; the client is where this thread is.
fn say_by_tcp(listener: &TcpListener, at: SocketAddr) -> Option<()> {
    let mut client = TcpStream::connect_timeout(&at, PATIENCE).ok()?;
    listener.set_nonblocking(true).ok()?;
    let mut server = wait(|| listener.accept().ok())?.0;
    let mut buffer = [0; 4];
    for (speaker, hearer) in [(true, false), (false, true)] {
        let (from, to) =
            if speaker && !hearer { (&mut client, &mut server) } else { (&mut server, &mut client) };
        from.write_all(b"door").ok()?;
        to.set_nonblocking(false).ok()?;
        to.set_read_timeout(Some(PATIENCE)).ok()?;
        to.read_exact(&mut buffer).ok()?;
    }
    Some(())
}

fn say_by_udp(server: &UdpSocket, at: SocketAddr) -> Option<()> {
    let any: IpAddr = if at.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let client = UdpSocket::bind((any, 0)).ok()?;
    let mut buffer = [0; 16];
    for socket in [server, &client] {
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
    }
    client.send_to(b"door", at).ok()?;
    let (_, from) = server.recv_from(&mut buffer).ok()?;
    server.send_to(b"ward", from).ok()?;
    client.recv_from(&mut buffer).ok().map(|_| ())
}

pub(super) fn wait<T>(mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..PATIENCE.as_millis() {
        if let Some(value) = ready() {
            return Some(value);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}
