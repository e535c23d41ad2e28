//! What is asked of connection tracking: bits of the state, and what is not there without an entry.

use super::*;
use doorward::ruleset::{CtKey, Element, Elements, Set};
use doorward::space::state;

fn ct(key: CtKey) -> Expr {
    Expr::Ct { key, dir: None, dreg: R0 }
}

/// `ct state x,y` of nft: one of these bits is set.
fn has_bit(bits: u32) -> Table {
    rule(vec![ct(CtKey::State), mask(bits.to_ne_bytes()), neq(0u32.to_ne_bytes())])
}

fn is(states: &[u128]) -> impl FnOnce(&mut Terms) -> Pred {
    let states = states.iter().map(|state| (*state, *state)).collect();
    move |terms| terms.within(&Field::State, states)
}

fn tracked(terms: &mut Terms) -> Pred {
    is(&[state::INVALID, state::UNTRACKED])(terms).negated()
}

#[test]
fn a_state_is_a_test_of_bits() {
    input().accepts(has_bit(8), is(&[state::NEW]));
    input().accepts(has_bit(2 | 4), is(&[state::ESTABLISHED, state::RELATED]));
}

#[test]
fn states_in_braces_are_exact() {
    let states = [2u32, 8 | 4].map(|bits| Element::of(bits.to_ne_bytes().to_vec())).to_vec();
    let mut table = rule(vec![ct(CtKey::State), lookup("s")]);
    let mut set = Set::over("s", &[]);
    (set.key_len, set.elements) = (4, Elements::Full(states));
    table.sets.push(set);
    // No packet is in two states at once.
    input().accepts(table, is(&[state::ESTABLISHED]));
}

#[test]
fn invalid_is_a_bit_like_the_others() {
    input().accepts(has_bit(1), is(&[state::INVALID]));
    input().accepts(has_bit(1 | 64), is(&[state::INVALID, state::UNTRACKED]));
}

/// Before conntrack has seen it, each packet reads as invalid.
#[test]
fn before_conntrack_everything_is_invalid() {
    let slice = Slice { hook: Hook::Prerouting, translated: false, nat: false };
    let asked = Asked { slice, ..input() };
    for (priority, early) in [(-300, true), (-150, false)] {
        let mut table = has_bit(1);
        let base = table.chains[0].base.as_mut().unwrap();
        (base.hook, base.priority) = (Hook::Prerouting, priority);
        if early {
            asked.accepts(table, always);
        } else {
            asked.accepts(table, is(&[state::INVALID]));
        }
    }
}

#[test]
fn without_an_entry_a_rule_breaks() {
    input().accepts(rule(vec![ct(CtKey::Mark)]), tracked);
}

#[test]
fn without_an_entry_a_rule_breaks_when_negated_too() {
    let mark = 5u32;
    let table = rule(vec![ct(CtKey::Mark), neq(mark.to_ne_bytes())]);
    input().accepts(table, |terms| {
        let other = terms.equals(&Field::CT_MARK, mark.into()).negated();
        Pred::all([tracked(terms), other])
    });
}

/// `ct status` has several bits at once: a test of one leaves the others open, a comparison does not.
#[test]
fn a_status_has_several_bits() {
    let assured = 4u32;
    let tested = rule(vec![ct(CtKey::Status), mask(assured.to_ne_bytes()), neq(0u32.to_ne_bytes())]);
    input().accepts(tested, |terms| {
        let bit = terms.masked(&Field::STATUS, assured.into(), assured.into());
        Pred::all([tracked(terms), bit])
    });
    let compared = rule(vec![ct(CtKey::Status), eq(assured.to_ne_bytes())]);
    input().accepts(compared, |terms| {
        // That the destination was translated is known of a slice, and no bit that is left to ask for.
        let all = u128::from(!0x20u32);
        let only = terms.masked(&Field::STATUS, all, assured.into());
        Pred::all([tracked(terms), only])
    });
}
