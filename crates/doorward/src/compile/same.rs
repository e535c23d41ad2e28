//! Whether a table that was read back is the one that was sent; proves nothing of either.

use super::replace::{FOR_EVER, same_rules};
use crate::ruleset::{Element, Elements, Set, Table, set_flags};
use std::collections::BTreeMap;

/// Whether a set holds a list of the policy. It is named by what it holds, so equal names are equal lists.
#[must_use]
pub fn is_list(set: &Set) -> bool {
    set.name.starts_with("list_")
}

/// What a table that was read has otherwise than the one that was sent; none where it is the same.
///
/// What changes by itself is left out: counters, handles, what is left of timeouts, and members of sets that the packet
/// path fills. The elements of lists are compared where both have them.
#[must_use]
pub fn differs(there: &Table, sent: &Table) -> Option<String> {
    for chain in &sent.chains {
        let Some(found) = there.chain(&chain.name) else {
            return Some(format!("chain {} is missing", chain.name));
        };
        if found.base != chain.base {
            return Some(format!("chain {} is called from elsewhere", chain.name));
        }
        if !same_rules(&found.rules, &chain.rules) {
            return Some(format!("chain {} has other rules", chain.name));
        }
    }
    for chain in &there.chains {
        // A base chain that nothing is wanted of stays, empty.
        let idle = chain.base.is_some() && chain.rules.is_empty();
        if !idle && sent.chain(&chain.name).is_none() {
            return Some(format!("chain {} is too much", chain.name));
        }
    }
    for set in &sent.sets {
        let Some(found) = there.set(&set.name) else { return Some(format!("set {} is missing", set.name)) };
        if (found.flags, found.key_len, found.data) != (set.flags, set.key_len, set.data) {
            return Some(format!("set {} is of another kind", set.name));
        }
        if !same_elements(found, set) {
            return Some(format!("set {} has other elements", set.name));
        }
    }
    let strange = |set: &&Set| sent.set(&set.name).is_none() && !FOR_EVER.contains(&set.name.as_str());
    if let Some(set) = there.sets.iter().find(strange) {
        return Some(format!("set {} is too much", set.name));
    }
    let missing = sent.objects.iter().find(|object| !there.objects.contains(object));
    missing.map(|object| format!("object {} is missing", object.name))
}

fn same_elements(there: &Set, sent: &Set) -> bool {
    let by_itself = set_flags::TIMEOUT | set_flags::EVAL;
    let unread = is_list(sent) && there.elements.count(there.key_len) == 0;
    if sent.flags & by_itself != 0 || unread {
        return true;
    }
    if let (Elements::Plain(one), Elements::Plain(other)) = (&there.elements, &sent.elements)
        && one == other
    {
        return true;
    }
    by_key(there) == by_key(sent)
}

/// The elements without what they counted.
fn by_key(set: &Set) -> BTreeMap<Vec<u8>, Element> {
    let plain = |element: &Element| {
        let bare = Element { exprs: Vec::new(), expiration: None, ..element.clone() };
        (bare.key.clone(), bare)
    };
    match &set.elements {
        Elements::Full(list) => list.iter().map(plain).collect(),
        Elements::Plain(bytes) => bytes
            .chunks_exact(set.key_len.max(1) as usize)
            .map(|key| (key.to_vec(), Element::of(key.to_vec())))
            .collect(),
    }
}
