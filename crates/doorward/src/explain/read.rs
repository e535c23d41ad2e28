//! From words to a question; knows no host, so that names of accounts and interfaces stay names.

use super::question::{About, Account, Asked, Question};
use super::wrong::{self, Wrong};
use crate::catalogue::{self, Door};
use crate::net::{Proto, icmp_type};
use crate::syntax::ast::Way;
use std::net::IpAddr;

/// Reads a question: `[WAY] PROTOCOL FROM[:PORT] [TO] [PORT] [on IFACE] [by user U] [FILE]`.
pub fn read(words: &[&str]) -> Result<Asked, Wrong> {
    let mut left = words.iter().copied().enumerate().peekable();
    let way = left.peek().and_then(|(_, word)| Way::ALL.into_iter().find(|way| way.word() == *word));
    if way.is_some() {
        left.next();
    }
    let Some((_, word)) = left.next() else { return Err(wrong::nothing(way)) };
    let about = match word {
        "tcp" => About::Ports(Proto::TCP),
        "udp" => About::Ports(Proto::UDP),
        "sctp" => About::Ports(Proto::SCTP),
        "icmp" => About::Icmp(None),
        "ping" => About::Ping,
        "protocol" => protocol(left.next().map(|(_, word)| word))?,
        other => return Err(wrong::no_protocol(other, left.peek().map(|(_, word)| *word), way)),
    };
    let question = Question {
        way: way.unwrap_or(Way::In),
        way_said: way.is_some(),
        about,
        from: None,
        to: None,
        from_port: None,
        port: None,
        on: None,
        leaving: None,
        user: None,
        group: None,
    };
    let mut reading = Reading { question, ends: Vec::new(), file: None };
    while let Some((at, word)) = left.next() {
        if let Some(file) = reading.file {
            return Err(wrong::too_much(words.get(file).copied().unwrap_or_default()));
        }
        let mut next = || left.next().map(|(_, word)| word);
        match word {
            "from" | "to" | "on" | "by" | "port" => reading.clause(word, &mut next)?,
            _ => reading.word(at, word)?,
        }
    }
    reading.finish()
}

fn protocol(word: Option<&str>) -> Result<About, Wrong> {
    let proto = word.and_then(|word| Proto::by_name(word).or_else(|| word.parse().ok().map(Proto)));
    match proto {
        Some(proto) if proto.is_icmp() => Err(wrong::no_number(word)),
        Some(proto) if proto.has_ports() => Ok(About::Ports(proto)),
        Some(proto) => Ok(About::Other(proto)),
        None => Err(wrong::no_number(word)),
    }
}

/// A question while it is read.
struct Reading {
    question: Question,
    /// Addresses that stand where no `from` or `to` says which they are.
    ends: Vec<(IpAddr, Option<u16>)>,
    file: Option<usize>,
}

impl Reading {
    /// A word that says by its place what it is.
    fn word(&mut self, at: usize, word: &str) -> Result<(), Wrong> {
        let ends = self.ends.len()
            + usize::from(self.question.from.is_some())
            + usize::from(self.question.to.is_some());
        if ends < 2
            && let Some(end) = end(word)
        {
            self.ends.push(end);
            return Ok(());
        }
        if ends == 0 || looks_like_address(word) {
            return Err(wrong::no_address(word));
        }
        let port_known = self.question.port.is_some() || self.ends.get(1).is_some_and(|end| end.1.is_some());
        match &self.question.about {
            About::Ports(proto) if !port_known => {
                // In `out`, the one address is the far end, and the port behind it is the one addressed.
                if self.far_end_has_port() {
                    return self.take_file(at, word);
                }
                self.question.port = Some(port(word, *proto)?);
                Ok(())
            }
            About::Icmp(None) => {
                let kind = icmp_type(word).ok_or_else(|| wrong::no_type(word))?;
                self.question.about = About::Icmp(Some((word.to_owned(), kind)));
                Ok(())
            }
            _ => self.take_file(at, word),
        }
    }

    fn far_end_has_port(&self) -> bool {
        self.question.way == Way::Out && matches!(self.ends.as_slice(), [(_, Some(_))])
    }

    fn take_file(&mut self, at: usize, word: &str) -> Result<(), Wrong> {
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong::too_much(word));
        }
        self.file = Some(at);
        Ok(())
    }

    /// What is known by now, the addresses in the order in which they were said.
    fn so_far(&self) -> Question {
        let mut question = self.question.clone();
        let mut ends = self.ends.iter().map(|(addr, _)| *addr);
        question.from = question.from.or_else(|| ends.next());
        question.to = question.to.or_else(|| ends.next());
        question
    }

    fn clause<'w>(&mut self, word: &str, next: &mut impl FnMut() -> Option<&'w str>) -> Result<(), Wrong> {
        let twice = || Wrong::new(format!("`{word}` is said twice")).way_out("say it once");
        let empty = |example: &str| {
            Wrong::new(format!("nothing stands behind `{word}`"))
                .way_out(format!("it is used like: {word} {example}"))
        };
        let said = next().ok_or_else(|| {
            empty(match word {
                "on" => "eth0",
                "by" => "user www-data",
                "port" => "443",
                _ => "198.51.100.7",
            })
        })?;
        let so_far = self.so_far();
        let question = &mut self.question;
        match word {
            "port" if question.port.is_some() => Err(twice()),
            "port" => match question.about {
                About::Ports(proto) => {
                    question.port = Some(port(said, proto)?);
                    Ok(())
                }
                _ => Err(wrong::no_ports(&question.about)),
            },
            "on" if question.on.is_some() => Err(twice()),
            "on" => {
                question.on = Some(interface(said)?);
                Ok(())
            }
            // Behind `on eth0`, a name of an interface says where the packet leaves.
            "to" if question.on.is_some() && end(said).is_none() && !looks_like_address(said) => {
                if !matches!(question.way, Way::Forward | Way::Published) {
                    return Err(Wrong::new(format!("what comes {} has one interface", question.way.word()))
                        .ask(&format!("forward {}", so_far.tail())));
                }
                question.leaving = Some(interface(said)?);
                Ok(())
            }
            "by" => self.by(said, next),
            _ => {
                let (addr, with) = end(said).ok_or_else(|| wrong::no_address(said))?;
                let (slot, its_port) = if word == "from" {
                    (&mut question.from, &mut question.from_port)
                } else {
                    (&mut question.to, &mut question.port)
                };
                if slot.is_some() {
                    return Err(twice());
                }
                *slot = Some(addr);
                *its_port = with.or(*its_port);
                Ok(())
            }
        }
    }

    fn by<'w>(&mut self, kind: &str, next: &mut impl FnMut() -> Option<&'w str>) -> Result<(), Wrong> {
        let so_far = self.so_far();
        let question = &mut self.question;
        let slot = match kind {
            "user" => &mut question.user,
            "group" => &mut question.group,
            other => {
                return Err(Wrong::new(format!("`by {other}` says not whether it is a user or a group"))
                    .way_out(format!("by user {other}")));
            }
        };
        let name = next().ok_or_else(|| {
            Wrong::new(format!("nothing stands behind `by {kind}`"))
                .way_out(format!("it is used like: by {kind} www-data"))
        })?;
        if slot.is_some() {
            return Err(Wrong::new(format!("`by {kind}` is said twice")).way_out("say it once"));
        }
        *slot = Some(match name.parse() {
            Ok(number) => Account::Number(number),
            Err(_) => Account::Name(name.to_owned()),
        });
        if question.way == Way::Out {
            return Ok(());
        }
        Err(Wrong::new("who opened a socket is known for `out` only")
            .ask(&format!("out {} by {kind} {name}", so_far.tail())))
    }

    /// Gives the addresses their places, and sees that nothing is missing.
    fn finish(mut self) -> Result<Asked, Wrong> {
        let question = &mut self.question;
        // What is sent is asked about by where it goes, everything else by where it comes from.
        let far_end = question.way == Way::Out && self.ends.len() == 1 && question.to.is_none();
        let mut ends = self.ends.drain(..);
        if question.from.is_none()
            && !far_end
            && let Some((addr, port)) = ends.next()
        {
            (question.from, question.from_port) = (Some(addr), port);
        }
        if question.to.is_none()
            && let Some((addr, port)) = ends.next()
        {
            if port.is_some() && question.port.is_some() {
                return Err(Wrong::new("the port is said twice").way_out("say it once"));
            }
            question.to = Some(addr);
            question.port = port.or(question.port);
        }
        if let Some((addr, _)) = ends.next() {
            return Err(wrong::too_much(&addr.to_string()));
        }
        drop(ends);
        self.question.check()?;
        Ok(Asked { question: self.question, file: self.file })
    }
}

/// An address, and the port behind it: `198.51.100.7:40000`, `[2001:db8::7]:40000`.
fn end(word: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(addr) = word.parse() {
        return Some((addr, None));
    }
    let whole: std::net::SocketAddr = word.parse().ok()?;
    (whole.port() != 0).then_some((whole.ip(), Some(whole.port())))
}

/// Whether a word was meant as an address and nothing else.
fn looks_like_address(word: &str) -> bool {
    let four = word.starts_with(|c: char| c.is_ascii_digit())
        && word.bytes().filter(|byte| *byte == b'.').count() == 3
        && word.bytes().all(|byte| byte.is_ascii_digit() || b".:/".contains(&byte));
    let six = word.bytes().filter(|byte| *byte == b':').count() >= 2
        && word.bytes().all(|byte| byte.is_ascii_hexdigit() || b":[]./".contains(&byte));
    four || six
}

fn interface(word: &str) -> Result<String, Wrong> {
    const LONGEST: usize = 15;
    if word.is_empty() || word.len() > LONGEST || word.contains(['/', '*']) {
        return Err(Wrong::new(format!("`{word}` is not the name of an interface"))
            .way_out("name one, with at most 15 bytes, such as eth0"));
    }
    Ok(word.to_owned())
}

/// A port by number, or by the name of a service that has just one with this protocol.
fn port(word: &str, proto: Proto) -> Result<u16, Wrong> {
    if let Some(number) = word.parse().ok().filter(|number| *number > 0) {
        return Ok(number);
    }
    let doors = catalogue::named(word).map(|service| service.doors()).unwrap_or_default();
    let mut ports = doors.iter().filter_map(|door| match door {
        Door::Ports(ports)
            if ports.protos.word().split('+').any(|one| Proto::by_name(one) == Some(proto)) =>
        {
            Some(ports.range)
        }
        _ => None,
    });
    match (ports.next(), ports.next()) {
        (Some(range), None) if range.first() == range.last() => Ok(range.first()),
        _ => Err(wrong::no_port(word, proto)),
    }
}
