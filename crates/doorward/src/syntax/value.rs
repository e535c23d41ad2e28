//! Single tokens to values: addresses, ports, numbers, names; says what was meant where that can be known.

use super::ast::{PortProtos, Ports, Value};
use super::{foreign, words};
use crate::net::{Family, IpRange, PortRange, Prefix, PrefixError};
use crate::report::{Report, Span, suggest};
use std::net::{IpAddr, Ipv4Addr};

/// What is wrong with one token, without its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mistake {
    pub(super) id: &'static str,
    message: String,
    label: String,
    /// What should stand there instead.
    pub(super) fix: Option<String>,
    ways_out: Vec<String>,
}

impl Mistake {
    pub(super) fn new(id: &'static str, message: impl Into<String>) -> Mistake {
        Mistake { id, message: message.into(), label: String::new(), fix: None, ways_out: Vec::new() }
    }

    /// The same, asking whether `fix` was meant.
    pub(super) fn meant(mut self, fix: impl Into<String>) -> Mistake {
        let fix = fix.into();
        self.label = format!("did you mean `{fix}`?");
        self.fix = Some(fix);
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Mistake {
        self.label = label.into();
        self
    }

    pub(super) fn way_out(mut self, text: impl Into<String>) -> Mistake {
        self.ways_out.push(text.into());
        self
    }

    /// The same at a place.
    pub(super) fn at(&self, span: Span) -> Report {
        let mut report = Report::error(self.id, span, self.message.clone()).label(self.label.clone());
        report.ways_out.clone_from(&self.ways_out);
        report
    }
}

/// `name = letter { letter | digit | "_" | "-" | "." }`, and no keyword.
pub(super) fn is_name(word: &str) -> bool {
    has_name_letters(word) && !words::is_keyword(word)
}

fn has_name_letters(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// A name that is defined or used.
pub(super) fn name(word: &str) -> Result<String, Mistake> {
    if is_name(word) {
        return Ok(word.to_owned());
    }
    if words::is_keyword(word) {
        return Err(Mistake::new(
            "keyword-as-name",
            format!("`{word}` is a word of the language and cannot be a name"),
        )
        .label("choose another name")
        .way_out(format!("for example `my-{}`", word.to_lowercase().replace('+', "-"))));
    }
    let kept: String =
        word.chars().map(|c| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '-' }).collect();
    let kept = kept.trim_matches('-');
    let meant = if kept.starts_with(|c: char| c.is_ascii_alphabetic()) {
        kept.to_owned()
    } else {
        format!("n{kept}")
    };
    let mistake = Mistake::new("not-a-name", format!("`{word}` is not a name"))
        .way_out("a name starts with a letter and goes on with letters, digits, `_`, `-` and `.`");
    Err(if is_name(&meant) && meant.len() > 2 { mistake.meant(meant) } else { mistake })
}

/// Whether a token looks like an address rather than a name.
pub(super) fn looks_like_address(word: &str) -> bool {
    if word.contains("://") {
        return false;
    }
    let host = word.split(['/', '-']).next().unwrap_or(word);
    let four = host.starts_with(|c: char| c.is_ascii_digit())
        && host.contains('.')
        && host.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ':' || c == '*');
    let six = word.trim_start_matches('[').matches(':').count() >= 2;
    four || six
}

/// `value = address | prefix | address "-" address | name`.
pub(super) fn value(word: &str) -> Result<Value, Mistake> {
    if is_name(word) && !looks_like_address(word) {
        return match foreign::everybody(word) {
            Some(mistake) => Err(mistake),
            None => Ok(Value::Name(word.to_owned())),
        };
    }
    if let Some((first, last)) = word.split_once('-').filter(|_| looks_like_address(word)) {
        return range(word, first, last);
    }
    match Prefix::parse(word) {
        Ok(prefix) => Ok(Value::Prefix(prefix)),
        Err(error) => Err(not_a_value(word, &error)),
    }
}

fn range(word: &str, first: &str, last: &str) -> Result<Value, Mistake> {
    let ends: Vec<IpAddr> = [first, last].iter().filter_map(|end| end.parse().ok()).collect();
    let [first_addr, last_addr] = ends[..] else {
        // `203.0.113.1-9`, as nmap writes it.
        if let (Ok(IpAddr::V4(four)), Ok(octet)) = (first.parse::<IpAddr>(), last.parse::<u8>()) {
            let [a, b, c, _] = four.octets();
            return Err(Mistake::new("not-an-address", format!("`{word}` is not a range of addresses"))
                .meant(format!("{first}-{a}.{b}.{c}.{octet}")));
        }
        if word.contains('/') {
            return Err(Mistake::new("prefix-in-range", format!("`{word}` mixes a prefix and a range"))
                .label("write the prefix alone, or the first and the last address"));
        }
        let bad = if first.parse::<IpAddr>().is_ok() { last } else { first };
        let inner = not_a_value(bad, &PrefixError::Address);
        let fix = inner.fix.as_ref().map(|fix| word.replacen(bad, fix, 1));
        return Err(match fix {
            Some(fix) => inner.meant(fix),
            None => inner,
        });
    };
    match IpRange::new(first_addr, last_addr) {
        Ok(range) => Ok(Value::Range(range)),
        Err(PrefixError::MixedRange) => Err(Mistake::new(
            "mixed-range",
            format!("`{word}` starts as {} and ends as {}", Family::of(first_addr), Family::of(last_addr)),
        )
        .label("both ends must be of one family")
        .way_out("write two ranges, one for each family")),
        Err(PrefixError::Backwards) => {
            Err(Mistake::new("range-backwards", format!("`{word}` ends before it starts"))
                .meant(format!("{last_addr}-{first_addr}")))
        }
        Err(PrefixError::Mapped(_)) => {
            let plain = |addr: IpAddr| addr.to_canonical().to_string();
            Err(mapped(word).meant(format!("{}-{}", plain(first_addr), plain(last_addr))))
        }
        Err(error) => Err(not_a_value(word, &error)),
    }
}

fn mapped(word: &str) -> Mistake {
    Mistake::new(
        "mapped-address",
        format!("`{word}` is an IPv4 address written as IPv6, and no such packet passes"),
    )
}

fn not_a_value(word: &str, error: &PrefixError) -> Mistake {
    let (host, length) = word.split_once('/').map_or((word, None), |(host, length)| (host, Some(length)));
    match error {
        PrefixError::HostBits(prefix) => {
            let mistake = Mistake::new("host-bits", format!("`{word}` has bits behind its prefix length"))
                .meant(prefix.to_string());
            mistake.way_out(format!("`{host}` alone is that one host"))
        }
        PrefixError::Mapped(four) => {
            let fix = match length.and_then(|l| l.parse::<u8>().ok()) {
                Some(length) if length < 128 => {
                    Prefix::around(Family::V4, u128::from(four.to_bits()), length.saturating_sub(96))
                        .to_string()
                }
                _ => four.to_string(),
            };
            mapped(word).meant(fix)
        }
        PrefixError::Length(family) => not_a_length(word, host, length.unwrap_or(""), *family),
        _ => not_an_address(word, host, length),
    }
}

fn not_a_length(word: &str, host: &str, length: &str, family: Family) -> Mistake {
    let longest = family.bits();
    let mask = length.parse::<Ipv4Addr>().ok().filter(|_| family == Family::V4).map(Ipv4Addr::to_bits);
    let plain = length.trim_start_matches('0').parse::<u8>().ok().filter(|l| *l <= longest);
    let host_number = host.parse::<Ipv4Addr>().map_or(0, |four| u128::from(four.to_bits()));
    match (mask, plain) {
        // A wildcard mask, as routers have it, is the complement.
        (Some(mask), _)
            if mask.leading_ones() + mask.trailing_zeros() == 32
                || (!mask).leading_ones() + (!mask).trailing_zeros() == 32 =>
        {
            let ones = if mask.leading_ones() > 0 || mask == 0 {
                mask.leading_ones()
            } else {
                (!mask).leading_ones()
            };
            let meant = Prefix::around(family, host_number, u8::try_from(ones).unwrap_or(32));
            Mistake::new("netmask", format!("`{length}` is a netmask; the language counts its bits"))
                .meant(meant.to_string())
        }
        (_, Some(plain)) => {
            Mistake::new("prefix-length", format!("`{length}` is not how a prefix length is written"))
                .meant(format!("{host}/{plain}"))
        }
        _ => Mistake::new("prefix-length", format!("`{word}` has no prefix length of {family}"))
            .label(format!("behind the slash stands a number from 0 to {longest}")),
    }
}

fn not_an_address(word: &str, host: &str, length: Option<&str>) -> Mistake {
    let wrong = || Mistake::new("not-an-address", format!("`{word}` is not an address"));
    let with_length = |host: &str| length.map_or(host.to_owned(), |length| format!("{host}/{length}"));
    let octets: Vec<&str> = host.split('.').collect();
    if octets.len() == 4
        && octets.iter().all(|o| !o.is_empty() && o.len() <= 8 && o.bytes().all(|b| b.is_ascii_digit()))
    {
        let plain: Vec<String> = octets
            .iter()
            .map(|octet| match octet.trim_start_matches('0') {
                "" => "0".to_owned(),
                digits => digits.to_owned(),
            })
            .collect();
        let plain = plain.join(".");
        return if plain.parse::<IpAddr>().is_err() {
            wrong().label("each of the four numbers is at most 255")
        } else {
            Mistake::new(
                "leading-zeros",
                format!("`{word}` has leading zeros, which some programs read as octal"),
            )
            .meant(with_length(&plain))
        };
    }
    if let Some(mistake) = foreign::everybody(word) {
        return mistake;
    }
    if let Some((_, proto)) = word.rsplit_once('/')
        && port_protos(proto).is_some()
    {
        return Mistake::new("ports-as-address", format!("`{word}` is a port, and here stand addresses"))
            .label("ports stand behind the verb")
            .way_out(format!("for example `allow {word} from office`"));
    }
    if let Some(name) = word.strip_prefix('!').filter(|name| value(name).is_ok()) {
        return Mistake::new("negation", format!("`{word}` is not how this language says all others"))
            .meant(format!("outside {name}"));
    }
    if let Some((host, zone)) = host.split_once('%')
        && host.parse::<IpAddr>().is_ok()
    {
        return Mistake::new("zone", format!("`{word}` names an interface, which addresses do not"))
            .meant(host)
            .way_out(format!("`on {zone}` says the interface"));
    }
    let inner = host.strip_prefix('[').and_then(|h| h.split_once(']'));
    if let Some((addr, _)) = inner
        && addr.parse::<IpAddr>().is_ok()
    {
        return Mistake::new("address-with-port", format!("`{word}` is more than an address"))
            .meant(with_length(addr));
    }
    if let Some((addr, port)) = host.split_once(':')
        && addr.parse::<Ipv4Addr>().is_ok()
    {
        return Mistake::new("address-with-port", format!("`{word}` is an address and a port"))
            .meant(addr)
            .way_out(format!("the port is a thing of the sentence: `allow {port}/tcp from {addr}`"));
    }
    if octets.len() == 4 && octets.last() == Some(&"*") {
        let start = octets[..3].join(".");
        if format!("{start}.0").parse::<IpAddr>().is_ok() {
            return wrong().meant(format!("{start}.0/24"));
        }
    }
    if octets.len() < 4 && length.is_some() && octets.iter().all(|o| o.parse::<u8>().is_ok()) {
        let filled = format!("{host}{}", ".0".repeat(4 - octets.len()));
        return Mistake::new("short-address", format!("`{word}` leaves out a part of the address"))
            .meant(with_length(&filled));
    }
    if words::is_keyword(word) {
        return Mistake::new(
            "keyword-as-address",
            format!("`{word}` is a word of the language and cannot be a name"),
        )
        .label("an address, a prefix, a range or a defined name stands here");
    }
    if foreign::is_host_name(host) || word.contains("://") {
        return foreign::host_name(word);
    }
    if octets.len() > 1 && octets.iter().all(|o| o.bytes().all(|b| b.is_ascii_digit())) {
        return wrong().label("an IPv4 address has four numbers, each at most 255");
    }
    wrong()
        .label("write it like 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32")
        .way_out("a name starts with a letter and is made with `define`")
}

/// The protocols behind the slash of a ports token.
pub(super) fn port_protos(word: &str) -> Option<PortProtos> {
    Some(match word {
        "tcp" => PortProtos::Tcp,
        "udp" => PortProtos::Udp,
        "tcp+udp" => PortProtos::TcpUdp,
        "sctp" => PortProtos::Sctp,
        _ => return None,
    })
}

/// `ports = range "/" protocol`.
pub(super) fn ports(word: &str) -> Result<Ports, Mistake> {
    let Some((numbers, proto)) = word.rsplit_once('/') else {
        return Err(foreign::bare_port(word).unwrap_or_else(|| {
            Mistake::new("not-ports", format!("`{word}` is not a port"))
                .label("write it like `80/tcp` or `6000-6010/udp`")
        }));
    };
    if let Some(protos) = port_protos(proto) {
        let range = port_range(numbers).map_err(|mistake| match mistake.fix.clone() {
            Some(fix) => mistake.meant(format!("{fix}/{proto}")),
            None => mistake,
        })?;
        return Ok(Ports { range, protos });
    }
    if let Some(protos) = port_protos(numbers)
        && port_range(proto).is_ok()
    {
        let _ = protos;
        return Err(Mistake::new("ports-turned-round", format!("`{word}` is the wrong way round"))
            .meant(format!("{proto}/{numbers}")));
    }
    let small = proto.to_lowercase();
    let names = ["tcp", "udp", "tcp+udp", "sctp"];
    let meant = match small.as_str() {
        "udp+tcp" | "any" | "both" | "all" | "tcpudp" | "tcp/udp" | "udp/tcp" => Some("tcp+udp"),
        other => suggest(other, names),
    };
    let numbers = numbers.strip_suffix("/tcp").unwrap_or(numbers);
    let mistake = Mistake::new("port-protocol", format!("`{proto}` is not a protocol with ports"));
    Err(match meant {
        Some(meant) => {
            let range = port_range(numbers)
                .map_or_else(|m| m.fix.unwrap_or_else(|| numbers.to_owned()), |_| numbers.to_owned());
            mistake.meant(format!("{range}/{meant}"))
        }
        None => mistake
            .label("it is `tcp`, `udp`, `tcp+udp` or `sctp`")
            .way_out("other protocols have no ports: `protocol gre`"),
    })
}

/// `range = number [ "-" number ]`, ports.
pub(super) fn port_range(word: &str) -> Result<PortRange, Mistake> {
    let (first, last) = match word.split_once(['-', ':']) {
        Some((first, last)) => (first, Some(last)),
        None => (word, None),
    };
    if word.contains(':') && port(first).is_ok() && last.is_some_and(|last| port(last).is_ok()) {
        return Err(Mistake::new("range-with-colon", format!("`{word}` is how iptables writes a range"))
            .meant(word.replacen(':', "-", 1)));
    }
    let low = port(first)?;
    let high = last.map_or(Ok(low), port)?;
    PortRange::new(low, high).ok_or_else(|| {
        Mistake::new("ports-backwards", format!("`{word}` ends before it starts"))
            .meant(format!("{high}-{low}"))
    })
}

/// A port, never 0.
pub(super) fn port(word: &str) -> Result<u16, Mistake> {
    let number = number(word)?;
    if number == 0 {
        return Err(
            Mistake::new("port-zero", "port 0 is never on a wire").label("ports count from 1 to 65535")
        );
    }
    u16::try_from(number).map_err(|_| {
        Mistake::new("port-too-large", format!("there is no port {number}"))
            .label("ports count from 1 to 65535")
    })
}

/// A number without sign and leading zeros.
pub(super) fn number(word: &str) -> Result<u32, Mistake> {
    if word.is_empty() || !word.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Mistake::new("not-a-number", format!("`{word}` is not a number"))
            .label("a number of digits only"));
    }
    if word.len() > 1 && word.starts_with('0') {
        let plain = word.trim_start_matches('0');
        let mistake = Mistake::new("number-with-zeros", format!("`{word}` has leading zeros"));
        return Err(if plain.is_empty() { mistake.meant("0") } else { mistake.meant(plain) });
    }
    word.parse().map_err(|_| {
        Mistake::new("number-too-large", format!("`{word}` is too large"))
            .label(format!("at most {}", u32::MAX))
    })
}

/// What is counted in a rate, in seconds.
const UNITS: [(&str, u32); 4] = [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400)];

/// The word for so many seconds.
pub(super) fn unit_word(seconds: u32) -> &'static str {
    UNITS.iter().find(|(_, s)| *s == seconds).map_or("day", |(word, _)| word)
}

/// `rate = number "/" unit`: how many, and in how many seconds.
pub(super) fn rate(word: &str) -> Result<(u32, u32), Mistake> {
    let Some((count, unit)) = word.split_once('/') else {
        let mistake = Mistake::new("rate", format!("`{word}` is not a rate"));
        return Err(match number(word) {
            Ok(_) => mistake.meant(format!("{word}/minute")),
            Err(_) => mistake.label("write it like `6/minute`"),
        });
    };
    let number = number(count)?;
    let Some((_, seconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let small = unit.to_lowercase();
        let meant = match small.as_str() {
            "s" | "sec" | "secs" => Some("second"),
            "m" | "min" | "mins" => Some("minute"),
            "h" | "hr" | "hrs" => Some("hour"),
            "d" => Some("day"),
            other => suggest(other, UNITS.map(|(name, _)| name)),
        };
        let mistake = Mistake::new("rate-unit", format!("`{unit}` is not a unit of a rate"));
        return Err(match meant {
            Some(meant) => mistake.meant(format!("{count}/{meant}")),
            None => mistake.label("it is `second`, `minute`, `hour` or `day`"),
        });
    };
    if number == 0 {
        return Err(Mistake::new("rate-zero", "a rate of 0 allows nothing")
            .label("at least 1")
            .way_out("a sentence that is left out allows nothing either; `block` says so aloud"));
    }
    Ok((number, *seconds))
}

/// `duration = number ( "s" | "m" | "h" | "d" )`, in seconds.
pub(super) fn duration(word: &str) -> Result<u64, Mistake> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = word.get(digits.len()..).unwrap_or("");
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => {
            return Err(Mistake::new("duration", format!("`{word}` is not a duration"))
                .label("write it like `90s`, `10m`, `2h` or `1d`"));
        }
    };
    match number(digits)? {
        0 => Err(Mistake::new("duration", "a duration of 0 is none").label("at least `1s`")),
        count => Ok(u64::from(count) * factor),
    }
}

/// `yyyy-mm-dd[Thh:mm]`, checked for its form and for days that exist.
pub(super) fn time(word: &str) -> Result<String, Mistake> {
    let (date, clock) = word.split_once('T').map_or((word, None), |(date, clock)| (date, Some(clock)));
    let digits = |text: &str, len: usize| -> Option<u32> {
        (text.len() == len && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    let day = || {
        let mut parts = date.splitn(3, '-');
        let (year, month, day) =
            (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        (1..=last).contains(&day).then_some(())
    };
    let clock = || match clock {
        None => Some(()),
        Some(clock) => {
            let (hour, minute) = clock.split_once(':')?;
            (digits(hour, 2)? < 24 && digits(minute, 2)? < 60).then_some(())
        }
    };
    match (day(), clock()) {
        (Some(()), Some(())) => Ok(word.to_owned()),
        _ => Err(Mistake::new("time", format!("`{word}` is not a point in time"))
            .label("write it like `2026-12-31` or `2026-12-31T18:00`")),
    }
}

/// `ifname`: as the kernel has it, at most 15 bytes, may end in `*`.
pub(super) fn interface(word: &str) -> Result<String, Mistake> {
    let stem = word.strip_suffix('*').unwrap_or(word);
    if stem.contains('*') {
        return Err(Mistake::new("interface-star", format!("`{word}` has a star before its end"))
            .label("a star stands at the end only, like `br-*`"));
    }
    if word == "*" {
        return Err(Mistake::new("interface-star", "`*` alone stands for every interface").label(
            "leave `on` out: then every interface is meant, or say how the names start, like `eth*`",
        ));
    }
    // "+" is how iptables writes the star.
    if let Some(stem) = word.strip_suffix('+')
        && !stem.is_empty()
    {
        return Err(Mistake::new("interface-star", format!("`{word}` is how iptables writes it"))
            .meant(format!("{stem}*")));
    }
    if word.len() > 15 {
        return Err(Mistake::new(
            "interface-too-long",
            format!("`{word}` has {} bytes; the kernel takes 15 for an interface", word.len()),
        )
        .label("at most 15 bytes")
        .way_out("`ip -br link` shows the names as the kernel has them"));
    }
    if word.contains(['/', ':']) || word == "." || word == ".." {
        return Err(Mistake::new("interface-name", format!("`{word}` is not a name of an interface"))
            .label("no `/` and no `:`")
            .way_out("`ip -br link` shows the names as the kernel has them"));
    }
    Ok(word.to_owned())
}
