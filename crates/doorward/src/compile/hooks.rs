//! The base chains and what each packet passes before it is judged: loopback, ICMP that a host needs,
//! what makes no sense, helpers.

use super::builder::{Builder, verdict_element};
use super::cells::{self, Place, icmp_of};
use super::code::{self, state};
use super::groups::{self, Action, Said};
use super::stage::{self, Stage};
use super::{code::R0, trial};
use crate::logged::What;
use crate::net::{Family, PortRange, Proto};
use crate::resolve::model::{Passive, Rule, Traffic, Verdict as Decision, Way};
use crate::ruleset::{
    CmpOp, Element, Elements, Expr, Hook, KeyPart, MetaKey, Object, ObjectKind, PayloadBase, Reg, Set, Udata,
    Verdict, set_flags,
};

/// Index of `lo`, the same in every network namespace.
const LO: u32 = 1;
/// The conntrack helper for FTP, in the kernel's words.
const FTP: &str = "ftp";
/// Its control port (RFC 959).
const FTP_CONTROL: u16 = 21;
/// Just before the chains of container runtimes, which sit at 0.
const FORWARD_PRIORITY: i32 = -5;
/// Behind connection tracking (-200), before destination NAT (-100).
const HELPER_PRIORITY: i32 = -150;
/// How long a connection from before the firewall has to say something, in milliseconds.
const CARRIED_FOR: u64 = 3_600_000;

/// A hook that judges.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Judge {
    name: &'static str,
    hook: Hook,
    priority: i32,
    /// The way of what is not translated.
    way: Way,
}

const JUDGES: [Judge; 3] = [
    Judge { name: "input", hook: Hook::Input, priority: 0, way: Way::In },
    Judge { name: "forward", hook: Hook::Forward, priority: FORWARD_PRIORITY, way: Way::Forward },
    Judge { name: "output", hook: Hook::Output, priority: 0, way: Way::Out },
];

/// Builds everything.
pub(super) fn build(builder: &mut Builder<'_>) {
    shared_sets(builder);
    for judge in JUDGES {
        builder.base(judge.name, judge.hook, judge.priority);
    }
    let helped = helped(builder);
    if !helped.is_empty() {
        builder.base("prerouting", Hook::Prerouting, HELPER_PRIORITY);
    }
    for judge in JUDGES {
        base_rules(builder, judge);
    }
    assign_helpers(builder, &helped);
    let yes = builder.yes();
    builder.rule(&yes, vec![code::accept()]);
    let block = builder.name("block");
    builder.rule(&block, code::log(&What::Blocked));
    builder.rule(&block, vec![code::drop()]);
    let reject = builder.name("reject");
    builder.rule(&reject, code::log(&What::Rejected));
    builder.rule(&reject, [code::l4proto(Proto::TCP), vec![code::tcp_reset()]].concat());
    builder.rule(&reject, vec![code::unreachable()]);
}

/// What outlives generations.
fn shared_sets(builder: &mut Builder<'_>) {
    builder.shared(trial::armed_set());
    builder.dynamic("ban4", &[KeyPart::Network(12, 4)], None);
    builder.dynamic("ban6", &[KeyPart::Network(8, 8)], None);
    carried(builder);
}

/// Connections from before the first load, as address and port of the peer, then of the host.
fn carried(builder: &mut Builder<'_>) {
    for family in Family::BOTH {
        let elements: Vec<Element> = builder
            .options
            .carried
            .iter()
            .filter(|(peer, _)| Family::of(peer.ip()) == family)
            .map(|(peer, host)| {
                let mut key = Vec::new();
                for end in [peer, host] {
                    key.extend(crate::net::Prefix::host(end.ip()).bytes());
                }
                for end in [peer, host] {
                    key.extend(end.port().to_be_bytes());
                    key.extend([0, 0]);
                }
                Element { timeout: Some(CARRIED_FOR), ..Element::of(key) }
            })
            .collect();
        if elements.is_empty() {
            continue;
        }
        let (source, len) = code::address_at(family, true);
        let (destination, _) = code::address_at(family, false);
        let parts = [
            KeyPart::Network(source, len),
            KeyPart::Network(destination, len),
            KeyPart::Transport(0, 2),
            KeyPart::Transport(2, 2),
        ];
        let mut set = Set::over(carried_name(family), &parts);
        set.flags = set_flags::TIMEOUT;
        set.size = u32::try_from(elements.len()).ok();
        set.elements = Elements::Full(elements);
        builder.shared(set);
    }
}

fn carried_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "carried4",
        Family::V6 => "carried6",
    }
}

/// The two rules of a base chain, and the chain of the generation behind them.
fn base_rules(builder: &mut Builder<'_>, judge: Judge) {
    let main = builder.name(judge.name);
    let pending = pending(builder, judge);
    // Established connections pass by the first rule. Echo requests are always judged (ruling 16), and a
    // handshake that a limit let begin is still to be charged.
    builder.rule(judge.name, trial::established(pending.is_some()));
    builder.rule(judge.name, vec![code::goto(&main)]);

    builder.open(&main);
    loopback(builder, judge, &main);
    protocols(builder, judge, &main, pending.as_deref());
    builder.commented(
        &main,
        [code::ct_state(state::INVALID), vec![code::counter(), code::drop()]].concat(),
        "built in: invalid packets",
    );
    helper_data(builder, judge, &main);
    if judge.way == Way::Forward {
        let published = builder.name("published");
        builder.rule(&main, [code::ct_dnat(), vec![code::goto(&published)]].concat());
        families(builder, judge, Way::Published, &published);
    }
    families(builder, judge, judge.way, &main);
}

/// What is on `lo` stays on this host.
fn loopback(builder: &mut Builder<'_>, judge: Judge, main: &str) {
    let key = match judge.way {
        Way::In => MetaKey::Iif,
        Way::Out => MetaKey::Oif,
        _ => return,
    };
    let code = vec![code::meta(key, R0), code::eq(code::host(LO)), code::accept()];
    builder.commented(main, code, "built in: loopback");
}

/// TCP and ICMP have something to say before the rest.
fn protocols(builder: &mut Builder<'_>, judge: Judge, main: &str, pending: Option<&str>) {
    let tcp = builder.name(&format!("{}_tcp", judge.name));
    let icmp = Family::BOTH.map(|family| (family, icmp_chain(builder, judge, family)));
    let mut elements = vec![verdict_element(vec![Proto::TCP.0], Verdict::Jump(tcp.clone()))];
    for (family, chain) in &icmp {
        elements.push(verdict_element(vec![icmp_of(*family).0], Verdict::Goto(chain.clone())));
    }
    let map = builder.verdict_map(&format!("{}_protocols", judge.name), &[KeyPart::L4proto], elements);
    builder.rule(main, vec![code::meta(MetaKey::L4proto, R0), code::vmap(&map, R0)]);

    builder.open(&tcp);
    if let Some(pending) = pending {
        builder.rule(&tcp, [code::ct_state(state::ESTABLISHED), vec![code::goto(pending)]].concat());
    }
    builder.rule(&tcp, [stage::opens(), vec![code::ret()]].concat());
    take_up(builder, judge, &tcp);
    if judge.way == Way::Out {
        // The kernel hangs the reset of a `reject` on the connection that is refused: related, and no SYN.
        let reset = code::tcp_flags(code::tcp::RST, CmpOp::Eq, code::tcp::RST);
        let yes = code::goto(&builder.yes());
        let code = [code::ct_state(state::RELATED), reset, vec![yes]].concat();
        builder.commented(&tcp, code, "built in: resets of what is rejected");
    }
    builder.commented(
        &tcp,
        vec![code::counter(), code::drop()],
        "built in: a new TCP connection starts with a SYN alone",
    );
}

/// Connections from before the first load go on.
fn take_up(builder: &mut Builder<'_>, judge: Judge, chain: &str) {
    for family in Family::BOTH {
        let any = builder.options.carried.iter().any(|(peer, _)| Family::of(peer.ip()) == family);
        if !any || judge.way == Way::Forward {
            continue;
        }
        let arrives = judge.way == Way::In;
        let words = family.bits() / 32;
        let address = |source, at| {
            let (offset, len) = code::address_at(family, source);
            code::payload(PayloadBase::Network, offset.into(), len.into(), Reg(at))
        };
        let port = |source: bool, at| {
            let offset = if source { 0 } else { 2 };
            code::payload(PayloadBase::Transport, offset, 2, Reg(at))
        };
        let nfproto = if family == Family::V4 { 2 } else { 10 };
        let code = vec![
            code::meta(MetaKey::Nfproto, R0),
            code::eq(vec![nfproto]),
            address(arrives, 0),
            address(!arrives, words),
            port(arrives, 2 * words),
            port(!arrives, 2 * words + 1),
            code::lookup(carried_name(family), R0, false),
            code::accept(),
        ];
        builder.commented(chain, code, "connections from before the first load");
    }
}

/// The chain of ICMP of one family: what a host breaks without (RFC 4890), then judgement.
fn icmp_chain(builder: &mut Builder<'_>, judge: Judge, family: Family) -> String {
    const ECHO: [u8; 2] = [8, 128];
    let suffix = if family == Family::V4 { "icmp4" } else { "icmp6" };
    let chain = builder.name(&format!("{}_{suffix}", judge.name));
    builder.open(&chain);
    let nfproto = if family == Family::V4 { 2 } else { 10 };
    builder.rule(
        &chain,
        vec![code::meta(MetaKey::Nfproto, R0), code::cmp(CmpOp::Neq, vec![nfproto]), code::drop()],
    );
    let place = Place { family, original: false, leaving: judge.way == Way::Out, icmp: true };
    let stage = Stage { way: judge.way, place };
    let target = stage::build(builder, stage);
    let echo = if family == Family::V4 { ECHO[0] } else { ECHO[1] };
    let published = (judge.way == Way::Forward).then(|| {
        stage::build(builder, Stage { way: Way::Published, place: Place { original: true, ..place } })
    });
    let judged = |builder: &mut Builder<'_>, test: Vec<Expr>| {
        if let Some(published) = &published {
            let code = [test.clone(), code::ct_dnat(), vec![code::goto(published)]].concat();
            builder.rule(&chain, code);
        }
        builder.rule(&chain, [test, vec![code::goto(&target)]].concat());
    };
    let essential = essential(builder, stage, &format!("{}_{suffix}_essential", judge.name));
    // Neighbours are not tracked.
    if family == Family::V6 {
        neighbours(builder, judge, &chain, &essential);
    }
    builder.commented(
        &chain,
        [code::ct_state(state::INVALID), vec![code::counter(), code::drop()]].concat(),
        "built in: invalid packets",
    );
    judged(builder, code::icmp_type(echo));
    if judge.way != Way::Out {
        let checks = stage::source_checks(builder, family);
        builder.rule(&chain, vec![code::jump(&checks)]);
        stage::destination_checks_of_either(builder, place, &chain);
    }
    builder.commented(
        &chain,
        [code::ct_state(state::ESTABLISHED), vec![code::goto(&essential)]].concat(),
        "built in: ICMP replies",
    );
    // Related is what quotes a connection; of this only the errors are needed (RFC 4890), and no redirects.
    let errors: &[(u8, u8)] = if family == Family::V4 { &[(3, 3), (11, 12)] } else { &[(1, 4)] };
    for (first, last) in errors {
        let code =
            [code::ct_state(state::RELATED), code::icmp_types(*first, *last), vec![code::goto(&essential)]];
        builder.commented(&chain, code.concat(), "built in: ICMP errors");
    }
    if judge.way != Way::Out {
        // Of a translated connection sentences speak as its opener sees it, who is not the source of what quotes it.
        let code = [code::ct_state(state::RELATED), code::ct_dnat(), vec![code::counter(), code::drop()]];
        builder.commented(&chain, code.concat(), "built in: related ICMP that is no error");
    }
    judged(builder, Vec::new());
    chain
}

/// The chain through which goes what a host needs: it passes, unless a block names it. Such packets open nothing,
/// so a block speaks of their own addresses, also where a connection was translated.
fn essential(builder: &mut Builder<'_>, stage: Stage, name: &str) -> String {
    let Some(named) = stage::named_icmp_blocks(builder, stage) else { return builder.yes() };
    let name = builder.name(name);
    builder.open(&name);
    let yes = builder.yes();
    if stage.way == Way::Forward
        && let Some(published) = stage::named_icmp_blocks(builder, Stage { way: Way::Published, ..stage })
    {
        let dnat = format!("{name}_dnat");
        builder.rule(&name, [code::ct_dnat(), vec![code::goto(&dnat)]].concat());
        builder.rules(&dnat, [code::jump(&published), code::goto(&yes)]);
    }
    builder.rules(&name, [code::jump(&named), code::goto(&yes)]);
    name
}

/// What ICMPv6 does on the own link: neighbour discovery (133-136) and multicast listeners (130-132, 143). No
/// router passes it on, so it is forwarded on a bridge only.
fn neighbours(builder: &mut Builder<'_>, judge: Judge, chain: &str, essential: &str) {
    for (types, hops, words) in [
        (code::icmp_types(133, 136), 255, "built in: neighbour discovery, router advertisements"),
        (code::icmp_types(130, 132), 1, "built in: multicast listeners"),
        (code::icmp_type(143), 1, "built in: multicast listeners"),
    ] {
        let mut code = [types, code::hop_limit(hops)].concat();
        if judge.way == Way::Forward {
            code.extend(code::interface(MetaKey::Iifkind, "bridge", false));
        }
        code.push(code::goto(essential));
        builder.commented(chain, code, words);
    }
}

/// Sends each family to its judgement.
fn families(builder: &mut Builder<'_>, judge: Judge, way: Way, chain: &str) {
    builder.open(chain);
    let mut elements = Vec::new();
    let mut targets = Vec::new();
    for (family, number) in [(Family::V4, 2u8), (Family::V6, 10)] {
        let place =
            Place { family, original: way == Way::Published, leaving: judge.way == Way::Out, icmp: false };
        let target = stage::build(builder, Stage { way, place });
        targets.push(target.clone());
        elements.push(verdict_element(vec![number], Verdict::Goto(target)));
    }
    if let [one, other] = targets.as_slice()
        && one == other
    {
        return builder.rule(chain, vec![code::goto(one)]);
    }
    let map = builder.verdict_map(&format!("{}_families", way.word()), &[KeyPart::Nfproto], elements);
    builder.rule(chain, vec![code::meta(MetaKey::Nfproto, R0), code::vmap(&map, R0)]);
    builder.rule(chain, vec![code::drop()]);
}

/// The chain of packets of connections that a limit let begin; none where the hook has no limit.
fn pending(builder: &mut Builder<'_>, judge: Judge) -> Option<String> {
    let ways = if judge.way == Way::Forward { vec![Way::Published, Way::Forward] } else { vec![judge.way] };
    let limited = builder.policy.rules.iter().any(|rule| {
        rule.limit.is_some()
            && rule
                .ways
                .iter()
                .any(|way| ways.contains(way) || judge.way == Way::In && *way == Way::Published)
    });
    if !limited {
        return None;
    }
    let chain = builder.name(&format!("{}_pending", judge.name));
    builder.open(&chain);
    let yes = code::goto(&builder.yes());
    builder.rule(&chain, [code::ct_reply(), vec![yes.clone()]].concat());
    builder.rule(&chain, [stage::completes(CmpOp::Neq), vec![yes]].concat());
    for way in ways {
        for family in Family::BOTH {
            let place = Place {
                family,
                original: way == Way::Published,
                leaving: judge.way == Way::Out,
                icmp: false,
            };
            let Some(target) = stage::pending(builder, Stage { way, place }) else { continue };
            let nfproto = if family == Family::V4 { 2 } else { 10 };
            let mut code = vec![code::meta(MetaKey::Nfproto, R0), code::eq(vec![nfproto])];
            if way == Way::Published {
                code.extend(code::ct_dnat());
            }
            code.push(code::goto(&target));
            builder.rule(&chain, code);
        }
    }
    builder.rule(&chain, vec![code::drop()]);
    Some(chain)
}

/// Sentences whose control connections get the helper.
fn helped<'a>(builder: &Builder<'a>) -> Vec<(&'a Rule, Passive)> {
    let policy = builder.policy;
    policy
        .rules
        .iter()
        .filter(|rule| rule.verdict == Decision::Allow)
        .filter_map(|rule| Some((rule, rule.passive.filter(|passive| passive.helper)?)))
        .collect()
}

/// Data connections that the helper saw announced, within the declared range only. Without a test of the
/// state: the helper's name is there only for connections that it expected.
fn helper_data(builder: &mut Builder<'_>, judge: Judge, main: &str) {
    for (rule, passive) in helped(builder) {
        let here = rule.ways.iter().any(|way| match judge.way {
            Way::Forward => matches!(way, Way::Forward | Way::Published),
            Way::In => matches!(way, Way::In | Way::Published),
            _ => *way == judge.way,
        });
        if here {
            let mut code = code::ct_helper(FTP);
            code.extend(code::l4proto(Proto::TCP));
            code.extend(code::port_in(passive.range, false));
            code.extend([code::counter(), code::goto(&builder.yes())]);
            builder.commented(main, code, &rule.origin.comment());
        }
    }
}

/// Gives the helper to new control connections of sentences that say `helper`.
fn assign_helpers(builder: &mut Builder<'_>, helped: &[(&Rule, Passive)]) {
    if helped.is_empty() {
        return;
    }
    let object = "helper_ftp";
    builder.object(Object {
        name: object.to_owned(),
        kind: ObjectKind::CtHelper { helper: FTP.to_owned(), l3proto: 1, l4proto: Proto::TCP.0 },
        udata: Udata::default(),
    });
    let chain = builder.name("prerouting");
    builder.rule("prerouting", [code::ct_state(state::ESTABLISHED), vec![code::accept()]].concat());
    builder.rule("prerouting", vec![code::goto(&chain)]);
    builder.open(&chain);
    const CT_HELPER: u32 = 3;
    // Of all things that the sentence names, the helper reads the control connection only.
    let control = [Traffic::Ports(Proto::TCP, PortRange::one(FTP_CONTROL))];
    for family in Family::BOTH {
        let place = Place { family, original: false, leaving: false, icmp: false };
        let inner = builder.name(if family == Family::V4 { "helper4" } else { "helper6" });
        let nfproto = if family == Family::V4 { 2 } else { 10 };
        let code = vec![code::meta(MetaKey::Nfproto, R0), code::eq(vec![nfproto]), code::goto(&inner)];
        builder.rule(&chain, code);
        let said: Vec<Said<'_>> = helped
            .iter()
            .map(|(rule, _)| Said {
                rule,
                cells: cells::of(&control, &rule.scope, place, &mut builder.lists),
            })
            .filter(|said| !said.cells.is_empty())
            .collect();
        builder.open(&inner);
        let action = Action {
            stem: "helper",
            counted: false,
            code: vec![Expr::Objref { kind: CT_HELPER, name: object.to_owned() }],
        };
        groups::emit(builder, &inner, place, &said, &action);
        builder.rule(&inner, vec![code::accept()]);
    }
    builder.rule(&chain, vec![code::accept()]);
}
