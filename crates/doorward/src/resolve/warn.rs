//! What works, but probably not as meant: warnings that need the whole policy at hand.

use super::model::{Resolved, Rule, Scope, Traffic, Verdict, Way};
use super::{Context, Places, nat, sentences, shadow, things};
use crate::net::{AddrSet, IcmpType, PortRange, Proto};
use crate::report::{Report, Span};
use crate::syntax::ast::{DefineValue, SentenceKind};
use std::collections::HashSet;
use std::sync::Arc;

/// All of them.
pub(super) fn all(context: &mut Context<'_>, resolved: &Resolved, places: &Places<'_>) {
    empty_lists(context, resolved, places);
    for (rule, (span, said)) in resolved.rules.iter().zip(&places.rules) {
        match rule.verdict {
            Verdict::Allow => {
                passive_unsaid(context, resolved, rule, *span);
                let limit = said.limit.as_ref().map_or(*span, |limit| limit.span);
                limit_without_effect(context, resolved, rule, limit);
                answers_elsewhere(context, rule, *span);
            }
            Verdict::Block | Verdict::Reject => built_in_blocked(context, rule, *span),
        }
    }
    no_dns_out(context, resolved);
    nat::warn(context, resolved, &places.nat);
    let lifted = trust_over_block(context, resolved, places);
    shadow::warn(context, resolved, places, &lifted);
}

/// A list with nobody on it, and what that does to an `allow`.
fn empty_lists(context: &mut Context<'_>, resolved: &Resolved, places: &Places<'_>) {
    for sentence in &context.loaded.sentences {
        let SentenceKind::Define(define) = &sentence.kind else { continue };
        let DefineValue::File(named) = &define.value else { continue };
        let Some(list) = context.loaded.list(named).filter(|list| list.is_empty()) else { continue };
        let report =
            Report::warning("empty-list", named.span, format!("nobody is on the list `{}`", named.node));
        let speaks_of_it = |rule: &Rule| {
            rule.verdict == Verdict::Allow
                && rule.scope.from.only.as_ref().is_some_and(|only| Arc::ptr_eq(only, &list))
        };
        let used = resolved.rules.iter().zip(&places.rules).find(|(rule, _)| speaks_of_it(rule));
        context.reports.push(match used {
            Some((_, (span, _))) => report
                .label("what speaks of it never matches")
                .other(*span, "nobody can come in here")
                .way_out("put the addresses into the list, one a line"),
            None => report
                .label("what speaks of it never matches")
                .way_out("put the addresses into the list, one a line"),
        });
    }
}

/// FTP without its passive range: the control connection works, and every transfer hangs.
fn passive_unsaid(context: &mut Context<'_>, resolved: &Resolved, rule: &Rule, span: Span) {
    let closed = rule.ways.iter().any(|way| resolved.defaults.of(*way).verdict != Verdict::Allow);
    let ftp: Vec<&Traffic> = rule.traffic.iter().filter(|thing| sentences::is_ftp(**thing)).collect();
    if rule.passive.is_some() || !closed || ftp.is_empty() {
        return;
    }
    // Another sentence may say the range, to the same or to more; a helper reads its own connections only.
    let says_it = |other: &&Rule| {
        let as_wide = other.scope == rule.scope || other.scope == Scope::default();
        let everywhere = rule.ways.iter().all(|way| other.ways.contains(way));
        let same = ftp.iter().all(|thing| other.traffic.contains(thing));
        other.verdict == Verdict::Allow && other.passive.is_some() && as_wide && everywhere && same
    };
    if resolved.rules.iter().any(|other| says_it(&other)) {
        return;
    }
    let encrypted = |thing: &&Traffic| sentences::is_encrypted(**thing);
    let any = ftp.iter().any(encrypted);
    let words = match (any, ftp.iter().all(encrypted)) {
        (false, _) => "ftp",
        (true, false) => "ftp, ftps",
        (true, true) => "ftps",
    };
    let mut report = Report::warning(
        "ftp-without-passive",
        span,
        "passive transfers of this FTP server will hang: their ports are shut",
    )
    .label("the range is missing")
    .way_out(format!("set a range in the server and say it here: `allow {words} passive 50000-50100`"));
    if !any {
        report = report
            .way_out("or let the kernel read the control connection: `allow ftp passive 50000-50100 helper`");
    }
    context.reports.push(report);
}

/// A limit above which the default, or an unlimited sentence, allows anyway.
fn limit_without_effect(context: &mut Context<'_>, resolved: &Resolved, rule: &Rule, span: Span) {
    let Some(way) = rule.ways.first().filter(|way| resolved.defaults.of(**way).verdict == Verdict::Allow)
    else {
        return;
    };
    if rule.limit.is_some() {
        let word = way.word();
        context.reports.push(
            Report::warning(
                "limit-without-effect",
                span,
                format!("this limit has no effect: `default allow {word}` lets the rest through"),
            )
            .label("above the rate it is allowed all the same")
            .way_out(format!("say `default block {word}`, or leave the limit out")),
        );
    }
}

/// Discovery by multicast: the answers come from addresses that were never asked.
fn answers_elsewhere(context: &mut Context<'_>, rule: &Rule, span: Span) {
    const ASKED: [(u16, &str); 3] = [(5353, "mDNS"), (1900, "SSDP"), (137, "NetBIOS")];
    if rule.ways != [Way::Out] {
        return;
    }
    for (port, name) in ASKED {
        if rule.traffic.contains(&Traffic::Ports(Proto::UDP, PortRange::one(port))) {
            context.reports.push(
                Report::warning(
                    "answers-elsewhere",
                    span,
                    format!(
                        "{name} asks a group, and the answers come from other addresses: they are no replies"
                    ),
                )
                .label("the questions go out, the answers stay outside")
                .way_out(format!("let in what the local network sends: `allow in {port}/udp from lan`")),
            );
        }
    }
}

/// A block of what a host needs wins over what is built in: it is said what breaks.
fn built_in_blocked(context: &mut Context<'_>, rule: &Rule, span: Span) {
    let mut said: Vec<&str> = Vec::new();
    for thing in &rule.traffic {
        let broken = match thing {
            Traffic::Icmp(kind) => icmp_broken(*kind, &rule.ways),
            Traffic::Ports(Proto::UDP, range) => dhcp_broken(*range, &rule.ways),
            _ => None,
        };
        if let Some(broken) = broken.filter(|broken| !said.contains(broken)) {
            said.push(broken);
            context.reports.push(
                Report::warning(
                    "built-in-blocked",
                    span,
                    format!("this takes away what a host needs: {broken}"),
                )
                .label(format!("this `{}` wins over what is built in", rule.verdict.word()))
                .way_out("take it out, unless this is what you want"),
            );
        }
    }
}

fn icmp_broken(kind: IcmpType, ways: &[Way]) -> Option<&'static str> {
    let is = |name| crate::net::icmp_type(name) == Some(kind);
    let any_of = |names: &[&'static str]| names.iter().any(|name| is(name));
    if is("echo-request") {
        return (*ways == [Way::Out]).then_some("`ping` from this host gets no answer");
    }
    if is("packet-too-big") {
        return Some("IPv6 connections hang where a path takes smaller packets only");
    }
    if is("destination-unreachable") {
        return Some(
            "programs wait long for what is not there, and IPv4 connections hang where a path takes smaller packets only",
        );
    }
    if any_of(&["time-exceeded", "parameter-problem"]) {
        return Some("errors on the path are not seen, and `traceroute` shows nothing");
    }
    if any_of(&["neighbour-solicitation", "neighbour-advertisement"]) {
        return Some("without neighbour discovery IPv6 finds nobody on its own network");
    }
    if any_of(&["router-advertisement", "router-solicitation"]) {
        return Some("a host that takes router advertisements loses its IPv6 address and its way out");
    }
    if any_of(&["mld-query", "mld-report", "mld-done", "mld2-report"]) {
        return Some("switches stop delivering the groups that IPv6 neighbour discovery needs");
    }
    None
}

fn dhcp_broken(range: PortRange, ways: &[Way]) -> Option<&'static str> {
    let speaks_of = |port| range.contains(port) && range.last() - range.first() <= 1;
    let (inward, outward) = (ways.contains(&Way::In), ways.contains(&Way::Out));
    if (inward && speaks_of(68)) || (outward && speaks_of(67)) {
        return Some("a host with DHCP loses its IPv4 address when the lease ends");
    }
    if (inward && speaks_of(546)) || (outward && speaks_of(547)) {
        return Some("a host with DHCPv6 loses its IPv6 address when the lease ends");
    }
    None
}

/// `block from office` where office is trusted; which sentences these are.
fn trust_over_block(context: &mut Context<'_>, resolved: &Resolved, places: &Places<'_>) -> HashSet<usize> {
    let mut lifted = HashSet::new();
    let trusted = resolved.trust.iter().fold(AddrSet::empty(), |all, trust| all.union(&trust.who));
    if trusted.is_empty() {
        return lifted;
    }
    for (index, (rule, (span, said))) in resolved.rules.iter().zip(&places.rules).enumerate() {
        let Some(from) = rule.scope.from.only.as_ref().filter(|from| !from.is_empty()) else { continue };
        if rule.verdict == Verdict::Allow || rule.ways == [Way::Out] || !trusted.covers(from) {
            continue;
        }
        let trust = resolved.trust.iter().zip(&places.trust).find(|(trust, _)| trust.who.meets(from));
        let Some((_, trust)) = trust else { continue };
        lifted.insert(index);
        let place = said.scope.from.as_ref().map_or(*span, |from| from.span);
        context.reports.push(
            Report::warning(
                "trust-over-block",
                place,
                format!("all of these are trusted, and trust lifts every `{}`", rule.verdict.word()),
            )
            .label("this never matches")
            .other(*trust, "they are trusted here")
            .way_out("take one of the two sentences out"),
        );
    }
    lifted
}

/// `default block out` stops the host's own questions to a name server.
fn no_dns_out(context: &mut Context<'_>, resolved: &Resolved) {
    let dns = Traffic::Ports(Proto::UDP, PortRange::one(53));
    let asks = |rule: &Rule| {
        rule.verdict == Verdict::Allow
            && rule.ways.contains(&Way::Out)
            && rule.traffic.iter().any(|thing| things::covers(*thing, dns))
    };
    if resolved.defaults.out.verdict == Verdict::Allow || resolved.rules.iter().any(asks) {
        return;
    }
    let place = context.loaded.sentences.iter().find_map(|sentence| match &sentence.kind {
        SentenceKind::Default(pairs) => {
            pairs.iter().find(|(_, way)| way.node == Way::Out).map(|(verdict, way)| verdict.span.to(way.span))
        }
        _ => None,
    });
    if let Some(place) = place {
        context.reports.push(
            Report::warning("no-dns-out", place, "this host can ask no name server any more")
                .label("replies of a served DNS pass, questions do not")
                .way_out("let them out: `allow out dns`"),
        );
    }
}
