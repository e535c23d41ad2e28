//! Where signs of others are found.

use super::{Docker, Flush, Foreign, Signs};
use crate::init::Host;
use doorward::compile::TABLE;
use doorward::ruleset::{Chain, ChainKind, Expr, LookupTarget, Policy, Table, TableFamily, Verdict};
use doorward::xt::{self, Target, Xt};
use doorward_kernel::link::Links;
use doorward_kernel::{Reader, Scope};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Files that tell of a tool by being there.
const FILES: [&str; 15] = [
    "/etc/ufw/ufw.conf",
    "/usr/sbin/ufw",
    "/usr/sbin/firewalld",
    "/etc/csf/csf.conf",
    "/usr/sbin/foomuuri",
    "/etc/shorewall/shorewall.conf",
    "/usr/sbin/netfilter-persistent",
    "/etc/iptables/rules.v4",
    "/etc/fail2ban/jail.conf",
    "/etc/crowdsec/bouncers/crowdsec-firewall-bouncer.yaml",
    "/usr/bin/dockerd",
    "/usr/bin/podman",
    "/usr/sbin/libvirtd",
    "/usr/bin/kubelet",
    "/etc/docker/daemon.json",
];
/// Where systemd finds units, and which it starts.
const UNITS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// What empties the ruleset.
const FLUSH: &str = "flush ruleset";

/// Looks at this host. Only root sees tables and the programs of others.
pub(crate) fn read(host: &Host) -> Signs {
    let boots = boots(host);
    Signs {
        programs: crate::session::running(),
        files: FILES
            .iter()
            .filter(|path| host.path(path).exists())
            .map(|path| (*path).to_owned())
            .chain(ufw(host))
            .collect(),
        flushes: flushes(host, &boots),
        boots,
        tables: tables(),
        legacy: ["ip", "ip6"].into_iter().any(|family| {
            let names = fs::read_to_string(format!("/proc/net/{family}_tables_names"));
            names.is_ok_and(|names| !names.trim().is_empty())
        }),
        interfaces: Links::open()
            .and_then(|links| links.links())
            .map(|links| links.into_iter().map(|link| (link.name, link.kind)).collect())
            .unwrap_or_default(),
        docker: docker(&text(host, "/etc/docker/daemon.json")),
        forwards: ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"]
            .map(|path| fs::read_to_string(path).is_ok_and(|value| value.trim() != "0")),
        tracked: number("nf_conntrack_count").zip(number("nf_conntrack_max")),
        bridges_filter: fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables")
            .is_ok_and(|value| value.trim() == "1"),
        vendor: text(host, "/sys/class/dmi/id/sys_vendor").trim().to_owned(),
    }
}

fn text(host: &Host, path: &str) -> String {
    fs::read_to_string(host.path(path)).unwrap_or_default()
}

fn number(name: &str) -> Option<u64> {
    fs::read_to_string(Path::new("/proc/sys/net/netfilter").join(name)).ok()?.trim().parse().ok()
}

/// ufw is started by its unit in any case; whether it does anything stands in its file.
fn ufw(host: &Host) -> Option<String> {
    let enabled = text(host, "/etc/ufw/ufw.conf").lines().any(|line| line.trim() == "ENABLED=yes");
    enabled.then(|| "ufw is enabled".to_owned())
}

/// What systemd, or the scripts of SysV and OpenRC, start.
fn boots(host: &Host) -> BTreeSet<String> {
    let mut boots = BTreeSet::new();
    let folder = host.path(UNITS[0]);
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if matches!(name.rsplit_once('.'), Some((_, "wants" | "requires"))) {
            let units = fs::read_dir(entry.path()).into_iter().flatten().flatten();
            boots
                .extend(units.filter_map(|unit| {
                    Some(unit.file_name().to_str()?.strip_suffix(".service")?.to_owned())
                }));
        }
    }
    for folder in ["/etc/rc2.d", "/etc/rcS.d"] {
        let scripts = fs::read_dir(host.path(folder)).into_iter().flatten().flatten();
        boots.extend(scripts.filter_map(|script| {
            let name = script.file_name().to_str()?.to_owned();
            let rest = name.strip_prefix('S')?;
            Some(rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).to_owned())
        }));
    }
    for level in ["boot", "default", "sysinit"] {
        let scripts =
            fs::read_dir(host.path(format!("/etc/runlevels/{level}"))).into_iter().flatten().flatten();
        boots.extend(scripts.filter_map(|script| script.file_name().to_str().map(str::to_owned)));
    }
    boots
}

/// Units that flush in a command of their own, and the files that `nft -f` is started with.
fn flushes(host: &Host, boots: &BTreeSet<String>) -> Vec<Flush> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for folder in UNITS {
        for entry in fs::read_dir(host.path(folder)).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Some(unit) = name.strip_suffix(".service").map(str::to_owned) else { continue };
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            if !seen.insert(unit.clone()) || !text.contains("nft") {
                continue;
            }
            let boots = boots.contains(&unit);
            let runs = text.lines().filter(|line| line.trim_start().starts_with("Exec"));
            let mut paths: Vec<String> = Vec::new();
            for line in runs {
                if line.contains(FLUSH) {
                    paths.push(format!("{folder}/{name}"));
                }
                let words = line.split(['=', ' ', '"', '\'']).filter(|word| word.starts_with("/etc/"));
                paths.extend(words.filter(|path| self::text(host, path).contains(FLUSH)).map(str::to_owned));
            }
            paths.sort();
            paths.dedup();
            found.extend(paths.into_iter().map(|path| Flush { path, unit: unit.clone(), boots }));
        }
    }
    found
}

fn docker(text: &str) -> Docker {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    Docker {
        no_rules: value["iptables"] == serde_json::Value::Bool(false),
        nftables: value["firewall-backend"] == "nftables",
    }
}

/// All tables but ours; none where rules may not be read.
fn tables() -> Vec<Foreign> {
    let read = Reader::open().and_then(|reader| reader.read_headers(&Scope::All));
    let tables = read.map(|all| all.ruleset.tables).unwrap_or_default();
    tables
        .iter()
        .filter(|table| (table.family, table.name.as_str()) != (TableFamily::Inet, TABLE))
        .map(foreign)
        .collect()
}

fn foreign(table: &Table) -> Foreign {
    let drops = |expr: &Expr| match expr {
        Expr::Verdict(Verdict::Drop) | Expr::Reject(_) => true,
        other => matches!(xt::read(other, table.family), Some(Xt::Target(Target::Reject(_)))),
    };
    let any = |chain: &Chain| chain.rules.iter().flat_map(|rule| &rule.exprs).any(drops);
    // What a chain calls may be given by a map: any chain that drops counts for each that calls others.
    let called = table.chains.iter().any(|chain| chain.base.is_none() && any(chain));
    let calls = |expr: &Expr| {
        matches!(
            expr,
            Expr::Verdict(Verdict::Jump(_) | Verdict::Goto(_))
                | Expr::Lookup { dreg: Some(LookupTarget::Verdict), .. }
        )
    };
    let dropping = table.chains.iter().filter_map(|chain| {
        let base = chain.base.as_ref().filter(|base| base.kind == ChainKind::Filter)?;
        let further = called && chain.rules.iter().flat_map(|rule| &rule.exprs).any(calls);
        (base.policy == Policy::Drop || any(chain) || further).then(|| (chain.name.clone(), base.hook.word()))
    });
    Foreign {
        name: format!("{} {}", table.family, table.name),
        drops: dropping.collect(),
        chains: table.chains.iter().map(|chain| chain.name.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::docker;

    #[test]
    fn what_docker_was_told() {
        assert!(docker("{\"iptables\": false}").no_rules);
        assert!(docker("{ \"firewall-backend\": \"nftables\" }").nftables);
        for text in ["", "{", "[]", "{\"iptables\": true}"] {
            assert!(!docker(text).no_rules && !docker(text).nftables, "{text}");
        }
    }
}
