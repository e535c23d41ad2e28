//! The commands of ufw that add a rule, as a sentence; knows no other firewall.

/// A rule of ufw while its words are read.
#[derive(Default)]
struct Rule<'a> {
    way: Option<&'a str>,
    on: Option<&'a str>,
    things: Vec<String>,
    ports: Option<&'a str>,
    proto: Option<&'a str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    log: bool,
}

/// The sentence that a command means; without the word `ufw` before it.
pub(super) fn meant(words: &[&str]) -> Option<String> {
    let mut words: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with("--")).collect();
    if words.first() == Some(&"default") {
        let verdict = verdict(words.get(1)?)?;
        return Some(format!("default {verdict} {}", super::way(words.get(2).unwrap_or(&"incoming"))?));
    }
    let mut rule = Rule::default();
    if words.first() == Some(&"route") {
        rule.way = Some("forward");
        words.remove(0);
    }
    match words.first() {
        Some(&"insert") => drop(words.drain(..2.min(words.len()))),
        Some(&"prepend") => drop(words.remove(0)),
        _ => {}
    }
    let verb = *words.first()?;
    let limited = verb == "limit";
    let verdict = verdict(verb)?;
    read(words.get(1..)?, &mut rule)?;
    let mut sentence = verdict.to_owned();
    let mut say = |word: &str| {
        sentence.push(' ');
        sentence.push_str(word);
    };
    if let Some(way) = rule.way {
        say(way);
    }
    let things = things(&rule)?;
    match (things.is_empty(), verdict) {
        (false, _) => say(&things.join(", ")),
        (true, "allow") => say("anything"),
        (true, _) => {}
    }
    for (word, value) in [("from", rule.from), ("to", rule.to), ("on", rule.on)] {
        if let Some(value) = value.filter(|value| *value != "any") {
            say(word);
            say(value);
        }
    }
    if things.is_empty()
        && rule.on.is_none()
        && [rule.from, rule.to].iter().all(|who| who.is_none_or(|who| who == "any"))
    {
        return Some(format!("default {verdict} {}", rule.way.unwrap_or("in")));
    }
    if limited {
        // Six connections within 30 seconds.
        say("limit 12/minute burst 6 per source");
    }
    if rule.log {
        say("log");
    }
    Some(sentence)
}

fn verdict(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "allow" | "limit" => "allow",
        "deny" => "block",
        "reject" => "reject",
        _ => return None,
    })
}

fn read<'a>(words: &[&'a str], rule: &mut Rule<'a>) -> Option<()> {
    let mut words = words.iter().copied().peekable();
    // Whether the port that comes next is the peer's own.
    let mut behind_from = false;
    while let Some(word) = words.next() {
        match word {
            "in" | "out" => {
                if rule.way != Some("forward") && word == "out" {
                    rule.way = Some(word);
                }
            }
            "on" => {
                // Two interfaces at once cannot be said in one sentence.
                if rule.on.replace(words.next()?).is_some() {
                    return None;
                }
            }
            "log" | "log-all" => rule.log = true,
            "proto" => rule.proto = words.next(),
            "from" => {
                rule.from = words.next();
                behind_from = true;
            }
            "to" => {
                rule.to = words.next();
                behind_from = false;
            }
            "port" | "app" => {
                let port = words.next()?;
                // A source port says nothing about a service.
                if behind_from {
                    return None;
                }
                rule.ports = Some(port);
                while words.peek() == Some(&",") {
                    words.next();
                    rule.things.push(words.next()?.to_owned());
                }
            }
            "comment" => break,
            "," => {}
            thing => rule.things.push(thing.to_owned()),
        }
    }
    Some(())
}

fn things(rule: &Rule<'_>) -> Option<Vec<String>> {
    // The protocol of `80,443/tcp` stands behind the last.
    let trailing =
        rule.things.iter().find_map(|thing| thing.rsplit_once('/')).map(|(_, proto)| proto.to_owned());
    let proto = rule.proto.map(str::to_owned).or(trailing);
    let said = rule.ports.map(str::to_owned).into_iter().chain(rule.things.iter().cloned());
    let mut things = Vec::new();
    for thing in said {
        if let Some(profile) = profile(&thing) {
            things.push(profile.to_owned());
            continue;
        }
        let (name, own) =
            thing.rsplit_once('/').map_or((thing.as_str(), None), |(name, own)| (name, Some(own)));
        let name = name.replacen(':', "-", 1);
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            things.push(name);
            continue;
        }
        match own.map(str::to_owned).or_else(|| proto.clone()) {
            Some(proto) => things.push(format!("{name}/{proto}")),
            None => things.push(super::bare_port(&name)?.fix?),
        }
    }
    if things.is_empty() {
        things.extend(rule.proto.map(|proto| format!("protocol {proto}")));
    }
    Some(things)
}

/// The profiles that packages bring, by what they open.
fn profile(name: &str) -> Option<&'static str> {
    Some(match name.trim_matches(['"', '\'']) {
        "OpenSSH" => "ssh",
        "Nginx Full" | "Apache Full" | "WWW Full" => "http, https",
        "Nginx HTTP" | "Apache" | "WWW" => "http",
        "Nginx HTTPS" | "Apache Secure" | "WWW Secure" => "https",
        "Postfix" => "smtp",
        "Postfix Submission" => "submission",
        "Dovecot IMAP" => "imap",
        "Dovecot Secure IMAP" => "imaps",
        "Dovecot POP3" => "pop3",
        "Dovecot Secure POP3" => "pop3s",
        _ => return None,
    })
}
