//! From a transaction to the bytes of one batch; knows where each step landed, not what the kernel thinks of it.

mod expr;
mod set;

use std::collections::HashMap;

use doorward::ruleset::{
    Base, ChainKind, Elements, Hook, Object, ObjectKind, Policy, Rule, Step, TableFamily, Transaction, Udata,
};

use crate::message::{batch_begin, batch_end, begin_nft, flag};
use crate::nft::{self, msg};
use crate::wire::{Open, Writer};

pub(crate) use expr::{expr_data, name_of, write_expr, write_limit};

/// A list of elements must stay under the 16 bits of its length.
const LIST_BYTES: usize = 65_000;

/// The bytes of a transaction, and which step each of its messages comes from.
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// In the order of their sequence numbers, which begin at 1.
    pub(crate) messages: Vec<Sent>,
}

/// One message of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    /// Where its header begins.
    pub(crate) at: usize,
    /// Index of the step.
    pub(crate) step: usize,
    /// Index of its first element, among those of the step.
    pub(crate) first: usize,
}

/// The step that cannot be said in netlink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StepTooLong(pub(crate) usize);

/// Encodes a whole transaction.
pub(crate) fn batch(transaction: &Transaction, generation: Option<u32>) -> Result<Batch, StepTooLong> {
    let mut encoder = Encoder {
        w: Writer::with_capacity(estimate(transaction)),
        messages: Vec::new(),
        family: transaction.family.number(),
        table: &transaction.table,
        ids: HashMap::new(),
        step: 0,
    };
    batch_begin(&mut encoder.w, 0, generation);
    for index in sending_order(&transaction.steps) {
        encoder.step = index;
        encoder.one(&transaction.steps[index], transaction.family);
        if encoder.w.take_too_long() {
            return Err(StepTooLong(index));
        }
    }
    let end = encoder.seq();
    batch_end(&mut encoder.w, end);
    let messages = encoder.messages;
    let mut bytes = encoder.w.finish().map_err(|_| StepTooLong(0))?;
    // The end of a batch is answered by new kernels only, its last message by all.
    if let Some(last) = messages.last() {
        let flags = u16::from_ne_bytes([bytes[last.at + 6], bytes[last.at + 7]]) | flag::ACK;
        bytes[last.at + 6..last.at + 8].copy_from_slice(&flags.to_ne_bytes());
    }
    Ok(Batch { bytes, messages })
}

/// The order of the steps, but for rules of chains that belong to one rule: these are closed as soon as that
/// rule is there, so theirs come first, the innermost before the others.
fn sending_order(steps: &[Step]) -> Vec<usize> {
    let bound = |index: &usize| match &steps[*index] {
        Step::AddRule { chain, .. } => bound_chain(chain),
        _ => false,
    };
    let has_bound = (0..steps.len()).any(|index| bound(&index));
    let first_rule =
        steps.iter().position(|step| matches!(step, Step::AddRule { .. })).unwrap_or(steps.len());
    let mut order: Vec<usize> = (0..steps.len()).collect();
    if has_bound {
        let (mut early, late): (Vec<usize>, Vec<usize>) =
            (first_rule..steps.len()).partition(|index| bound(index));
        early.sort_by_key(|index| match &steps[*index] {
            Step::AddRule { chain, .. } => std::cmp::Reverse(number_of(chain)),
            _ => std::cmp::Reverse(0),
        });
        order.truncate(first_rule);
        order.extend(early);
        order.extend(late);
    }
    order
}

/// Whether a chain was made for one rule: the kernel keeps this prefix for them.
fn bound_chain(name: &str) -> bool {
    name.strip_prefix(nft::BOUND_CHAIN)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

fn number_of(chain: &str) -> u64 {
    chain.strip_prefix(nft::BOUND_CHAIN).and_then(|rest| rest.parse().ok()).unwrap_or(0)
}

/// Bytes that the batch will about need, so that a big one is not moved around.
fn estimate(transaction: &Transaction) -> usize {
    let elements = transaction.steps.iter().map(|step| match step {
        Step::AddElements { elements, key_len, .. } | Step::DeleteElements { elements, key_len, .. } => {
            let key = key_len.next_multiple_of(4) as usize;
            let each = match elements {
                Elements::Plain(_) => 12 + key,
                Elements::Full(_) => 64 + key,
            };
            let bytes = elements.count(*key_len).saturating_mul(each);
            bytes + bytes / 256 + 256
        }
        Step::AddRule { rule, .. } => 128 + rule.exprs.len() * 64,
        _ => 256,
    });
    elements.sum::<usize>() + 64
}

struct Encoder<'a> {
    w: Writer,
    messages: Vec<Sent>,
    family: u8,
    table: &'a str,
    /// Sets that this batch makes.
    ids: HashMap<&'a str, u32>,
    step: usize,
}

impl<'a> Encoder<'a> {
    /// Number of the next message.
    fn seq(&self) -> u32 {
        u32::try_from(self.messages.len()).map_or(u32::MAX, |n| n.saturating_add(1))
    }

    fn begin(&mut self, message: u8, flags: u16, first: usize) -> Open {
        let seq = self.seq();
        self.messages.push(Sent { at: self.w.len(), step: self.step, first });
        begin_nft(&mut self.w, message, flags, seq, self.family)
    }

    fn message(&mut self, message: u8, flags: u16, inner: impl FnOnce(&mut Writer, &str)) {
        let open = self.begin(message, flags, 0);
        inner(&mut self.w, self.table);
        self.w.end(open);
    }

    fn one(&mut self, step: &'a Step, family: TableFamily) {
        match step {
            Step::AddTable { flags, udata } => self.message(msg::NEWTABLE, flag::CREATE, |w, table| {
                w.str(nft::table::NAME, table);
                w.be32(nft::table::FLAGS, *flags);
                w.some(nft::table::USERDATA, &udata.0);
            }),
            Step::DeleteTable => self.message(msg::DELTABLE, 0, |w, table| w.str(nft::table::NAME, table)),
            Step::AddChain { name, base, udata } => self.message(msg::NEWCHAIN, flag::CREATE, |w, table| {
                w.str(nft::chain::TABLE, table);
                write_chain(w, name, base.as_ref(), udata, family);
            }),
            Step::FlushChain(name) => self.message(msg::DELRULE, 0, |w, table| {
                w.str(nft::rule::TABLE, table);
                w.str(nft::rule::CHAIN, name);
            }),
            Step::DeleteChain(name) => self.message(msg::DELCHAIN, 0, |w, table| {
                w.str(nft::chain::TABLE, table);
                w.str(nft::chain::NAME, name);
            }),
            Step::AddRule { chain, rule } => {
                self.message(msg::NEWRULE, flag::CREATE | flag::APPEND, |w, table| {
                    w.str(nft::rule::TABLE, table);
                    w.str(nft::rule::CHAIN, chain);
                    write_rule(w, rule);
                });
            }
            Step::AddSet(set) => {
                let id = u32::try_from(self.ids.len()).map_or(u32::MAX, |n| n.saturating_add(1));
                self.ids.insert(&set.name, id);
                self.message(msg::NEWSET, flag::CREATE, |w, table| {
                    w.str(nft::set::TABLE, table);
                    set::write_set(w, set);
                    w.be32(nft::set::ID, id);
                });
            }
            Step::FlushSet(name) => self.message(msg::DELSETELEM, 0, |w, table| {
                w.str(nft::elems::TABLE, table);
                w.str(nft::elems::SET, name);
            }),
            Step::DeleteSet(name) => self.message(msg::DELSET, 0, |w, table| {
                w.str(nft::set::TABLE, table);
                w.str(nft::set::NAME, name);
            }),
            Step::AddElements { set, key_len, elements, .. } => {
                self.elements(msg::NEWSETELEM, flag::CREATE, set, *key_len, elements);
            }
            Step::DeleteElements { set, key_len, elements, .. } => {
                self.elements(msg::DELSETELEM, 0, set, *key_len, elements);
            }
            Step::AddObject(object) => self.message(msg::NEWOBJ, flag::CREATE, |w, table| {
                w.str(nft::obj::TABLE, table);
                write_object(w, object);
            }),
            Step::DeleteObject { kind, name } => self.message(msg::DELOBJ, 0, |w, table| {
                w.str(nft::obj::TABLE, table);
                w.str(nft::obj::NAME, name);
                w.be32(nft::obj::TYPE, *kind);
            }),
        }
    }

    /// As many messages as the elements need. None at all would mean "all" when deleting: no elements, no message.
    fn elements(&mut self, message: u8, flags: u16, set: &str, key_len: u32, elements: &Elements) {
        let adding = message == msg::NEWSETELEM;
        match elements {
            Elements::Plain(bytes) => {
                let len = (key_len as usize).max(1);
                self.split(message, flags, set, bytes.len() / len, |w, index| {
                    set::write_key(w, &bytes[index * len..(index + 1) * len]);
                });
            }
            Elements::Full(list) => self.split(message, flags, set, list.len(), |w, index| {
                set::write_element(w, &list[index], adding);
            }),
        }
    }

    fn split(
        &mut self,
        message: u8,
        flags: u16,
        set: &str,
        count: usize,
        write: impl Fn(&mut Writer, usize),
    ) {
        let mut next = 0;
        while next < count {
            let open = self.begin(message, flags, next);
            self.w.str(nft::elems::TABLE, self.table);
            self.w.str(nft::elems::SET, set);
            if let Some(id) = self.ids.get(set) {
                self.w.be32(nft::elems::SET_ID, *id);
            }
            let list = self.w.open(nft::elems::ELEMENTS);
            let (start, first) = (self.w.len(), next);
            while next < count {
                let before = self.w.len();
                self.w.nest(nft::LIST_ELEM, |w| write(w, next));
                if self.w.len() - start > LIST_BYTES && next > first {
                    self.w.truncate(before);
                    break;
                }
                next += 1;
            }
            self.w.close(list);
            self.w.end(open);
        }
    }
}

fn write_chain(w: &mut Writer, name: &str, base: Option<&Base>, udata: &Udata, family: TableFamily) {
    w.str(nft::chain::NAME, name);
    if let Some(base) = base {
        w.nest(nft::chain::HOOK, |w| {
            w.be32(nft::hook::NUM, hook_number(family, base.hook));
            w.be32(nft::hook::PRIORITY, base.priority.cast_unsigned());
            write_devices(w, &base.devices);
        });
        w.be32(
            nft::chain::POLICY,
            match base.policy {
                Policy::Drop => 0,
                Policy::Accept => 1,
            },
        );
        w.str(
            nft::chain::TYPE,
            match &base.kind {
                ChainKind::Filter => "filter",
                ChainKind::Nat => "nat",
                ChainKind::Route => "route",
                ChainKind::Other(name) => name,
            },
        );
    } else if bound_chain(name) {
        w.be32(nft::chain::FLAGS, nft::CHAIN_BINDING);
    }
    w.some(nft::chain::USERDATA, &udata.0);
}

fn write_devices(w: &mut Writer, devices: &[String]) {
    match devices {
        [] => {}
        [one] if !one.ends_with('*') => w.str(nft::hook::DEV, one),
        several => w.nest(nft::hook::DEVS, |w| {
            for name in several {
                match name.strip_suffix('*') {
                    Some(prefix) => w.str(nft::device::PREFIX, prefix),
                    None => w.str(nft::device::NAME, name),
                }
            }
        }),
    }
}

/// The number of a hook, which depends on the family.
pub(crate) fn hook_number(family: TableFamily, hook: Hook) -> u32 {
    match (family, hook) {
        (_, Hook::Other(number)) => number,
        (TableFamily::Netdev, Hook::Ingress) | (TableFamily::Arp, Hook::Input) | (_, Hook::Prerouting) => 0,
        (TableFamily::Netdev, Hook::Egress) | (TableFamily::Arp, Hook::Output) | (_, Hook::Input) => 1,
        (_, Hook::Forward) => 2,
        (_, Hook::Output) => 3,
        (_, Hook::Postrouting) => 4,
        (_, Hook::Ingress) => 5,
        (_, Hook::Egress) => 6,
    }
}

fn write_rule(w: &mut Writer, rule: &Rule) {
    w.nest(nft::rule::EXPRESSIONS, |w| {
        for one in &rule.exprs {
            w.nest(nft::LIST_ELEM, |w| write_expr(w, one));
        }
    });
    w.some(nft::rule::USERDATA, &rule.udata.0);
}

fn write_object(w: &mut Writer, object: &Object) {
    w.str(nft::obj::NAME, &object.name);
    w.be32(nft::obj::TYPE, object.kind.number());
    w.nest(nft::obj::DATA, |w| match &object.kind {
        ObjectKind::Counter { packets, bytes } => {
            w.be64(nft::counter::BYTES, *bytes);
            w.be64(nft::counter::PACKETS, *packets);
        }
        ObjectKind::CtHelper { helper, l3proto, l4proto } => {
            w.str(nft::ct_helper::NAME, helper);
            w.be16(nft::ct_helper::L3PROTO, *l3proto);
            w.u8(nft::ct_helper::L4PROTO, *l4proto);
        }
        ObjectKind::Limit(limit) => write_limit(w, limit),
        ObjectKind::Other { data, .. } => w.raw(data),
    });
    w.some(nft::obj::USERDATA, &object.udata.0);
}
