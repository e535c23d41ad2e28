//! The rules that Docker and podman write for two bridges: in the shape of each back end of Docker, and in netavark's.

use crate::bench::Host;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Ports of the host, and those of the container behind them.
pub(crate) const PUBLISHED: [(u16, u16); 2] = [(8080, 80), (5433, 5432)];
/// A bridge, its networks, and the container that publishes something.
const BRIDGES: [(&str, [&str; 2]); 2] =
    [("docker0", ["172.17.0.0/16", "fd17::/64"]), ("br-app", ["172.18.0.0/16", "fd18::/64"])];
const IPTABLES: [&str; 2] = ["iptables", "ip6tables"];
const CONTAINER: [&str; 2] = ["172.17.0.2", "fd17::2"];

/// Who keeps the rules, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BackEnd {
    /// Docker's `iptables`, which is the usual one.
    Iptables,
    /// Docker's `"firewall-backend": "nftables"`.
    Nftables,
    /// podman's netavark, as of 1.4 with iptables.
    Netavark,
}

impl BackEnd {
    /// Puts them in place, or anew: what was there of them goes.
    pub(crate) fn load(self, host: &Host) {
        for family in 0..2 {
            match self {
                BackEnd::Iptables | BackEnd::Netavark => {
                    let program = ["iptables-restore", "ip6tables-restore"][family];
                    let rules = if self == BackEnd::Netavark { netavark } else { iptables };
                    run(host, program, &[], &rules(family));
                }
                BackEnd::Nftables => {
                    run(host, "nft", &["-f", "-"], &nftables(family));
                }
            }
        }
    }

    /// What the daemon does when it is started anew: what its containers had published goes with them, then its own
    /// chains are made again and filled, and the jumps to them.
    pub(crate) fn restart(self, host: &Host) {
        if self == BackEnd::Nftables {
            for family in ["ip", "ip6"] {
                let table = format!("{family} docker-bridges");
                run(host, "nft", &["-f", "-"], &format!("table {table}\ndelete table {table}\n"));
            }
            return self.load(host);
        }
        for family in 0..2 {
            let restore = ["iptables-restore", "ip6tables-restore"][family];
            // Chains of its own that are there already are emptied by that, the kernel's are not.
            let stopped = "*nat\n:DOCKER - [0:0]\nCOMMIT\n*filter\n:DOCKER - [0:0]\nCOMMIT\n";
            run(host, restore, &["--noflush"], stopped);
            let rules = iptables(family);
            let mut table = "";
            for line in rules.lines() {
                if let Some(name) = line.strip_prefix('*') {
                    table = name;
                }
                let jump = line.strip_prefix("-A ").filter(|rest| !rest.starts_with("DOCKER"));
                if let Some(rule) = jump {
                    let words = format!("-t {table} -D {rule}");
                    let _ = try_run(host, IPTABLES[family], &words.split(' ').collect::<Vec<_>>(), "");
                }
            }
            run(host, restore, &["--noflush"], &rules);
        }
    }

    /// As they are now, without counters.
    pub(crate) fn listed(self, host: &Host) -> String {
        let tables: &[&str] = match self {
            BackEnd::Iptables | BackEnd::Netavark => &["ip nat", "ip filter", "ip6 nat", "ip6 filter"],
            BackEnd::Nftables => &["ip docker-bridges", "ip6 docker-bridges"],
        };
        let list = |table: &&str| {
            let words = format!("-s list table {table}");
            run(host, "nft", &words.split(' ').collect::<Vec<_>>(), "")
        };
        // What iptables counts has no word to leave it out.
        let text: String = tables.iter().map(list).collect();
        let words = text.lines().map(|line| line.split(" counter").next().unwrap_or(line));
        words.filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
    }
}

/// `iptables -F` of both families; `policies` is what guides tell to type before it, so that nobody is shut out.
pub(crate) fn flush(host: &Host, policies: bool) {
    for program in IPTABLES {
        for chain in ["INPUT", "FORWARD", "OUTPUT"].into_iter().filter(|_| policies) {
            run(host, program, &["-P", chain, "ACCEPT"], "");
        }
        run(host, program, &["-F"], "");
    }
}

/// Nobody has any rule there.
pub(crate) fn clear(host: &Host) {
    run(host, "nft", &["flush", "ruleset"], "");
}

/// The table of doorward, without what it counted.
pub(crate) fn ours(host: &Host) -> String {
    run(host, "nft", &["-s", "list", "table", "inet", "doorward"], "")
}

pub(crate) fn run(host: &Host, program: &str, args: &[&str], input: &str) -> String {
    try_run(host, program, args, input).unwrap_or_else(|errors| panic!("{program}: {errors}\n{input}"))
}

fn try_run(host: &Host, program: &str, args: &[&str], input: &str) -> Result<String, String> {
    host.inside(|| {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.env("PATH", crate::bench::SEARCH).spawn().expect("the program is installed");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    })
}

/// What `iptables-restore` reads, which flushes the tables that it names.
fn iptables(family: usize) -> String {
    let (loopback, to) = [("127.0.0.0/8", "172.17.0.2"), ("::1/128", "[fd17::2]")][family];
    let mut nat = String::from(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n\
         -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n",
    );
    // Writing to a String cannot fail.
    let _ = writeln!(nat, "-A OUTPUT ! -d {loopback} -m addrtype --dst-type LOCAL -j DOCKER");
    let mut filter = String::from(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n:DOCKER-BRIDGE - [0:0]\n\
         :DOCKER-CT - [0:0]\n:DOCKER-FORWARD - [0:0]\n:DOCKER-USER - [0:0]\n\
         -A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n-A DOCKER-FORWARD -j DOCKER-CT\n-A DOCKER-FORWARD -j DOCKER-BRIDGE\n",
    );
    for (port, inner) in PUBLISHED {
        let _ = writeln!(
            nat,
            "-A DOCKER ! -i docker0 -p tcp -m tcp --dport {port} -j DNAT --to-destination {to}:{inner}"
        );
        let _ = writeln!(
            filter,
            "-A DOCKER -d {} ! -i docker0 -o docker0 -p tcp -m tcp --dport {inner} -j ACCEPT",
            CONTAINER[family]
        );
    }
    for (bridge, networks) in BRIDGES {
        let _ = writeln!(nat, "-A POSTROUTING -s {} ! -o {bridge} -j MASQUERADE", networks[family]);
        let _ = writeln!(
            filter,
            "-A DOCKER ! -i {bridge} -o {bridge} -j DROP\n-A DOCKER-BRIDGE -o {bridge} -j DOCKER\n\
             -A DOCKER-CT -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
             -A DOCKER-FORWARD -i {bridge} -j ACCEPT"
        );
    }
    format!("{filter}COMMIT\n{nat}COMMIT\n")
}

/// Chains of one network each, by networks instead of interfaces; the rest of forwarding is left as it is. Who asks from
/// a container's own network, or from this host, is masqueraded.
fn netavark(family: usize) -> String {
    let (loopback, multicast) = [("127.0.0.1/32", "224.0.0.0/4"), ("::1/128", "ff00::/8")][family];
    let to = ["172.17.0.2", "[fd17::2]"][family];
    let mut filter = String::from(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:NETAVARK_FORWARD - [0:0]\n\
         -A FORWARD -m comment --comment \"netavark firewall plugin rules\" -j NETAVARK_FORWARD\n",
    );
    let mut nat = String::from(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
         :NETAVARK-HOSTPORT-DNAT - [0:0]\n:NETAVARK-HOSTPORT-MASQ - [0:0]\n:NETAVARK-HOSTPORT-SETMARK - [0:0]\n\
         :NETAVARK-DN-0 - [0:0]\n:NETAVARK-0 - [0:0]\n:NETAVARK-1 - [0:0]\n\
         -A PREROUTING -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT\n\
         -A OUTPUT -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT\n\
         -A POSTROUTING -j NETAVARK-HOSTPORT-MASQ\n\
         -A NETAVARK-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE\n\
         -A NETAVARK-HOSTPORT-SETMARK -j MARK --set-xmark 0x2000/0x2000\n",
    );
    // Writing to a String cannot fail.
    for (number, (_, networks)) in BRIDGES.iter().enumerate() {
        let network = networks[family];
        let _ = writeln!(
            filter,
            "-A NETAVARK_FORWARD -d {network} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
             -A NETAVARK_FORWARD -s {network} -j ACCEPT"
        );
        let _ = writeln!(
            nat,
            "-A POSTROUTING -s {network} -j NETAVARK-{number}\n\
             -A NETAVARK-{number} -d {network} -j ACCEPT\n\
             -A NETAVARK-{number} ! -d {multicast} -j MASQUERADE"
        );
    }
    let own = BRIDGES[0].1[family];
    for (port, inner) in PUBLISHED {
        let _ = writeln!(
            nat,
            "-A NETAVARK-DN-0 -s {own} -p tcp -m tcp --dport {port} -j NETAVARK-HOSTPORT-SETMARK\n\
             -A NETAVARK-DN-0 -s {loopback} -p tcp -m tcp --dport {port} -j NETAVARK-HOSTPORT-SETMARK\n\
             -A NETAVARK-DN-0 -p tcp -m tcp --dport {port} -j DNAT --to-destination {to}:{inner}\n\
             -A NETAVARK-HOSTPORT-DNAT -p tcp -m tcp --dport {port} -m comment --comment \"dnat name: podman\" -j NETAVARK-DN-0"
        );
    }
    format!("{filter}COMMIT\n{nat}COMMIT\n")
}

/// Its own tables, one for each family.
fn nftables(family: usize) -> String {
    let table = ["ip docker-bridges", "ip6 docker-bridges"][family];
    let (word, to) = [("ip", "172.17.0.2"), ("ip6", "[fd17::2]")][family];
    let mut text = format!("table {table}\ndelete table {table}\ntable {table} {{\n");
    let mut nat = String::new();
    let mut forward = String::new();
    let mut masquerade = String::new();
    let mut accepts = String::new();
    for (port, inner) in PUBLISHED {
        let _ = writeln!(nat, "  iifname != \"docker0\" tcp dport {port} counter dnat to {to}:{inner}");
        let _ = writeln!(accepts, "  {word} daddr {} tcp dport {inner} counter accept", CONTAINER[family]);
    }
    for (bridge, networks) in BRIDGES {
        let own = if bridge == "docker0" { accepts.as_str() } else { "" };
        let _ = writeln!(
            text,
            " chain in__{bridge} {{\n  ct state established,related counter accept\n  iifname \"{bridge}\" counter accept\n{own}  counter drop\n }}\n \
             chain out__{bridge} {{\n  ct state established,related counter accept\n  counter accept\n }}"
        );
        let _ = writeln!(
            forward,
            "  oifname \"{bridge}\" jump in__{bridge}\n  iifname \"{bridge}\" jump out__{bridge}"
        );
        let _ = writeln!(
            masquerade,
            "  {word} saddr {} oifname != \"{bridge}\" counter masquerade",
            networks[family]
        );
    }
    let _ = write!(
        text,
        " chain nat-prerouting-and-output {{\n{nat} }}\n \
         chain filter-FORWARD {{\n  type filter hook forward priority filter; policy accept;\n{forward} }}\n \
         chain nat-PREROUTING {{\n  type nat hook prerouting priority dstnat; policy accept;\n  fib daddr type local counter jump nat-prerouting-and-output\n }}\n \
         chain nat-OUTPUT {{\n  type nat hook output priority -100; policy accept;\n  fib daddr type local counter jump nat-prerouting-and-output\n }}\n \
         chain nat-POSTROUTING {{\n  type nat hook postrouting priority srcnat; policy accept;\n{masquerade} }}\n}}\n"
    );
    text
}
