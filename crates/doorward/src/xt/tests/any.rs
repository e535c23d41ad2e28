//! Any bytes at all in place of what iptables wrote: nothing panics, and no length but the right one is taken.

use proptest::prelude::*;

use super::super::*;
use super::expr;

/// All names that are known, with sizes that some revision has.
const MATCHES: &[(&str, usize)] = &[
    ("addrtype", 8),
    ("addrtype", 16),
    ("ah", 16),
    ("bpf", 528),
    ("cgroup", 8),
    ("cgroup", 528),
    ("comment", 256),
    ("connbytes", 24),
    ("connlabel", 8),
    ("connlimit", 32),
    ("connmark", 16),
    ("conntrack", 152),
    ("conntrack", 160),
    ("conntrack", 168),
    ("cpu", 8),
    ("dccp", 16),
    ("devgroup", 24),
    ("dscp", 8),
    ("dst", 40),
    ("ecn", 8),
    ("esp", 16),
    ("eui64", 8),
    ("frag", 16),
    ("hashlimit", 56),
    ("hashlimit", 304),
    ("hashlimit", 312),
    ("hbh", 40),
    ("helper", 40),
    ("hl", 8),
    ("icmp", 8),
    ("icmp6", 8),
    ("ipcomp", 16),
    ("iprange", 72),
    ("ipv6header", 8),
    ("length", 8),
    ("limit", 40),
    ("mac", 16),
    ("mark", 16),
    ("mh", 8),
    ("multiport", 48),
    ("nfacct", 40),
    ("owner", 24),
    ("physdev", 72),
    ("pkttype", 8),
    ("policy", 312),
    ("quota", 24),
    ("realm", 16),
    ("recent", 216),
    ("recent", 232),
    ("rpfilter", 8),
    ("rt", 280),
    ("sctp", 296),
    ("set", 8),
    ("set", 48),
    ("socket", 0),
    ("socket", 8),
    ("state", 8),
    ("statistic", 24),
    ("string", 160),
    ("tcp", 16),
    ("tcpmss", 8),
    ("time", 24),
    ("tos", 8),
    ("ttl", 8),
    ("u32", 1984),
    ("udp", 16),
];
const TARGETS: &[(&str, usize)] = &[
    ("AUDIT", 8),
    ("CHECKSUM", 8),
    ("CLASSIFY", 8),
    ("CONNMARK", 16),
    ("CONNSECMARK", 8),
    ("CT", 40),
    ("CT", 72),
    ("DNAT", 24),
    ("DNAT", 40),
    ("DNAT", 48),
    ("DNPT", 40),
    ("DSCP", 8),
    ("ECN", 8),
    ("HL", 8),
    ("HMARK", 64),
    ("IDLETIMER", 40),
    ("IDLETIMER", 48),
    ("LED", 40),
    ("LOG", 32),
    ("MARK", 8),
    ("MASQUERADE", 24),
    ("MASQUERADE", 40),
    ("NETMAP", 24),
    ("NETMAP", 40),
    ("NFLOG", 80),
    ("NFQUEUE", 8),
    ("NOTRACK", 0),
    ("RATEEST", 32),
    ("REDIRECT", 24),
    ("REDIRECT", 40),
    ("REJECT", 8),
    ("SECMARK", 264),
    ("SET", 16),
    ("SET", 24),
    ("SNAT", 24),
    ("SNAT", 40),
    ("SNAT", 48),
    ("SNPT", 40),
    ("SYNPROXY", 8),
    ("TCPMSS", 8),
    ("TCPOPTSTRIP", 32),
    ("TEE", 40),
    ("TOS", 8),
    ("TPROXY", 16),
    ("TPROXY", 32),
    ("TRACE", 0),
    ("TTL", 8),
];

fn is_unknown(found: Option<&Xt>) -> bool {
    matches!(found, Some(Xt::Match(Match::Unknown { .. }) | Xt::Target(Target::Unknown { .. })))
}

/// In which families and revisions zeros of this size are known.
fn known_at(kind: &str, name: &str, size: usize) -> Vec<(TableFamily, u32)> {
    let families = [TableFamily::Ip, TableFamily::Ip6];
    let all = families.into_iter().flat_map(|family| (0..5).map(move |revision| (family, revision)));
    // Zeros are no valid value of these.
    let info = match name {
        "CHECKSUM" | "policy" | "recent" | "cgroup" | "DNAT" | "SNAT" | "MASQUERADE" | "NETMAP"
        | "REDIRECT" => {
            let mut info = vec![0; size];
            let at = match name {
                "policy" => 304,
                "recent" => 8,
                "cgroup" if size == 8 => return vec![(TableFamily::Ip, 0)],
                _ => 0,
            };
            info[at] = 1;
            info
        }
        _ => vec![0; size],
    };
    all.filter(|(family, revision)| !is_unknown(read(&expr(kind, name, *revision, &info), *family).as_ref()))
        .collect()
}

/// Each name of the lists is known in some way, and in no way with a byte less, or eight more.
#[test]
fn lengths_are_exact() {
    for (kind, list) in [("match", MATCHES), ("target", TARGETS)] {
        for (name, size) in list {
            assert!(!known_at(kind, name, *size).is_empty(), "{kind} {name} of {size} bytes");
            // The end of `limit` is the kernel's own, and is not the same everywhere.
            if *name != "limit" && !list.contains(&(name, size + 8)) {
                assert_eq!(known_at(kind, name, size + 8), [], "{kind} {name} of {size} bytes and 8");
            }
            if *size > 0 && *name != "limit" {
                let cut = vec![0; size - 1];
                for (family, revision) in known_at(kind, name, *size) {
                    assert!(
                        is_unknown(read(&expr(kind, name, revision, &cut), family).as_ref()),
                        "{kind} {name} cut"
                    );
                }
            }
        }
    }
}

fn families() -> impl Strategy<Value = TableFamily> {
    use TableFamily::{Arp, Bridge, Inet, Ip, Ip6};
    prop::sample::select(vec![Ip, Ip6, Inet, Bridge, Arp])
}

proptest! {
    /// Whatever stands in an expression is read without a panic.
    #[test]
    fn any_bytes(is_match: bool, data: Vec<u8>, family in families()) {
        let name = if is_match { "match" } else { "target" };
        let found = read(&Expr::Unknown { name: name.to_owned(), data }, family);
        prop_assert_eq!(matches!(found, Some(Xt::Match(_))), is_match);
    }

    /// So is whatever stands in the structure of a known name; the helpers take whatever came of it.
    #[test]
    fn any_structure(
        which in prop::sample::select([MATCHES, TARGETS].concat()),
        revision in 0u32..5,
        family in families(),
        sparse: bool,
        mut info in prop::collection::vec(any::<u8>(), 2048),
        packet: Vec<u8>,
    ) {
        let (name, size) = which;
        info.truncate(size);
        if sparse {
            // Most bytes of real structures are zero, and flags small.
            for (index, byte) in info.iter_mut().enumerate() {
                *byte = if index % 7 == 0 { *byte & 3 } else { 0 };
            }
        }
        let kind = if MATCHES.contains(&which) { "match" } else { "target" };
        match read(&expr(kind, name, revision, &info), family) {
            Some(Xt::Match(found)) => {
                let _ = (found.basis(), found.later(), found.drops(), found.changes());
                match found {
                    Match::Unknown { data, .. } => prop_assert_eq!(data, info),
                    Match::U32(of) => drop(of.holds(&packet)),
                    Match::TcpMss(of) => drop(of.contains(&packet)),
                    Match::Tcp(of) => drop(of.option.map(|option| tcp_option(&packet, option.value))),
                    Match::Multiport(of) => drop((of.ports(), of.contains(1, 2))),
                    Match::Owner(of) => drop(of.with_socket(Some((1, 2, &[3])))),
                    _ => {}
                }
            }
            Some(Xt::Target(found)) => {
                let _ = (found.ends(), found.may_drop(), found.marked(1, Some(2)));
                if let Target::Unknown { data, .. } = found {
                    prop_assert_eq!(data, info);
                }
            }
            None => prop_assert!(false, "an expression of iptables"),
        }
    }
}
