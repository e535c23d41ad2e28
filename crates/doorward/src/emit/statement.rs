//! Statements without values from the packet: counters, limits, log, reject; each as nft writes it.

use super::headers::Header;
use super::types::Ty;
use super::{Style, clean};
use crate::ruleset::{Limit, LimitUnit, Log, Reject};
use std::fmt::Write as _;

/// A counter with its state.
pub(super) fn counter(packets: u64, bytes: u64) -> String {
    format!("counter packets {packets} bytes {bytes}")
}

/// A volume in the largest unit that divides it.
fn volume(bytes: u64) -> (u64, &'static str) {
    match bytes {
        0 => (0, "bytes"),
        n if n % (1024 * 1024) == 0 => (n / (1024 * 1024), "mbytes"),
        n if n % 1024 == 0 => (n / 1024, "kbytes"),
        n => (n, "bytes"),
    }
}

fn unit(seconds: u64) -> &'static str {
    match seconds {
        1 => "second",
        60 => "minute",
        3600 => "hour",
        86_400 => "day",
        604_800 => "week",
        _ => "error",
    }
}

/// The rate of a limit, without the word `limit`; nft leaves out the usual bucket of 5 packets.
pub(super) fn rate(limit: &Limit) -> String {
    let over = if limit.over { "over " } else { "" };
    let per = unit(limit.seconds);
    match limit.unit {
        LimitUnit::Packets => {
            let burst = match limit.burst {
                0 | 5 => String::new(),
                burst => format!(" burst {burst} packets"),
            };
            format!("rate {over}{}/{per}{burst}", limit.rate)
        }
        LimitUnit::Bytes => {
            let (rate, unit) = volume(limit.rate);
            let (burst, burst_unit) = volume(u64::from(limit.burst));
            let burst = if burst > 0 { format!(" burst {burst} {burst_unit}") } else { String::new() };
            format!("rate {over}{rate} {unit}/{per}{burst}")
        }
    }
}

/// A quota; `stateless` without what is used up. The word `quota` is the caller's.
pub(super) fn quota(bytes: u64, consumed: u64, flags: u32, stateless: bool) -> String {
    let over = if flags & 1 == 0 { "" } else { "over " };
    let (amount, unit) = volume(bytes);
    let mut text = format!("{over}{amount} {unit}");
    if !stateless && consumed > 0 {
        let (used, unit) = volume(consumed);
        let _ = write!(text, " used {used} {unit}");
    }
    text
}

/// A connection limit.
pub(super) fn connlimit(count: u32, flags: u32) -> String {
    let over = if flags == 0 { "" } else { "over " };
    format!("ct count {over}{count}")
}

/// A log statement.
pub(super) fn log(log: &Log) -> String {
    const LEVELS: [&str; 9] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"];
    const WARNING: u32 = 4;
    let mut text = "log".to_owned();
    if let Some(prefix) = &log.prefix {
        let _ = write!(text, " prefix \"{}\"", clean(prefix));
    }
    if let Some(group) = log.group {
        let _ = write!(text, " group {group}");
    }
    if let Some(snaplen) = log.snaplen {
        let _ = write!(text, " snaplen {snaplen}");
    }
    if let Some(threshold) = log.qthreshold {
        let _ = write!(text, " queue-threshold {threshold}");
    }
    if let Some(level) = log.level.filter(|level| *level != WARNING) {
        let name = LEVELS.get(level as usize).copied().unwrap_or("unknown");
        let _ = write!(text, " level {name}");
    }
    text + &log_flags(log.flags.unwrap_or(0))
}

fn log_flags(flags: u32) -> String {
    const SEQUENCE: u32 = 1;
    const OPTIONS: u32 = 2;
    const ALL: u32 = 0x2f;
    if flags & ALL == ALL {
        return " flags all".to_owned();
    }
    let mut text = String::new();
    match (flags & SEQUENCE != 0, flags & OPTIONS != 0) {
        (true, true) => text.push_str(" flags tcp sequence,options"),
        (true, false) => text.push_str(" flags tcp sequence"),
        (false, true) => text.push_str(" flags tcp options"),
        (false, false) => {}
    }
    for (flag, name) in [(4, "ip options"), (8, "skuid"), (32, "ether")] {
        if flags & flag != 0 {
            let _ = write!(text, " flags {name}");
        }
    }
    text
}

/// An answer that drops; `network` as far as the rule says it, `mixed` for families with several.
///
/// None where nft has no words: an ICMP of no known family.
pub(super) fn reject(reject: Reject, network: Option<Header>, mixed: bool) -> Option<String> {
    let name = |ty: Ty, code: u8| ty.write(u128::from(code), 8, false, &Style::default());
    Some(match (reject, network) {
        (Reject::TcpReset, _) => "reject with tcp reset".to_owned(),
        (Reject::Icmpx(1), _) => "reject".to_owned(),
        (Reject::Icmpx(code), _) => format!("reject with icmpx {}", name(Ty::IcmpxCode, code)),
        (Reject::Icmp(3), Some(Header::Ip)) | (Reject::Icmp(4), Some(Header::Ip6)) if !mixed => {
            "reject".to_owned()
        }
        (Reject::Icmp(code), Some(Header::Ip)) => {
            format!("reject with icmp {}", name(Ty::IcmpCode, code))
        }
        (Reject::Icmp(code), Some(Header::Ip6)) => {
            format!("reject with icmpv6 {}", name(Ty::Icmp6Code, code))
        }
        (Reject::Icmp(_), _) => return None,
    })
}

/// Flags of a translation.
pub(super) fn nat_flags(flags: u32) -> String {
    let names: Vec<&str> = [(4, "random"), (16, "fully-random"), (8, "persistent")]
        .into_iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, name)| name)
        .collect();
    if names.is_empty() { String::new() } else { format!(" {}", names.join(",")) }
}

/// What nft calls a kind of object (`NFT_OBJECT_*`).
pub(super) const fn object_kind(kind: u32) -> Option<&'static str> {
    Some(match kind {
        1 => "counter",
        2 => "quota",
        3 => "ct helper",
        4 => "limit",
        7 => "ct timeout",
        8 => "secmark",
        9 => "ct expectation",
        10 => "synproxy",
        _ => return None,
    })
}

/// The words before the name of an object in a rule.
pub(super) fn object_use(kind: u32) -> String {
    match kind {
        3 => "ct helper set ".to_owned(),
        7 => "ct timeout set ".to_owned(),
        9 => "ct expectation set ".to_owned(),
        8 => "meta secmark set ".to_owned(),
        _ => format!("{} name ", object_kind(kind).unwrap_or("unknown")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn limit(rate: u64, seconds: u64, burst: u32, unit: LimitUnit, over: bool) -> Limit {
        Limit { rate, seconds, burst, unit, over }
    }

    #[test]
    fn rates() {
        use LimitUnit::{Bytes, Packets};
        for (limit, text) in [
            (limit(6, 60, 5, Packets, true), "rate over 6/minute"),
            (limit(10, 1, 20, Packets, false), "rate 10/second burst 20 packets"),
            (limit(512 * 1024, 1, 0, Bytes, false), "rate 512 kbytes/second"),
            (limit(1, 1, 5, Bytes, false), "rate 1 bytes/second burst 5 bytes"),
            (limit(100, 3600, 2048, Bytes, true), "rate over 100 bytes/hour burst 2 kbytes"),
        ] {
            assert_eq!(rate(&limit), text);
        }
    }

    #[test]
    fn logs() {
        let full = Log {
            prefix: Some("in: ".to_owned()),
            group: Some(2),
            snaplen: Some(96),
            qthreshold: Some(8),
            level: None,
            flags: None,
        };
        assert_eq!(log(&full), "log prefix \"in: \" group 2 snaplen 96 queue-threshold 8");
        let flagged =
            |level: u32, flags: u32| log(&Log { level: Some(level), flags: Some(flags), ..Log::default() });
        assert_eq!(flagged(4, 0), "log");
        assert_eq!(flagged(7, 3), "log level debug flags tcp sequence,options");
        assert_eq!(flagged(4, 2 | 4 | 8), "log flags tcp options flags ip options flags skuid");
        assert_eq!(flagged(4, 0x2f), "log flags all");
    }

    #[test]
    fn rejects() {
        assert_eq!(reject(Reject::Icmpx(1), None, true).unwrap(), "reject");
        assert_eq!(reject(Reject::Icmpx(3), None, true).unwrap(), "reject with icmpx admin-prohibited");
        assert_eq!(reject(Reject::Icmp(3), Some(Header::Ip), false).unwrap(), "reject");
        assert_eq!(
            reject(Reject::Icmp(3), Some(Header::Ip), true).unwrap(),
            "reject with icmp port-unreachable"
        );
        assert_eq!(
            reject(Reject::Icmp(1), Some(Header::Ip6), false).unwrap(),
            "reject with icmpv6 admin-prohibited"
        );
        assert_eq!(reject(Reject::Icmp(1), None, true), None);
    }
}
