//! How a new connection is judged on one way: block over reject over allow over default, trust lifting the first.

use super::builder::Builder;
use super::cells::{self, Place};
use super::code::{self, R0};
use super::groups::{self, Action, Said};
use super::limits;
use crate::logged::What;
use crate::net::{AddrSet, Family, IcmpType, PortRange, Prefix, Proto};
use crate::resolve::model::{Limit, Peers, Rule, Scope, Traffic, Verdict, Way};
use crate::ruleset::{CmpOp, Expr, KeyPart, MetaKey, PayloadBase};
use std::sync::Arc;

/// A chain that judges new connections of one way at one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stage {
    /// Whose default holds.
    pub way: Way,
    /// Family, view and direction.
    pub place: Place,
}

impl Stage {
    /// The name of its chain, with a suffix for its variants.
    fn chain(self, builder: &Builder<'_>, suffix: &str) -> String {
        let family = match self.place.family {
            Family::V4 => "4",
            Family::V6 => "6",
        };
        let icmp = if self.place.icmp { "_icmp" } else { "" };
        // What is published is always seen as it was addressed.
        let dnat = if self.place.original && self.way != Way::Published { "_dnat" } else { "" };
        builder.name(&format!("{}{family}{icmp}{dnat}{suffix}", self.way.word()))
    }

    /// Whether a sentence speaks of connections that are judged here. What is published also covers a local
    /// proxy that listens on the same port.
    fn concerns(self, rule: &Rule) -> bool {
        rule.ways.contains(&self.way) || self.way == Way::In && rule.ways.contains(&Way::Published)
    }

    /// Trust, bans and forged sources are a matter of what arrives.
    fn arrives(self) -> bool {
        self.way != Way::Out
    }
}

/// The sentences of one verdict that are judged here, with their cells.
fn said<'a>(
    builder: &mut Builder<'a>,
    stage: Stage,
    verdict: Verdict,
    pick: impl Fn(&Rule) -> bool,
) -> Vec<Said<'a>> {
    let policy = builder.policy;
    policy
        .rules
        .iter()
        .filter(|rule| rule.verdict == verdict && stage.concerns(rule) && pick(rule))
        .map(|rule| Said { rule, cells: cells::cells(rule, stage.place, &mut builder.lists) })
        .filter(|said| !said.cells.is_empty())
        .collect()
}

/// Builds the chain of a stage and yields its name.
pub(super) fn build(builder: &mut Builder<'_>, stage: Stage) -> String {
    if let Some(chain) = default_only(builder, stage) {
        return chain;
    }
    let chain = stage.chain(builder, "");
    if builder.has(&chain) {
        return chain;
    }
    builder.open(&chain);
    if stage.way == Way::In && !stage.place.original {
        let dnat = Stage { place: Place { original: true, ..stage.place }, ..stage };
        let target = dnat.chain(builder, "");
        builder.rule(&chain, [code::ct_dnat(), vec![code::goto(&target)]].concat());
        fill(builder, stage, &chain);
        build(builder, dnat);
    } else {
        fill(builder, stage, &chain);
    }
    chain
}

/// Where no sentence speaks of a way and nothing gets in by it, or all gets out, its default is all there is to
/// say, for both families and every protocol.
fn default_only(builder: &mut Builder<'_>, stage: Stage) -> Option<String> {
    let default = builder.policy.defaults.of(stage.way).verdict;
    let plain = match stage.way {
        Way::Published => default == Verdict::Block,
        Way::Out => default == Verdict::Allow,
        Way::In | Way::Forward => false,
    };
    if !plain || builder.policy.rules.iter().any(|rule| stage.concerns(rule)) {
        return None;
    }
    let chain = builder.name(&format!("{}_default", stage.way.word()));
    if !builder.has(&chain) {
        builder.open(&chain);
        self::default(builder, stage, &chain);
    }
    Some(chain)
}

fn fill(builder: &mut Builder<'_>, stage: Stage, chain: &str) {
    if stage.arrives() {
        let checks = source_checks(builder, stage.place.family);
        builder.rule(chain, vec![code::jump(&checks)]);
        destination_checks(builder, stage.place, chain);
        trust(builder, stage, chain);
    }
    // A ban names nothing, so it does not reach what a host needs.
    dhcp(builder, stage, chain, true);
    if stage.arrives() {
        bans(builder, stage, chain);
    }
    for verdict in [Verdict::Block, Verdict::Reject] {
        let sentences = said(builder, stage, verdict, |_| true);
        log(builder, stage, chain, &sentences);
        let action = counted(builder, verdict);
        groups::emit(builder, chain, stage.place, &sentences, &action);
    }
    allow(builder, stage, chain, |rule| rule.limit.is_none());
    limited(builder, stage, chain);
    default(builder, stage, chain);
}

fn counted(builder: &Builder<'_>, verdict: Verdict) -> Action {
    Action { stem: verdict.word(), counted: true, code: vec![builder.verdict(verdict)] }
}

/// Drops what cannot come from outside: our own and loopback addresses, IPv4 in IPv6, routing header 0.
pub(super) fn source_checks(builder: &mut Builder<'_>, family: Family) -> String {
    let chain = builder.name(match family {
        Family::V4 => "checks4",
        Family::V6 => "checks6",
    });
    if builder.has(&chain) {
        return chain;
    }
    let mut drop = |test: Vec<Expr>, why: &str| {
        builder.commented(&chain, [test, vec![code::counter(), code::drop()]].concat(), why);
    };
    for (prefix, why) in never_outside(family) {
        drop(code::address_in(prefix, true), why);
    }
    if family == Family::V6 {
        drop(routing_header_0(), "built in: no routing header 0");
    }
    drop(code::source_is_ours(), "built in: nobody else has our addresses");
    chain
}

/// The same for what was addressed. Before a translation that is conntrack's word: a port published on loopback
/// stays on this host, also when a neighbour sends to 127.0.0.1 by our link address.
pub(super) fn destination_checks(builder: &mut Builder<'_>, place: Place, chain: &str) {
    for (prefix, why) in never_outside(place.family) {
        let test = if place.original { code::addressed_in(prefix) } else { code::address_in(prefix, false) };
        builder.commented(chain, [test, vec![code::counter(), code::drop()]].concat(), why);
    }
}

/// The same where packets that were translated pass beside those that were not. What is not tracked is judged
/// further on.
pub(super) fn destination_checks_of_either(builder: &mut Builder<'_>, place: Place, chain: &str) {
    for (prefix, why) in never_outside(place.family) {
        for test in [
            [code::address_in(prefix, false), code::ct_not_dnat()].concat(),
            [code::ct_dnat(), code::addressed_in(prefix)].concat(),
        ] {
            builder.commented(chain, [test, vec![code::counter(), code::drop()]].concat(), why);
        }
    }
}

/// Addresses that no packet from outside may have at either end.
fn never_outside(family: Family) -> Vec<(Prefix, &'static str)> {
    const LOOPBACK: &str = "built in: loopback addresses stay on lo";
    const MAPPED: &str = "built in: no IPv4 in IPv6 addresses";
    match family {
        Family::V4 => vec![(Prefix::around(family, 0x7f00_0000, 8), LOOPBACK)],
        Family::V6 => vec![
            (Prefix::around(family, 1, 128), LOOPBACK),
            (Prefix::around(family, 0xffff_0000_0000, 96), MAPPED),
        ],
    }
}

fn routing_header_0() -> Vec<Expr> {
    const ROUTING: u8 = 43;
    const TYPE_OFFSET: u32 = 2;
    vec![
        Expr::Exthdr {
            header: ROUTING,
            offset: TYPE_OFFSET,
            len: 1,
            flags: 0,
            op: crate::ruleset::exthdr::IPV6,
            dreg: R0,
        },
        code::eq(vec![0]),
    ]
}

/// Trusted sources skip blocks, limits and bans; nothing is opened by that.
fn trust(builder: &mut Builder<'_>, stage: Stage, chain: &str) {
    let trusted = stage.chain(builder, "_trusted");
    if !trusted_leave(builder, stage, chain, code::goto(&trusted)) {
        return;
    }
    dhcp(builder, stage, &trusted, false);
    allow(builder, stage, &trusted, |_| true);
    default(builder, stage, &trusted);
}

/// What trusted sources do at this point; false where nobody is trusted.
fn trusted_leave(builder: &mut Builder<'_>, stage: Stage, chain: &str, leave: Expr) -> bool {
    let policy = builder.policy;
    let who = policy.trust.iter().fold(AddrSet::empty(), |all, trust| all.union(&trust.who));
    let Some(first) = policy.trust.first().filter(|_| !who.lacks(stage.place.family)) else { return false };
    let scope = Scope { from: Peers { only: Some(Arc::new(who)), except: None }, ..Scope::default() };
    let cells = cells::of(&[Traffic::Any], &scope, stage.place, &mut builder.lists);
    let rule = Rule {
        origin: first.origin.clone(),
        verdict: Verdict::Allow,
        ways: vec![stage.way],
        traffic: vec![Traffic::Any],
        scope,
        limit: None,
        passive: None,
        log: false,
    };
    let action = Action { stem: "trust", counted: false, code: vec![leave] };
    groups::emit(builder, chain, stage.place, &[Said { rule: &rule, cells }], &action);
    true
}

fn bans(builder: &mut Builder<'_>, stage: Stage, chain: &str) {
    let (set, offset, len) = match stage.place.family {
        Family::V4 => ("ban4", 12, 4),
        Family::V6 => ("ban6", 8, 8),
    };
    let load = code::payload(PayloadBase::Network, offset, len, R0);
    let code = vec![load, code::lookup(set, R0, false), code::counter(), code::drop()];
    builder.commented(chain, code, "built in: banned");
}

/// The chain of blocks that name an ICMP type, which come before what a host needs; none where none does.
pub(super) fn named_icmp_blocks(builder: &mut Builder<'_>, stage: Stage) -> Option<String> {
    let named = |traffic| matches!(traffic, Traffic::Icmp(kind) if kind != IcmpType::ECHO_REQUEST);
    let rules = &builder.policy.rules;
    let any =
        rules.iter().any(|rule| rule.verdict != Verdict::Allow && rule.traffic.iter().any(|t| named(*t)));
    if !any {
        return None;
    }
    let chain = stage.chain(builder, "_named");
    builder.open(&chain);
    if stage.arrives() {
        trusted_leave(builder, stage, &chain, code::ret());
    }
    blocks_of(builder, stage, &chain, named);
    Some(chain)
}

/// What sentences block or reject of some traffic only.
fn blocks_of(builder: &mut Builder<'_>, stage: Stage, chain: &str, wanted: impl Fn(Traffic) -> bool) {
    let policy = builder.policy;
    for verdict in [Verdict::Block, Verdict::Reject] {
        let sentences: Vec<Said<'_>> = policy
            .rules
            .iter()
            .filter(|rule| rule.verdict == verdict && stage.concerns(rule))
            .map(|rule| {
                let traffic: Vec<Traffic> = rule.traffic.iter().copied().filter(|t| wanted(*t)).collect();
                Said { rule, cells: cells::of(&traffic, &rule.scope, stage.place, &mut builder.lists) }
            })
            .filter(|said| !said.cells.is_empty())
            .collect();
        log(builder, stage, chain, &sentences);
        let action = counted(builder, verdict);
        groups::emit(builder, chain, stage.place, &sentences, &action);
    }
}

/// Ports of DHCP: client and server.
const fn dhcp_ports(family: Family) -> (u16, u16) {
    match family {
        Family::V4 => (68, 67),
        Family::V6 => (546, 547),
    }
}

/// Answers of DHCP servers, which no connection expects, and our requests to them. Blocks that name their port
/// come before, where they are not lifted; `block from …` alone does not reach them.
fn dhcp(builder: &mut Builder<'_>, stage: Stage, chain: &str, blockable: bool) {
    if stage.place.icmp || stage.place.original || !matches!(stage.way, Way::In | Way::Out) {
        return;
    }
    let family = stage.place.family;
    let (client, server) = dhcp_ports(family);
    let (from, to) = if stage.arrives() { (server, client) } else { (client, server) };
    let mut code = [code::l4proto(Proto::UDP), code::ports(from, to)].concat();
    if family == Family::V6 {
        code.extend(code::address_in(Prefix::around(family, 0xfe80 << 112, 10), true));
    }
    let names_it = |traffic| matches!(traffic, Traffic::Ports(Proto::UDP, range) if range != PortRange::ALL && range.contains(to));
    let rules = &builder.policy.rules;
    let any = rules.iter().any(|r| r.verdict != Verdict::Allow && r.traffic.iter().any(|t| names_it(*t)));
    let target = if any && blockable {
        let target = stage.chain(builder, "_dhcp");
        builder.open(&target);
        blocks_of(builder, stage, &target, names_it);
        builder.rule(&target, vec![code::goto(&builder.yes())]);
        target
    } else {
        builder.yes()
    };
    code.push(code::goto(&target));
    builder.commented(chain, code, "built in: DHCP");
}

/// Logs what sentences with `log` match, without deciding: the verdict follows in the same chain.
fn log(builder: &mut Builder<'_>, stage: Stage, chain: &str, sentences: &[Said<'_>]) {
    for said in sentences.iter().filter(|said| said.rule.log) {
        let what = What::sentence(&said.rule.origin, said.rule.verdict);
        let action = Action { stem: "log", counted: false, code: code::log(&what) };
        let one = [Said { rule: said.rule, cells: said.cells.clone() }];
        groups::emit(builder, chain, stage.place, &one, &action);
    }
}

/// Sentences that allow, as far as they are picked, and the passive ranges of all that allow.
fn allow(builder: &mut Builder<'_>, stage: Stage, chain: &str, pick: fn(&Rule) -> bool) {
    let mut sentences = said(builder, stage, Verdict::Allow, pick);
    if !stage.place.icmp {
        sentences.extend(passive(builder, stage));
        let policy = builder.policy;
        sentences.sort_by_key(|said| policy.rules.iter().position(|rule| std::ptr::eq(rule, said.rule)));
    }
    log(builder, stage, chain, &sentences);
    let action = counted(builder, Verdict::Allow);
    groups::emit(builder, chain, stage.place, &sentences, &action);
}

/// Passive ranges without a helper: open to whom the control port is open, never limited.
fn passive<'a>(builder: &mut Builder<'a>, stage: Stage) -> Vec<Said<'a>> {
    let policy = builder.policy;
    policy
        .rules
        .iter()
        .filter(|rule| rule.verdict == Verdict::Allow && stage.concerns(rule))
        .filter_map(|rule| Some((rule, rule.passive.filter(|passive| !passive.helper)?)))
        .map(|(rule, passive)| {
            let traffic = [Traffic::Ports(Proto::TCP, passive.range)];
            Said { rule, cells: cells::of(&traffic, &rule.scope, stage.place, &mut builder.lists) }
        })
        .filter(|said| !said.cells.is_empty())
        .collect()
}

/// Each sentence with a limit, by itself: a connection passes if one of them has room.
fn limited(builder: &mut Builder<'_>, stage: Stage, chain: &str) {
    let sentences = limited_sentences(builder, stage);
    let any = !sentences.is_empty();
    let pays_at_once =
        sentences.iter().any(|(.., said)| !said.rule.traffic.iter().all(|traffic| is_tcp(*traffic)));
    if pays_at_once {
        limits::owe(builder, chain);
    }
    for (index, limit, sentence) in sentences {
        let gate = limits::gate(builder, sentence.rule, limit, index, stage.place.family);
        let action = Action { stem: "limited", counted: false, code: vec![code::jump(&gate.first)] };
        groups::emit(builder, chain, stage.place, &[sentence], &action);
    }
    if any {
        limits::settle(builder, chain, pays_at_once);
    }
}

fn is_tcp(traffic: Traffic) -> bool {
    matches!(traffic, Traffic::Ports(Proto::TCP, _) | Traffic::Protocol(Proto::TCP))
}

fn limited_sentences<'a>(builder: &mut Builder<'a>, stage: Stage) -> Vec<(usize, Limit, Said<'a>)> {
    let policy = builder.policy;
    said(builder, stage, Verdict::Allow, |rule| rule.limit.is_some())
        .into_iter()
        .filter_map(|said| {
            let index = policy.rules.iter().position(|rule| std::ptr::eq(rule, said.rule))?;
            Some((index + 1, said.rule.limit?, said))
        })
        .collect()
}

/// The chain that completed TCP handshakes of limited sentences go to; none where no sentence is limited.
pub(super) fn pending(builder: &mut Builder<'_>, stage: Stage) -> Option<String> {
    let sentences = limited_sentences(builder, stage);
    if sentences.is_empty() {
        return None;
    }
    let chain = stage.chain(builder, "_pending");
    builder.open(&chain);
    if stage.way == Way::In && !stage.place.original {
        let dnat = Stage { place: Place { original: true, ..stage.place }, ..stage };
        if let Some(target) = pending(builder, dnat) {
            builder.rule(&chain, [code::ct_dnat(), vec![code::goto(&target)]].concat());
        }
    }
    for (index, limit, sentence) in sentences {
        let gate = limits::gate(builder, sentence.rule, limit, index, stage.place.family);
        let action = Action { stem: "limited", counted: false, code: vec![code::jump(&gate.pay)] };
        groups::emit(builder, &chain, stage.place, &[sentence], &action);
    }
    let paid = [code::mark_clear(super::PENDING), vec![code::goto(&builder.yes())]].concat();
    builder.rule(&chain, paid);
    // Nobody had room: the handshake is not completed. A later packet asks again.
    builder.rule(&chain, vec![code::drop()]);
    Some(chain)
}

/// What stays on one bridge passes; then the default.
fn default(builder: &mut Builder<'_>, stage: Stage, chain: &str) {
    let default = builder.policy.defaults.of(stage.way);
    let (verdict, origin) = (default.verdict, default.origin.clone());
    if stage.way == Way::Forward && verdict != Verdict::Allow {
        same_bridge(builder, chain);
    }
    if verdict == Verdict::Block {
        builder.rule(chain, code::log(&What::default(stage.way, origin.as_ref())));
    }
    let words = match origin {
        Some(origin) => origin.comment(),
        None => format!("built in: default {} {}", verdict.word(), stage.way.word()),
    };
    let end = if verdict == Verdict::Block { code::drop() } else { builder.verdict(verdict) };
    builder.commented(chain, vec![code::counter(), end], &words);
}

fn same_bridge(builder: &mut Builder<'_>, chain: &str) {
    const WORDS: &str = "built in: what stays on one bridge passes";
    let bridges = &builder.policy.bridges;
    let pairs: Vec<Vec<u8>> = bridges
        .iter()
        .map(|name| {
            let mut padded = name.as_bytes().to_vec();
            padded.resize(16, 0);
            [padded.clone(), padded].concat()
        })
        .collect();
    if !pairs.is_empty() {
        let pairs = pairs.iter().map(|pair| (pair.as_slice(), "")).collect();
        let set = builder.set("bridges", &[KeyPart::Iifname, KeyPart::Oifname], false, &pairs);
        let code = vec![
            code::meta(MetaKey::Iifname, R0),
            code::meta(MetaKey::Oifname, crate::ruleset::Reg(4)),
            code::lookup(&set, R0, false),
            code::goto(&builder.yes()),
        ];
        builder.commented(chain, code, WORDS);
    }
    // A bridge that came later: the route back out is the interface that the packet came in by.
    let mut code = code::interface(MetaKey::Iifkind, "bridge", false);
    code.extend(code::leaves_where_it_came());
    code.push(code::goto(&builder.yes()));
    builder.commented(chain, code, WORDS);
}

/// TCP flags of a packet that opens a connection: SYN and nothing else.
pub(super) fn opens() -> Vec<Expr> {
    use code::tcp::{ACK, FIN, RST, SYN};
    code::tcp_flags(FIN | SYN | RST | ACK, CmpOp::Eq, SYN)
}

/// TCP flags of a packet that can complete a handshake: ACK without SYN or RST. A victim's RST is none.
pub(super) fn completes(op: CmpOp) -> Vec<Expr> {
    use code::tcp::{ACK, RST, SYN};
    code::tcp_flags(SYN | RST | ACK, op, ACK)
}
