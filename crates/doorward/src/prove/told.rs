//! Changes as sentences: what is said of the same peers stands together; finds nothing out itself.

use super::about::What;
use super::changes::{Change, Changes, Kind};
use super::names::{Called, Names};
use crate::meaning::Connection;
use crate::net::{Family, Prefix};
use crate::resolve::model::Way;
use std::collections::BTreeSet;

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Telling {
    /// What will be otherwise.
    Change,
    /// What is otherwise than it should be.
    Fault,
    /// What is open, compared with everything shut.
    Doors,
    /// What somebody takes away.
    Lost,
}

/// One sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// What happens.
    pub kind: Kind,
    /// On which way.
    pub way: Way,
    /// For which families.
    pub families: Vec<Family>,
    /// Up to the colon: `newly reachable from office`.
    pub head: String,
    /// What it is about: `22/tcp (ssh)`.
    pub what: Vec<What>,
    /// What follows: `IPv6 only`, the limit.
    pub tail: Vec<String>,
    /// A connection of the first.
    pub example: Connection,
}

impl Told {
    /// The whole sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let what: Vec<&str> = self.what.iter().map(|what| what.words.as_str()).collect();
        let tail = self.tail.iter().map(String::as_str);
        format!("{}: {}", self.head, what.into_iter().chain(tail).collect::<Vec<_>>().join(", "))
    }
}

/// A change with the words for it.
#[derive(Clone)]
struct Worded<'a> {
    change: &'a Change,
    families: Vec<Family>,
    peers: Called,
    place: String,
    what: Vec<What>,
    limit: Option<String>,
    /// To what it is translated, and was.
    ends: Option<String>,
}

/// Says all changes, the largest of each kind first.
#[must_use]
pub fn told(changes: &Changes, names: &Names, telling: Telling) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    for one in worded(changes, names) {
        let head = head(&one, telling);
        let mut tail: Vec<String> = one.limit.clone().into_iter().collect();
        if let ([family], false) = (one.families.as_slice(), one.peers.shows_family) {
            tail.push(format!("{family} only"));
        }
        let (kind, way) = (one.change.kind, one.change.way);
        match told
            .iter_mut()
            .find(|known| (known.kind, known.way, &known.head, &known.tail) == (kind, way, &head, &tail))
        {
            Some(known) => {
                let new = one.what.into_iter().filter(|what| !has(&known.what, what)).collect::<Vec<_>>();
                known.what.extend(new);
            }
            None => told.push(Told {
                kind,
                way,
                example: example(&one),
                families: one.families,
                head,
                what: one.what,
                tail,
            }),
        }
    }
    told
}

/// Each change in words; what only the families tell apart is one.
fn worded<'a>(changes: &'a Changes, names: &Names) -> Vec<Worded<'a>> {
    let mut all: Vec<Worded> = Vec::new();
    for change in &changes.list {
        let traffic = &change.traffic;
        let out = change.way == Way::Out;
        let (sources, destinations) = (traffic.sources(names), traffic.destinations(names));
        let mut place = Vec::new();
        let (peers, other) =
            if out { (destinations, ("from", sources)) } else { (sources, ("to", destinations)) };
        if other.1 != Called::anyone() {
            place.push(format!("{} {}", other.0, other.1.words));
        }
        let peers = Called { shows_family: peers.shows_family || other.1.shows_family, ..peers };
        place.extend(traffic.whereabouts());
        let one = Worded {
            change,
            families: change.families.clone(),
            peers,
            place: place.join(" "),
            what: traffic.what(),
            limit: limit(change),
            ends: ends(change),
        };
        add(&mut all, one);
    }
    all
}

/// Types of ICMP have other numbers in each family, and the same names.
fn has(whats: &[What], what: &What) -> bool {
    whats.iter().any(|one| one.words == what.words)
}

/// Adds what is said of one family; what another family has too is said of both.
fn add<'a>(all: &mut Vec<Worded<'a>>, mut one: Worded<'a>) {
    for known in all.iter_mut() {
        let same = (known.change.kind, known.change.way) == (one.change.kind, one.change.way)
            && (&known.peers, &known.place, &known.limit, &known.ends)
                == (&one.peers, &one.place, &one.limit, &one.ends);
        if !same || known.families.iter().any(|family| one.families.contains(family)) {
            continue;
        }
        let (both, rest): (Vec<What>, Vec<What>) =
            one.what.into_iter().partition(|what| has(&known.what, what));
        one.what = rest;
        if both.is_empty() {
            continue;
        }
        let families = [known.families.clone(), one.families.clone()].concat();
        if both.len() == known.what.len() {
            known.families = families;
        } else {
            known.what.retain(|what| !has(&both, what));
            let both = Worded { families, what: both, ..one.clone() };
            all.push(both);
        }
        break;
    }
    if let Some(known) = all.iter_mut().find(|known| complement(known, &one)) {
        known.peers.words = format!("{}, {}", known.peers.words, one.peers.words);
        known.families.extend(&one.families);
        return;
    }
    if !one.what.is_empty() {
        all.push(one);
    }
}

/// Whether the same is said of addresses of either family: `from 203.0.113.7, 2001:db8::7` is one line, as it is one
/// sentence.
fn complement(known: &Worded, one: &Worded) -> bool {
    let addresses = |peers: &Called| peers.words.split(", ").all(|word| Prefix::parse(word).is_ok());
    let whats = |one: &Worded| one.what.iter().map(|what| what.words.clone()).collect::<BTreeSet<_>>();
    matches!((known.families.as_slice(), one.families.as_slice()), ([known], [one]) if known != one)
        && (known.change.kind, known.change.way) == (one.change.kind, one.change.way)
        && (&known.place, &known.limit, &known.ends) == (&one.place, &one.limit, &one.ends)
        && addresses(&known.peers)
        && addresses(&one.peers)
        && whats(known) == whats(one)
}

/// A connection of the first kind, of those who are meant. Where something was translated, the example stays what
/// it is: it shows from where.
fn example(one: &Worded) -> Connection {
    let example = &one.change.example;
    match one.what.first() {
        Some(what) if !one.change.traffic.translated => what.example(example),
        _ => example.clone(),
    }
}

fn head(one: &Worded, telling: Telling) -> String {
    let change = one.change;
    let out = change.way == Way::Out;
    let mut peers = if out { one.peers.words.clone() } else { format!("from {}", one.peers.words) };
    if !one.place.is_empty() {
        peers = format!("{peers} {}", one.place);
    }
    let passes = change.way == Way::Forward;
    let published = if change.way == Way::Published { " where published" } else { "" };
    if let Some(ends) = &one.ends {
        return led(ends, change, telling, &peers);
    }
    match (telling, change.kind) {
        (Telling::Doors, Kind::Opens) if passes => format!("passed on {peers}"),
        (Telling::Doors, Kind::Opens) if !published.is_empty() => format!("where published {peers}"),
        (Telling::Doors, Kind::Opens) => peers,
        (Telling::Doors, _) => head(one, Telling::Change),
        (Telling::Lost, _) if out => format!("to {peers}"),
        (Telling::Lost, _) if passes => format!("passed on {peers}"),
        (Telling::Lost, _) if !published.is_empty() => format!("where published {peers}"),
        (Telling::Lost, _) => peers,
        (Telling::Change, Kind::Opens) if out => format!("this host may now reach {peers}"),
        (Telling::Change, Kind::Shuts) if out => format!("this host may no longer reach {peers}"),
        (Telling::Fault, Kind::Opens) if out => format!("this host can wrongly reach {peers}"),
        (Telling::Fault, Kind::Shuts) if out => format!("this host wrongly cannot reach {peers}"),
        (Telling::Change, Kind::Opens) if passes => format!("newly passed on {peers}"),
        (Telling::Change, Kind::Shuts) if passes => format!("no longer passed on {peers}"),
        (Telling::Fault, Kind::Opens) if passes => format!("wrongly passed on {peers}"),
        (Telling::Fault, Kind::Shuts) if passes => format!("wrongly not passed on {peers}"),
        (Telling::Change, Kind::Opens) => format!("newly reachable{published} {peers}"),
        (Telling::Change, Kind::Shuts) => format!("no longer reachable{published} {peers}"),
        (Telling::Fault, Kind::Opens) => format!("wrongly reachable{published} {peers}"),
        (Telling::Fault, Kind::Shuts) => format!("wrongly not reachable{published} {peers}"),
        (telling, kind) => {
            let peers = if out { format!("to {peers}") } else { peers };
            match (telling, kind) {
                (Telling::Change, Kind::Limits) => format!("newly limited{published} {peers}"),
                (Telling::Change, Kind::Unlimits) => format!("no longer limited{published} {peers}"),
                (Telling::Fault, Kind::Limits) => format!("wrongly limited{published} {peers}"),
                (Telling::Fault, Kind::Unlimits) => format!("wrongly not limited{published} {peers}"),
                _ => format!("limited otherwise{published} {peers}"),
            }
        }
    }
}

/// `goes to 10.0.0.5 port 22 instead of 10.0.0.6 port 22`; none where it is about something else.
fn ends(change: &Change) -> Option<String> {
    if change.kind != Kind::Leads {
        return None;
    }
    let of = |ends: &[String]| ends.first().map(|end| end_words(end));
    Some(match (of(&change.was), of(&change.is)) {
        (Some((_, was)), Some((verb, is))) => format!("{verb} {is} instead of {was}"),
        (_, Some((verb, is))) => format!("{verb} {is}"),
        (Some((verb, was)), None) => format!("{verb} {was}"),
        (None, None) => String::new(),
    })
}

/// An end as the proof calls it, for people: the verb, and what it becomes.
fn end_words(end: &str) -> (&'static str, String) {
    if let Some(to) = end.strip_prefix("leads this to ") {
        return ("goes to", to.to_owned());
    }
    match end.strip_prefix("sends this from ") {
        Some("its own address") => ("leaves from", "an address of this host".to_owned()),
        Some(other) => ("leaves from", other.to_owned()),
        None => ("is translated", "in a way that doorward does not know".to_owned()),
    }
}

/// What is said of translations.
fn led(ends: &str, change: &Change, telling: Telling, peers: &str) -> String {
    let no_longer = change.is.is_empty();
    let words = match (telling, no_longer) {
        (Telling::Fault, true) => "wrongly no longer",
        (Telling::Fault, false) => "wrongly",
        (_, true) => "no longer",
        (Telling::Doors, false) => "",
        (_, false) => "now",
    };
    format!("{words} {ends}, {peers}").trim_start().to_owned()
}

/// What is said of limits.
fn limit(change: &Change) -> Option<String> {
    let words = |sentences: &[String]| {
        let all: Vec<String> = sentences.iter().filter_map(|sentence| limit_of(sentence)).collect();
        (!all.is_empty() && all.len() == sentences.len()).then(|| all.join(" or "))
    };
    match (change.kind, words(&change.was), words(&change.is)) {
        (Kind::Opens | Kind::Limits, _, Some(is)) => Some(format!("limit {is}")),
        (Kind::Unlimits, Some(was), _) => Some(format!("limit was {was}")),
        (Kind::Relimits, Some(was), Some(is)) if was == is => {
            Some(format!("limit {is}, which counts anew or with others"))
        }
        (Kind::Relimits, Some(was), Some(is)) => Some(format!("limit {is} instead of {was}")),
        (Kind::Opens, _, None) if !change.is.is_empty() => Some("with a limit".to_owned()),
        _ => None,
    }
}

/// `6/minute burst 10 per source` of a sentence that says so.
fn limit_of(sentence: &str) -> Option<String> {
    let (_, behind) = sentence.split_once(" limit ")?;
    let mut words = behind.split(' ');
    let mut limit = words.next()?.to_owned();
    while let Some(word @ ("burst" | "per")) = words.next() {
        limit = format!("{limit} {word} {}", words.next()?);
    }
    Some(limit)
}
