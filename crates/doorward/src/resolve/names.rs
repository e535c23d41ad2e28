//! The names that a policy defines, and what each stands for; knows the catalogue, but no sentence.

use super::load::Loaded;
use super::model::{Interface, Traffic};
use super::things;
use crate::catalogue;
use crate::net::AddrSet;
use crate::report::{Report, Span, Spanned, suggest};
use crate::syntax;
use crate::syntax::ast::{Define, DefineValue, Item, SentenceKind, Value};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    Addresses(Arc<AddrSet>),
    Things(Arc<Vec<Traffic>>),
    Interfaces(Arc<Vec<Interface>>),
    /// Nothing, and why is said already.
    Broken,
}

impl Meaning {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Meaning::Addresses(_) => "addresses",
            Meaning::Things(_) => "a service",
            Meaning::Interfaces(_) => "interfaces",
            Meaning::Broken => "nothing",
        }
    }
}

/// A definition and what it came to.
pub(super) struct Named<'a> {
    pub(super) define: &'a Define,
    pub(super) meaning: Meaning,
}

/// All names of a policy. Own names win over interfaces and the catalogue.
pub(super) struct Names<'a> {
    own: HashMap<&'a str, Named<'a>>,
    loaded: &'a Loaded,
    interfaces: &'a [super::facts::HostInterface],
    /// How many unknown names were asked about.
    asked: Cell<usize>,
}

/// For so many unknown names it is said what was meant: to search costs, and nobody reads more.
const MOST_SUGGESTIONS: usize = 20;

impl<'a> Names<'a> {
    /// Gives every definition its meaning.
    pub(super) fn new(
        loaded: &'a Loaded,
        interfaces: &'a [super::facts::HostInterface],
        reports: &mut Vec<Report>,
    ) -> Names<'a> {
        let mut names = Names { own: HashMap::new(), loaded, interfaces, asked: Cell::new(0) };
        let mut order: Vec<&str> = Vec::new();
        for sentence in &loaded.sentences {
            let SentenceKind::Define(define) = &sentence.kind else { continue };
            match names.own.get(define.name.node.as_str()) {
                Some(first) if !same(loaded, first.define, define) => {
                    let name = &define.name.node;
                    reports.push(
                        Report::error(
                            "defined-twice",
                            define.name.span,
                            format!("`{name}` is defined twice"),
                        )
                        .label("here it stands for something else")
                        .other(first.define.name.span, "it is defined here first")
                        .way_out("rename one of them, or take it out"),
                    );
                }
                Some(_) => {}
                None => {
                    names.own.insert(&define.name.node, Named { define, meaning: Meaning::Broken });
                    order.push(&define.name.node);
                }
            }
        }
        for name in names.inside_out(&order, reports) {
            let Some(define) = names.own.get(name).map(|named| named.define) else { continue };
            let meaning = names.meaning_of(define, reports);
            if let Some(named) = names.own.get_mut(name) {
                named.meaning = meaning;
            }
        }
        names
    }

    /// An own name.
    pub(super) fn own(&self, name: &str) -> Option<&Named<'a>> {
        self.own.get(name)
    }

    /// Whether a definition of this name is there, but cannot be read: that is said already.
    pub(super) fn is_broken(&self, name: &str) -> bool {
        self.loaded.broken.contains(name)
    }

    /// Definitions in an order in which each comes after those that it uses. What stands in a
    /// circle is left out, and said.
    fn inside_out(&self, order: &[&'a str], reports: &mut Vec<Report>) -> Vec<&'a str> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            Open,
            Done,
        }
        let mut state: HashMap<&str, State> = HashMap::new();
        let mut sorted = Vec::with_capacity(order.len());
        for start in order {
            if state.contains_key(start) {
                continue;
            }
            // No recursion: a chain of definitions may be as long as the file.
            let mut path: Vec<(&str, Vec<&Spanned<Item>>)> = vec![(start, self.uses(start))];
            state.insert(start, State::Open);
            while let Some((name, left)) = path.last_mut() {
                let name = *name;
                let Some(item) = left.pop() else {
                    path.pop();
                    state.insert(name, State::Done);
                    sorted.push(name);
                    continue;
                };
                let Item::Value(Value::Name(used)) = &item.node else { continue };
                let Some((used, _)) = self.own.get_key_value(used.as_str()) else { continue };
                match state.get(used) {
                    None => {
                        state.insert(used, State::Open);
                        let below = self.uses(used);
                        path.push((used, below));
                    }
                    Some(State::Done) => {}
                    Some(State::Open) => reports.push(circle(&path, used, item.span)),
                }
            }
        }
        sorted
    }

    /// The names that a definition uses, the first one last.
    fn uses(&self, name: &str) -> Vec<&'a Spanned<Item>> {
        match self.own.get(name).map(|named| &named.define.value) {
            Some(DefineValue::Items(items)) => {
                items.iter().rev().filter(|item| matches!(item.node, Item::Value(Value::Name(_)))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn meaning_of(&self, define: &Define, reports: &mut Vec<Report>) -> Meaning {
        match &define.value {
            DefineValue::File(named) => self.loaded.list(named).map_or(Meaning::Broken, Meaning::Addresses),
            DefineValue::Feed(_) => Meaning::Broken,
            DefineValue::Items(items) => self.meaning_of_items(&define.name.node, items, reports),
        }
    }

    fn meaning_of_items(&self, name: &str, items: &[Spanned<Item>], reports: &mut Vec<Report>) -> Meaning {
        let mut all: Vec<(Meaning, Span)> = Vec::with_capacity(items.len());
        let mut broken = false;
        // Plain addresses are put together at once: a definition may have thousands.
        let (mut prefixes, mut ranges) = (Vec::new(), Vec::new());
        let mut plain: Option<Span> = None;
        for item in items {
            let meaning = match &item.node {
                Item::Value(Value::Prefix(prefix)) => {
                    prefixes.push(*prefix);
                    plain = plain.or(Some(item.span));
                    continue;
                }
                Item::Value(Value::Range(range)) => {
                    ranges.push(*range);
                    plain = plain.or(Some(item.span));
                    continue;
                }
                Item::Value(Value::Name(used)) => self.meaning_of_name(name, used, item.span, reports),
                Item::Ports(ports) => Meaning::Things(Arc::new(things::ports(*ports))),
                Item::Interface(name) => Meaning::Interfaces(Arc::new(vec![interface(name)])),
                Item::Ping => Meaning::Things(Arc::new(vec![things::PING])),
                Item::Icmp(kind) => things::icmp(&kind.node, item.span, reports)
                    .map_or(Meaning::Broken, |thing| Meaning::Things(Arc::new(vec![thing]))),
                Item::Protocol(word) => things::protocol(&word.node, item.span, reports)
                    .map_or(Meaning::Broken, |thing| Meaning::Things(Arc::new(vec![thing]))),
            };
            broken |= matches!(meaning, Meaning::Broken);
            all.push((meaning, item.span));
        }
        if let Some(span) = plain {
            all.push((Meaning::Addresses(Arc::new(AddrSet::new(prefixes, ranges))), span));
        }
        if broken {
            return Meaning::Broken;
        }
        all.sort_by_key(|(_, span)| span.start);
        together(all, reports)
    }

    /// What a name in a definition stands for.
    fn meaning_of_name(&self, of: &str, used: &str, span: Span, reports: &mut Vec<Report>) -> Meaning {
        if let Some(named) = self.own.get(used) {
            return named.meaning.clone();
        }
        if self.is_broken(used) {
            return Meaning::Broken;
        }
        if let Some(service) = catalogue::named(used) {
            return Meaning::Things(Arc::new(things::service(&service)));
        }
        let report = if self.interfaces.iter().any(|i| i.name == used) {
            Report::error(
                "interface-unsaid",
                span,
                format!("`{used}` is an interface, and the sentence does not say so"),
            )
            .label(format!("did you mean `define {of} = interface {used}`?"))
        } else if let Some(report) = syntax::host_name_report(used, span) {
            report
        } else {
            self.unknown(used, span, Wanted::Any)
                .way_out(format!("an interface says what it is: `define {of} = interface {used}`"))
        };
        reports.push(report);
        Meaning::Broken
    }

    /// The name that was probably meant.
    fn near(&self, name: &str, wanted: Wanted) -> Option<&str> {
        self.asked.set(self.asked.get() + 1);
        if self.asked.get() > MOST_SUGGESTIONS {
            return None;
        }
        let own = self.own.iter().filter(|(_, named)| wanted.takes(&named.meaning)).map(|(name, _)| *name);
        // Sorted, so that the answer never changes.
        let mut own: Vec<&str> = own.collect();
        own.sort_unstable();
        let services = catalogue::services().iter().map(|service| service.name);
        match wanted {
            Wanted::Addresses => suggest(name, own),
            Wanted::Things | Wanted::Any => suggest(name, own.into_iter().chain(services)),
        }
    }

    /// The error for a name that nobody defined.
    pub(super) fn unknown(&self, name: &str, span: Span, wanted: Wanted) -> Report {
        if !matches!(wanted, Wanted::Things)
            && let Some(report) = syntax::host_name_report(name, span)
        {
            return report;
        }
        let near = self.near(name, wanted);
        let report = match wanted {
            Wanted::Things => Report::error("unknown-service", span, format!("`{name}` is not a service")),
            Wanted::Addresses => Report::error("unknown-name", span, format!("nothing defines `{name}`")),
            Wanted::Any => Report::error(
                "unknown-item",
                span,
                format!("`{name}` is neither a service nor a name that is defined"),
            ),
        };
        let report = match near {
            Some(near) => report.label(format!("did you mean `{near}`?")),
            None => report,
        };
        match wanted {
            Wanted::Things => report
                .way_out("`doorward list services` shows all of them; a port is written like `8080/tcp`"),
            Wanted::Addresses => {
                report.way_out(format!("give it addresses: `define {name} = 203.0.113.0/24`"))
            }
            Wanted::Any => report,
        }
    }
}

/// What may stand at a place where a name is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    Addresses,
    Things,
    Any,
}

impl Wanted {
    fn takes(self, meaning: &Meaning) -> bool {
        match (self, meaning) {
            (_, Meaning::Broken) | (Wanted::Any, _) => true,
            (Wanted::Addresses, meaning) => matches!(meaning, Meaning::Addresses(_)),
            (Wanted::Things, meaning) => matches!(meaning, Meaning::Things(_)),
        }
    }
}

/// An interface by the name that a policy gives it.
pub(super) fn interface(name: &str) -> Interface {
    match name.strip_suffix('*') {
        Some(stem) => Interface { name: stem.to_owned(), wildcard: true },
        None => Interface { name: name.to_owned(), wildcard: false },
    }
}

/// Items of one kind as one meaning; two kinds are an error that shows both.
fn together(all: Vec<(Meaning, Span)>, reports: &mut Vec<Report>) -> Meaning {
    let mut items = all.into_iter();
    let Some((mut whole, first)) = items.next() else { return Meaning::Broken };
    let mut things: Option<things::Distinct> = None;
    let mut sets: Vec<Arc<AddrSet>> = Vec::new();
    for (meaning, span) in items {
        match (&mut whole, meaning) {
            (Meaning::Addresses(_), Meaning::Addresses(more)) => sets.push(more),
            (Meaning::Things(start), Meaning::Things(more)) => {
                things.get_or_insert_with(|| things::Distinct::new(start)).extend(&more);
            }
            (Meaning::Interfaces(list), Meaning::Interfaces(more)) => {
                let list = Arc::make_mut(list);
                for interface in more.iter() {
                    if !list.contains(interface) {
                        list.push(interface.clone());
                    }
                }
            }
            (whole, meaning) => {
                reports.push(
                    Report::error(
                        "mixed-kinds",
                        span,
                        format!("one name cannot stand for {} and for {}", whole.kind(), meaning.kind()),
                    )
                    .label(format!("{} here", meaning.kind()))
                    .other(first, format!("{} here", whole.kind()))
                    .way_out("give each kind a name of its own"),
                );
                return Meaning::Broken;
            }
        }
    }
    match (whole, things) {
        (Meaning::Things(_), Some(things)) => Meaning::Things(Arc::new(things.into_vec())),
        (Meaning::Addresses(set), _) => {
            sets.push(set);
            Meaning::Addresses(union(sets))
        }
        (whole, _) => whole,
    }
}

/// All sets together; two by two, so that many small ones cost little.
pub(super) fn union(mut sets: Vec<Arc<AddrSet>>) -> Arc<AddrSet> {
    while sets.len() > 1 {
        sets = sets
            .chunks(2)
            .map(|pair| match pair {
                [a, b] => Arc::new(a.union(b)),
                _ => pair.first().cloned().unwrap_or_default(),
            })
            .collect();
    }
    sets.pop().unwrap_or_default()
}

fn circle(path: &[(&str, Vec<&Spanned<Item>>)], used: &str, span: Span) -> Report {
    let chain: Vec<&str> =
        path.iter().map(|(name, _)| *name).skip_while(|name| *name != used).chain([used]).collect();
    let report = Report::error("define-circle", span, format!("`{used}` is defined by itself"))
        .label(chain.join(" → "));
    match catalogue::named(used) {
        Some(_) if chain.len() == 2 => report.way_out(format!(
            "an own name takes the place of the catalogue's: give it another, `define my-{used} = {used}, …`"
        )),
        _ => report.way_out("write at one place of the circle what is meant instead of a name"),
    }
}

/// Whether two definitions of a name say the same.
fn same(loaded: &Loaded, a: &Define, b: &Define) -> bool {
    match (&a.value, &b.value) {
        (DefineValue::Items(a), DefineValue::Items(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| plain(&a.node) == plain(&b.node))
        }
        // One file is one list, whatever the path to it; two unreadable ones are an error elsewhere.
        (DefineValue::File(a), DefineValue::File(b)) => match (loaded.list(a), loaded.list(b)) {
            (Some(a), Some(b)) => Arc::ptr_eq(&a, &b),
            _ => true,
        },
        (DefineValue::Feed(a), DefineValue::Feed(b)) => a.node == b.node,
        _ => false,
    }
}

/// An item without places.
fn plain(item: &Item) -> (u8, Option<&Value>, Option<crate::syntax::ast::Ports>, &str) {
    match item {
        Item::Value(value) => (0, Some(value), None, ""),
        Item::Ports(ports) => (1, None, Some(*ports), ""),
        Item::Interface(name) => (2, None, None, name),
        Item::Ping => (3, None, None, ""),
        Item::Icmp(kind) => (4, None, None, &kind.node),
        Item::Protocol(word) => (5, None, None, &word.node),
    }
}
