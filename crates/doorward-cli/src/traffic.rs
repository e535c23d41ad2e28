//! Sentences about traffic as lines, and which open connections a policy would not let in anew; proves nothing.

use crate::exit::{Exit, Failure};
use crate::host::Around;
use crate::text::{Line, Tone, WIDTH, wrap};
use doorward::meaning::{Connection, Host, Limits, Packet, Path, judge};
use doorward::net::Proto;
use doorward::prove::{Kind, NotJudged, Told};
use doorward::resolve::Resolved;
use doorward::resolve::model::Verdict;
use doorward_kernel::KernelError;
use doorward_kernel::diag::{Diag, Transport};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// So many connections are named.
const NAMED: usize = 5;

/// A sentence, and what follows of it further in.
pub(crate) fn lines(one: &Told, indent: usize, example: bool) -> Vec<Line> {
    let tone = match one.kind {
        Kind::Opens | Kind::Unlimits => Tone::Good,
        Kind::Shuts | Kind::Limits => Tone::Bad,
        Kind::Relimits | Kind::Leads => Tone::Doubtful,
    };
    let mut lines = laid_out(&one.sentence(), &one.head, tone, indent);
    if example {
        lines.extend(self::example(&one.example, indent + 2));
    }
    lines
}

/// A connection as an example.
pub(crate) fn example(example: &Connection, indent: usize) -> Vec<Line> {
    laid_out(&format!("for example: {example}"), "for example:", Tone::Faint, indent)
}

/// A sentence within the width, its head in a tone.
pub(crate) fn laid_out(sentence: &str, head: &str, tone: Tone, indent: usize) -> Vec<Line> {
    // What follows stands further in, and so is as wide as the narrower lines.
    let parts = wrap(sentence, WIDTH - indent - 4);
    let line = |(at, text): (usize, &String)| {
        let margin = " ".repeat(if at == 0 { indent } else { indent + 4 });
        match text.strip_prefix(head) {
            Some(rest) if at == 0 && !head.is_empty() => {
                Line::plain(margin).and(tone, head).and(Tone::Plain, rest)
            }
            _ => Line::plain(margin).and(Tone::Plain, text.as_str()),
        }
    };
    parts.iter().enumerate().map(line).collect()
}

/// Nothing is claimed.
pub(crate) fn not_proven(why: &NotJudged) -> Failure {
    Failure::new(Exit::System, format!("not proven: {why}"))
        .way_out("put addresses that are treated alike into a list: `define NAME = file \"…\"`")
}

/// Connections that others opened to this host.
pub(crate) struct Open {
    /// How many there are.
    pub count: usize,
    /// Peer and host of those that the policy would not let in as new ones.
    pub refused: Vec<(SocketAddr, SocketAddr)>,
}

impl Open {
    /// Looks at each.
    pub(crate) fn judged(policy: &Resolved, around: &Around) -> Result<Open, KernelError> {
        let diag = Diag::open()?;
        let tcp = |one: &doorward_kernel::diag::Listener| one.transport == Transport::Tcp;
        let doors: BTreeSet<u16> =
            diag.listeners()?.iter().filter(|one| tcp(one)).map(|one| one.local.port()).collect();
        let host = Host { own: around.addresses.iter().map(|(addr, _)| *addr).collect() };
        // What comes from here goes over `lo`, which nobody judges; what this host opened has no door here.
        let mut open: Vec<(SocketAddr, SocketAddr)> = diag
            .connections()?
            .into_iter()
            .filter(|one| doors.contains(&one.local.port()))
            .filter(|one| !one.remote.ip().is_loopback() && !host.own.contains(&one.remote.ip()))
            .map(|one| (one.remote, one.local))
            .collect();
        open.sort_unstable();
        open.dedup();
        let count = open.len();
        open.retain(|(peer, here)| {
            let connection = Connection {
                path: Path::In {
                    iface: around.interface_of(here.ip()).unwrap_or("eth0").to_owned(),
                    addressed: None,
                },
                from: peer.ip(),
                to: here.ip(),
                packet: Packet::Ports { proto: Proto::TCP, from: peer.port(), to: here.port(), opens: true },
            };
            judge(policy, &host, &connection, Limits::Unspent).verdict != Verdict::Allow
        });
        Ok(Open { count, refused: open })
    }

    /// Some of the refused, in words.
    pub(crate) fn named(&self) -> Vec<String> {
        let named = self.refused.iter().take(NAMED);
        named.map(|(peer, here)| format!("{} → {}/tcp", peer.ip(), here.port())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sentences_break() {
        let words = "newly reachable from anyone: ".to_owned() + &"8443/tcp (https-alt), ".repeat(12);
        let lines = laid_out(words.trim_end(), "newly reachable from anyone", Tone::Good, 2);
        let text = |line: &Line| line.0.iter().map(|(_, text)| text.as_str()).collect::<String>();
        assert!(lines.len() > 3 && lines.iter().all(|line| text(line).chars().count() <= WIDTH));
        assert_eq!(lines[0].0[1], (Tone::Good, "newly reachable from anyone".to_owned()));
        assert!(text(&lines[1]).starts_with("      8443/tcp"));
    }
}
