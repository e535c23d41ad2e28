//! Reads back what the kernel knew of each packet when it met a hook, and which packets passed it: a chain before
//! all others that keeps the facts, and one behind all others that keeps the number and ends the way.

use crate::code::{R0, after, eq, host, lookup, mask, meta, payload};
use crate::lab::{FIRST_ID, Label, SENDER, UNTRACKED};
use doorward::net::Family;
use doorward::ruleset::{
    Base, Chain, ChainKind, CtDir, CtKey, Data, DataType, Dynset, DynsetOp, Element, Elements, Expr, Fib,
    FibResult, Hook, KeyPart, LookupTarget, MetaKey, PayloadBase, Policy, Reg, Rule, Set, Step, Table,
    TableFamily, Transaction, Udata, Verdict, set_flags,
};
use doorward_kernel::{Scope, Socket};
use std::collections::HashMap;
use std::net::IpAddr;

pub(crate) const TABLE: &str = "truth";
/// Before connection tracking looks for fragments.
const RAW: i32 = -450;
/// Where connection tracking has just done its work at output, and before all chains of rulesets.
const TRACKED: i32 = -199;
/// Where destinations have just been translated at output: earlier, packets are not what later chains see.
const TRANSLATED: i32 = -99;
/// Before everybody.
const FIRST: i32 = i32::MIN + 1;
/// Behind everybody, and before conntrack remembers the connection.
const LAST: i32 = i32::MAX - 10;

/// What to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Needs {
    pub(crate) hook: Hook,
    /// Whether to ask connection tracking, which then also puts fragments together.
    pub(crate) conntrack: bool,
    /// Questions to the routing table, at most [`QUESTIONS`].
    pub(crate) fib: Vec<(FibResult, u32)>,
    /// Whether something before the hook may have changed the packet.
    pub(crate) headers: bool,
}

/// As many as fit into a key beside the rest.
pub(crate) const QUESTIONS: usize = 10;

/// What the kernel knew of a packet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) mark: u32,
    pub(crate) oif: u32,
    /// 0 where nobody asked.
    pub(crate) state: u32,
    pub(crate) fib: Vec<u32>,
    pub(crate) entry: Option<EntryFacts>,
    pub(crate) network: Option<Vec<u8>>,
    /// Bytes of the transport header with their offset, as far as it reaches.
    pub(crate) transport: Vec<(usize, Vec<u8>)>,
    pub(crate) passed: bool,
}

/// What it knew of the connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EntryFacts {
    pub(crate) status: u32,
    pub(crate) direction: u8,
    pub(crate) mark: u32,
    pub(crate) original: TupleFacts,
    pub(crate) reply: Option<TupleFacts>,
}

/// One direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TupleFacts {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ports: (u16, u16),
}

/// The priority behind which chains see what was read; `changes` says that something may change packets.
pub(crate) fn first_priority(hook: Hook, changes: bool) -> i32 {
    match (hook, changes) {
        (Hook::Output, true) => TRANSLATED,
        (Hook::Output, false) => TRACKED,
        _ => FIRST,
    }
}

/// The marks of packets and connections, which packets name by their place.
pub(crate) struct Marks<'a> {
    pub(crate) packet: &'a [u32],
    pub(crate) connection: &'a [u32],
}

/// Puts the meter up.
pub(crate) fn install(socket: &Socket, needs: &Needs, marks: &Marks, packets: usize) {
    let mut table = Table::new(TableFamily::Inet, TABLE);
    let room = u32::try_from(packets).unwrap() * 2 + 64;
    table.sets = vec![seen("met", 4 + needs.fib.len(), room), seen("passed", 1, room)];
    let mut first = Vec::new();
    if needs.hook == Hook::Output {
        let mut untracked = vec![meta(MetaKey::Priority, R0), mask(R0, host(u32::from(UNTRACKED) << 24))];
        untracked.extend([eq(host(u32::from(UNTRACKED) << 24)), Expr::Notrack]);
        table.chains.push(chain("raw", Hook::Output, RAW, vec![Rule::new(untracked)]));
    } else {
        table.sets.push(map("ways", (1..UNTRACKED).flat_map(|way| [way, way | UNTRACKED]), |way| {
            (way & !UNTRACKED).into()
        }));
        let way = link(7, 1, R0);
        let mut rules = vec![Rule::new(vec![
            way.clone(),
            lookup("ways", Some(LookupTarget::Value(R0)), false),
            Expr::MetaSet { key: MetaKey::Mark, sreg: R0 },
        ])];
        rules.push(Rule::new(vec![way, mask(R0, vec![UNTRACKED]), eq(vec![UNTRACKED]), Expr::Notrack]));
        table.chains.push(chain("raw", Hook::Prerouting, RAW, rules));
        table.sets.push(map("marks", places(marks.packet), |place| marks.packet[usize::from(place)]));
        first.push(Rule::new(vec![
            link(8, 1, R0),
            lookup("marks", Some(LookupTarget::Value(R0)), false),
            Expr::MetaSet { key: MetaKey::Mark, sreg: R0 },
        ]));
    }
    if needs.conntrack {
        table
            .sets
            .push(map("ct_marks", places(marks.connection), |place| marks.connection[usize::from(place)]));
        let load = match needs.hook {
            Hook::Output => vec![
                meta(MetaKey::Priority, R0),
                mask(R0, host(0xff_0000)),
                crate::code::shift(R0, doorward::ruleset::Bitop::Shr(16)),
                crate::code::byteorder(R0, 4, 4),
            ],
            _ => vec![Expr::Immediate { dreg: R0, data: vec![0; 4] }, link(9, 1, R0)],
        };
        // At output the number stands in the last byte of four.
        let name = "ct_marks";
        if needs.hook == Hook::Output
            && let Some(set) = table.sets.iter_mut().find(|set| set.name == name)
        {
            widen(set);
        }
        // Of new connections only: those that are known have theirs.
        let mut rule = vec![
            Expr::Ct { key: CtKey::State, dir: None, dreg: R0 },
            eq(host(8)),
            Expr::Ct { key: CtKey::Status, dir: None, dreg: R0 },
            mask(R0, host(8)),
            eq(host(0)),
        ];
        rule.extend(load);
        rule.extend([
            lookup(name, Some(LookupTarget::Value(R0)), false),
            Expr::CtSet { key: CtKey::Mark, dir: None, sreg: R0 },
        ]);
        first.push(Rule::new(rule));
        record_connections(&mut table, &mut first, needs.hook, room);
    }
    if needs.conntrack {
        // Without such a chain, what connection tracking has to translate would not be.
        let mut translating = chain("translating", Hook::Prerouting, -100, Vec::new());
        if let Some(base) = &mut translating.base {
            base.kind = ChainKind::Nat;
        }
        table.chains.push(translating);
    }
    if needs.headers {
        record_headers(&mut table, &mut first, needs.hook, room);
    }
    first.push(Rule::new(met(needs)));
    table.chains.push(chain("first", needs.hook, first_priority(needs.hook, needs.headers), first));
    let mut last = number(needs.hook);
    last.extend([note("passed"), Expr::Verdict(Verdict::Drop)]);
    table.chains.push(chain("last", needs.hook, LAST, vec![Rule::new(last)]));
    socket.commit(&Transaction::create(&table), None).unwrap();
}

/// Takes the meter away.
pub(crate) fn remove(socket: &Socket) {
    let mut transaction = Transaction::on(TableFamily::Inet, TABLE);
    transaction.steps.push(Step::AddTable { flags: 0, udata: Udata::default() });
    transaction.steps.push(Step::DeleteTable);
    socket.commit(&transaction, None).unwrap();
}

/// Loads the packet's number into the first register; what nobody here sent breaks off.
fn number(hook: Hook) -> Vec<Expr> {
    match hook {
        Hook::Output => vec![
            meta(MetaKey::Priority, R0),
            mask(R0, host(0xffff)),
            // Of other senders' packets, the small numbers of the kernel are left out when they are read.
        ],
        _ => vec![link(6, 1, R0), eq(vec![SENDER]), link(10, 2, R0)],
    }
}

fn met(needs: &Needs) -> Vec<Expr> {
    let mut exprs = number(needs.hook);
    exprs.push(meta(MetaKey::Mark, Reg(1)));
    let nothing = |dreg| Expr::Immediate { dreg, data: vec![0; 4] };
    exprs.push(if needs.hook == Hook::Input { nothing(Reg(2)) } else { meta(MetaKey::Oif, Reg(2)) });
    exprs.push(if needs.conntrack {
        Expr::Ct { key: CtKey::State, dir: None, dreg: Reg(3) }
    } else {
        nothing(Reg(3))
    });
    for (reg, (result, flags)) in (4u8..).zip(&needs.fib) {
        exprs.push(Expr::Fib(Fib { result: *result, flags: *flags, dreg: Reg(reg) }));
    }
    exprs.push(note("met"));
    exprs
}

/// Sets of what is known of connections, by family: the number, status, direction, mark, and both tuples.
fn record_connections(table: &mut Table, rules: &mut Vec<Rule>, hook: Hook, room: u32) {
    for (family, width) in [(4usize, 1usize), (6, 4)] {
        let keys = if family == 4 { (CtKey::SrcIp, CtKey::DstIp) } else { (CtKey::SrcIp6, CtKey::DstIp6) };
        let tuple = |exprs: &mut Vec<Expr>, dir, mut reg: Reg| {
            for (key, regs) in [(keys.0, width), (keys.1, width), (CtKey::ProtoSrc, 1), (CtKey::ProtoDst, 1)]
            {
                exprs.push(Expr::Ct { key, dir: Some(dir), dreg: reg });
                reg = after(reg, regs * 4);
            }
        };
        let original = format!("original{family}");
        table.sets.push(seen(&original, 4 + 2 * width + 2, room));
        let mut exprs = number(hook);
        for (reg, key) in [(1, CtKey::Status), (2, CtKey::Direction), (3, CtKey::Mark)] {
            exprs.push(Expr::Ct { key, dir: None, dreg: Reg(reg) });
        }
        tuple(&mut exprs, CtDir::Original, Reg(4));
        exprs.push(note(&original));
        rules.push(Rule::new(exprs));
        let reply = format!("reply{family}");
        table.sets.push(seen(&reply, 1 + 2 * width + 2, room));
        let mut exprs = number(hook);
        tuple(&mut exprs, CtDir::Reply, Reg(1));
        exprs.push(note(&reply));
        rules.push(Rule::new(exprs));
    }
}

fn record_headers(table: &mut Table, rules: &mut Vec<Rule>, hook: Hook, room: u32) {
    for (name, nfproto, len) in [("header4", 2u8, 20u32), ("header6", 10, 40)] {
        table.sets.push(seen(name, 1 + len as usize / 4, room));
        let mut exprs = vec![meta(MetaKey::Nfproto, R0), eq(vec![nfproto])];
        exprs.extend(number(hook));
        exprs.push(payload(PayloadBase::Network, 0, len, Reg(1)));
        exprs.push(note(name));
        rules.push(Rule::new(exprs));
    }
    // Ports and sums, of which translations change some: at once, as not all headers have all of it.
    for (name, offset) in TRANSPORT {
        table.sets.push(seen(name, 2, room));
        let mut exprs = number(hook);
        exprs.extend([payload(PayloadBase::Transport, offset, 4, Reg(1)), note(name)]);
        rules.push(Rule::new(exprs));
    }
}

/// Parts of the transport header: sets and offsets.
const TRANSPORT: [(&str, u32); 4] = [("th0", 0), ("th4", 4), ("th8", 8), ("th16", 16)];

/// What was read since the meter was put up, by the packets' numbers.
pub(crate) fn read(socket: &Socket, needs: &Needs) -> HashMap<u16, Facts> {
    let scope = Scope::Table(TableFamily::Inet, TABLE.to_owned());
    let wanted = |set: &Set| set.flags & set_flags::EVAL != 0;
    let snapshot = socket.read_sets(&scope, &wanted).unwrap();
    let sets = &snapshot.ruleset.tables[0].sets;
    let number = |word: &[u8]| match needs.hook {
        Hook::Output => u16::try_from(host_number(word)).unwrap(),
        _ => u16::from_be_bytes([word[0], word[1]]),
    };
    let keys = |name: &str| -> Vec<Vec<u8>> {
        sets.iter().find(|set| set.name == name).map(all_keys).unwrap_or_default()
    };
    let mut facts = HashMap::new();
    for key in keys("met").into_iter().filter(|key| usize::from(number(key)) >= FIRST_ID) {
        let words: Vec<u32> = key.chunks(4).map(host_number).collect();
        let one = Facts {
            mark: words[1],
            oif: words[2],
            state: words[3],
            fib: words[4..].to_vec(),
            ..Facts::default()
        };
        facts.insert(number(&key), one);
    }
    for key in keys("passed") {
        if let Some(one) = facts.get_mut(&number(&key)) {
            one.passed = true;
        }
    }
    for (name, family) in [("original4", Family::V4), ("original6", Family::V6)] {
        for key in keys(name) {
            if let Some(one) = facts.get_mut(&number(&key)) {
                one.entry = Some(EntryFacts {
                    status: host_number(&key[4..]),
                    direction: key[8],
                    mark: host_number(&key[12..]),
                    original: tuple(&key[16..], family),
                    reply: None,
                });
            }
        }
    }
    for (name, family) in [("reply4", Family::V4), ("reply6", Family::V6)] {
        for key in keys(name) {
            if let Some(entry) = facts.get_mut(&number(&key)).and_then(|one| one.entry.as_mut()) {
                entry.reply = Some(tuple(&key[4..], family));
            }
        }
    }
    for name in ["header4", "header6"] {
        for key in keys(name) {
            if let Some(one) = facts.get_mut(&number(&key)) {
                one.network = Some(key[4..].to_vec());
            }
        }
    }
    for (name, offset) in TRANSPORT {
        for key in keys(name) {
            if let Some(one) = facts.get_mut(&number(&key)) {
                one.transport.push((offset as usize, key[4..].to_vec()));
            }
        }
    }
    facts
}

fn all_keys(set: &Set) -> Vec<Vec<u8>> {
    match &set.elements {
        Elements::Plain(bytes) => bytes.chunks(set.key_len as usize).map(<[u8]>::to_vec).collect(),
        Elements::Full(list) => list.iter().map(|element| element.key.clone()).collect(),
    }
}

fn tuple(bytes: &[u8], family: Family) -> TupleFacts {
    let width = usize::from(family.bits()) / 8;
    let addr = |bytes: &[u8]| match family {
        Family::V4 => IpAddr::from(<[u8; 4]>::try_from(bytes).unwrap()),
        Family::V6 => IpAddr::from(<[u8; 16]>::try_from(bytes).unwrap()),
    };
    let port = |at: usize| u16::from_be_bytes([bytes[2 * width + at], bytes[2 * width + at + 1]]);
    TupleFacts {
        source: addr(&bytes[..width]),
        destination: addr(&bytes[width..2 * width]),
        ports: (port(0), port(4)),
    }
}

fn host_number(bytes: &[u8]) -> u32 {
    u32::from_ne_bytes(bytes[..4].try_into().unwrap())
}

/// A set that the packet path fills with keys of so many registers.
fn seen(name: &str, regs: usize, room: u32) -> Set {
    let mut set = Set::over(name, &[KeyPart::Mark]);
    set.key_len = u32::try_from(regs).unwrap() * 4;
    set.flags = set_flags::EVAL;
    set.size = Some(room);
    set
}

/// A map from a byte to a number.
fn map(name: &str, keys: impl Iterator<Item = u8>, value: impl Fn(u8) -> u32) -> Set {
    let mut set = Set::over(name, &[KeyPart::L4proto]);
    set.flags = set_flags::MAP;
    set.data = Some(DataType::Value { kind: 19, len: 4 });
    let element = |key: u8| Element { data: Some(Data::Value(host(value(key)))), ..Element::of(vec![key]) };
    set.elements = Elements::Full(keys.map(element).collect());
    set
}

/// The same with keys of four bytes in network order.
fn widen(set: &mut Set) {
    set.key_len = 4;
    if let Elements::Full(elements) = &mut set.elements {
        for element in elements {
            element.key = vec![0, 0, 0, element.key[0]];
        }
    }
}

fn places(marks: &[u32]) -> impl Iterator<Item = u8> {
    0..u8::try_from(marks.len()).expect("as many as a byte can name")
}

fn chain(name: &str, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
    let base = Base { kind: ChainKind::Filter, hook, priority, policy: Policy::Accept, devices: Vec::new() };
    Chain { base: Some(base), rules, ..Chain::regular(name) }
}

fn link(offset: u32, len: u32, dreg: Reg) -> Expr {
    payload(PayloadBase::Link, offset, len, dreg)
}

fn note(set: &str) -> Expr {
    Expr::Dynset(Dynset {
        set: set.to_owned(),
        op: DynsetOp::Add,
        key: R0,
        data: None,
        timeout: None,
        invert: false,
        exprs: Vec::new(),
    })
}

/// What the numbers in a label stand for.
pub(crate) fn label(id: usize, draft_mark: usize, ct_mark: usize) -> Label {
    Label {
        id: u16::try_from(id).unwrap(),
        mark: u8::try_from(draft_mark).unwrap(),
        ct_mark: u8::try_from(ct_mark).unwrap(),
    }
}
