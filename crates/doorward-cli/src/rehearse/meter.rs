//! Reads back which probes passed a hook, by tables of its own in the throw-away namespaces.
//!
//! `early` sees what arrives before anything judges, `late` what is left when everything has judged, and
//! `answers` and `resets` which probes were refused. What `late` has seen is dropped there: no socket hears of
//! a probe, and conntrack forgets it.

use super::packet::{MAGIC, MAGIC_MASK, mark_offset};
use doorward::net::Proto;
use doorward::ruleset::{
    Base, Bitop, Chain, ChainKind, CmpOp, Dynset, DynsetOp, Elements, Expr, Hook, KeyPart, MetaKey, Nat,
    NatRange, PayloadBase, Policy, Reg, Rule, Set, Step, Table, TableFamily, Transaction, Verdict, set_flags,
};
use doorward_kernel::{CommitError, KernelError, Scope, Socket};
use std::collections::BTreeSet;
use std::net::IpAddr;

const TABLE: &str = "rehearsal";
const NAT_TABLE: &str = "rehearsal_nat";
/// Before connection tracking.
const EARLY: i32 = -500;
/// Behind everybody, just before conntrack remembers the connection.
const LATE: i32 = i32::MAX - 1;

/// Which probes were seen where, by their numbers without the magic.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) early: BTreeSet<u32>,
    pub(super) late: BTreeSet<u32>,
    pub(super) refused: BTreeSet<u32>,
}

/// Which side of the links a table is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The host: probes arrive, pass through and leave.
    Host,
    /// Outside: refusals arrive, and nothing goes on.
    Outside,
}

/// Puts the meter up for so many probes; one that is there is emptied.
pub(super) fn install(socket: &Socket, place: Place, probes: usize) -> Result<(), CommitError> {
    remove(socket)?;
    let mut table = Table::new(TableFamily::Inet, TABLE);
    table.sets = ["early", "late", "answers", "resets"].map(|name| marks(name, probes)).into();
    match place {
        Place::Host => {
            let arriving = [record("early", false), refusals()].concat();
            table.chains = vec![
                chain("arriving", Hook::Prerouting, EARLY, arriving),
                chain("leaving", Hook::Output, EARLY, record("early", false)),
                chain("arrived", Hook::Input, LATE, record("late", true)),
                chain("passed", Hook::Forward, LATE, record("late", true)),
                chain("left", Hook::Postrouting, LATE, leaving()),
            ];
        }
        Place::Outside => {
            let mut rules = refusals();
            rules.push(Rule::new(vec![Expr::Verdict(Verdict::Drop)]));
            table.chains = vec![chain("outside", Hook::Prerouting, EARLY, rules)];
        }
    }
    socket.commit(&Transaction::create(&table), None)
}

/// Takes the meter away.
pub(super) fn remove(socket: &Socket) -> Result<(), CommitError> {
    delete(socket, TABLE)
}

/// Leads everything for these addresses to a port of a stand-in for a container, per family.
pub(super) fn publish(socket: &Socket, pairs: &[(IpAddr, IpAddr)], port: u16) -> Result<(), CommitError> {
    unpublish(socket)?;
    let mut table = Table::new(TableFamily::Inet, NAT_TABLE);
    const DESTINATION_NAT: i32 = -100;
    let mut chain = chain("prerouting", Hook::Prerouting, DESTINATION_NAT, Vec::new());
    if let Some(base) = &mut chain.base {
        base.kind = ChainKind::Nat;
    }
    for (addressed, container) in pairs {
        for proto in [Proto::TCP, Proto::UDP, Proto::SCTP] {
            chain.rules.push(translate(*addressed, *container, Some((proto, port))));
        }
        chain.rules.push(translate(*addressed, *container, None));
    }
    table.chains.push(chain);
    socket.commit(&Transaction::create(&table), None)
}

/// Ends that.
pub(super) fn unpublish(socket: &Socket) -> Result<(), CommitError> {
    delete(socket, NAT_TABLE)
}

/// What was seen since the meter was put up.
pub(super) fn read(socket: &Socket) -> Result<Seen, KernelError> {
    let snapshot = socket.read(&Scope::Table(TableFamily::Inet, TABLE.to_owned()))?;
    let mut seen = Seen::default();
    for set in snapshot.ruleset.tables.iter().flat_map(|table| &table.sets) {
        let numbers = numbers(&set.elements);
        match set.name.as_str() {
            "early" => seen.early.extend(numbers),
            "late" => seen.late.extend(numbers),
            "answers" => seen.refused.extend(numbers),
            // A reset acknowledges the byte behind the SYN.
            "resets" => seen.refused.extend(numbers.map(|number| number.wrapping_sub(1))),
            _ => {}
        }
    }
    Ok(seen)
}

fn numbers(elements: &Elements) -> Box<dyn Iterator<Item = u32> + '_> {
    let number = |key: &[u8]| key.try_into().ok().map(|key| u32::from_be_bytes(key) & !MAGIC_MASK);
    match elements {
        Elements::Plain(bytes) => Box::new(bytes.chunks(4).filter_map(number)),
        Elements::Full(list) => Box::new(list.iter().filter_map(move |element| number(&element.key))),
    }
}

fn delete(socket: &Socket, table: &str) -> Result<(), CommitError> {
    let mut transaction = Transaction::on(TableFamily::Inet, table);
    // Deleting what is not there is an error; what was just made is there.
    transaction.steps.push(Step::AddTable { flags: 0, udata: doorward::ruleset::Udata::default() });
    transaction.steps.push(Step::DeleteTable);
    socket.commit(&transaction, None)
}

fn marks(name: &str, probes: usize) -> Set {
    // Some of what comes back is no answer to a probe.
    const MORE: usize = 1024;
    let mut set = Set::over(name, &[KeyPart::Mark]);
    set.flags = set_flags::EVAL;
    set.size = u32::try_from(probes * 2 + MORE).ok();
    set
}

fn chain(name: &str, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
    let base = Base { kind: ChainKind::Filter, hook, priority, policy: Policy::Accept, devices: Vec::new() };
    Chain { base: Some(base), rules, ..Chain::regular(name) }
}

/// Rules that note the number of each probe, and end its way if told so.
fn record(set: &str, drop: bool) -> Vec<Rule> {
    let of_proto = |which| vec![Expr::Meta { key: MetaKey::L4proto, dreg: Reg(0) }, which];
    by_proto(0, |test, at| {
        let mut exprs = of_proto(test.0);
        exprs.extend(test.1);
        exprs.extend(note(set, at));
        if drop {
            exprs.push(Expr::Verdict(Verdict::Drop));
        }
        Rule::new(exprs)
    })
}

/// The same for what leaves by another interface than `lo`, whose packets still have to arrive.
fn leaving() -> Vec<Rule> {
    const LOOPBACK: u32 = 1;
    let mut rules = record("late", true);
    for rule in &mut rules {
        let elsewhere = Expr::Cmp { op: CmpOp::Neq, sreg: Reg(0), data: LOOPBACK.to_ne_bytes().to_vec() };
        rule.exprs.splice(0..0, [Expr::Meta { key: MetaKey::Oif, dreg: Reg(0) }, elsewhere]);
    }
    rules
}

/// Rules that note the numbers of probes that ICMP errors and TCP resets speak of.
fn refusals() -> Vec<Rule> {
    /// Type of "unreachable", offset of the inner header's protocol, and length of the inner header.
    const ERRORS: [(Proto, u8, u32, u32); 2] = [(Proto::ICMP, 3, 17, 20), (Proto::ICMPV6, 1, 14, 40)];
    const ICMP_HEADER: u32 = 8;
    let mut rules = Vec::new();
    for (proto, unreachable, inner_proto, inner_len) in ERRORS {
        rules.extend(by_proto(ICMP_HEADER + inner_len, |test, at| {
            let mut exprs = vec![
                Expr::Meta { key: MetaKey::L4proto, dreg: Reg(0) },
                eq(vec![proto.0]),
                transport(0, 1),
                eq(vec![unreachable]),
                transport(inner_proto, 1),
                test.0,
            ];
            exprs.extend(test.1);
            exprs.extend(note("answers", at));
            Rule::new(exprs)
        }));
    }
    const FLAGS: u32 = 13;
    const RST: u8 = 0x04;
    const ACKNOWLEDGED: u32 = 8;
    let mut exprs = vec![
        Expr::Meta { key: MetaKey::L4proto, dreg: Reg(0) },
        eq(vec![Proto::TCP.0]),
        transport(FLAGS, 1),
        mask(vec![RST]),
        eq(vec![RST]),
    ];
    exprs.extend(note("resets", ACKNOWLEDGED));
    rules.push(Rule::new(exprs));
    rules
}

/// One rule for each place that the number can stand at: with a test of the protocol in register 0.
fn by_proto(base: u32, rule: impl Fn((Expr, Option<Expr>), u32) -> Rule) -> Vec<Rule> {
    let neq = |proto: Proto| Expr::Cmp { op: CmpOp::Neq, sreg: Reg(0), data: vec![proto.0] };
    vec![
        rule((neq(Proto::UDP), Some(neq(Proto::SCTP))), base + mark_offset(Proto::TCP)),
        rule((eq(vec![Proto::UDP.0]), None), base + mark_offset(Proto::UDP)),
        rule((eq(vec![Proto::SCTP.0]), None), base + mark_offset(Proto::SCTP)),
    ]
}

fn note(set: &str, at: u32) -> Vec<Expr> {
    let load = |dreg| Expr::Payload { base: PayloadBase::Transport, offset: at, len: 4, dreg };
    vec![
        load(Reg(0)),
        mask(MAGIC_MASK.to_be_bytes().to_vec()),
        eq(MAGIC.to_be_bytes().to_vec()),
        load(Reg(0)),
        Expr::Dynset(Dynset {
            set: set.to_owned(),
            op: DynsetOp::Add,
            key: Reg(0),
            data: None,
            timeout: None,
            invert: false,
            exprs: Vec::new(),
        }),
    ]
}

fn transport(offset: u32, len: u32) -> Expr {
    Expr::Payload { base: PayloadBase::Transport, offset, len, dreg: Reg(0) }
}

fn eq(data: Vec<u8>) -> Expr {
    Expr::Cmp { op: CmpOp::Eq, sreg: Reg(0), data }
}

fn mask(mask: Vec<u8>) -> Expr {
    let xor = vec![0; mask.len()];
    let len = u32::try_from(mask.len()).unwrap_or(0);
    Expr::Bitwise { sreg: Reg(0), dreg: Reg(0), len, op: Bitop::MaskXor { mask, xor } }
}

fn translate(addressed: IpAddr, container: IpAddr, port: Option<(Proto, u16)>) -> Rule {
    let (nfproto, offset, addressed, container) = match (addressed, container) {
        (IpAddr::V4(addressed), IpAddr::V4(container)) => {
            (2, 16, addressed.octets().to_vec(), container.octets().to_vec())
        }
        (addressed, container) => {
            let octets = |addr| match addr {
                IpAddr::V4(four) => four.to_ipv6_mapped().octets().to_vec(),
                IpAddr::V6(six) => six.octets().to_vec(),
            };
            (10, 24, octets(addressed), octets(container))
        }
    };
    let len = u32::try_from(addressed.len()).unwrap_or(0);
    let mut exprs = vec![
        Expr::Meta { key: MetaKey::Nfproto, dreg: Reg(0) },
        eq(vec![nfproto]),
        Expr::Payload { base: PayloadBase::Network, offset, len, dreg: Reg(0) },
        eq(addressed),
        Expr::Immediate { dreg: Reg(0), data: container },
    ];
    let mut range = NatRange::default();
    if let Some((proto, port)) = port {
        exprs.insert(0, Expr::Meta { key: MetaKey::L4proto, dreg: Reg(0) });
        exprs.insert(1, eq(vec![proto.0]));
        exprs.push(Expr::Immediate { dreg: Reg(4), data: port.to_be_bytes().to_vec() });
        range.proto_min = Some(Reg(4));
        range.proto_max = Some(Reg(4));
    }
    let family = nfproto;
    let addr = (Some(Reg(0)), Some(Reg(0)));
    exprs.push(Expr::Nat(Nat { source: false, family, addr, range }));
    Rule::new(exprs)
}
