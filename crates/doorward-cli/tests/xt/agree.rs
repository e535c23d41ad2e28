//! What the prover says of iptables' rules for all packets, the plain machine says for single ones.
//!
//! Both read the same rules and share nothing else. Whatever the machine is told of what no packet tells, it must
//! end as the prover says it can; and where the machine asks nothing, the prover must know too.

use std::collections::BTreeMap;

use doorward::net::Family;
use doorward::prove::{Facts, Fates, Program, Slice, tells, value_of};
use doorward::ruleset::{
    Base, Chain, ChainKind, CmpOp, Expr, Hook, Policy, Rule, Table, TableFamily, Verdict,
};
use doorward::ruleset::{Bitop, CtKey, MetaKey, PayloadBase, Reg, exthdr};
use doorward::space::{Field, Node, Pred, Space, Terms};
use doorward::trace::{self, Conntrack, End, Packet, Unknown};
use doorward::xt::{self, Basis, Match, RecentOp, Target, Xt};

use super::oracle::{fresh, skip};
use super::packets::{Packets, Random};
use super::{Case, cases};

const PACKETS: usize = 200;
const INTERFACES: [(u32, &str); 2] = [(7, "eth0"), (8, "eth1")];

/// What packets tell, and the prover asks about all the same: hardly any rule looks at it.
const VAGUE: [&str; 17] = [
    // Bytes anywhere in the packet, and options of TCP, which may be cut off.
    "-m string",
    "-m u32",
    "--tcp-option",
    "-m tcpmss",
    "-j TCPMSS",
    "-j TCPOPTSTRIP",
    // Of a later fragment, bits that are no flags are taken for such.
    "--ecn-tcp",
    // Headers of IPv6.
    "-m ah ",
    "-m dst",
    "-m frag",
    "-m hbh",
    "-m ipv6header",
    "-m rt",
    // What the rest of a byte, or of an address, becomes.
    "-j TOS",
    "-j TTL",
    "-j HL",
    "NPT --",
];

#[test]
fn prover_and_machine_agree_on_each_rule() {
    if skip::without_root() {
        return;
    }
    let cases = loaded();
    let mut vague = BTreeMap::new();
    for case in &cases {
        for probe in probes(case) {
            let mut rule = case.rule.clone();
            let probed = !probe.is_empty();
            let rules = if probed {
                vec![rule, Rule::new(probe)]
            } else {
                rule.exprs.push(Expr::Verdict(Verdict::Drop));
                vec![rule]
            };
            let found = compare(&[case], rules, &cases, if probed { PACKETS / 4 } else { PACKETS });
            *vague.entry(case.text.clone()).or_insert(0) += found.vague;
            assert!(found.wrong.is_empty(), "{}: {:#?}", case.text, found.wrong[0]);
        }
    }
    vague.retain(|text: &String, count| *count > 0 && !VAGUE.iter().any(|words| text.contains(words)));
    assert!(vague.is_empty(), "the machine asks nothing, and the prover does not know: {vague:#?}");
}

/// Chains of several rules, where one leaves to the next what it does not match, and changes what it asks.
#[test]
fn prover_and_machine_agree_on_chains() {
    if skip::without_root() {
        return;
    }
    let cases = loaded();
    let mut random = Random(7);
    for _ in 0..150 {
        let first = random.of(&cases);
        let alike: Vec<&Case> = cases
            .iter()
            .filter(|case| case.family == first.family && case.base.hook == first.base.hook)
            .collect();
        let picked: Vec<&Case> = (0..2 + random.below(4)).map(|_| *random.of(&alike)).collect();
        let rules = picked.iter().map(|case| {
            let mut rule = case.rule.clone();
            if !ends(&rule) {
                let verdicts = [Verdict::Drop, Verdict::Accept, Verdict::Return, Verdict::Continue];
                rule.exprs.push(Expr::Verdict(random.of(&verdicts).clone()));
            }
            rule
        });
        let rules: Vec<Rule> = rules.collect();
        let found = compare(&picked, rules, &cases, 80);
        let texts: Vec<&str> = picked.iter().map(|case| case.text.as_str()).collect();
        assert!(found.wrong.is_empty(), "{texts:#?}: {:#?}", found.wrong[0]);
    }
}

fn loaded() -> Vec<Case> {
    let (_own, socket) = fresh();
    let mut all = cases("cases.txt", &socket);
    all.extend(cases("rare.txt", &socket));
    all.into_iter().filter_map(|(_, case)| case.ok()).collect()
}

fn ends(rule: &Rule) -> bool {
    rule.exprs.iter().any(|expr| matches!(expr, Expr::Verdict(_) | Expr::Unknown { .. } if !is_match(expr)))
}

fn is_match(expr: &Expr) -> bool {
    matches!(expr, Expr::Unknown { name, .. } if name == "match")
}

/// What shows that a rule did something: nothing where its match decides, else rules that look at what it changed.
fn probes(case: &Case) -> Vec<Vec<Expr>> {
    let target = case.rule.exprs.iter().find_map(|expr| match xt::read(expr, case.family) {
        Some(Xt::Target(target)) => Some(target),
        _ => None,
    });
    let Some(target) = target else { return vec![Vec::new()] };
    let reg = Reg(0);
    let bit = |load: Expr, bit: u32| {
        let mask = (1u32 << bit).to_ne_bytes().to_vec();
        vec![
            load,
            Expr::Bitwise {
                sreg: reg,
                dreg: reg,
                len: 4,
                op: Bitop::MaskXor { mask: mask.clone(), xor: vec![0; 4] },
            },
            Expr::Cmp { op: CmpOp::Eq, sreg: reg, data: mask },
            Expr::Verdict(Verdict::Drop),
        ]
    };
    let below = |base, offset, value: u8| {
        vec![
            Expr::Payload { base, offset, len: 1, dreg: reg },
            Expr::Cmp { op: CmpOp::Lt, sreg: reg, data: vec![value] },
            Expr::Verdict(Verdict::Drop),
        ]
    };
    let marks = [0, 1, 2, 3, 4, 8, 9, 16, 31];
    let mark = Expr::Meta { key: MetaKey::Mark, dreg: reg };
    let ct_mark = Expr::Ct { key: CtKey::Mark, dir: None, dreg: reg };
    match target {
        Target::Mark { .. } | Target::Hmark { .. } | Target::Tproxy(_) => {
            marks.map(|at| bit(mark.clone(), at)).to_vec()
        }
        Target::Connmark(_) => {
            [marks.map(|at| bit(mark.clone(), at)), marks.map(|at| bit(ct_mark.clone(), at))].concat()
        }
        Target::Hops(_) | Target::Tos { .. } | Target::Dscp(_) | Target::Ecn(_) => {
            let network = PayloadBase::Network;
            let mut all: Vec<Vec<Expr>> = [1u8, 2, 3, 63, 64, 65, 128, 253, 254, 255]
                .into_iter()
                .flat_map(|value| [0, 1, 7, 8].map(|at| below(network, at, value)))
                .collect();
            all.push(below(PayloadBase::Transport, 13, 64));
            all
        }
        Target::TcpMss(_) | Target::TcpOptStrip(_) => {
            let load = Expr::Exthdr { header: 2, offset: 2, len: 2, flags: 0, op: exthdr::TCPOPT, dreg: reg };
            let small = Expr::Cmp { op: CmpOp::Lte, sreg: reg, data: 1400u16.to_be_bytes().to_vec() };
            vec![vec![load, small, Expr::Verdict(Verdict::Drop)]]
        }
        _ => vec![below(PayloadBase::Network, 1, 4)],
    }
}

#[derive(Default)]
struct Found {
    /// What went wrong, with the packet.
    wrong: Vec<String>,
    /// For how many packets the prover does not know what the machine knows.
    vague: usize,
}

/// Runs packets through one chain with these rules.
fn compare(cases: &[&Case], rules: Vec<Rule>, all: &[Case], count: usize) -> Found {
    let case = cases[0];
    let table = table(case, rules, all);
    let family = if case.family == TableFamily::Ip6 { Family::V6 } else { Family::V4 };
    let hook = case.base.hook;
    let texts: String = cases.iter().map(|case| format!("{} {:?}\n", case.text, typed(case))).collect();
    let mut packets = Packets::new(&texts, family, hook, cases.len() > 1);
    let packets: Vec<Packet> = (0..count).map(|_| packets.packet()).collect();

    let mut terms = Terms::new(family);
    let slices = [false, true].map(|translated| Slice { hook, translated, nat: false });
    let interfaces: BTreeMap<u32, String> =
        INTERFACES.iter().map(|(index, name)| (*index, (*name).to_owned())).collect();
    let facts = Facts { interfaces, ..Facts::default() };
    let tables = [table];
    let program = Program::of(&tables, &slices, &facts, &mut terms);
    let changes = tables[0].chains[0].rules.iter().any(|rule| changes(rule, case.family));
    let changing = if changes { packets.as_slice() } else { &[] };
    let starts: Vec<Pred> = changing.iter().map(|packet| start(packet, &mut terms)).collect();
    let mut space = Space::new(terms).unwrap();
    let machine = trace::Machine::new(&tables);
    let mut found = Found::default();
    let domain = space.domain();
    let unchanged = slices.map(|slice| program.fates(&mut space, slice, domain, &|_| true).unwrap().0);
    for (index, packet) in packets.iter().enumerate() {
        let slice = usize::from(is_translated(packet));
        let fates = match starts.get(index) {
            Some(start) => {
                let node = space.node(start);
                let node = space.and(node, domain);
                program.fates(&mut space, slices[slice], node, &|_| true).unwrap().0
            }
            None => unchanged[slice],
        };
        let possible = possible(&mut space, &fates, packet, changes);
        let mut asked = false;
        for answers in 0..4 {
            let mut random = Random(u64::try_from(index).unwrap() * 4 + answers);
            let mut answer = |what: &Unknown| match answers {
                // Kernels that read into later fragments are not those that are proven about.
                _ if matches!(what.expr, Expr::Payload { .. }) => false,
                // Of several rules about one packet, the answers must fit together.
                _ if cases.len() > 1 && !may_change(what.expr, case.family) => lone(what.expr, case.family),
                0 => false,
                1 => true,
                _ => random.below(2) == 0,
            };
            let trace = machine.hook(packet, &mut answer);
            asked |= trace.unknown;
            if !possible.contains(&trace.end) {
                found.wrong.push(format!(
                    "{:?} is not among {possible:?}: {packet:#?} {:?}",
                    trace.end, trace.visits
                ));
            }
        }
        if !asked && possible.len() > 1 {
            found.vague += 1;
        }
    }
    found
}

fn typed(case: &Case) -> Vec<Xt> {
    case.rule.exprs.iter().filter_map(|expr| xt::read(expr, case.family)).collect()
}

fn table(case: &Case, rules: Vec<Rule>, all: &[Case]) -> Table {
    let mut table = Table::new(case.family, "t");
    // Chains that translate are asked for some packets only.
    let base = Base { kind: ChainKind::Filter, policy: Policy::Accept, ..case.base.clone() };
    table.chains.push(Chain { rules, base: Some(base), ..Chain::regular("judged") });
    // Lists that nobody fills are taken for empty.
    let fills = all.iter().filter(|one| one.family == case.family).filter(|one| {
        typed(one).iter().any(|xt| matches!(xt, Xt::Match(Match::Recent(of)) if of.op == RecentOp::Set))
    });
    table
        .chains
        .push(Chain { rules: fills.map(|one| one.rule.clone()).collect(), ..Chain::regular("fills") });
    table
}

/// Whether the answer may be another one for each rule.
fn may_change(expr: &Expr, family: TableFamily) -> bool {
    match xt::read(expr, family) {
        Some(Xt::Match(Match::Set(_) | Match::Connbytes(_) | Match::Conntrack(_))) => false,
        Some(Xt::Match(Match::Connlabel(_)) | Xt::Target(_)) => true,
        Some(Xt::Match(found)) => matches!(found.basis(), Basis::Memory | Basis::Unknown),
        None => matches!(expr, Expr::Limit(_)),
    }
}

/// The answer that fits to the same for all others: without socket there is none.
fn lone(expr: &Expr, family: TableFamily) -> bool {
    matches!(xt::read(expr, family), Some(Xt::Match(Match::Owner(of))) if of.socket == Some(false))
}

/// Whether a rule may change what later ones ask.
fn changes(rule: &Rule, family: TableFamily) -> bool {
    rule.exprs.iter().any(|expr| match xt::read(expr, family) {
        Some(Xt::Target(_)) => true,
        Some(Xt::Match(found)) => found.changes(),
        None => false,
    })
}

/// What rules can change, as it is in the beginning.
fn changeable(field: &Field) -> bool {
    match *field {
        Field::MARK | Field::CT_MARK | Field::TcpFlags | Field::Source | Field::Destination => true,
        Field::Byte(PayloadBase::Network, at) => [0, 1, 7, 8].contains(&at),
        _ => false,
    }
}

fn start(packet: &Packet, terms: &mut Terms) -> Pred {
    let bytes = [0, 1, 7, 8].map(|at| Field::Byte(PayloadBase::Network, at));
    let others = [Field::MARK, Field::CT_MARK, Field::TcpFlags, Field::Source, Field::Destination];
    let fields = bytes.into_iter().chain(others);
    Pred::all(fields.map(|field| terms.equals(&field, value_of(packet, &field))).collect::<Vec<_>>())
}

/// How a packet can end, for some value of what it does not tell.
fn possible(space: &mut Space, fates: &Fates, packet: &Packet, changes: bool) -> Vec<End> {
    let ends = [
        (fates.accepted, End::Accepted),
        (fates.dropped, End::Dropped),
        (fates.rejected, End::Rejected),
        (fates.queued, End::Queued),
    ];
    let mut can = |node: Node| {
        let some = space.exists(node, &|field| changes && changeable(field) || !tells(packet, field));
        space.contains(some, &|field| value_of(packet, field))
    };
    ends.into_iter().filter(|(node, _)| can(*node)).map(|(_, end)| end).collect()
}

fn is_translated(packet: &Packet) -> bool {
    const DNAT: u32 = 0x20;
    matches!(&packet.ct, Conntrack::Entry(entry) if entry.status & DNAT != 0)
}

/// Where a chain of these cases stands.
pub(super) fn arrives(hook: Hook) -> bool {
    matches!(hook, Hook::Prerouting | Hook::Input | Hook::Forward)
}
