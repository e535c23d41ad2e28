//! What signs of others mean for this firewall: who wins, and the way out.

use super::{Foreign, Signs};
use doorward::audit::Level;

/// What a finding is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Stable name of the kind of finding.
    pub id: &'static str,
    /// What is there, and who wins.
    pub what: String,
    /// What to do.
    pub ways_out: Vec<String>,
}

/// What the policy in force, or the one that is asked about, lets pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Passes {
    /// Something is forwarded.
    pub forwards: bool,
    /// Ports of containers are open.
    pub published: bool,
}

/// All findings, the worst first. `passes` is none where no policy is known.
pub(crate) fn findings(signs: &Signs, passes: Option<Passes>) -> Vec<Finding> {
    let mut found = Vec::new();
    tools(signs, &mut found);
    flushes(signs, &mut found);
    bans(signs, &mut found);
    containers(signs, passes, &mut found);
    tunnels(signs, passes, &mut found);
    host(signs, passes, &mut found);
    tables(signs, &mut found);
    found.sort_by(|a, b| b.level.cmp(&a.level).then(a.id.cmp(b.id)));
    found
}

fn add(found: &mut Vec<Finding>, level: Level, id: &'static str, what: impl Into<String>, ways_out: &[&str]) {
    let ways_out = ways_out.iter().map(|line| (*line).to_owned()).collect();
    found.push(Finding { level, id, what: what.into(), ways_out });
}

/// Other firewalls: what either drops is dropped, and each may throw the other's rules away.
fn tools(signs: &Signs, found: &mut Vec<Finding>) {
    if signs.has("ufw is enabled") || signs.has_chain("ufw-") {
        add(
            found,
            Level::Warning,
            "ufw",
            "ufw is on: what it drops stays dropped, whatever the policy allows; its reload opens the host for a moment",
            &["`ufw disable`, once the policy is confirmed"],
        );
    }
    if signs.runs("firewalld") || signs.starts("firewalld") || signs.has_table("firewalld") {
        add(
            found,
            Level::Warning,
            "firewalld",
            "firewalld is on: what it drops stays dropped, whatever the policy allows",
            &["`systemctl disable --now firewalld`, once the policy is confirmed"],
        );
    }
    if signs.starts("netfilter-persistent") || signs.starts("iptables") || signs.has("/etc/iptables/rules.v4")
    {
        add(
            found,
            if signs.starts("netfilter-persistent") { Level::Warning } else { Level::Notice },
            "iptables-persistent",
            "rules of iptables are kept in /etc/iptables: what they drop at boot is dropped",
            &["`systemctl disable netfilter-persistent`, and look at `iptables -S` for what is loaded now"],
        );
    }
    for (unit, path, id) in [
        ("csf", "/etc/csf/csf.conf", "csf"),
        ("foomuuri", "/usr/sbin/foomuuri", "foomuuri"),
        ("shorewall", "/etc/shorewall/shorewall.conf", "shorewall"),
    ] {
        if signs.starts(unit) || signs.has(path) {
            let level = if signs.starts(unit) { Level::Warning } else { Level::Notice };
            let what = format!("{unit} is here: two firewalls drop what either of them does not allow");
            found.push(Finding {
                level,
                id,
                what,
                ways_out: vec![format!("`systemctl disable --now {unit}`, once the policy is confirmed")],
            });
        }
    }
    if signs.legacy {
        add(
            found,
            Level::Notice,
            "iptables-legacy",
            "rules of the old iptables are loaded: they filter, too, and `doorward show --all` cannot show them",
            &["`iptables-legacy -S` and `ip6tables-legacy -S` show them"],
        );
    }
}

/// What empties the ruleset takes ours away.
fn flushes(signs: &Signs, found: &mut Vec<Finding>) {
    for flush in &signs.flushes {
        let (level, when) = if flush.boots {
            (Level::Critical, "at boot, and whenever it is restarted")
        } else {
            (Level::Notice, "whenever it is started or stopped")
        };
        found.push(Finding {
            level,
            id: "flush-ruleset",
            what: format!("{}.service says `flush ruleset` ({}): {when}, doorward's rules are gone", flush.unit, flush.path),
            ways_out: vec![
                format!("`systemctl disable {}`, or delete only its own tables there", flush.unit),
                "`doorward status --short` tells when that has happened; `doorward boot` loads the rules again".to_owned(),
            ],
        });
    }
}

/// Who bans addresses in tables of their own.
fn bans(signs: &Signs, found: &mut Vec<Finding>) {
    if signs.runs("fail2ban-server") || signs.starts("fail2ban") {
        add(
            found,
            Level::Notice,
            "fail2ban",
            "fail2ban bans in tables of its own: its bans hold beside the policy, also for who is trusted",
            &["`banaction = nftables[type=multiport]` in /etc/fail2ban/jail.local suits this kernel"],
        );
    }
    if signs.runs("crowdsec-firewall-bouncer") || signs.starts("crowdsec-firewall-bouncer") {
        add(
            found,
            Level::Notice,
            "crowdsec",
            "CrowdSec's bouncer drops in tables of its own: its decisions hold beside the policy",
            &["`mode: nftables` in its file; `cscli decisions list` shows whom it drops"],
        );
    }
}

fn containers(signs: &Signs, passes: Option<Passes>, found: &mut Vec<Finding>) {
    let passes_forward = passes.is_none_or(|passes| passes.forwards);
    let docker = signs.runs("dockerd") || signs.has_chain("DOCKER") || signs.has_table("docker-bridges");
    if docker {
        let mode =
            if signs.docker.nftables || signs.has_table("docker-bridges") { "nftables" } else { "iptables" };
        add(
            found,
            Level::Notice,
            "docker",
            format!(
                "Docker publishes ports by rules of its own ({mode}): the policy judges them as `published`, and shuts them by default"
            ),
            &["`allow published 8080/tcp` opens one; `doorward audit` lists them"],
        );
        if !passes_forward {
            add(
                found,
                Level::Warning,
                "docker-egress",
                "containers cannot reach anything: no sentence lets them through",
                &["`allow forward anything on docker0, br-*` lets them out"],
            );
        }
        if signs.docker.no_rules {
            add(
                found,
                Level::Warning,
                "docker-no-rules",
                "Docker was told `\"iptables\": false`: containers have no address translation, and reach nothing",
                &["take that line out of /etc/docker/daemon.json: the policy keeps ports shut without it"],
            );
        }
    }
    if signs.has_podman() {
        let ways_out = [
            "`allow published 8080/tcp` opens one; `doorward audit` lists them",
            "`allow dns on podman*` lets containers ask podman for each other's names",
        ];
        add(
            found,
            Level::Notice,
            "podman",
            "podman publishes ports by rules of its own: the policy judges them as `published`, and shuts them by default",
            &ways_out[..if signs.podman_tells_names() { 2 } else { 1 }],
        );
        if !passes_forward {
            add(
                found,
                Level::Warning,
                "podman-egress",
                "containers of podman cannot reach anything: no sentence lets them through",
                &["`allow forward anything on podman*` lets them out"],
            );
        }
    }
    for (here, id, name, stem) in [
        (
            signs.runs("libvirtd") || signs.has_table("libvirt_network") || signs.has_chain("LIBVIRT"),
            "libvirt",
            "libvirt",
            "virbr",
        ),
        (signs.has_table("incus") || signs.runs("incusd"), "incus", "Incus", "incusbr"),
        (signs.has_table("lxd") || signs.runs("lxd"), "lxd", "LXD", "lxdbr"),
    ] {
        if !here {
            continue;
        }
        let bridges = signs.interfaces_like(stem);
        let on = if bridges.is_empty() { format!("{stem}*") } else { bridges.join(", ") };
        let level = if passes_forward { Level::Notice } else { Level::Warning };
        found.push(Finding {
            level,
            id,
            what: format!("{name} is here: its guests get out only where a sentence lets them, and DHCP and DNS for them are `in`"),
            ways_out: vec![
                format!("`allow forward anything on {on}` lets guests out"),
                format!("`allow dns, dhcp on {on}` serves them"),
            ],
        });
    }
    let kubernetes =
        signs.runs("kubelet") || signs.has_chain("KUBE-") || signs.runs("k3s-server") || signs.runs("k3s");
    if kubernetes {
        add(
            found,
            Level::Warning,
            "kubernetes",
            "this is a Kubernetes node: pods and services pass by rules of kube-proxy and the network plugin",
            &[
                "`allow forward anything on cni*, flannel*, cali*, cilium*` lets pods through",
                "`allow kubelet from NODES` and `allow kube-apiserver from NODES` keep the cluster together",
            ],
        );
    }
}

fn tunnels(signs: &Signs, passes: Option<Passes>, found: &mut Vec<Finding>) {
    let wireguard: Vec<&str> = signs.interfaces_of("wireguard");
    if !wireguard.is_empty() {
        let names = wireguard.join(", ");
        let mut ways_out = vec!["`allow wireguard` lets peers in to the tunnel".to_owned()];
        if passes.is_none_or(|passes| !passes.forwards) {
            ways_out.push(format!("`allow forward anything on {names}` lets peers on to other networks"));
        }
        found.push(Finding {
            level: Level::Notice,
            id: "wireguard",
            what: format!("WireGuard ({names}): what comes out of the tunnel is judged like everything else"),
            ways_out,
        });
    }
    if signs.runs("tailscaled") || !signs.interfaces_like("tailscale").is_empty() || signs.has_chain("ts-") {
        add(
            found,
            Level::Notice,
            "tailscale",
            "Tailscale accepts in chains of its own; that is not final here: what comes over tailscale0 is judged by the policy",
            &[
                "`allow anything on tailscale0` lets the tailnet in",
                "`allow 41641/udp` lets peers connect directly",
            ],
        );
    }
}

fn host(signs: &Signs, passes: Option<Passes>, found: &mut Vec<Finding>) {
    if passes.is_some_and(|passes| passes.forwards) && signs.forwards == [false, false] {
        add(
            found,
            Level::Warning,
            "forwarding-off",
            "the policy lets packets through, and the kernel forwards none",
            &[
                "`sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`, and the same in /etc/sysctl.d",
            ],
        );
    }
    if let Some((count, most)) = signs.tracked
        && most > 0
    {
        let share = count * 100 / most;
        if share >= 80 {
            let level = if share >= 95 { Level::Critical } else { Level::Warning };
            found.push(Finding {
                level,
                id: "conntrack-full",
                what: format!("{count} of {most} places for connections are taken ({share} %): when it is full, new ones are dropped"),
                ways_out: vec![format!("`sysctl -w net.netfilter.nf_conntrack_max={}`, and the same in /etc/sysctl.d", most * 2)],
            });
        } else if most < 16_384 {
            found.push(Finding {
                level: Level::Notice,
                id: "conntrack-small",
                what: format!("there is room for {most} connections only"),
                ways_out: vec!["`sysctl -w net.netfilter.nf_conntrack_max=65536`".to_owned()],
            });
        }
    }
    if signs.bridges_filter {
        add(
            found,
            Level::Notice,
            "bridge-nf",
            "what passes between ports of one bridge is filtered, too (bridge-nf-call-iptables): it passes unless a `forward` sentence says otherwise",
            &["`sysctl -w net.bridge.bridge-nf-call-iptables=0`, unless Kubernetes needs it"],
        );
    }
    let clouds = [
        ("Amazon", "security groups"),
        ("Google", "VPC firewall rules"),
        ("Microsoft", "network security groups"),
        ("Hetzner", "Cloud Firewalls"),
        ("DigitalOcean", "Cloud Firewalls"),
        ("Oracle", "security lists"),
        ("Vultr", "firewall groups"),
        ("Linode", "Cloud Firewalls"),
        ("OpenStack", "security groups"),
        ("Scaleway", "security groups"),
        ("UpCloud", "a firewall"),
    ];
    if let Some((vendor, what)) = clouds.iter().find(|(vendor, _)| signs.vendor.contains(vendor)) {
        found.push(Finding {
            level: Level::Notice,
            id: "provider",
            what: format!(
                "this machine is {vendor}'s, which has {what} outside: what those drop never comes here"
            ),
            ways_out: vec![
                "a door that stays shut although `doorward explain` allows it is shut there".to_owned(),
            ],
        });
    }
    if signs.has_chain("InstanceServices") {
        add(
            found,
            Level::Warning,
            "oracle-rules",
            "Oracle's image comes with rules of iptables: a REJECT at their end shuts every door but SSH",
            &["take the REJECT lines out of /etc/iptables/rules.v4, and leave InstanceServices there"],
        );
    }
}

/// Tables that drop and belong to nobody named above.
fn tables(signs: &Signs, found: &mut Vec<Finding>) {
    const KNOWN: [&str; 9] = [
        "firewalld",
        "docker-bridges",
        "netavark",
        "libvirt_network",
        "incus",
        "lxd",
        "crowdsec",
        "crowdsec6",
        "f2b-table",
    ];
    let managed = ["ufw-", "DOCKER", "KUBE-", "LIBVIRT", "InstanceServices", "ts-", "NETAVARK", "f2b-"];
    let is_known = |table: &&Foreign| {
        let name = table.name.split_once(' ').map_or("", |(_, name)| name);
        KNOWN.contains(&name)
            || table.chains.iter().any(|chain| managed.iter().any(|stem| chain.starts_with(stem)))
    };
    for table in signs.tables.iter().filter(|table| !table.drops.is_empty() && !is_known(table)) {
        let chains: Vec<String> =
            table.drops.iter().map(|(name, hook)| format!("{name} at {hook}")).collect();
        found.push(Finding {
            level: Level::Warning,
            id: "others-drop",
            what: format!("table {} drops as well ({}): what it drops is dropped, whatever the policy allows", table.name, chains.join(", ")),
            ways_out: vec![
                "`doorward show --all` shows its rules, `doorward explain --whole-kernel` what they do to a packet".to_owned(),
            ],
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signs::{Docker, Flush};

    fn ids(signs: &Signs, passes: Option<Passes>) -> Vec<(&'static str, Level)> {
        findings(signs, passes).into_iter().map(|finding| (finding.id, finding.level)).collect()
    }

    fn table(name: &str, chains: &[&str], drops: bool) -> Foreign {
        Foreign {
            name: name.to_owned(),
            chains: chains.iter().map(|one| (*one).to_owned()).collect(),
            drops: if drops { vec![("input".to_owned(), "input")] } else { Vec::new() },
        }
    }

    #[test]
    fn a_host_alone_has_nothing_to_say() {
        let signs = Signs { tracked: Some((10, 262_144)), ..Signs::default() };
        assert_eq!(ids(&signs, Some(Passes::default())), []);
    }

    #[test]
    fn each_tool_is_found_by_what_it_leaves() {
        let of = |programs: &[&str], boots: &[&str], files: &[&str], tables: Vec<Foreign>| {
            let set = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
            let signs = Signs {
                programs: set(programs),
                boots: set(boots),
                files: set(files),
                tables,
                ..Signs::default()
            };
            ids(&signs, Some(Passes { forwards: true, published: true }))
                .into_iter()
                .filter(|(id, _)| *id != "forwarding-off")
                .collect::<Vec<_>>()
        };
        let warning = |id| vec![(id, Level::Warning)];
        let notice = |id| vec![(id, Level::Notice)];
        assert_eq!(of(&[], &[], &["ufw is enabled"], vec![]), warning("ufw"));
        assert_eq!(of(&[], &[], &[], vec![table("ip filter", &["ufw-before-input"], true)]), warning("ufw"));
        assert_eq!(of(&["firewalld"], &[], &[], vec![]), warning("firewalld"));
        assert_eq!(of(&[], &["netfilter-persistent"], &[], vec![]), warning("iptables-persistent"));
        assert_eq!(of(&[], &[], &["/etc/iptables/rules.v4"], vec![]), notice("iptables-persistent"));
        assert_eq!(of(&[], &["csf"], &[], vec![]), warning("csf"));
        assert_eq!(
            of(&["fail2ban-server"], &[], &[], vec![table("inet f2b-table", &["f2b-chain"], true)]),
            notice("fail2ban")
        );
        assert_eq!(of(&[], &["crowdsec-firewall-bouncer"], &[], vec![]), notice("crowdsec"));
        assert_eq!(of(&["dockerd"], &[], &[], vec![]), notice("docker"));
        assert_eq!(of(&[], &[], &[], vec![table("ip docker-bridges", &[], false)]), notice("docker"));
        assert_eq!(of(&[], &[], &[], vec![table("inet netavark", &[], false)]), notice("podman"));
        assert_eq!(
            of(&[], &[], &[], vec![table("ip filter", &["NETAVARK_FORWARD"], false)]),
            notice("podman")
        );
        assert_eq!(of(&["libvirtd"], &[], &[], vec![]), notice("libvirt"));
        assert_eq!(of(&[], &[], &[], vec![table("inet incus", &[], false)]), notice("incus"));
        assert_eq!(of(&["lxd"], &[], &[], vec![]), notice("lxd"));
        assert_eq!(of(&["kubelet"], &[], &[], vec![]), warning("kubernetes"));
        assert_eq!(of(&["tailscaled"], &[], &[], vec![]), notice("tailscale"));
        assert_eq!(
            of(&[], &[], &[], vec![table("ip filter", &["InstanceServices"], true)]),
            warning("oracle-rules")
        );
        assert_eq!(of(&[], &[], &[], vec![table("ip mine", &["x"], true)]), warning("others-drop"));
    }

    #[test]
    fn what_the_policy_lacks() {
        let shut = Some(Passes::default());
        let docker = Signs { programs: ["dockerd".to_owned()].into(), ..Signs::default() };
        assert_eq!(ids(&docker, shut)[0], ("docker-egress", Level::Warning));
        let podman = Signs {
            programs: ["aardvark-dns".to_owned()].into(),
            tables: vec![table("ip nat", &["NETAVARK-HOSTPORT-DNAT"], false)],
            ..Signs::default()
        };
        let found = findings(&podman, shut);
        assert_eq!((found[0].id, found[0].level), ("podman-egress", Level::Warning));
        let notice = found.iter().find(|one| one.id == "podman").unwrap();
        assert!(notice.ways_out[1].starts_with("`allow dns on podman*` lets"), "{notice:?}");
        let told = Signs { docker: Docker { no_rules: true, nftables: false }, ..docker };
        assert!(ids(&told, None).contains(&("docker-no-rules", Level::Warning)));
        let open = Some(Passes { forwards: true, published: false });
        assert_eq!(ids(&Signs::default(), open), [("forwarding-off", Level::Warning)]);
        let wireguard =
            Signs { interfaces: vec![("wg0".to_owned(), Some("wireguard".to_owned()))], ..Signs::default() };
        assert_eq!(
            findings(&wireguard, shut)[0].ways_out[1],
            "`allow forward anything on wg0` lets peers on to other networks"
        );
    }

    #[test]
    fn dangers_of_the_host() {
        let flush =
            |boots| Flush { path: "/etc/nftables.conf".to_owned(), unit: "nftables".to_owned(), boots };
        let signs = Signs { flushes: vec![flush(true), flush(false)], ..Signs::default() };
        assert_eq!(ids(&signs, None), [("flush-ruleset", Level::Critical), ("flush-ruleset", Level::Notice)]);
        for (count, level) in [(96, Level::Critical), (80, Level::Warning)] {
            let full = Signs { tracked: Some((count * 1000, 100_000)), ..Signs::default() };
            assert_eq!(ids(&full, None), [("conntrack-full", level)]);
        }
        let cloud = Signs { vendor: "Amazon EC2".to_owned(), ..Signs::default() };
        assert_eq!(ids(&cloud, None), [("provider", Level::Notice)]);
    }
}
