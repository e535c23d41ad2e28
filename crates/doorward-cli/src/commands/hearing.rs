//! Packets that our rules log, as they come, each with the sentence that decided; shows nothing.

use super::explain;
use crate::exit::{Exit, Failure};
use crate::kernel::{self, Comment};
use crate::store::Moment;
use doorward::compile::{self, Phase};
use doorward::logged::{GROUP, Kind, Packet, What};
use doorward::ruleset::{Elements, Table, comment_of, udata_kind};
use doorward_kernel::conntrack::Detail;
use doorward_kernel::link::Links;
use doorward_kernel::nflog::{Heard, ListenError, Listener, Shown};
use doorward_kernel::{Generation, Reader};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

/// While a trial goes on, the rules that judge change without a sign when it ends.
const TRIAL_LOOK: Duration = Duration::from_secs(2);
/// Where a sentence stands of which no more is known.
const NOWHERE: &str = "(somewhere)";
/// So many answers are kept; a flood of forged sources asks for a new one each time.
const MOST_ANSWERS: usize = 4096;

/// Who decided about a packet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct By {
    /// `policy.dw:14`; none for what is built in.
    pub place: Option<String>,
    /// The sentence, or what is built in.
    pub words: String,
}

/// A logged packet.
pub(super) struct Told {
    pub time: Moment,
    pub by: By,
    pub packet: Packet,
}

/// What is heard.
pub(super) enum Event {
    Packet(Box<Told>),
    /// Packets were lost here; so many, where that is known already.
    Lost(Option<u32>),
}

/// Somebody who listens.
pub(super) struct Hearing {
    listener: Listener,
    reader: Reader,
    rules: Option<Rules>,
    interfaces: BTreeMap<u32, String>,
    /// The beginning of a packet that was logged for a sentence which drops it: it is logged for that, too.
    dropped: Vec<u8>,
}

/// Our rules as they were read.
struct Rules {
    generation: Generation,
    /// When to look again, whatever the generation.
    again: Option<Instant>,
    table: Table,
    /// Sentences by place.
    sentences: HashMap<String, String>,
    answers: BTreeMap<(What, IpAddr, IpAddr, Kind, Option<String>), By>,
}

impl Hearing {
    pub(super) fn open() -> Result<Hearing, Failure> {
        let reader = Reader::open().map_err(|error| kernel::unread(&error))?;
        let listener = Listener::open(GROUP).map_err(|error| match &error {
            ListenError::Kernel(error) => kernel::unread(error),
            ListenError::Taken(_) => Failure::new(Exit::System, &error)
                .way_out("one at a time can: end the other `doorward log` or `doorward watch`"),
        })?;
        let mut hearing =
            Hearing { listener, reader, rules: None, interfaces: BTreeMap::new(), dropped: Vec::new() };
        hearing.look()?;
        Ok(hearing)
    }

    /// Whether there are rules that could log anything.
    pub(super) fn active(&self) -> bool {
        self.rules.is_some()
    }

    /// Waits so long at most, and tells what was heard.
    pub(super) fn hear(&mut self, patience: Duration) -> Result<Vec<Event>, Failure> {
        let mut heard = Vec::new();
        self.listener.hear(patience, |one| heard.push(one)).map_err(|error| kernel::unread(&error))?;
        if !heard.is_empty() {
            self.look()?;
        }
        Ok(heard.into_iter().filter_map(|one| self.event(one)).collect())
    }

    fn event(&mut self, heard: Heard) -> Option<Event> {
        match heard {
            Heard::Packet(shown) => self.told(shown).map(|told| Event::Packet(Box::new(told))),
            Heard::Overrun => Some(Event::Lost(None)),
            Heard::Lost(number) => Some(Event::Lost(Some(number))),
        }
    }

    fn told(&mut self, shown: Shown) -> Option<Told> {
        let what = What::read(&shown.prefix)?;
        let again = matches!(what, What::Blocked | What::Rejected) && self.dropped == shown.bytes;
        self.dropped.clear();
        if again {
            return None;
        }
        let mut packet = Packet::read(what, shown.hook, &shown.bytes)?;
        packet.iif = shown.iif.and_then(|index| self.interface(index));
        packet.oif = shown.oif.and_then(|index| self.interface(index));
        packet.user = shown.uid;
        // An error carries the connection that it quotes: that is not its own.
        if let Some(original) =
            shown.original.filter(|one| one.source == packet.from && !packet.kind.is_icmp())
        {
            let port = match original.detail {
                Detail::Ports { destination, .. } => Some(destination),
                _ => None,
            };
            packet.addressed(original.destination, port);
        }
        if matches!(packet.what, What::Sentence { .. }) && !packet.passed() {
            self.dropped = shown.bytes;
        }
        let now = SystemTime::now();
        let time = shown.time.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)).unwrap_or(now);
        let by = match &mut self.rules {
            Some(rules) => rules.by(&packet),
            None => unknown(&packet.what),
        };
        Some(Told { time: Moment::of(time), by, packet })
    }

    fn interface(&mut self, index: u32) -> Option<String> {
        if !self.interfaces.contains_key(&index) {
            let links = Links::open().and_then(|links| links.links()).unwrap_or_default();
            self.interfaces = links.into_iter().map(|link| (link.index, link.name)).collect();
        }
        self.interfaces.get(&index).cloned()
    }

    /// Reads the rules, if they are others than before.
    fn look(&mut self) -> Result<(), Failure> {
        let read = || -> Result<Option<Rules>, doorward_kernel::KernelError> {
            let generation = self.reader.generation()?;
            if let Some(rules) = &self.rules
                && rules.generation == generation
                && rules.again.is_none_or(|again| Instant::now() < again)
            {
                return Ok(None);
            }
            let snapshot = self.reader.read(&kernel::ours())?;
            Ok(snapshot.ruleset.tables.first().and_then(|held| Rules::of(held, snapshot.generation)))
        };
        if let Some(rules) = read().map_err(|error| kernel::unread(&error))? {
            self.rules = Some(rules);
        }
        Ok(())
    }
}

impl Rules {
    fn of(held: &Table, generation: Generation) -> Option<Rules> {
        let table = compile::judging(held)?;
        let on_trial = matches!(compile::phase(held), Phase::Trial { .. });
        let rules = table.chains.iter().flat_map(|chain| &chain.rules);
        let of_rules = rules.filter_map(|rule| comment_of(udata_kind::RULE_COMMENT, &rule.udata));
        let elements = table.sets.iter().filter_map(|set| match &set.elements {
            Elements::Full(list) => Some(list),
            Elements::Plain(_) => None,
        });
        let of_elements =
            elements.flatten().filter_map(|element| comment_of(udata_kind::ELEM_COMMENT, &element.udata));
        let sentences = of_rules
            .chain(of_elements)
            .filter_map(|comment| match Comment::read(&comment)? {
                Comment::Sentence { place, sentence } => Some((place, sentence)),
                Comment::BuiltIn(_) => None,
            })
            .collect();
        let again = on_trial.then(|| Instant::now() + TRIAL_LOOK);
        Some(Rules { generation, again, table, sentences, answers: BTreeMap::new() })
    }

    fn by(&mut self, packet: &Packet) -> By {
        if let What::Sentence { place, .. } | What::Default { place: Some(place), .. } = &packet.what
            && let Some(words) = self.sentences.get(place)
        {
            return By { place: Some(place.clone()), words: words.clone() };
        }
        if !matches!(packet.what, What::Blocked | What::Rejected) {
            return unknown(&packet.what);
        }
        let kind = match packet.kind {
            Kind::Ports(proto, _, to) => Kind::Ports(proto, 0, to),
            kind => kind,
        };
        let key = (packet.what.clone(), packet.from, packet.to, kind, packet.iif.clone());
        if let Some(by) = self.answers.get(&key) {
            return by.clone();
        }
        let decider = packet.question().and_then(|words| explain::decider(&words, &self.table));
        // Translated packets may not be as they were addressed: an answer that cannot be right is none.
        let fits = |sentence: &str| {
            ["default ", ""].iter().any(|first| {
                let rest = sentence.strip_prefix(first);
                rest.is_some_and(|rest| rest.starts_with(packet.what.verdict().word()))
            })
        };
        let by = match decider {
            Some(Comment::Sentence { place, sentence }) if fits(&sentence) => {
                By { place: Some(place), words: sentence }
            }
            _ => unknown(&packet.what),
        };
        if self.answers.len() >= MOST_ANSWERS {
            self.answers.clear();
        }
        self.answers.insert(key, by.clone());
        by
    }
}

/// Where no rule that is there now says it.
fn unknown(what: &What) -> By {
    let place = Some(NOWHERE.to_owned());
    match what {
        What::Default { way, .. } => By { place: None, words: format!("default block {}", way.word()) },
        What::Sentence { verdict, place } => {
            By { place: Some(place.clone()), words: format!("{} …", verdict.word()) }
        }
        What::Blocked => By { place, words: "a `block` sentence".to_owned() },
        What::Rejected => By { place, words: "a `reject` sentence".to_owned() },
    }
}

impl By {
    /// Whether it is known which sentence it is.
    pub(super) fn is_known(&self) -> bool {
        self.place.as_deref() != Some(NOWHERE)
    }
}
