//! The catalogue as text: every line is well formed, and the names that people
//! type open what IANA and the services' own documents say.
//!
//! It reads the text with a few lines of its own and refuses to know the parser,
//! so that a mistake there cannot hide one here.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

const TEXT: &str = include_str!("../src/catalogue/services.dw");

/// The groups, in the order in which a reader meets them.
const GROUPS: &[&str] = &[
    "Remote access",
    "Web",
    "Mail",
    "Names and time",
    "Users and logins",
    "Files",
    "Storage and backup",
    "Databases",
    "Messages and queues",
    "Tunnels and private networks",
    "Routing and network devices",
    "Monitoring and logs",
    "Running many hosts",
    "Containers and clusters",
    "Virtual machines",
    "Code and builds",
    "Chat and calls",
    "Mobile networks",
    "Media",
    "Homes and devices",
    "Printers and scanners",
    "Games",
    "Peer to peer",
    "Old and small services",
];

/// The words in quotes of the grammar: none of them can be a name.
const KEYWORDS: &str = "define file feed interface ping icmp protocol trust default allow block \
    reject in out published forward expect is allowed blocked include masquerade from on redirect \
    to publish anything limit burst per source then ban passive helper log until except by user \
    group unit anyone outside tcp udp tcp+udp sctp second minute hour day s m h d T";

/// The protocols that the catalogue may name.
const PROTOCOLS: &[&str] =
    &["ah", "eigrp", "esp", "etherip", "gre", "igmp", "ipip", "ipv6", "ospf", "pim", "vrrp"];

/// Registered by IANA; of the transports, those that the service uses today.
const IANA: &[(&str, &str)] = &[
    ("ssh", "22/tcp"),
    ("telnet", "23/tcp"),
    ("telnets", "992/tcp"),
    ("rdp", "3389/tcp"),
    ("vnc", "5900/tcp"),
    ("http", "80/tcp"),
    ("https", "443/tcp"),
    ("http3", "443/udp"),
    ("http-alt", "8080/tcp"),
    ("socks", "1080/tcp"),
    ("hkp", "11371/tcp"),
    ("gopher", "70/tcp"),
    ("smtp", "25/tcp"),
    ("submission", "587/tcp"),
    ("smtps", "465/tcp"),
    ("submissions", "465/tcp"),
    ("pop3", "110/tcp"),
    ("pop3s", "995/tcp"),
    ("imap", "143/tcp"),
    ("imaps", "993/tcp"),
    ("sieve", "4190/tcp"),
    ("dns", "53/tcp+udp"),
    ("domain", "53/tcp+udp"),
    ("dns-over-tls", "853/tcp"),
    ("dns-over-quic", "853/udp"),
    ("mdns", "5353/udp"),
    ("llmnr", "5355/tcp+udp"),
    ("dhcp", "67/udp"),
    ("dhcp-client", "68/udp"),
    ("dhcpv6", "547/udp"),
    ("dhcpv6-client", "546/udp"),
    ("ntp", "123/udp"),
    ("ntske", "4460/tcp"),
    ("ptp", "319-320/udp"),
    ("whois", "43/tcp"),
    ("ldap", "389/tcp"),
    ("ldaps", "636/tcp"),
    ("kerberos", "88/tcp+udp"),
    ("kpasswd", "464/tcp+udp"),
    ("kadmin", "749/tcp"),
    ("radius", "1812-1813/udp"),
    ("radsec", "2083/tcp"),
    ("diameter", "3868/tcp, 3868/sctp"),
    ("tacacs", "49/tcp"),
    ("ftp", "21/tcp"),
    ("ftps", "990/tcp"),
    ("tftp", "69/udp"),
    ("rsync", "873/tcp"),
    ("samba", "137-138/udp, 139/tcp, 445/tcp"),
    ("nfs", "2049/tcp"),
    ("rpc-bind", "111/tcp+udp"),
    ("afp", "548/tcp"),
    ("dropbox-lan", "17500/tcp+udp"),
    ("iscsi-target", "3260/tcp"),
    ("nbd", "10809/tcp"),
    ("bacula", "9101-9103/tcp"),
    ("amanda", "10080/tcp+udp"),
    ("mysql", "3306/tcp"),
    ("mariadb", "3306/tcp"),
    ("postgresql", "5432/tcp"),
    ("postgres", "5432/tcp"),
    ("redis", "6379/tcp"),
    ("memcached", "11211/tcp"),
    ("mongodb", "27017/tcp"),
    ("couchdb", "5984/tcp"),
    ("mssql", "1433/tcp"),
    ("amqp", "5672/tcp"),
    ("amqps", "5671/tcp"),
    ("rabbitmq", "5671-5672/tcp"),
    ("mqtt", "1883/tcp"),
    ("mqtts", "8883/tcp"),
    ("coap", "5683/udp"),
    ("openvpn", "1194/udp"),
    ("ipsec", "500/udp, 4500/udp, protocol esp, protocol ah"),
    ("isakmp", "500/udp"),
    ("l2tp", "1701/udp"),
    ("pptp", "1723/tcp, protocol gre"),
    ("gre", "protocol gre"),
    ("vxlan", "4789/udp"),
    ("bgp", "179/tcp"),
    ("ospf", "protocol ospf"),
    ("vrrp", "protocol vrrp"),
    ("rip", "520/udp"),
    ("ripng", "521/udp"),
    ("snmp", "161/udp"),
    ("snmptrap", "162/udp"),
    ("syslog", "514/udp"),
    ("syslog-tls", "6514/tcp"),
    ("zabbix-agent", "10050/tcp"),
    ("zabbix-server", "10051/tcp"),
    ("nut", "3493/tcp"),
    ("puppet", "8140/tcp"),
    ("docker", "2375/tcp"),
    ("docker-tls", "2376/tcp"),
    ("etcd", "2379-2380/tcp"),
    ("git", "9418/tcp"),
    ("svn", "3690/tcp"),
    ("distcc", "3632/tcp"),
    ("matrix-federation", "8448/tcp"),
    ("xmpp-client", "5222/tcp"),
    ("xmpp-server", "5269/tcp"),
    ("ircs", "6697/tcp"),
    ("sip", "5060/tcp+udp"),
    ("sips", "5061/tcp"),
    ("stun", "3478/tcp+udp"),
    ("turn", "3478/tcp+udp"),
    ("turns", "5349/tcp+udp"),
    ("nntp", "119/tcp"),
    ("ngap", "38412/sctp"),
    ("plex", "32400/tcp"),
    ("rtsp", "554/tcp+udp"),
    ("modbus", "502/tcp"),
    ("ipp", "631/tcp"),
    ("lpd", "515/tcp"),
    ("finger", "79/tcp"),
    ("ident", "113/tcp"),
];

/// Not registered, or only in part: what the project's own documents say.
const PROJECTS: &[(&str, &str)] = &[
    ("mosh", "60000-61000/udp"),
    ("gemini", "1965/tcp"),
    ("vault", "8200/tcp"),
    ("nfs3", "111/tcp+udp, 2049/tcp+udp, 20048/tcp+udp"),
    ("syncthing", "22000/tcp+udp, 21027/udp"),
    ("ceph-mon", "3300/tcp, 6789/tcp"),
    ("glusterfs", "24007-24008/tcp, 49152-49664/tcp"),
    ("elasticsearch", "9200/tcp, 9300/tcp"),
    ("cassandra", "9042/tcp"),
    ("clickhouse", "8123/tcp, 9000/tcp"),
    ("influxdb", "8086/tcp"),
    ("neo4j", "7473-7474/tcp, 7687/tcp"),
    ("kafka", "9092/tcp"),
    ("nats", "4222/tcp"),
    ("wireguard", "51820/udp"),
    ("tailscale", "41641/udp"),
    ("zerotier", "9993/udp"),
    ("prometheus", "9090/tcp"),
    ("grafana", "3000/tcp"),
    ("node-exporter", "9100/tcp"),
    ("cockpit", "9090/tcp"),
    ("webmin", "10000/tcp"),
    ("plesk", "8443/tcp, 8880/tcp"),
    ("cpanel", "2082-2083/tcp"),
    ("salt-master", "4505-4506/tcp"),
    ("docker-swarm", "2377/tcp, 7946/tcp+udp, 4789/udp, protocol esp"),
    ("kube-apiserver", "6443/tcp"),
    ("kubelet", "10250/tcp"),
    ("kube-nodeport-services", "30000-32767/tcp+udp"),
    ("consul", "8500/tcp, 8600/tcp+udp"),
    ("nomad", "4646/tcp"),
    ("libvirt", "16509/tcp"),
    ("libvirt-tls", "16514/tcp"),
    ("spice", "5900-5999/tcp"),
    ("proxmox", "8006/tcp"),
    ("gitea", "3000/tcp"),
    ("gitlab", "22/tcp, 80/tcp, 443/tcp"),
    ("jenkins", "8080/tcp"),
    ("matrix", "443/tcp, 8448/tcp"),
    ("irc", "6667/tcp"),
    ("mumble", "64738/tcp+udp"),
    ("teamspeak", "9987/udp, 30033/tcp"),
    ("jitsi", "80/tcp, 443/tcp, 10000/udp, 3478/udp, 5349/tcp"),
    ("jellyfin", "8096/tcp, 8920/tcp"),
    ("home-assistant", "8123/tcp"),
    ("minecraft", "25565/tcp"),
    ("minecraft-bedrock", "19132-19133/udp"),
    ("steam-server", "27015/tcp+udp, 27020/udp"),
    ("factorio", "34197/udp"),
    ("transmission", "51413/tcp+udp"),
    ("bittorrent", "6881-6889/tcp+udp"),
    ("bitcoin", "8333/tcp"),
    ("tor", "9001/tcp"),
];

/// The services that open more than 128 ports in one range, and why they must.
const WIDE: &[(&str, &str)] = &[
    ("mosh", "one port for each session"),
    ("samba-dc", "Windows RPC answers on any of its dynamic ports"),
    ("ceph", "a few ports for each disk of a host"),
    ("glusterfs", "one port for each brick"),
    ("kube-nodeport-services", "one port for each service"),
    ("rtp-asterisk", "two ports for each call"),
    ("turn-relay", "one port for each relayed peer"),
];

/// Opened to the world, these have cost many people their data.
const KEEP_OFF: &str = "mysql mariadb postgresql redis valkey memcached mongodb elasticsearch \
    opensearch couchdb mssql docker rsh adb samba nfs rpc-bind rabbitmq-management zookeeper \
    webmin proxmox bitcoin-rpc ethereum-rpc jupyter fastcgi distcc modbus";

struct Service<'a> {
    group: &'a str,
    items: Vec<&'a str>,
    comment: &'a str,
}

type Catalogue<'a> = BTreeMap<&'a str, Service<'a>>;

/// Reads the whole text; each mistake is told with its line.
fn read(text: &str) -> (Catalogue<'_>, Vec<String>) {
    let mut services = Catalogue::new();
    let mut mistakes = Vec::new();
    let mut group = None;
    for (index, line) in text.lines().enumerate() {
        let mut wrong = |what: &str| mistakes.push(format!("{}: {what}: {line}", index + 1));
        if line != line.trim_end() || line.contains('\t') {
            wrong("stray white space");
        }
        if let Some(heading) = line.strip_prefix("# ==") {
            match heading.strip_prefix(' ').and_then(|h| h.strip_suffix(" ==")) {
                Some(name) => group = Some(name),
                None => wrong("a heading that is not `# == NAME ==`"),
            }
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((sentence, comment)) = line.split_once('#') else {
            wrong("no comment");
            continue;
        };
        let words = sentence.strip_prefix("define ").and_then(|s| s.split_once(" = "));
        let Some((name, items)) = words else {
            wrong("not `define NAME = ITEMS`");
            continue;
        };
        let items: Vec<&str> = items.trim_end().split(", ").collect();
        let comment = comment.trim();
        if comment.is_empty() {
            wrong("an empty comment");
        }
        if !is_name(name) {
            wrong("a name that nobody can type");
        }
        if KEYWORDS.split_whitespace().any(|word| word == name) {
            wrong("a word of the grammar as a name");
        }
        if !items.iter().all(|item| is_name(item) || doors(item).is_some()) {
            wrong("an item that is neither ports, nor a protocol, nor a name");
        }
        if items.iter().collect::<BTreeSet<_>>().len() != items.len() {
            wrong("an item twice");
        }
        let Some(group) = group else {
            wrong("a service before the first heading");
            continue;
        };
        if services.insert(name, Service { group, items, comment }).is_some() {
            wrong("a name that is there already");
        }
    }
    (services, mistakes)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// One door: a transport and a port, or a protocol without ports.
type Door = (String, u16);

/// What a ports token or `protocol NAME` opens; nothing when it is neither.
fn doors(item: &str) -> Option<BTreeSet<Door>> {
    if let Some(protocol) = item.strip_prefix("protocol ") {
        let known = PROTOCOLS.contains(&protocol);
        return known.then(|| BTreeSet::from([(item.to_owned(), 0)]));
    }
    let (range, transports) = item.split_once('/')?;
    let transports: &[&str] = match transports {
        "tcp" => &["tcp"],
        "udp" => &["udp"],
        "sctp" => &["sctp"],
        "tcp+udp" => &["tcp", "udp"],
        _ => return None,
    };
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(range)?, number(range)?),
    };
    let rising = first < last || (first == last && !range.contains('-'));
    let ports = rising.then_some(first..=last)?;
    Some(transports.iter().flat_map(|t| ports.clone().map(|p| ((*t).to_owned(), p))).collect())
}

/// A number without sign or leading zero, and not zero.
fn number(word: &str) -> Option<u16> {
    let plain = word.starts_with(|c: char| c.is_ascii_digit() && c != '0');
    plain.then(|| word.parse().ok()).flatten()
}

/// Everything that a name opens, through the names that it is made of.
fn opens(services: &Catalogue, name: &str, above: &[&str]) -> Result<BTreeSet<Door>, String> {
    if above.contains(&name) {
        return Err(format!("{} is made of itself", above.join(" → ")));
    }
    let service = services.get(name).ok_or_else(|| format!("{above:?} want {name}: not there"))?;
    let mut all = BTreeSet::new();
    for item in &service.items {
        match doors(item) {
            Some(doors) => all.extend(doors),
            None => all.extend(opens(services, item, &[above, &[name]].concat())?),
        }
    }
    Ok(all)
}

/// How many different ports one item spans.
fn width(item: &str) -> usize {
    let doors = doors(item).unwrap_or_default();
    doors.iter().map(|(_, port)| port).collect::<BTreeSet<_>>().len()
}

fn catalogue() -> Catalogue<'static> {
    let (services, mistakes) = read(TEXT);
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    services
}

#[test]
fn every_line_is_well_formed_and_there_are_enough() {
    let services = catalogue();
    assert!(services.len() >= 320, "only {} services", services.len());
}

#[test]
fn every_name_that_is_used_is_there_and_none_is_made_of_itself() {
    let services = catalogue();
    for name in services.keys() {
        let doors = opens(&services, name, &[]).unwrap_or_else(|reason| panic!("{reason}"));
        assert!(!doors.is_empty(), "{name} opens nothing");
    }
}

#[test]
fn services_open_what_iana_and_their_projects_say() {
    let services = catalogue();
    let mut wrong = Vec::new();
    for (name, expected) in IANA.iter().chain(PROJECTS) {
        let expected: BTreeSet<Door> = expected.split(", ").flat_map(|item| doors(item).unwrap()).collect();
        match opens(&services, name, &[]) {
            Ok(found) if found == expected => {}
            found => wrong.push(format!("{name}: {found:?}, expected {expected:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn groups_stand_in_order_and_none_is_empty() {
    let headings: Vec<&str> =
        TEXT.lines().filter_map(|line| line.strip_prefix("# == ")?.strip_suffix(" ==")).collect();
    assert_eq!(headings, GROUPS);
    let used: BTreeSet<&str> = catalogue().values().map(|service| service.group).collect();
    assert_eq!(used, GROUPS.iter().copied().collect());
}

#[test]
fn only_services_with_a_reason_open_a_wide_range() {
    let services = catalogue();
    let wide = |service: &Service| service.items.iter().any(|item| width(item) > 128);
    let found: BTreeSet<&str> =
        services.iter().filter(|(_, service)| wide(service)).map(|(name, _)| *name).collect();
    assert_eq!(found, WIDE.iter().map(|(name, _)| *name).collect());
}

#[test]
fn dangerous_services_say_so() {
    let services = catalogue();
    for name in KEEP_OFF.split_whitespace() {
        let comment = services[name].comment;
        assert!(comment.ends_with("keep it off the Internet"), "{name}: {comment}");
    }
}

/// The reader above must be able to fail, or the tests above mean nothing.
#[test]
fn the_reader_refuses_what_is_broken() {
    let broken = [
        ("define a = 1/tcp", "no comment"),
        ("define a = 1/tcp   #", "an empty comment"),
        ("defin a = 1/tcp   # x", "not `define NAME = ITEMS`"),
        ("define a 1/tcp   # x", "not `define NAME = ITEMS`"),
        ("define 1a = 1/tcp   # x", "a name that nobody can type"),
        ("define A = 1/tcp   # x", "a name that nobody can type"),
        ("define trust = 1/tcp   # x", "a word of the grammar"),
        ("define a = 0/tcp   # x", "an item that is neither"),
        ("define a = 65536/tcp   # x", "an item that is neither"),
        ("define a = 022/tcp   # x", "an item that is neither"),
        ("define a = 9-8/tcp   # x", "an item that is neither"),
        ("define a = 8-8/tcp   # x", "an item that is neither"),
        ("define a = 8/dccp   # x", "an item that is neither"),
        ("define a = 8   # x", "an item that is neither"),
        ("define a = protocol tcp   # x", "an item that is neither"),
        ("define a = protocol 47   # x", "an item that is neither"),
        ("define a = 8/tcp,9/tcp   # x", "an item that is neither"),
        ("define a = 8/tcp, 8/tcp   # x", "an item twice"),
        ("define a = 8/tcp   # x ", "stray white space"),
        ("# ==Web ==", "a heading that is not"),
        ("define z = 8/tcp   # x", "a name that is there already"),
    ];
    for (line, reason) in broken {
        let (_, mistakes) = read(&format!("# == Web ==\ndefine z = 1/tcp   # z\n{line}\n"));
        assert_eq!(mistakes.len(), 1, "{line}: {mistakes:?}");
        assert!(mistakes[0].contains(reason), "{line}: {mistakes:?}");
    }
    let (_, mistakes) = read("define a = 1/tcp   # x\n");
    assert!(mistakes[0].contains("before the first heading"), "{mistakes:?}");
    let (circle, _) = read("# == Web ==\ndefine a = b   # x\ndefine b = a   # x\n");
    assert!(opens(&circle, "a", &[]).is_err());
    let (missing, _) = read("# == Web ==\ndefine a = b   # x\n");
    assert!(opens(&missing, "a", &[]).is_err());
}
