//! A resolved policy as text that people can check, and hosts and files of test cases.
#![allow(dead_code, reason = "each test program uses its part")]

use doorward::net::{AddrSet, Family};
use doorward::resolve::model::{Accounts, DefaultRule, Peers, Resolved, Scope, Traffic, Translation, Way};
use doorward::resolve::{Host, HostInterface, MemoryFiles};
use std::fmt::Write;
use std::path::Path;

/// All files of a case, but what the test itself reads.
pub(crate) fn files(folder: &Path) -> MemoryFiles {
    let mut files = MemoryFiles::default();
    take(folder, "", &mut files);
    files
}

fn take(folder: &Path, prefix: &str, files: &mut MemoryFiles) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            take(&entry.path(), &format!("{name}/"), files);
        } else if !name.starts_with("expected.") && name != "host.txt" {
            files.0.insert(name, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
}

/// The host of a case: `host.txt` if it is there, else one that every case can rely on.
pub(crate) fn host(folder: &Path) -> Host {
    let text = std::fs::read_to_string(folder.join("host.txt"));
    parse_host(text.as_deref().unwrap_or(
        "interface lo\ninterface eth0\ninterface eth1\nbridge docker0\n\
         user root 0\nuser daemon 1\nuser www-data 33\nuser postfix 105\n\
         group root 0\ngroup mail 8\ngroup www-data 33\n",
    ))
}

/// Lines like `interface eth0`, `bridge docker0`, `user postfix 105`, `group mail 8`.
pub(crate) fn parse_host(text: &str) -> Host {
    let mut host = Host::default();
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [kind @ ("interface" | "bridge"), name] => {
                host.interfaces.push(HostInterface { name: name.to_owned(), is_bridge: kind == "bridge" });
            }
            ["user", name, id] => {
                host.users.insert(name.to_owned(), id.parse().unwrap());
            }
            ["forwards", family] => *switch(&mut host, family) = Some(true),
            ["forwards", "no", family] => *switch(&mut host, family) = Some(false),
            ["group", name, id] => {
                host.groups.insert(name.to_owned(), id.parse().unwrap());
            }
            _ => panic!("a host has no `{line}`"),
        }
    }
    host
}

fn switch<'h>(host: &'h mut Host, family: &str) -> &'h mut Option<bool> {
    if family == "IPv4" { &mut host.forwarding.v4 } else { &mut host.forwarding.v6 }
}

/// Everything that a resolved policy says.
pub(crate) fn dump(resolved: &Resolved) -> String {
    let mut out = String::new();
    for way in Way::ALL {
        let DefaultRule { verdict, origin } = resolved.defaults.of(way);
        let origin = origin.as_ref().map_or("built in".to_owned(), ToString::to_string);
        writeln!(out, "default {} {}  ({origin})", verdict.word(), way.word()).unwrap();
    }
    for trust in &resolved.trust {
        writeln!(out, "{}\n    trust: {}", trust.origin.comment(), addresses(&trust.who)).unwrap();
    }
    for rule in &resolved.rules {
        writeln!(out, "{}", rule.origin.comment()).unwrap();
        let ways: Vec<&str> = rule.ways.iter().map(|way| way.word()).collect();
        writeln!(out, "    {} {}: {}", rule.verdict.word(), ways.join(" "), traffic(&rule.traffic)).unwrap();
        scope(&mut out, &rule.scope);
        if let Some(limit) = rule.limit {
            let per = if limit.per_source { "per source" } else { "for the sentence" };
            writeln!(out, "    limit: {} in {} s, burst {}, {per}", limit.rate, limit.seconds, limit.burst)
                .unwrap();
        }
        if let Some(passive) = rule.passive {
            let how = if passive.helper { "by the helper" } else { "open" };
            writeln!(out, "    passive: {} {how}", passive.range).unwrap();
        }
        if rule.log {
            writeln!(out, "    log").unwrap();
        }
    }
    for expect in &resolved.expects {
        let outcome = if expect.allowed { "allowed" } else { "blocked" };
        writeln!(out, "{}", expect.origin.comment()).unwrap();
        writeln!(out, "    all {outcome} {}: {}", expect.way.word(), traffic(&expect.traffic)).unwrap();
        scope(&mut out, &expect.scope);
    }
    for nat in &resolved.nat {
        writeln!(out, "{}", nat.origin.comment()).unwrap();
        let ports: Vec<String> =
            nat.what.ports().iter().map(|(proto, range)| format!("{range}/{proto}")).collect();
        let ports = ports.join(", ");
        match &nat.what {
            Translation::Masquerade { from, on } => {
                let on: Vec<String> =
                    on.iter().map(|i| format!("{}{}", i.name, if i.wildcard { "*" } else { "" })).collect();
                writeln!(out, "    masquerade: {} on {}", addresses(from), on.join(" ")).unwrap();
            }
            Translation::Redirect { to, .. } => writeln!(out, "    redirect: {ports} to {to}").unwrap(),
            Translation::Publish { to, .. } => writeln!(out, "    publish: {ports} to {to}").unwrap(),
        }
    }
    if !resolved.bridges.is_empty() {
        writeln!(out, "bridges: {}", resolved.bridges.join(" ")).unwrap();
    }
    out
}

fn scope(out: &mut String, scope: &Scope) {
    peers(out, "from", &scope.from);
    peers(out, "to", &scope.to);
    if !scope.on.is_empty() {
        let names: Vec<String> =
            scope.on.iter().map(|i| format!("{}{}", i.name, if i.wildcard { "*" } else { "" })).collect();
        writeln!(out, "    on: {}", names.join(" ")).unwrap();
    }
    for (word, accounts) in [("user", &scope.user), ("group", &scope.group)] {
        if let Some(Accounts { except, ids }) = accounts {
            let not = if *except { "not " } else { "" };
            let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
            writeln!(out, "    {not}by {word}: {}", ids.join(" ")).unwrap();
        }
    }
}

fn peers(out: &mut String, word: &str, peers: &Peers) {
    if let Some(only) = &peers.only {
        writeln!(out, "    {word}: {}", addresses(only)).unwrap();
    }
    if let Some(except) = &peers.except {
        writeln!(out, "    {word} nobody of: {}", addresses(except)).unwrap();
    }
}

fn addresses(set: &AddrSet) -> String {
    let all: Vec<String> =
        Family::BOTH.into_iter().flat_map(|family| set.prefixes(family)).map(|p| p.to_string()).collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join(" ") }
}

fn traffic(all: &[Traffic]) -> String {
    let one = |thing: &Traffic| match thing {
        Traffic::Any => "everything".to_owned(),
        Traffic::Ports(proto, range) => format!("{range}/{proto}"),
        Traffic::Icmp(kind) => {
            let part = |family, number: Option<u8>| number.map(|number| format!("{family} {number}"));
            let parts: Vec<String> =
                [part("icmp", kind.v4), part("icmpv6", kind.v6)].into_iter().flatten().collect();
            parts.join("+")
        }
        Traffic::Protocol(proto) => format!("protocol {proto}"),
    };
    all.iter().map(one).collect::<Vec<_>>().join(", ")
}
