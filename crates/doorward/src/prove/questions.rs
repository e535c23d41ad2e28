//! Questions that no packet answers, numbered where the same is asked several times; answers none.
//!
//! A question is told by its words, its chain, and what of the rule stands behind it. Others of the chain can ask the
//! same, and so does a chain that is called again: those are numbered. Within a program no two have one number. A
//! second program takes the numbers of the first, so that a rule that came, went or moved is no difference for
//! others: first those have the same number who are the same, then who is new has that of one who is gone. However
//! they are paired, programs that are equal then are equal.

use super::load::Stand;
use crate::ruleset::{Chain, Expr, Rule, Table, TableFamily};
use rustc_hash::{FxHashMap as HashMap, FxHasher};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

/// Where a rule is.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub(super) stand: Stand,
    /// Its table, and the table's number.
    pub(super) table: (usize, &'a Table),
    pub(super) chain: &'a Chain,
    /// Which call of the chain, where that matters.
    pub(super) call: u32,
    /// Its number in the chain.
    pub(super) number: usize,
}

impl Site<'_> {
    /// The chain in words, as one that is called.
    pub(super) fn words(&self) -> String {
        let (table, Stand { early, untranslated, .. }) = (self.table.1, self.stand);
        let stand = match (early, untranslated) {
            (true, _) => " before conntrack",
            (_, true) => " before translation",
            _ => "",
        };
        format!("{:?} {} {}{stand}, call {}", table.family, table.name, self.chain.name, self.call)
    }
}

/// A chain, by its table's family and name and its own.
type Name = (TableFamily, String, String);

/// Who asks or calls: a rule, told by what it holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Who {
    chain: Name,
    /// A sum of its expressions, and which one of those with this sum it is in its chain.
    rule: (u64, u32),
    /// The call of its chain, or the time within the rule.
    time: u32,
}

/// The numbers of one program: for each question, who asks it.
pub(super) type Numbers = HashMap<(Stand, String), HashMap<Who, u32>>;

/// Gives numbers.
pub(super) struct Questions<'a> {
    tables: &'a [Table],
    first: Option<&'a Numbers>,
    numbers: Numbers,
    /// What of the first program nobody has in this one, and the next number that is new.
    left: HashMap<(Stand, String), (VecDeque<u32>, u32)>,
    rules: HashMap<Name, Vec<(u64, u32)>>,
}

impl<'a> Questions<'a> {
    /// None yet; numbers are those of another program where it has them.
    pub(super) fn beside(first: Option<&'a Numbers>, tables: &'a [Table]) -> Questions<'a> {
        let (numbers, left, rules) = (HashMap::default(), HashMap::default(), HashMap::default());
        Questions { tables, first, numbers, left, rules }
    }

    /// All numbers that were given.
    pub(super) fn into_numbers(self) -> Numbers {
        self.numbers
    }

    /// The number of a question, or of a call, from 1 on; the same for each time that it is looked up.
    pub(super) fn number(&mut self, site: Site<'_>, question: &str, time: u32) -> u32 {
        let name = (site.table.1.family, site.table.1.name.clone(), site.chain.name.clone());
        let rules = self.rules.entry(name.clone()).or_insert_with(|| sums(site.chain));
        let who = Who { rule: rules.get(site.number).copied().unwrap_or_default(), chain: name, time };
        let question = (site.stand, question.to_owned());
        if let Some(number) = self.numbers.get(&question).and_then(|known| known.get(&who)) {
            return *number;
        }
        let before = self.first.and_then(|first| first.get(&question));
        let number = match before {
            None => self.numbers.get(&question).map_or(0, HashMap::len) + 1,
            Some(before) => match before.get(&who) {
                Some(number) => *number as usize,
                None => self.new_number(&question, before),
            },
        };
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        self.numbers.entry(question).or_default().insert(who, number);
        number
    }

    /// The number of somebody whom the first program has not.
    fn new_number(&mut self, question: &(Stand, String), before: &HashMap<Who, u32>) -> usize {
        if !self.left.contains_key(question) {
            let mut gone: Vec<u32> =
                before.iter().filter(|(who, _)| !self.is_there(who)).map(|(_, number)| *number).collect();
            gone.sort_unstable();
            let most = before.values().copied().max().unwrap_or(0);
            self.left.insert(question.clone(), (gone.into(), most));
        }
        let Some((gone, most)) = self.left.get_mut(question) else { return usize::MAX };
        if let Some(number) = gone.pop_front() {
            return number as usize;
        }
        *most += 1;
        *most as usize
    }

    /// Whether this program has such a rule, too.
    fn is_there(&mut self, who: &Who) -> bool {
        let (family, table, name) = &who.chain;
        let mut tables = self.tables.iter().filter(|one| one.family == *family && one.name == *table);
        let Some(chain) = tables.find_map(|table| table.chain(name)) else { return false };
        self.rules.entry(who.chain.clone()).or_insert_with(|| sums(chain)).contains(&who.rule)
    }
}

/// Each rule of a chain by what it holds, but for what counts, which changes by itself.
fn sums(chain: &Chain) -> Vec<(u64, u32)> {
    let mut times: HashMap<u64, u32> = HashMap::default();
    let sum = |rule: &Rule| {
        let mut sum = FxHasher::default();
        for expr in rule.exprs.iter().filter(|expr| !only_counts(expr)) {
            expr.hash(&mut sum);
        }
        let sum = sum.finish();
        let time = times.entry(sum).or_default();
        *time += 1;
        (sum, *time)
    };
    chain.rules.iter().map(sum).collect()
}

/// Whether it only counts.
pub(super) fn only_counts(expr: &Expr) -> bool {
    matches!(expr, Expr::Counter { .. } | Expr::Last { .. })
}
