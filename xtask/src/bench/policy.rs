//! One and the same policy in the language of every peer; made from a fixed seed, the same everywhere.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Services of the large policy.
const SERVICES: [(&str, u16); 20] = [
    ("ssh", 22),
    ("http", 80),
    ("https", 443),
    ("smtp", 25),
    ("submission", 587),
    ("smtps", 465),
    ("pop3", 110),
    ("pop3s", 995),
    ("imap", 143),
    ("imaps", 993),
    ("mysql", 3306),
    ("postgresql", 5432),
    ("redis", 6379),
    ("mongodb", 27017),
    ("8443/tcp", 8443),
    ("9200/tcp", 9200),
    ("5222/tcp", 5222),
    ("5269/tcp", 5269),
    ("6667/tcp", 6667),
    ("8080/tcp", 8080),
];
/// Prefix lengths, twelve a family.
const LENGTHS4: [u8; 12] = [24, 32, 16, 22, 28, 20, 27, 23, 21, 26, 25, 18];
const LENGTHS6: [u8; 12] = [48, 64, 32, 56, 128, 40, 52, 44, 36, 60, 46, 29];
/// TCP ports of the classic script; its one UDP port is 53.
pub(super) const TCP: [&str; 12] =
    ["22", "53", "80", "443", "8443", "25", "110", "995", "143", "20", "21", "50000:50100"];

/// A source of one rule: an IPv4 or IPv6 prefix.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Four(Ipv4Addr, u8),
    Six(Ipv6Addr, u8),
}

impl Source {
    /// The network address, if family and length are these.
    fn network(&self, six: bool, length: u8) -> Option<String> {
        match self {
            Source::Four(addr, l) if !six && *l == length => Some(addr.to_string()),
            Source::Six(addr, l) if six && *l == length => Some(addr.to_string()),
            _ => None,
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Four(addr, 32) => write!(f, "{addr}"),
            Source::Six(addr, 128) => write!(f, "{addr}"),
            Source::Four(addr, length) => write!(f, "{addr}/{length}"),
            Source::Six(addr, length) => write!(f, "{addr}/{length}"),
        }
    }
}

/// xorshift64*: the same numbers everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// `n` sources, half of them IPv6, every length in turn. IPv4 from 20.0.0.0 to 83.255.255.255, IPv6 from
/// `2a00::/12`: the senders of the benchmark are in neither.
fn sources(n: usize, seed: u64) -> Vec<Source> {
    let mut numbers = Numbers(seed);
    (0..n)
        .map(|i| {
            let (high, low) = (u128::from(numbers.next()), u128::from(numbers.next()));
            if i % 2 == 0 {
                let length = LENGTHS4[i / 2 % LENGTHS4.len()];
                let addr = 0x1400_0000 + (u32::try_from(low & 0x3fff_ffff).unwrap_or(0));
                Source::Four(Ipv4Addr::from_bits(addr & (u32::MAX << (32 - length))), length)
            } else {
                let length = LENGTHS6[i / 2 % LENGTHS6.len()];
                let addr = 0x2a00_u128 << 112 | (high << 64 | low) >> 12;
                Source::Six(Ipv6Addr::from_bits(addr & (u128::MAX << (128 - length))), length)
            }
        })
        .collect()
}

/// Allowed sources with their service, and blocked sources.
pub(super) fn large(n: usize) -> (Vec<(Source, &'static str, u16)>, Vec<Source>) {
    let allow = sources(n, 0x9E37_79B9_7F4A_7C15)
        .into_iter()
        .enumerate()
        .map(|(i, source)| (source, SERVICES[i % SERVICES.len()].0, SERVICES[i % SERVICES.len()].1))
        .collect();
    (allow, sources(n, 0xD1B5_4A32_D192_ED03))
}

/// The large policy in our language.
pub(super) fn doorward(n: usize) -> String {
    let (allow, block) = large(n);
    let mut text =
        format!("# {n} sentences that allow and {n} that block, made by `cargo xtask generate {n}`\n");
    text.push_str("allow ping\nallow dns\n");
    for (source, service, _) in allow {
        let _ = writeln!(text, "allow {service} from {source}");
    }
    for source in block {
        let _ = writeln!(text, "block from {source}");
    }
    text
}

/// The classic script's rules, and the large policy's, for `iptables-restore` or `ip6tables-restore`.
pub(super) fn iptables(n: usize, six: bool) -> String {
    let (allow, block) = large(n);
    let mine = |source: &Source| matches!(source, Source::Six(..)) == six;
    let mut text = String::from("*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n");
    text.push_str("-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n");
    text.push_str(if six { "-A INPUT -p ipv6-icmp -j ACCEPT\n" } else { "-A INPUT -p icmp -j ACCEPT\n" });
    for source in block.iter().filter(|source| mine(source)) {
        let _ = writeln!(text, "-A INPUT -s {source} -j DROP");
    }
    for (source, _, port) in allow.iter().filter(|(source, ..)| mine(source)) {
        let _ = writeln!(text, "-A INPUT -s {source} -p tcp --dport {port} -j ACCEPT");
    }
    for port in TCP.iter().filter(|_| n == 0) {
        let _ = writeln!(text, "-A INPUT -p tcp --dport {port} -j ACCEPT");
    }
    text.push_str("-A INPUT -p udp --dport 53 -j ACCEPT\nCOMMIT\n");
    text
}

/// The same by hand in nftables, as well as it can be written: one hash set per prefix length.
pub(super) fn nft(n: usize) -> String {
    let (allow, block) = large(n);
    let mut sets = String::new();
    let (mut blocks, mut allows) = (String::new(), String::new());
    for (six, lengths) in [(false, LENGTHS4), (true, LENGTHS6)] {
        let (tag, kind, saddr) =
            if six { (6, "ipv6_addr", "ip6 saddr") } else { (4, "ipv4_addr", "ip saddr") };
        for length in lengths {
            let mask = if six {
                Ipv6Addr::from_bits(u128::MAX << (128 - length)).to_string()
            } else {
                Ipv4Addr::from_bits(u32::MAX << (32 - length)).to_string()
            };
            let of_length = |source: &Source| source.network(six, length);
            let blocked: Vec<String> = block.iter().filter_map(of_length).collect();
            let allowed: Vec<String> = allow
                .iter()
                .filter_map(|(source, _, port)| Some(format!("{} . {port}", of_length(source)?)))
                .collect();
            if !blocked.is_empty() {
                let list = blocked.join(", ");
                let _ = writeln!(sets, " set b{tag}_{length} {{ type {kind}; elements = {{ {list} }} }}");
                let _ = writeln!(blocks, "  {saddr} & {mask} @b{tag}_{length} drop");
            }
            if !allowed.is_empty() {
                let list = allowed.join(", ");
                let _ = writeln!(
                    sets,
                    " set a{tag}_{length} {{ type {kind} . inet_service; elements = {{ {list} }} }}"
                );
                let _ = writeln!(allows, "  {saddr} & {mask} . tcp dport @a{tag}_{length} accept");
            }
        }
    }
    if n == 0 {
        let ports: Vec<&str> = TCP.iter().copied().filter(|port| !port.contains(':')).collect();
        let _ =
            writeln!(allows, "  tcp dport {{ {} }} accept\n  tcp dport 50000-50100 accept", ports.join(", "));
    }
    format!(
        "table inet hand {{
{sets} chain input {{
  type filter hook input priority filter; policy drop;
  ct state vmap {{ established : accept, related : accept, invalid : drop }}
  iif lo accept
{blocks}  meta l4proto vmap {{ tcp : jump t, udp : jump u, icmp : accept, ipv6-icmp : accept }}
 }}
 chain t {{
{allows} }}
 chain u {{ udp dport 53 accept; }}
 chain forward {{ type filter hook forward priority filter; policy drop; }}
}}
"
    )
}
