//! The trial with real packets: who judges, what goes on and what is cut when it ends, with no process to do it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Answer, HOST4, HOST6, Pair, connect, finish, limited, policy, rule, start};
use doorward::compile::{
    self, ARMED, Options, Phase, TABLE, compile as compiled, confirm, disarm, extend, forget, on_trial,
    phase, settle, transition,
};
use doorward::net::{PortRange, Proto};
use doorward::resolve::model::{Nat, Resolved, Traffic, Translation, Verdict};
use doorward::ruleset::{Element, Elements, Step, Table, TableFamily, Transaction, set_flags};
use doorward_kernel::{CommitError, Scope as Where};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Open in both generations, in the new one only, in the old one only.
const BOTH: u16 = 2222;
const NEW: u16 = 3306;
const OLD: u16 = 8080;
const PATIENCE: Duration = Duration::from_millis(400);

fn tcp(port: u16) -> Traffic {
    Traffic::Ports(Proto::TCP, PortRange::one(port))
}

fn udp(port: u16) -> Traffic {
    Traffic::Ports(Proto::UDP, PortRange::one(port))
}

fn old_policy() -> Resolved {
    policy(vec![rule(1, Verdict::Allow, vec![tcp(BOTH), tcp(OLD), udp(BOTH)])])
}

fn new_policy() -> Resolved {
    policy(vec![rule(2, Verdict::Allow, vec![tcp(BOTH), tcp(NEW), udp(NEW), udp(BOTH)])])
}

fn held(pair: &Pair) -> Option<Table> {
    let scope = Where::Table(TableFamily::Inet, TABLE.to_owned());
    pair.socket.read(&scope).unwrap().ruleset.tables.into_iter().next()
}

fn commit(pair: &Pair, transaction: &Transaction) -> Result<(), CommitError> {
    pair.socket.commit(transaction, None)
}

/// Puts a policy on trial for so many milliseconds.
fn arm(pair: &Pair, new: &Resolved, milliseconds: u64) -> Instant {
    let before = held(pair);
    let taken = before.as_ref().map(compile::Running::of).unwrap_or_default();
    let options = Options { generation: taken.next_generation(), ..Options::default() };
    let mut transaction = transition(before.as_ref(), on_trial(before.as_ref(), compiled(new, &options)));
    if before.is_some() {
        transaction.steps.push(Step::FlushSet(ARMED.to_owned()));
    }
    let element = Element { timeout: Some(milliseconds), ..Element::of(vec![0; 4]) };
    transaction.steps.push(Step::AddElements {
        set: ARMED.to_owned(),
        flags: set_flags::TIMEOUT,
        key_len: 4,
        elements: Elements::Full(vec![element]),
    });
    commit(pair, &transaction).unwrap();
    Instant::now()
}

/// Both ends of an open connection.
struct Flow {
    client: TcpStream,
    server: TcpStream,
}

impl Flow {
    fn open(from: &str, to: (&str, u16), listener: &TcpListener) -> Flow {
        let (answer, client) = finish(start(from, to), PATIENCE);
        assert_eq!(answer, Answer::Open, "{to:?}");
        let end = Instant::now() + PATIENCE;
        let server = loop {
            match listener.accept() {
                // Of an earlier try nobody waits any more.
                Ok((server, peer)) if peer.port() == client.local_addr().unwrap().port() => break server,
                Ok(_) => {}
                Err(_) if Instant::now() < end => sleep(Duration::from_millis(2)),
                Err(error) => panic!("{error}"),
            }
        };
        for stream in [&client, &server] {
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        Flow { client, server }
    }

    /// Whether a word gets from one end to the other, each way, the opener first.
    fn talks(&mut self) -> (bool, bool) {
        let heard = |from: &mut TcpStream, to: &mut TcpStream| {
            let _ = from.write(b"x");
            matches!(to.read(&mut [0; 8]), Ok(1..))
        };
        (heard(&mut self.client, &mut self.server), heard(&mut self.server, &mut self.client))
    }
}

const GOES_ON: (bool, bool) = (true, true);
const IS_CUT: (bool, bool) = (false, false);

fn wait_for(began: Instant, milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds).saturating_sub(began.elapsed()));
}

#[test]
fn the_new_policy_for_a_time_and_the_old_one_afterwards() {
    let Some(pair) = Pair::new() else { return };
    let listeners = [BOTH, NEW, OLD].map(|port| pair.listen(port));
    let [on_both, on_new, on_old] = &listeners;
    pair.load(&old_policy());
    for (client, host) in [("203.0.113.1", HOST4), ("2001:db8::1", HOST6)] {
        let answers = || [BOTH, NEW, OLD].map(|port| connect(client, (host, port)));
        use Answer::{Open, Silence};
        assert_eq!(answers(), [Open, Silence, Open]);
        let mut before = Flow::open(client, (host, OLD), on_old);
        let began = arm(&pair, &new_policy(), 4000);
        assert_eq!(answers(), [Open, Open, Silence]);
        let mut both = Flow::open(client, (host, BOTH), on_both);
        let mut only_new = Flow::open(client, (host, NEW), on_new);
        for flow in [&mut before, &mut both, &mut only_new] {
            assert_eq!(flow.talks(), GOES_ON);
        }
        assert!(began.elapsed() < Duration::from_millis(3900), "the machine was too slow for this test");
        wait_for(began, 4050);
        // Nobody did anything.
        assert_eq!(answers(), [Open, Silence, Open]);
        assert_eq!(before.talks(), GOES_ON, "what was there before the trial");
        assert_eq!(both.talks(), GOES_ON, "what both let in");
        assert_eq!(only_new.talks(), IS_CUT, "what the trial let in");
        // Whoever clears away later changes nothing of this.
        commit(&pair, &settle(&held(&pair).unwrap()).unwrap()).unwrap();
        assert!(matches!(phase(&held(&pair).unwrap()), Phase::Quiet { remains: Some(_), .. }));
        assert_eq!(answers(), [Open, Silence, Open]);
        assert_eq!((before.talks(), both.talks(), only_new.talks()), (GOES_ON, GOES_ON, IS_CUT));
        commit(&pair, &forget(&held(&pair).unwrap()).unwrap()).unwrap();
        assert_eq!((before.talks(), both.talks()), (GOES_ON, GOES_ON));
    }
}

#[test]
fn what_is_confirmed_stays() {
    let Some(pair) = Pair::new() else { return };
    let listeners = [BOTH, NEW, OLD].map(|port| pair.listen(port));
    let [_, on_new, on_old] = &listeners;
    pair.load(&old_policy());
    let mut before = Flow::open("203.0.113.1", (HOST4, OLD), on_old);
    let began = arm(&pair, &new_policy(), 2000);
    let mut only_new = Flow::open("203.0.113.1", (HOST4, NEW), on_new);
    commit(&pair, &confirm(&held(&pair).unwrap()).unwrap()).unwrap();
    wait_for(began, 2100);
    assert_eq!((before.talks(), only_new.talks()), (GOES_ON, GOES_ON));
    assert_eq!(connect("203.0.113.1", (HOST4, NEW)), Answer::Open);
    assert_eq!(connect("203.0.113.1", (HOST4, OLD)), Answer::Silence);
    // A later trial that ends leaves alone what an earlier one let in and was kept.
    let began = arm(&pair, &old_policy(), 500);
    wait_for(began, 550);
    assert_eq!((before.talks(), only_new.talks()), (GOES_ON, GOES_ON));
}

/// The first trial ever: afterwards the host is as it was, without a firewall.
#[test]
fn the_first_trial_on_a_host() {
    let Some(pair) = Pair::new() else { return };
    let listeners = [BOTH, NEW, OLD].map(|port| pair.listen(port));
    let mut before = Flow::open("203.0.113.1", (HOST4, OLD), &listeners[2]);
    let began = arm(&pair, &new_policy(), 1500);
    assert_eq!(connect("203.0.113.1", (HOST4, OLD)), Answer::Silence);
    let mut both = Flow::open("203.0.113.1", (HOST4, BOTH), &listeners[0]);
    wait_for(began, 1550);
    assert_eq!(connect("203.0.113.1", (HOST4, OLD)), Answer::Open);
    assert_eq!(both.talks(), GOES_ON);
    let _ = before.talks();
    commit(&pair, &settle(&held(&pair).unwrap()).unwrap()).unwrap();
    assert_eq!(held(&pair), None);
    assert_eq!(both.talks(), GOES_ON);
}

/// A limit of the old generation counts as unspent for what a trial let in; and a rollback is as good as the end.
#[test]
fn limits_and_rolling_back() {
    let Some(pair) = Pair::new() else { return };
    let listener = pair.listen(BOTH);
    let slow = || limited(rule(1, Verdict::Allow, vec![tcp(BOTH)]), 1, 3600, 1, true);
    pair.load(&policy(vec![slow()]));
    let mut first = Flow::open("203.0.113.1", (HOST4, BOTH), &listener);
    assert_eq!(connect("203.0.113.1", (HOST4, BOTH)), Answer::Silence);
    arm(&pair, &policy(vec![rule(1, Verdict::Allow, vec![tcp(BOTH)])]), 60_000);
    let mut tried = Flow::open("203.0.113.1", (HOST4, BOTH), &listener);
    assert_eq!((first.talks(), tried.talks()), (GOES_ON, GOES_ON));
    commit(&pair, &disarm()).unwrap();
    assert_eq!((first.talks(), tried.talks()), (GOES_ON, GOES_ON));
    // The bucket is as it was left.
    assert_eq!(connect("203.0.113.1", (HOST4, BOTH)), Answer::Silence);
    assert!(commit(&pair, &extend(1000)).is_err(), "what is over is not extended");
    assert_eq!(connect("203.0.113.1", (HOST4, BOTH)), Answer::Silence);
}

/// UDP has no end of its own: a flow that the trial let in is cut both ways once its opener speaks.
#[test]
fn datagrams() {
    let Some(pair) = Pair::new() else { return };
    let (on_both, on_new) = (pair.listen_udp(BOTH), pair.listen_udp(NEW));
    pair.load(&old_policy());
    let began = arm(&pair, &new_policy(), 1500);
    let ask = |port: u16| {
        let socket = UdpSocket::bind(("2001:db8::1", 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect((HOST6, port)).unwrap();
        socket
    };
    let talks = |client: &UdpSocket, server: &UdpSocket| {
        client.send(b"hello").unwrap();
        sleep(Duration::from_millis(20));
        let mut last = None;
        while let Ok((_, peer)) = server.recv_from(&mut [0; 64]) {
            last = Some(peer);
        }
        if last.is_some() {
            server.send_to(b"answer", client.local_addr().unwrap()).unwrap();
        } else {
            let _ = server.send_to(b"push", client.local_addr().unwrap());
        }
        (last.is_some(), client.recv(&mut [0; 64]).is_ok())
    };
    let (both, new) = (ask(BOTH), ask(NEW));
    assert_eq!((talks(&both, &on_both), talks(&new, &on_new)), (GOES_ON, GOES_ON));
    wait_for(began, 1550);
    assert_eq!(talks(&new, &on_new), IS_CUT);
    assert_eq!(talks(&both, &on_both), GOES_ON);
}

/// A translation of ports as a sentence says it.
fn redirect(line: u32, from: u16, to: u16) -> Nat {
    let what = Translation::Redirect { ports: vec![(Proto::TCP, PortRange::one(from))], to };
    Nat { origin: rule(line, Verdict::Allow, Vec::new()).origin, what }
}

/// The trial's translations are for connections that begin in it; those of before go on, and afterwards the old ones
/// hold again. The chains of type nat stay for good, empty where nothing is translated.
#[test]
fn translations_of_a_trial() {
    const WEB: u16 = 80;
    const ONLY_NEW: u16 = 81;
    let Some(pair) = Pair::new() else { return };
    let [first, second] = [8080, 8081].map(|port| pair.listen(port));
    let old = Resolved {
        nat: vec![redirect(11, WEB, 8080)],
        ..policy(vec![rule(1, Verdict::Allow, vec![tcp(WEB)])])
    };
    let new = Resolved {
        nat: vec![redirect(12, WEB, 8081), redirect(13, ONLY_NEW, 8081)],
        ..policy(vec![rule(2, Verdict::Allow, vec![tcp(WEB), tcp(ONLY_NEW)])])
    };
    pair.load(&old);
    for (client, host) in [("203.0.113.1", HOST4), ("2001:db8::1", HOST6)] {
        use Answer::{Open, Silence};
        // What was addressed is judged: the port behind it is shut.
        assert_eq!([8080, 8081, ONLY_NEW].map(|port| connect(client, (host, port))), [Silence; 3]);
        let mut before = Flow::open(client, (host, WEB), &first);
        let began = arm(&pair, &new, 4000);
        let mut both = Flow::open(client, (host, WEB), &second);
        let mut only_new = Flow::open(client, (host, ONLY_NEW), &second);
        assert_eq!((before.talks(), both.talks(), only_new.talks()), (GOES_ON, GOES_ON, GOES_ON));
        assert_eq!(connect(client, (host, 8081)), Silence);
        assert!(began.elapsed() < Duration::from_millis(3900), "the machine was too slow for this test");
        wait_for(began, 4050);
        // Nobody did anything.
        let mut after = Flow::open(client, (host, WEB), &first);
        assert_eq!(connect(client, (host, ONLY_NEW)), Silence);
        assert_eq!((before.talks(), after.talks()), (GOES_ON, GOES_ON));
        assert_eq!(both.talks(), GOES_ON, "both let it in, and it keeps its end");
        assert_eq!(only_new.talks(), IS_CUT);
        commit(&pair, &settle(&held(&pair).unwrap()).unwrap()).unwrap();
        commit(&pair, &forget(&held(&pair).unwrap()).unwrap()).unwrap();
        let left = held(&pair).unwrap();
        assert!(left.chains.iter().all(|chain| !chain.name.starts_with("g2_")), "{:#?}", left.chains);
        assert_eq!(connect(client, (host, WEB)), Open);
        assert_eq!((before.talks(), after.talks()), (GOES_ON, GOES_ON));
    }
    // Kept, and then nothing is translated any more: who was translated goes on.
    arm(&pair, &new, 60_000);
    let mut kept = Flow::open("203.0.113.1", (HOST4, ONLY_NEW), &second);
    commit(&pair, &confirm(&held(&pair).unwrap()).unwrap()).unwrap();
    assert_eq!(connect("203.0.113.1", (HOST4, ONLY_NEW)), Answer::Open);
    pair.load(&policy(vec![rule(1, Verdict::Allow, vec![tcp(WEB)])]));
    let idle = held(&pair).unwrap();
    assert_eq!(idle.chain("dstnat").map(|chain| chain.rules.len()), Some(0));
    assert_eq!(kept.talks(), GOES_ON);
    assert_eq!(connect("203.0.113.1", (HOST4, WEB)), Answer::Refused, "nobody listens there");
}
