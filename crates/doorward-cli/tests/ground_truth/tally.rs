//! Counts and says how a run went, and how much of what is promised it covered; judges no packet.

use crate::compare::Mismatch;
use crate::fields::{Ask, Field, Part, Step, Test, tests};
use doorward::net::Family;
use doorward::ruleset::{
    Bitop, CmpOp, CtKey, Data, Elements, Expr, Hook, LookupTarget, MetaKey, PayloadBase, Rule, Ruleset,
    Table, Verdict, set_flags,
};
use doorward::trace::{Conntrack, Packet};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// What a run gave.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) rulesets: usize,
    pub(crate) sent: usize,
    /// Packets that met their hook.
    pub(crate) met: usize,
    pub(crate) passed: usize,
    pub(crate) spent: Duration,
    /// About how many packets somebody was asked, and on how many there was no opinion.
    pub(crate) answers: BTreeMap<&'static str, (usize, usize)>,
    /// For how many packets somebody did not know something.
    pub(crate) lacks: BTreeMap<(&'static str, String), usize>,
    pub(crate) mismatches: Vec<Mismatch>,
    pub(crate) coverage: Coverage,
    /// Packets of each sort among those that met their hook.
    pub(crate) sorts: BTreeMap<&'static str, usize>,
}

/// Every sort of packets of which there must be some.
pub(crate) const SORTS: &[&str] = &[
    "IPv4",
    "IPv6",
    "input",
    "forward",
    "output",
    "TCP",
    "UDP",
    "ICMP",
    "SCTP",
    "other protocol",
    "new",
    "established",
    "related",
    "invalid",
    "untracked",
    "reply",
    "translated",
    "connection mark",
    "packet mark",
    "later fragment",
    "routing header",
    "cut off",
    "of an ordinary user",
];

fn sorts(packet: &Packet) -> Vec<&'static str> {
    let mut sorts = vec![
        if packet.family == Family::V4 { "IPv4" } else { "IPv6" },
        match packet.hook {
            Hook::Input => "input",
            Hook::Forward => "forward",
            _ => "output",
        },
        match packet.l4proto {
            6 => "TCP",
            17 => "UDP",
            1 | 58 => "ICMP",
            132 => "SCTP",
            _ => "other protocol",
        },
    ];
    match &packet.ct {
        Conntrack::Untracked => sorts.push("untracked"),
        Conntrack::Invalid => sorts.push("invalid"),
        Conntrack::Entry(entry) => {
            sorts.push(match entry.state {
                2 => "established",
                4 => "related",
                _ => "new",
            });
            let mut also = |holds: bool, sort| sorts.extend(holds.then_some(sort));
            also(entry.direction == 1, "reply");
            also(entry.status & 0x20 != 0, "translated");
            also(entry.mark != 0, "connection mark");
        }
    }
    let mut also = |holds: bool, sort| sorts.extend(holds.then_some(sort));
    also(packet.mark != 0, "packet mark");
    also(packet.later_fragment, "later fragment");
    also(packet.extensions.iter().any(|(kind, _)| *kind == 43), "routing header");
    also(packet.transport.len() < 8, "cut off");
    also(packet.owner.is_some_and(|(user, _)| user != 0), "of an ordinary user");
    sorts
}

/// Which kinds of expressions stood in how many rules.
#[derive(Default)]
pub(crate) struct Coverage {
    rules: usize,
    sizes: Vec<usize>,
    kinds: BTreeMap<&'static str, usize>,
}

impl Tally {
    /// A packet that met its hook.
    pub(crate) fn meet(&mut self, packet: &Packet, passed: bool) {
        self.met += 1;
        self.passed += usize::from(passed);
        for sort in sorts(packet) {
            *self.sorts.entry(sort).or_default() += 1;
        }
    }

    /// What somebody did not know, of some packets.
    pub(crate) fn lack(&mut self, lacking: Vec<(&'static str, Vec<String>)>) {
        for (name, lacks) in lacking {
            for what in lacks {
                *self.lacks.entry((name, what)).or_default() += 1;
            }
        }
    }

    /// What was not known most often, in a table.
    pub(crate) fn reasons(&self) -> String {
        const MOST: usize = 12;
        let mut text = String::new();
        for name in self.answers.keys() {
            let mut mine: Vec<(usize, &str)> = self
                .lacks
                .iter()
                .filter(|((who, _), _)| who == name)
                .map(|((_, what), count)| (*count, what.as_str()))
                .collect();
            mine.sort_unstable_by(|a, b| b.cmp(a));
            for (count, what) in mine.iter().take(MOST) {
                let _ = writeln!(text, "  {name:12} {count:8} packets: {what}");
            }
        }
        text
    }

    /// About how many packets somebody was asked.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.answers.get(name).map_or(0, |(asked, _)| *asked)
    }

    /// The share of packets that somebody decided, in percent.
    pub(crate) fn decided(&self, name: &str) -> f64 {
        let (asked, undecided) = self.answers.get(name).copied().unwrap_or_default();
        share(asked - undecided, asked)
    }

    /// Each sort of packets and its share in percent.
    pub(crate) fn packets(&self) -> Vec<(&'static str, f64)> {
        let count = |sort| self.sorts.get(sort).copied().unwrap_or(0);
        SORTS.iter().map(|sort| (*sort, share(count(*sort), self.met))).collect()
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.rulesets += other.rulesets;
        self.sent += other.sent;
        self.met += other.met;
        self.passed += other.passed;
        self.spent += other.spent;
        for (name, (asked, undecided)) in other.answers {
            let mine = self.answers.entry(name).or_default();
            *mine = (mine.0 + asked, mine.1 + undecided);
        }
        for (what, count) in other.lacks {
            *self.lacks.entry(what).or_default() += count;
        }
        for (sort, count) in other.sorts {
            *self.sorts.entry(sort).or_default() += count;
        }
        self.mismatches.extend(other.mismatches);
    }

    /// The run in one line.
    pub(crate) fn summary(&self, what: &str) -> String {
        let mut line = format!(
            "{what}: {} rulesets, {} packets sent ({:.0} packets/s), {} met their hook, {:.1} % passed",
            self.rulesets,
            self.sent,
            self.sent as f64 / self.spent.as_secs_f64().max(1e-9),
            self.met,
            share(self.passed, self.met)
        );
        for (name, (asked, undecided)) in &self.answers {
            let wrong = self.mismatches.iter().filter(|mismatch| mismatch.opinion == *name).count();
            let _ = write!(
                line,
                "; {name}: {wrong} mismatches of {asked}, {undecided} undecided ({:.1} %)",
                share(*undecided, *asked)
            );
        }
        line
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

impl Coverage {
    pub(crate) fn count(&mut self, ruleset: &Ruleset) {
        let mut rules = 0;
        for table in &ruleset.tables {
            for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
                rules += 1;
                for kind in kinds(table, rule) {
                    *self.kinds.entry(kind).or_default() += 1;
                }
            }
        }
        self.rules += rules;
        self.sizes.push(rules);
    }

    pub(crate) fn median_rules(&self) -> usize {
        let mut sizes = self.sizes.clone();
        sizes.sort_unstable();
        sizes.get(sizes.len() / 2).copied().unwrap_or(0)
    }

    /// Each kind that is promised and its share of the rules in percent.
    pub(crate) fn shares(&self) -> Vec<(&'static str, f64)> {
        KINDS
            .iter()
            .map(|kind| (*kind, share(self.kinds.get(kind).copied().unwrap_or(0), self.rules)))
            .collect()
    }

    /// The table of it.
    pub(crate) fn table(&self) -> String {
        let head = format!(
            "{} rules, {} in the median ruleset; share of rules with\n",
            self.rules,
            self.median_rules()
        );
        head + &table(&self.shares())
    }
}

/// Shares in columns.
pub(crate) fn table(shares: &[(&'static str, f64)]) -> String {
    let mut text = String::new();
    for line in shares.chunks(4) {
        for (kind, share) in line {
            let _ = write!(text, "  {kind:24}{share:5.1} %");
        }
        text.push('\n');
    }
    text
}

/// Every kind of which there must be some.
pub(crate) const KINDS: &[&str] = &[
    "l4proto",
    "nfproto",
    "ifname exact",
    "ifname wildcard",
    "ifname negated",
    "ifindex",
    "meta mark",
    "ethertype",
    "length",
    "skuid or skgid",
    "address exact",
    "address prefix",
    "address masked",
    "address range",
    "address negated",
    "ttl or hop limit",
    "protocol field",
    "tos byte",
    "port exact",
    "port range",
    "port ordered",
    "icmp type",
    "icmp code",
    "tcp flags",
    "odd slice",
    "inner",
    "cmp eq",
    "cmp neq",
    "cmp lt",
    "cmp lte",
    "cmp gt",
    "cmp gte",
    "range",
    "range negated",
    "range inverted",
    "bitwise mask",
    "bitwise xor",
    "xor of a mark",
    "shift",
    "byteorder",
    "immediate",
    "hash set",
    "interval set",
    "concatenation",
    "interval concat",
    "anonymous set",
    "named set",
    "inverted lookup",
    "catch-all",
    "map to value",
    "verdict map",
    "counted elements",
    "ct state bits",
    "ct state exact",
    "ct direction",
    "ct status",
    "ct mark",
    "ct address",
    "ct port",
    "sets meta mark",
    "sets ct mark",
    "extension header",
    "fib type",
    "counter",
    "comment",
    "accept",
    "drop",
    "jump",
    "goto",
    "return",
    "continue",
    "behind continue",
];

fn kinds(table: &Table, rule: &Rule) -> BTreeSet<&'static str> {
    let mut kinds: BTreeSet<&'static str> = rule.exprs.iter().filter_map(plain_kind).collect();
    if !rule.udata.0.is_empty() {
        kinds.insert("comment");
    }
    let is_mark = |expr: &Expr| {
        matches!(expr, Expr::Meta { key: MetaKey::Mark, .. } | Expr::Ct { key: CtKey::Mark, .. })
    };
    let next = rule.exprs.iter().zip(rule.exprs.iter().skip(1));
    for (expr, next) in next {
        if is_mark(expr) && plain_kind(next) == Some("bitwise xor") {
            kinds.insert("xor of a mark");
        }
        if continues(table, expr) {
            kinds.insert("behind continue");
        }
    }
    for test in tests(table, rule) {
        asked(&test, &mut kinds);
        for part in &test.parts {
            loaded(part, &test.ask, &mut kinds);
        }
    }
    kinds
}

/// Whether it may say that the rule goes on behind it.
fn continues(table: &Table, expr: &Expr) -> bool {
    match expr {
        Expr::Verdict(Verdict::Continue) => true,
        Expr::Lookup { set, dreg: Some(LookupTarget::Verdict), .. } => {
            let elements = table.set(set).map(|set| &set.elements);
            matches!(elements, Some(Elements::Full(list)) if list.iter().any(|element| {
                element.data == Some(Data::Verdict(Verdict::Continue))
            }))
        }
        _ => false,
    }
}

fn plain_kind(expr: &Expr) -> Option<&'static str> {
    Some(match expr {
        Expr::Counter { .. } => "counter",
        Expr::MetaSet { key: MetaKey::Mark, .. } => "sets meta mark",
        Expr::CtSet { key: CtKey::Mark, .. } => "sets ct mark",
        Expr::Immediate { .. } => "immediate",
        Expr::Byteorder { .. } => "byteorder",
        Expr::Bitwise { op: Bitop::Shl(_) | Bitop::Shr(_), .. } => "shift",
        Expr::Bitwise { op: Bitop::MaskXor { xor, .. }, .. } if xor.iter().any(|byte| *byte != 0) => {
            "bitwise xor"
        }
        Expr::Bitwise { .. } => "bitwise mask",
        Expr::Verdict(Verdict::Accept) => "accept",
        Expr::Verdict(Verdict::Drop) => "drop",
        Expr::Verdict(Verdict::Jump(_)) => "jump",
        Expr::Verdict(Verdict::Goto(_)) => "goto",
        Expr::Verdict(Verdict::Return) => "return",
        Expr::Verdict(Verdict::Continue) => "continue",
        _ => return None,
    })
}

fn asked(test: &Test, kinds: &mut BTreeSet<&'static str>) {
    match test.ask {
        Ask::Cmp(op, _) => {
            kinds.insert(match op {
                CmpOp::Eq => "cmp eq",
                CmpOp::Neq => "cmp neq",
                CmpOp::Lt => "cmp lt",
                CmpOp::Lte => "cmp lte",
                CmpOp::Gt => "cmp gt",
                CmpOp::Gte => "cmp gte",
            });
        }
        Ask::Range(op, from, to) => {
            kinds.insert(if op == CmpOp::Eq { "range" } else { "range negated" });
            if from > to {
                kinds.insert("range inverted");
            }
        }
        Ask::Lookup(set, target, invert) => {
            let interval = set.flags & set_flags::INTERVAL != 0;
            kinds.insert(match (interval, test.parts.len() > 1) {
                (false, false) => "hash set",
                (true, false) => "interval set",
                (false, true) => "concatenation",
                (true, true) => "interval concat",
            });
            kinds.insert(if set.flags & set_flags::ANONYMOUS != 0 { "anonymous set" } else { "named set" });
            if invert {
                kinds.insert("inverted lookup");
            }
            match target {
                Some(LookupTarget::Value(_)) => kinds.insert("map to value"),
                Some(LookupTarget::Verdict) => kinds.insert("verdict map"),
                None => false,
            };
            if !set.exprs.is_empty() {
                kinds.insert("counted elements");
            }
            if let Elements::Full(list) = &set.elements {
                if list.iter().any(|element| element.flags & 2 != 0) {
                    kinds.insert("catch-all");
                }
                kinds.extend(list.iter().filter_map(|element| match &element.data {
                    Some(Data::Verdict(verdict)) => plain_kind(&Expr::Verdict(verdict.clone())),
                    _ => None,
                }));
            }
        }
    }
}

fn loaded(part: &Part, ask: &Ask, kinds: &mut BTreeSet<&'static str>) {
    let masked = part.steps.iter().any(|step| matches!(step, Step::Mask { .. }));
    let negated = matches!(ask, Ask::Cmp(CmpOp::Neq, _) | Ask::Range(CmpOp::Neq, ..));
    let ranged = matches!(ask, Ask::Range(..));
    match part.field {
        Field::Meta(key) => {
            kinds.extend(meta_kind(key, ask, negated));
        }
        Field::Payload(PayloadBase::Network, 12 | 16 | 8 | 24, 4 | 16) => {
            kinds.insert(if ranged {
                "address range"
            } else if masked {
                "address masked"
            } else {
                "address exact"
            });
            if negated {
                kinds.insert("address negated");
            }
        }
        Field::Payload(PayloadBase::Network, 12 | 16 | 8 | 24, 2..) => {
            kinds.insert("address prefix");
        }
        Field::Payload(PayloadBase::Network, 7 | 8, 1) => {
            kinds.insert("ttl or hop limit");
        }
        Field::Payload(PayloadBase::Network, 6 | 9, 1) => {
            kinds.insert("protocol field");
        }
        Field::Payload(PayloadBase::Network, 1, 1) | Field::Payload(PayloadBase::Network, 0, 2) => {
            kinds.insert("tos byte");
        }
        Field::Payload(PayloadBase::Transport, 0 | 2, 2) => {
            kinds.insert(match ask {
                Ask::Range(..) => "port range",
                Ask::Cmp(CmpOp::Eq | CmpOp::Neq, _) | Ask::Lookup(..) => "port exact",
                Ask::Cmp(..) => "port ordered",
            });
        }
        Field::Payload(PayloadBase::Transport, 0, 1) => {
            kinds.insert("icmp type");
        }
        Field::Payload(PayloadBase::Transport, 1, 1) => {
            kinds.insert("icmp code");
        }
        Field::Payload(PayloadBase::Transport, 13, 1) => {
            kinds.insert("tcp flags");
        }
        Field::Payload(PayloadBase::Inner, ..) => {
            kinds.insert("inner");
        }
        Field::Payload(..) => {
            kinds.insert("odd slice");
        }
        Field::Ct(key, _) => {
            kinds.extend(ct_kind(key, masked));
        }
        Field::Exthdr { .. } => {
            kinds.insert("extension header");
        }
        Field::Fib(..) => {
            kinds.insert("fib type");
        }
        Field::Constant | Field::Mapped | Field::Other => {}
    }
}

fn meta_kind(key: MetaKey, ask: &Ask, negated: bool) -> Option<&'static str> {
    Some(match key {
        MetaKey::L4proto => "l4proto",
        MetaKey::Nfproto => "nfproto",
        MetaKey::Iifname | MetaKey::Oifname => match ask {
            _ if negated => "ifname negated",
            Ask::Cmp(_, data) if data.len() < 16 => "ifname wildcard",
            _ => "ifname exact",
        },
        MetaKey::Iif | MetaKey::Oif => "ifindex",
        MetaKey::Mark => "meta mark",
        MetaKey::Protocol => "ethertype",
        MetaKey::Len => "length",
        MetaKey::Skuid | MetaKey::Skgid => "skuid or skgid",
        _ => return None,
    })
}

fn ct_kind(key: CtKey, masked: bool) -> Option<&'static str> {
    Some(match key {
        CtKey::State if masked => "ct state bits",
        CtKey::State => "ct state exact",
        CtKey::Direction => "ct direction",
        CtKey::Status => "ct status",
        CtKey::Mark => "ct mark",
        CtKey::SrcIp | CtKey::DstIp | CtKey::SrcIp6 | CtKey::DstIp6 => "ct address",
        CtKey::ProtoSrc | CtKey::ProtoDst => "ct port",
        _ => return None,
    })
}
