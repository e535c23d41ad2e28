//! The table while it is being built: chains by name, sets by content.

use super::code;
use super::lists::Lists;
use super::{Options, TABLE};
use crate::resolve::model::{Resolved, Verdict};
use crate::ruleset::{
    Base, Chain, ChainKind, Data, Element, Elements, Expr, Hook, KeyPart, Object, Policy, Rule, Set, Table,
    TableFamily, Udata, set_flags,
};
use std::collections::BTreeMap;

/// The table while it is being built.
pub(super) struct Builder<'a> {
    pub(super) policy: &'a Resolved,
    pub(super) options: &'a Options,
    pub(super) lists: Lists,
    chains: Vec<Chain>,
    sets: Vec<Set>,
    objects: Vec<Object>,
    /// Names of sets of this generation by what is in them.
    by_content: BTreeMap<(Vec<KeyPart>, bool, Vec<u8>), String>,
    /// How many names of each stem are taken.
    taken: BTreeMap<String, usize>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(policy: &'a Resolved, options: &'a Options) -> Builder<'a> {
        Builder {
            policy,
            options,
            lists: Lists::default(),
            chains: Vec::new(),
            sets: Vec::new(),
            objects: Vec::new(),
            by_content: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }

    pub(super) fn finish(mut self) -> Table {
        let mut table = Table::new(TableFamily::Inet, TABLE);
        self.sets.extend(self.lists.into_sets());
        table.chains = self.chains;
        table.sets = self.sets;
        table.objects = self.objects;
        // A list of which nothing is left to say at the places that name it.
        super::replace::needed_only(&mut table);
        table
    }

    /// A name of this generation.
    pub(super) fn name(&self, stem: &str) -> String {
        format!("g{}_{stem}", self.options.generation)
    }

    /// A name of this generation that nobody has yet: `stem_1`, `stem_2`, …
    pub(super) fn fresh(&mut self, stem: &str) -> String {
        let count = self.taken.entry(stem.to_owned()).or_default();
        *count += 1;
        let number = *count;
        self.name(&format!("{stem}_{number}"))
    }

    /// Whether a chain of this name is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.chains.iter().any(|chain| chain.name == name)
    }

    /// Makes a chain; the place in the listing is where it is first named.
    pub(super) fn open(&mut self, name: &str) {
        if !self.has(name) {
            self.chains.push(Chain::regular(name));
        }
    }

    /// Makes a base chain that judges.
    pub(super) fn base(&mut self, name: &str, hook: Hook, priority: i32) {
        self.base_of(ChainKind::Filter, name, hook, priority);
    }

    /// Makes a base chain.
    pub(super) fn base_of(&mut self, kind: ChainKind, name: &str, hook: Hook, priority: i32) {
        let mut chain = Chain::regular(name);
        chain.base = Some(Base {
            kind,
            hook,
            priority,
            // Never reached: each path ends in a verdict.
            policy: Policy::Accept,
            devices: Vec::new(),
        });
        self.chains.push(chain);
    }

    /// Adds a rule to a chain, which is made if it is not there.
    pub(super) fn rule(&mut self, chain: &str, exprs: Vec<Expr>) {
        self.push(chain, Rule::new(exprs));
    }

    /// Adds a rule for each expression.
    pub(super) fn rules(&mut self, chain: &str, each: impl IntoIterator<Item = Expr>) {
        for expr in each {
            self.rule(chain, vec![expr]);
        }
    }

    /// Adds a rule with a comment.
    pub(super) fn commented(&mut self, chain: &str, exprs: Vec<Expr>, comment: &str) {
        self.push(chain, Rule::new(exprs).commented(comment));
    }

    fn push(&mut self, chain: &str, rule: Rule) {
        self.open(chain);
        if let Some(chain) = self.chains.iter_mut().rev().find(|c| c.name == chain) {
            chain.rules.push(rule);
        }
    }

    /// A set of these elements, each with a comment; one with the same content is used again.
    pub(super) fn set(
        &mut self,
        stem: &str,
        parts: &[KeyPart],
        counted: bool,
        elements: &BTreeMap<&[u8], &str>,
    ) -> String {
        let size = elements.iter().map(|(key, comment)| key.len() + comment.len() + 1).sum();
        let mut content = Vec::with_capacity(size);
        for (key, comment) in elements {
            content.extend_from_slice(key);
            content.extend_from_slice(comment.as_bytes());
            content.push(0);
        }
        let id = (parts.to_vec(), counted, content);
        if let Some(name) = self.by_content.get(&id) {
            return name.clone();
        }
        let name = self.fresh(stem);
        let mut set = Set::over(&name, parts);
        set.size = u32::try_from(elements.len()).ok();
        if counted {
            set.exprs.push(code::counter());
        }
        set.elements = Elements::Full(
            elements.iter().map(|(key, comment)| Element::of(key.to_vec()).commented(comment)).collect(),
        );
        self.by_content.insert(id, name.clone());
        self.sets.push(set);
        name
    }

    /// A verdict map of this generation.
    pub(super) fn verdict_map(&mut self, stem: &str, parts: &[KeyPart], elements: Vec<Element>) -> String {
        let name = self.name(stem);
        let mut map = Set::verdict_map(&name, parts);
        map.size = u32::try_from(elements.len()).ok();
        map.elements = Elements::Full(elements);
        self.sets.push(map);
        name
    }

    /// A map of this generation whose elements count.
    pub(super) fn map(&mut self, stem: &str, parts: &[KeyPart], to: MapTo<'_>) -> String {
        let name = self.name(stem);
        let mut map = Set::map(&name, parts, to.parts);
        map.size = u32::try_from(to.elements.len()).ok();
        map.exprs.push(code::counter());
        let element = |(key, (value, comment)): (Vec<u8>, (Vec<u8>, String))| {
            Element { data: Some(Data::Value(value)), ..Element::of(key) }.commented(&comment)
        };
        map.elements = Elements::Full(to.elements.into_iter().map(element).collect());
        self.sets.push(map);
        name
    }

    /// A set that outlives generations; making it twice makes it once.
    pub(super) fn shared(&mut self, set: Set) {
        if !self.sets.iter().any(|known| known.name == set.name) {
            self.sets.push(set);
        }
    }

    /// A set whose elements come from the packet path and go by time.
    ///
    /// It has no size: the kernel would make the whole table at once (1 MiB of buckets for 65,535 elements), and walk
    /// it at each dump and each collection. Without one it grows, up to [`Set::room`].
    pub(super) fn dynamic(&mut self, name: &str, parts: &[KeyPart], timeout: Option<u64>) {
        let mut set = Set::over(name, parts);
        set.flags = set_flags::TIMEOUT | set_flags::EVAL;
        set.timeout = timeout;
        self.shared(set);
    }

    /// An object that outlives generations.
    pub(super) fn object(&mut self, object: Object) {
        if !self.objects.contains(&object) {
            self.objects.push(object);
        }
    }

    /// The chain through which everything that is let in goes.
    pub(super) fn yes(&self) -> String {
        self.name("yes")
    }

    /// How a verdict ends a rule.
    pub(super) fn verdict(&self, verdict: Verdict) -> Expr {
        match verdict {
            Verdict::Allow => code::goto(&self.yes()),
            Verdict::Block => code::goto(&self.name("block")),
            Verdict::Reject => code::goto(&self.name("reject")),
        }
    }
}

/// What a map maps to.
pub(super) struct MapTo<'p> {
    /// Parts of the value.
    pub(super) parts: &'p [KeyPart],
    /// Values and comments by key, parts padded to registers if there are several.
    pub(super) elements: BTreeMap<Vec<u8>, (Vec<u8>, String)>,
}

/// An element of a verdict map.
pub(super) fn verdict_element(key: Vec<u8>, verdict: crate::ruleset::Verdict) -> Element {
    Element { key, data: Some(Data::Verdict(verdict)), udata: Udata::default(), ..Element::default() }
}
