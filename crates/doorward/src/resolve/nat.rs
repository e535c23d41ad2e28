//! `masquerade`, `redirect` and `publish` as values, and what in them cannot work or is not what was meant.

use super::Context;
use super::model::{Nat, Resolved, Rule, Traffic, Translation, Verdict, Way};
use super::things;
use crate::net::{Family, PortRange, Proto};
use crate::report::{Origin, Report, Span, Spanned};
use crate::syntax::ast::{self, Ports, Value};
use std::net::{IpAddr, SocketAddr};

impl Context<'_> {
    /// A sentence that translates.
    pub(super) fn nat(&mut self, said: &ast::Nat, origin: Origin) -> Option<Nat> {
        let what = match said {
            ast::Nat::Masquerade { from, on } => self.masquerade(from, on),
            ast::Nat::Redirect { ports, to } => {
                Some(Translation::Redirect { ports: of_ports(ports.node), to: to.node })
            }
            ast::Nat::Publish { ports, to } => self.publish(ports, to),
        };
        what.map(|what| Nat { origin, what })
    }

    fn masquerade(&mut self, from: &[Spanned<Value>], on: &[Spanned<String>]) -> Option<Translation> {
        let from = self.addresses(from);
        let place = on.first().zip(on.last()).map(|(first, last)| first.span.to(last.span))?;
        if let Some(lo) = on.iter().find(|one| one.node == "lo") {
            self.reports.push(on_loopback(lo.span));
            return None;
        }
        let on = self.on(Some(&Spanned { node: on.to_vec(), span: place }))?;
        if on.iter().any(|one| one.name == "lo" && !one.wildcard) {
            self.reports.push(on_loopback(place));
            return None;
        }
        Some(Translation::Masquerade { from: from?, on })
    }

    fn publish(&mut self, ports: &Spanned<Ports>, to: &Spanned<SocketAddr>) -> Option<Translation> {
        let addr = to.node.ip();
        if let Some((what, way_out)) = unreachable(addr, to.node.port(), ports.node) {
            let report = Report::error("not-somebody", to.span, format!("{addr} is {what}"))
                .label("nothing can be published there");
            self.reports.push(way_out.into_iter().fold(report, Report::way_out));
            return None;
        }
        let range = ports.node.range;
        if range.first() != range.last() {
            self.reports.push(
                Report::warning(
                    "many-to-one",
                    ports.span,
                    format!(
                        "all {} ports lead to the one port {}",
                        range.last() - range.first() + 1,
                        to.node.port()
                    ),
                )
                .label("they are not shifted")
                .way_out("if each shall lead to a port of its own, say a sentence for each"),
            );
        }
        Some(Translation::Publish { ports: of_ports(ports.node), to: to.node })
    }

    /// Two sentences that translate one port to different ends: whichever came first would win, and order decides
    /// nothing here.
    pub(super) fn translated_twice(&mut self, nat: &[Nat], places: &[(Span, &ast::Nat)]) {
        let mut claims: Vec<(Family, Proto, PortRange, usize)> = Vec::new();
        for (index, one) in nat.iter().enumerate() {
            for family in Family::BOTH.into_iter().filter(|family| one.what.covers(*family)) {
                claims.extend(one.what.ports().iter().map(|(proto, range)| (family, *proto, *range, index)));
            }
        }
        claims.sort_by_key(|(family, proto, range, index)| (*family, *proto, range.first(), *index));
        // Of what begins before, the claim that reaches farthest meets whatever any other of them meets.
        let mut farthest: Option<(Family, Proto, PortRange, usize)> = None;
        let mut said: Vec<usize> = Vec::new();
        for claim in claims {
            let (family, proto, range, index) = claim;
            let before = farthest.filter(|(f, p, ..)| (*f, *p) == (family, proto));
            if let Some((.., earlier, other)) = before
                && earlier.last() >= range.first()
                && !same_end(&nat[other].what, &nat[index].what)
                && !said.contains(&index.max(other))
            {
                let (first, second) = (index.min(other), index.max(other));
                said.push(second);
                let port = range.first();
                self.reports.push(
                    Report::error(
                        "translated-twice",
                        places[second].0,
                        format!("{port}/{proto} of {family} leads somewhere else already"),
                    )
                    .label("one port leads to one end")
                    .other(places[first].0, "it is translated here, too")
                    .way_out("take one of the two sentences out, or narrow its ports"),
                );
                self.whole = false;
            }
            if before.is_none_or(|(.., earlier, _)| earlier.last() < range.last()) {
                farthest = Some(claim);
            }
        }
    }
}

/// What works as said, and probably not as meant.
pub(super) fn warn(context: &mut Context<'_>, resolved: &Resolved, places: &[(Span, &ast::Nat)]) {
    for (one, (span, said)) in resolved.nat.iter().zip(places) {
        nobody_comes_in(context, resolved, &one.what, *span);
        nobody_gets_out(context, resolved, (&one.what, said), *span);
    }
    not_forwarded(context, resolved, places);
}

/// What is translated is judged as it was addressed: without a sentence that opens that, nobody gets anywhere.
fn nobody_comes_in(context: &mut Context<'_>, resolved: &Resolved, what: &Translation, span: Span) {
    let way = match what {
        Translation::Masquerade { .. } => return,
        Translation::Redirect { .. } => Way::In,
        Translation::Publish { .. } => Way::Published,
    };
    if resolved.defaults.of(way).verdict == Verdict::Allow {
        return;
    }
    let opens = |family: Family, proto: Proto, range: PortRange| {
        resolved.rules.iter().any(|rule| {
            let covers = rule.ways.contains(&way) || way == Way::In && rule.ways.contains(&Way::Published);
            covers
                && rule.verdict == Verdict::Allow
                && !rule.scope.from.lacks(family)
                && !rule.scope.to.lacks(family)
                && rule.traffic.iter().any(|thing| meets(*thing, proto, range))
        })
    };
    let families = || Family::BOTH.into_iter().filter(|family| what.covers(*family));
    let shut =
        what.ports().iter().find(|(proto, range)| !families().any(|family| opens(family, *proto, *range)));
    let Some((proto, range)) = shut else { return };
    let way_word = if way == Way::In { "" } else { "published " };
    let report =
        Report::warning("nobody-comes-in", span, format!("no sentence lets anybody in at {range}/{proto}"))
            .label("what is translated is judged as it was addressed")
            .way_out(format!("open it: `allow {way_word}{range}/{proto}`"));
    context.reports.push(report);
}

/// A masquerade says whose address is seen, and lets nobody through.
fn nobody_gets_out(
    context: &mut Context<'_>,
    resolved: &Resolved,
    (what, said): (&Translation, &ast::Nat),
    span: Span,
) {
    let (Translation::Masquerade { from, .. }, ast::Nat::Masquerade { from: named, .. }) = (what, said)
    else {
        return;
    };
    let lets_through = |rule: &Rule| {
        let peers = &rule.scope.from;
        rule.verdict == Verdict::Allow
            && rule.ways.contains(&Way::Forward)
            && peers.only.as_ref().is_none_or(|only| only.meets(from))
            && !peers.except.as_ref().is_some_and(|except| except.covers(from))
    };
    let open = resolved.defaults.of(Way::Forward).verdict == Verdict::Allow;
    if open || resolved.rules.iter().any(lets_through) {
        return;
    }
    let whom: Vec<String> = named.iter().map(|value| value.node.to_string()).collect();
    let whom = whom.join(", ");
    context.reports.push(
        Report::warning("nobody-gets-out", span, format!("no sentence lets anybody through from {whom}"))
            .label("a masquerade changes addresses, it opens nothing")
            .way_out(format!("open the way: `allow forward anything from {whom}`")),
    );
}

fn meets(thing: Traffic, proto: Proto, range: PortRange) -> bool {
    match thing {
        Traffic::Any => true,
        Traffic::Protocol(of) => of == proto,
        Traffic::Ports(of, ports) => {
            of == proto && ports.first() <= range.last() && range.first() <= ports.last()
        }
        Traffic::Icmp(_) => false,
    }
}

/// The kernel passes nothing on unless it is told to, and doorward does not tell it. Said once, at the first sentence
/// that needs it.
fn not_forwarded(context: &mut Context<'_>, resolved: &Resolved, places: &[(Span, &ast::Nat)]) {
    let needs = |what: &Translation, family| {
        !matches!(what, Translation::Redirect { .. })
            && what.covers(family)
            && context.host.forwarding.of(family) == Some(false)
    };
    let mut off: Vec<(Family, &str)> = Vec::new();
    let mut first: Option<Span> = None;
    for (family, switch) in
        [(Family::V4, "net.ipv4.ip_forward"), (Family::V6, "net.ipv6.conf.all.forwarding")]
    {
        let found = resolved.nat.iter().zip(places).find(|(one, _)| needs(&one.what, family));
        if let Some((_, (span, _))) = found {
            first = first.filter(|known| known.start <= span.start).or(Some(*span));
            off.push((family, switch));
        }
    }
    let Some(first) = first else { return };
    let families: Vec<String> = off.iter().map(|(family, _)| format!("no {family}")).collect();
    let families = families.join(" and ");
    let report =
        Report::warning("not-forwarded", first, format!("the kernel of this host passes {families} on"))
            .label(format!("{families} gets through"));
    let report = off.iter().fold(report, |report, (_, switch)| {
        report.way_out(format!("switch it on: `sysctl -w {switch}=1`, and for good in /etc/sysctl.d"))
    });
    context.reports.push(report);
}

fn of_ports(ports: Ports) -> Vec<(Proto, PortRange)> {
    let of = |thing| match thing {
        Traffic::Ports(proto, range) => Some((proto, range)),
        _ => None,
    };
    things::ports(ports).into_iter().filter_map(of).collect()
}

/// Whether two translations of one port come to the same.
fn same_end(one: &Translation, other: &Translation) -> bool {
    match (one, other) {
        (Translation::Redirect { to: one, .. }, Translation::Redirect { to: other, .. }) => one == other,
        (Translation::Publish { to: one, .. }, Translation::Publish { to: other, .. }) => one == other,
        _ => false,
    }
}

fn on_loopback(span: Span) -> Report {
    Report::error("masquerade-on-loopback", span, "what is on `lo` never leaves this host")
        .label("name the interface by which it leaves, like `eth0`")
}

/// What an address is that nothing can be led to, and the way out.
fn unreachable(addr: IpAddr, port: u16, ports: Ports) -> Option<(&'static str, Option<String>)> {
    let link_local = match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(six) => six.is_unicast_link_local(),
    };
    if addr.is_loopback() {
        return Some((
            "a loopback address, and the kernel lets nothing from outside there",
            Some(format!("to another port of this host: `redirect {ports} to {port}`")),
        ));
    }
    let what = match addr {
        _ if addr.is_unspecified() => "no address of anybody",
        _ if addr.is_multicast() => "the address of a group",
        IpAddr::V4(four) if four.is_broadcast() => "the address of everybody",
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => "an IPv4 address within an IPv6 one",
        _ if link_local => "an address that means something on one link only",
        _ => return None,
    };
    Some((what, None))
}
