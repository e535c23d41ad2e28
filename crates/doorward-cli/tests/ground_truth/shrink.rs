//! Makes a ruleset as small as it gets while it still shows something; knows not what.

use doorward::ruleset::{Data, Elements, Expr, Ruleset, Table, Verdict};
use std::collections::BTreeSet;
use std::ops::Range;

/// Rulesets that are tried.
const TRIES: usize = 250;

/// What is taken out, the largest first.
#[derive(Clone, Copy)]
enum Piece {
    Table,
    Chain,
    Rule,
    Expr,
    Element,
}

const PIECES: [Piece; 5] = [Piece::Table, Piece::Chain, Piece::Rule, Piece::Expr, Piece::Element];

/// The smallest ruleset found that still `shows` it; the ruleset itself if even that does not.
pub(crate) fn shrink(ruleset: &Ruleset, shows: impl Fn(&Ruleset) -> bool) -> Ruleset {
    let mut small = ruleset.clone();
    small.tables.iter_mut().for_each(forget_unused);
    if !shows(&small) {
        return ruleset.clone();
    }
    let mut tries = 0;
    loop {
        let before = size(&small);
        for piece in PIECES {
            let mut step = count(&small, piece);
            while step > 0 {
                let mut at = 0;
                while at < count(&small, piece) {
                    tries += 1;
                    let smaller = without(&small, piece, at..at + step).0;
                    if tries > TRIES {
                        return small;
                    }
                    if shows(&smaller) {
                        small = smaller;
                    } else {
                        at += step;
                    }
                }
                step /= 2;
            }
        }
        if size(&small) == before {
            return small;
        }
    }
}

/// How much there is of a ruleset.
pub(crate) fn size(ruleset: &Ruleset) -> usize {
    PIECES.iter().map(|piece| count(ruleset, *piece)).sum()
}

fn count(ruleset: &Ruleset, piece: Piece) -> usize {
    without(ruleset, piece, 0..0).1
}

/// The ruleset without these pieces, and how many there were.
fn without(ruleset: &Ruleset, piece: Piece, gone: Range<usize>) -> (Ruleset, usize) {
    let mut ruleset = ruleset.clone();
    let mut next = 0;
    let mut keep = || {
        next += 1;
        !gone.contains(&(next - 1))
    };
    match piece {
        Piece::Table => ruleset.tables.retain(|_| keep()),
        Piece::Chain => {
            for table in &mut ruleset.tables {
                let mut gone = BTreeSet::new();
                table.chains.retain(|chain| {
                    let kept = keep();
                    if !kept {
                        gone.insert(chain.name.clone());
                    }
                    kept
                });
                forget_calls(table, &gone);
            }
        }
        Piece::Rule => {
            let chains = ruleset.tables.iter_mut().flat_map(|table| &mut table.chains);
            chains.for_each(|chain| chain.rules.retain(|_| keep()));
        }
        Piece::Expr => {
            let chains = ruleset.tables.iter_mut().flat_map(|table| &mut table.chains);
            let rules = chains.flat_map(|chain| &mut chain.rules);
            rules.for_each(|rule| rule.exprs.retain(|_| keep()));
        }
        Piece::Element => {
            for set in ruleset.tables.iter_mut().flat_map(|table| &mut table.sets) {
                if let Elements::Full(elements) = &mut set.elements {
                    elements.retain(|_| keep());
                }
            }
        }
    }
    ruleset.tables.iter_mut().for_each(forget_unused);
    (ruleset, next)
}

/// Takes out what calls chains that are gone.
fn forget_calls(table: &mut Table, gone: &BTreeSet<String>) {
    let calls = |verdict: &Verdict| match verdict {
        Verdict::Jump(to) | Verdict::Goto(to) => gone.contains(to),
        _ => false,
    };
    for set in &mut table.sets {
        if let Elements::Full(elements) = &mut set.elements {
            elements
                .retain(|element| !matches!(&element.data, Some(Data::Verdict(verdict)) if calls(verdict)));
        }
    }
    for chain in &mut table.chains {
        chain.rules.retain(|rule| {
            !rule.exprs.iter().any(|expr| matches!(expr, Expr::Verdict(verdict) if calls(verdict)))
        });
    }
}

/// Takes out sets that no rule names.
fn forget_unused(table: &mut Table) {
    let exprs = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
    let named: BTreeSet<String> = exprs
        .filter_map(|expr| match expr {
            Expr::Lookup { set, .. } | Expr::ObjrefMap { set, .. } => Some(set.clone()),
            Expr::Dynset(dynset) => Some(dynset.set.clone()),
            _ => None,
        })
        .collect();
    table.sets.retain(|set| named.contains(&set.name));
}
