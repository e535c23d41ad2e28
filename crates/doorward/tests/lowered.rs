//! What the prover makes of single rules, where a shortcut would be wrong: the plain machine says the same.
#![allow(clippy::unwrap_used, clippy::panic)]

use doorward::net::Family;
use doorward::prove::{Facts, Fates, Program, Slice, tells, value_of};
use doorward::ruleset::{
    Base, Chain, ChainKind, CmpOp, CtDir, CtKey, Expr, Hook, LookupTarget, MetaKey, PayloadBase, Policy, Reg,
    Rule, Set, Table, TableFamily, Verdict,
};
use doorward::space::{Field, Node, Pred, Space, Terms};
use doorward::trace::{Conntrack, Device, End, Entry, Machine, Packet, Tuple, Unknown};

const R0: Reg = Reg(0);

fn tcp() -> Packet {
    let mut network = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    network.extend([198, 51, 100, 7, 192, 0, 2, 1]);
    let mut transport = vec![0x9c, 0x40, 0, 22];
    transport.resize(20, 0);
    (transport[12], transport[13]) = (0x50, 2);
    Packet {
        hook: Hook::Input,
        family: Family::V4,
        iif: Some(Device { name: "eth0".to_owned(), index: 7, kind: None, group: None }),
        oif: None,
        link: Vec::new(),
        network,
        transport,
        l4proto: 6,
        later_fragment: false,
        extensions: Vec::new(),
        mark: 0,
        owner: None,
        ct: Conntrack::Entry(entry(8, 0)),
        fib: Vec::new(),
    }
}

/// A connection from 198.51.100.7 to 192.0.2.1.
fn entry(state: u32, direction: u8) -> Entry {
    let tuple = |source: &str, destination: &str, source_port, destination_port| Tuple {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        source_port,
        destination_port,
    };
    Entry {
        state,
        status: 0,
        direction,
        mark: 0,
        helper: None,
        original: tuple("198.51.100.7", "192.0.2.1", 40_000, 22),
        reply: tuple("192.0.2.1", "198.51.100.7", 22, 40_000),
    }
}

fn table(rules: Vec<Vec<Expr>>) -> Table {
    let mut table = Table::new(TableFamily::Ip, "t");
    let base = Base {
        kind: ChainKind::Filter,
        hook: Hook::Input,
        priority: 0,
        policy: Policy::Accept,
        devices: vec![],
    };
    let rules = rules.into_iter().map(Rule::new).collect();
    table.chains.push(Chain { base: Some(base), rules, ..Chain::regular("input") });
    table
}

/// A ruleset, lowered.
struct Proof {
    space: Space,
    program: Program,
    /// Packets in the beginning.
    starts: Vec<Pred>,
    /// The fields that are given there, which rules change.
    changing: Vec<Field>,
}

impl Proof {
    /// Rules change these fields of these packets.
    fn of(tables: &[Table], changing: &[Field], packets: &[Packet]) -> Proof {
        let mut terms = Terms::new(Family::V4);
        let program = Program::of(tables, &[SLICE], &Facts::default(), &mut terms);
        let mut start = |packet| {
            let equal = changing.iter().map(|field| terms.equals(field, value_of(packet, field)));
            Pred::all(equal.collect::<Vec<_>>())
        };
        let starts = packets.iter().map(&mut start).collect();
        Proof { space: Space::new(terms).unwrap(), program, starts, changing: changing.to_vec() }
    }

    /// How a packet can end; it is the one with this number, or any.
    fn ends(&mut self, packet: &Packet, start: Option<usize>) -> Vec<End> {
        let mut node = self.space.domain();
        if let Some(start) = start {
            let only = self.space.node(&self.starts[start].clone());
            node = self.space.and(node, only);
        }
        let (fates, _) = self.program.fates(&mut self.space, SLICE, node, &|_| true).unwrap();
        let Fates { accepted, dropped, rejected, queued } = fates;
        let mut can = |node: Node| {
            let changed = |field: &Field| start.is_some() && self.changing.contains(field);
            let some = self.space.exists(node, &|field| changed(field) || !tells(packet, field));
            self.space.contains(some, &|field| value_of(packet, field))
        };
        let ends = [
            (accepted, End::Accepted),
            (dropped, End::Dropped),
            (rejected, End::Rejected),
            (queued, End::Queued),
        ];
        ends.into_iter().filter(|(node, _)| can(*node)).map(|(_, end)| end).collect()
    }
}

const SLICE: Slice = Slice { hook: Hook::Input, translated: false, nat: false };

/// How the prover and the machine say that a packet ends.
fn both(tables: &[Table], packet: &Packet) -> (Vec<End>, End) {
    let mut nothing = |what: &Unknown| panic!("asked {what:?}");
    (Proof::of(tables, &[], &[]).ends(packet, None), Machine::new(tables).hook(packet, &mut nothing).end)
}

fn drops(rules: Vec<Vec<Expr>>, packet: &Packet) -> bool {
    let (possible, end) = both(&[table(rules)], packet);
    assert_eq!(possible, [end]);
    end == End::Dropped
}

fn eq(data: impl Into<Vec<u8>>) -> Expr {
    Expr::Cmp { op: CmpOp::Eq, sreg: R0, data: data.into() }
}

fn drop() -> Expr {
    Expr::Verdict(Verdict::Drop)
}

fn original(key: CtKey) -> Expr {
    Expr::Ct { key, dir: Some(CtDir::Original), dreg: R0 }
}

/// What a rule found out for its first load holds for the second one too, whichever way it went.
#[test]
fn two_loads_of_one_rule_go_one_way() {
    let rule = vec![
        original(CtKey::SrcIp),
        eq([198, 51, 100, 7]),
        original(CtKey::DstIp),
        eq([192, 0, 2, 1]),
        drop(),
    ];
    let mut reply = Packet { ct: Conntrack::Entry(entry(2, 1)), ..tcp() };
    reply.network.splice(12..20, [192, 0, 2, 1, 198, 51, 100, 7]);
    assert!(drops(vec![rule.clone()], &tcp()));
    assert!(drops(vec![rule], &reply));
}

/// A router's answer to a packet of the connection: neither its source nor its protocol are those of the connection.
#[test]
fn an_error_of_icmp_is_not_of_its_connection() {
    let source = |addr: [u8; 4]| vec![original(CtKey::SrcIp), eq(addr), drop()];
    let mut error = Packet { l4proto: 1, ct: Conntrack::Entry(entry(4, 0)), ..tcp() };
    error.network[9] = 1;
    error.network.splice(12..16, [203, 0, 113, 1]);
    (error.transport[0], error.transport[1]) = (3, 4);
    assert!(drops(vec![source([198, 51, 100, 7])], &error));
    assert!(!drops(vec![source([203, 0, 113, 1])], &error));
    let protocol = vec![Expr::Ct { key: CtKey::Protocol, dir: None, dreg: R0 }, eq([6]), drop()];
    let tables = [table(vec![protocol])];
    assert_eq!(Proof::of(&tables, &[], &[]).ends(&error, None), [End::Accepted, End::Dropped]);
    // Other messages open connections of their own.
    error.transport[0] = 8;
    error.ct = Conntrack::Entry(Entry {
        original: Tuple { source: [203, 0, 113, 1].into(), ..entry(4, 0).original },
        ..entry(4, 0)
    });
    assert!(drops(vec![source([203, 0, 113, 1])], &error));
}

/// The code that means "go on" goes on behind a map too.
#[test]
fn a_map_can_go_on() {
    use doorward::ruleset::{Data, DataType, Element, Elements, set_flags};
    let mut map = Set::over("m", &[]);
    (map.flags, map.key_len, map.data) = (set_flags::MAP, 1, Some(DataType::Verdict));
    let element = Element { data: Some(Data::Verdict(Verdict::Continue)), ..Element::of(vec![6]) };
    map.elements = Elements::Full(vec![element]);
    let lookup =
        Expr::Lookup { set: "m".to_owned(), sreg: R0, dreg: Some(LookupTarget::Verdict), invert: false };
    let mut table = table(vec![vec![Expr::Meta { key: MetaKey::L4proto, dreg: R0 }, lookup, drop()]]);
    table.sets.push(map);
    assert_eq!(both(&[table.clone()], &tcp()), (vec![End::Dropped], End::Dropped));
    let udp = Packet { l4proto: 17, ..tcp() };
    assert_eq!(both(&[table], &udp), (vec![End::Accepted], End::Accepted));
}

/// All 32 bits of one mark become those of the other, or change places: each value for itself.
#[test]
fn a_mark_that_is_copied_is_the_other() {
    let copy = vec![
        Expr::Ct { key: CtKey::Mark, dir: None, dreg: R0 },
        Expr::MetaSet { key: MetaKey::Mark, sreg: R0 },
    ];
    let swap = vec![
        Expr::Meta { key: MetaKey::Mark, dreg: R0 },
        Expr::Byteorder { sreg: R0, dreg: R0, op: 0, len: 4, size: 4 },
        Expr::MetaSet { key: MetaKey::Mark, sreg: R0 },
    ];
    let is = |mark: u32| vec![Expr::Meta { key: MetaKey::Mark, dreg: R0 }, eq(mark.to_ne_bytes()), drop()];
    let marks = [(0, 0x1234_5678), (0x7856_3412, 5), (7, 7)];
    for rules in [vec![copy.clone(), is(0x1234_5678)], vec![swap, is(0x1234_5678)], vec![copy, is(5)]] {
        let tables = [table(rules)];
        let marked = |(mark, ct_mark)| Packet {
            mark,
            ct: Conntrack::Entry(Entry { mark: ct_mark, ..entry(8, 0) }),
            ..tcp()
        };
        let packets = marks.map(marked);
        let mut proof = Proof::of(&tables, &[Field::MARK, Field::CT_MARK], &packets);
        for (start, packet) in packets.iter().enumerate() {
            let end = Machine::new(&tables).hook(packet, &mut |_: &Unknown| panic!()).end;
            assert!(proof.ends(packet, Some(start)).contains(&end), "{packet:?}");
        }
        // And of all packets at once.
        assert!(proof.ends(&tcp(), None).contains(&End::Accepted));
        assert!(proof.space.size() < 10_000);
    }
}

/// A rule that writes to the packet: what later ones read there is not what came in.
#[test]
fn bytes_that_are_written_to_are_forgotten() {
    let port = Expr::Payload { base: PayloadBase::Transport, offset: 2, len: 2, dreg: R0 };
    let write = vec![
        Expr::Immediate { dreg: R0, data: vec![0, 80] },
        Expr::PayloadSet {
            base: PayloadBase::Transport,
            offset: 2,
            len: 2,
            sreg: R0,
            csum_type: 0,
            csum_offset: 0,
            csum_flags: 0,
        },
    ];
    let tables = [table(vec![write, vec![port, eq([0, 80]), drop()]])];
    let end = Machine::new(&tables).hook(&tcp(), &mut |_: &Unknown| panic!()).end;
    let mut proof = Proof::of(&tables, &[Field::Port], &[tcp()]);
    assert!(proof.ends(&tcp(), Some(0)).contains(&end));
    assert_eq!(end, End::Dropped);
}

/// Without a socket, neither a control group nor any other than it is there.
#[test]
fn no_socket_is_of_no_group() {
    let class = |op| {
        let load = Expr::Meta { key: MetaKey::Cgroup, dreg: R0 };
        vec![load, Expr::Cmp { op, sreg: R0, data: 5u32.to_ne_bytes().to_vec() }, drop()]
    };
    let tables = [table(vec![class(CmpOp::Eq), class(CmpOp::Neq)])];
    assert!(Proof::of(&tables, &[], &[]).ends(&tcp(), None).contains(&End::Accepted));
}

/// `-m recent --name scans`, revision 1; `op` is 1 for `--rcheck` and 2 for `--set`.
fn recent(op: u8) -> Expr {
    let mut info = vec![0; 232];
    info[8] = op;
    info[10..15].copy_from_slice(b"scans");
    info[212..216].fill(0xff);
    let mut data = Vec::new();
    for (number, payload) in [(1u16, b"recent\0".as_slice()), (2, &[0, 0, 0, 1]), (3, &info)] {
        data.extend(u16::try_from(payload.len() + 4).unwrap().to_ne_bytes());
        data.extend(number.to_ne_bytes());
        data.extend(payload);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    Expr::Unknown { name: "match".to_owned(), data }
}

/// No rule adds to the list: nobody is on it, which is told as assumed.
#[test]
fn a_list_that_no_rule_fills_is_empty() {
    let check = vec![recent(1), drop()];
    let mut proof = Proof::of(&[table(vec![check.clone()])], &[], &[]);
    assert_eq!(proof.ends(&tcp(), None), [End::Accepted]);
    assert_eq!(proof.program.assumed().len(), 1);
    let mut proof = Proof::of(&[table(vec![check, vec![recent(2)]])], &[], &[]);
    assert_eq!(proof.ends(&tcp(), None), [End::Accepted, End::Dropped]);
    assert!(proof.program.assumed().is_empty());
}
