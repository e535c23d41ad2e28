//! From the kernel's messages to objects of a ruleset; takes any bytes and never panics.

mod expr;
mod set;

use doorward::ruleset::{
    Base, Chain, ChainKind, Elements, Hook, Object, ObjectKind, Policy, Rule, Set, Table, TableFamily, Udata,
};

use crate::encode::expr_data;
use crate::message::{Message, Messages, NFGEN, nft_message};
use crate::nft::{self, msg};
use crate::wire::{Attrs, Fields, array, text};

pub(crate) use set::Collector;

/// An object that a message tells of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A table without what is in it.
    Table(Table),
    /// A chain without its rules.
    Chain {
        /// Family of the table.
        family: TableFamily,
        /// Name of the table.
        table: String,
        /// The chain.
        chain: Chain,
    },
    /// A rule.
    Rule {
        /// Family of the table.
        family: TableFamily,
        /// Name of the table.
        table: String,
        /// Name of the chain.
        chain: String,
        /// The rule.
        rule: Rule,
    },
    /// A set without its elements.
    Set {
        /// Family of the table.
        family: TableFamily,
        /// Name of the table.
        table: String,
        /// The set.
        set: Set,
        /// How many elements it has, where the kernel says so.
        count: Option<u32>,
    },
    /// Some elements of a set.
    Elements {
        /// Family of the table.
        family: TableFamily,
        /// Name of the table.
        table: String,
        /// Name of the set.
        set: String,
        /// The elements.
        elements: Elements,
    },
    /// A stateful object.
    Object {
        /// Family of the table.
        family: TableFamily,
        /// Name of the table.
        table: String,
        /// The object.
        object: Object,
    },
    /// A flowtable.
    Flowtable {
        /// Family of the table.
        family: TableFamily,
        /// Name of the table.
        table: String,
        /// Its name.
        name: String,
    },
    /// The number of the generation.
    Generation(u32),
}

/// Everything that a buffer of netlink messages tells of; what is no message of `nf_tables` is passed over.
#[must_use]
pub fn decode_message(bytes: &[u8]) -> Vec<Item> {
    Messages::new(bytes).filter_map(|message| item(&message, Rules::Whole)).collect()
}

/// How much of a rule is of interest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rules {
    /// All of it.
    Whole,
    /// Its counters and its comment.
    Counters,
}

/// The object of one message.
pub(crate) fn item(message: &Message, rules: Rules) -> Option<Item> {
    let family = TableFamily::from_number(*message.body.first()?);
    let attrs = message.body.get(NFGEN..)?;
    let of = |kind: u16| text(Attrs::find(attrs, kind).unwrap_or_default());
    Some(match nft_message(message.kind)? {
        msg::NEWTABLE => Item::Table(read_table(family, attrs)),
        msg::NEWCHAIN => {
            Item::Chain { family, table: of(nft::chain::TABLE), chain: read_chain(family, attrs) }
        }
        msg::NEWRULE => Item::Rule {
            family,
            table: of(nft::rule::TABLE),
            chain: of(nft::rule::CHAIN),
            rule: read_rule(attrs, rules),
        },
        msg::NEWSET => {
            let (set, count) = set::read_set(attrs);
            Item::Set { family, table: of(nft::set::TABLE), set, count }
        }
        msg::NEWSETELEM => Item::Elements {
            family,
            table: of(nft::elems::TABLE),
            set: of(nft::elems::SET),
            elements: Elements::Full(
                Attrs::new(element_list(message)?).map(|(_, one)| set::read_element(one)).collect(),
            ),
        },
        msg::NEWOBJ => Item::Object { family, table: of(nft::obj::TABLE), object: read_object(attrs) },
        msg::NEWFLOWTABLE => {
            Item::Flowtable { family, table: of(nft::flowtable::TABLE), name: of(nft::flowtable::NAME) }
        }
        msg::NEWGEN => {
            Item::Generation(u32::from_be_bytes(array(Attrs::find(attrs, nft::generation::ID)?, 0)?))
        }
        _ => return None,
    })
}

/// The bytes of the list in a message of elements.
pub(crate) fn element_list<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    (nft_message(message.kind)? == msg::NEWSETELEM).then_some(())?;
    Some(Attrs::find(message.body.get(NFGEN..)?, nft::elems::ELEMENTS).unwrap_or_default())
}

fn read_table(family: TableFamily, attrs: &[u8]) -> Table {
    let mut table = Table::new(family, "");
    for (kind, payload) in Attrs::new(attrs) {
        match kind {
            nft::table::NAME => table.name = text(payload),
            nft::table::FLAGS => table.flags = array(payload, 0).map_or(0, u32::from_be_bytes),
            nft::table::USERDATA => table.udata = Udata(payload.to_vec()),
            _ => {}
        }
    }
    table
}

fn read_chain(family: TableFamily, attrs: &[u8]) -> Chain {
    let mut chain = Chain::regular("");
    let mut policy = Policy::Accept;
    let mut kind_name = ChainKind::Filter;
    let mut hook = None;
    for (kind, payload) in Attrs::new(attrs) {
        match kind {
            nft::chain::NAME => chain.name = text(payload),
            nft::chain::USERDATA => chain.udata = Udata(payload.to_vec()),
            nft::chain::POLICY if array(payload, 0) == Some([0; 4]) => policy = Policy::Drop,
            nft::chain::TYPE => {
                kind_name = match text(payload).as_str() {
                    "filter" => ChainKind::Filter,
                    "nat" => ChainKind::Nat,
                    "route" => ChainKind::Route,
                    other => ChainKind::Other(other.to_owned()),
                }
            }
            nft::chain::HOOK => hook = Some(payload),
            _ => {}
        }
    }
    chain.base = hook.map(|bytes| read_base(family, bytes, kind_name, policy));
    chain
}

fn read_base(family: TableFamily, bytes: &[u8], kind: ChainKind, policy: Policy) -> Base {
    let number = |attr: u16| {
        let payload = Attrs::find(bytes, attr)?;
        array(payload, 0).map(u32::from_be_bytes)
    };
    let devices = match Attrs::find(bytes, nft::hook::DEVS) {
        Some(list) => Attrs::new(list)
            .filter_map(|(kind, payload)| match kind {
                nft::device::NAME => Some(text(payload)),
                nft::device::PREFIX => Some(text(payload) + "*"),
                _ => None,
            })
            .collect(),
        None => Attrs::find(bytes, nft::hook::DEV).map(text).into_iter().collect(),
    };
    Base {
        kind,
        hook: hook_of(family, number(nft::hook::NUM).unwrap_or(0)),
        priority: number(nft::hook::PRIORITY).unwrap_or(0).cast_signed(),
        policy,
        devices,
    }
}

/// The hook of a number, which depends on the family.
pub(crate) fn hook_of(family: TableFamily, number: u32) -> Hook {
    match (family, number) {
        (TableFamily::Netdev, 0) | (TableFamily::Inet, 5) => Hook::Ingress,
        (TableFamily::Netdev, 1) => Hook::Egress,
        (TableFamily::Arp, 0) => Hook::Input,
        (TableFamily::Arp, 1) => Hook::Output,
        (TableFamily::Arp | TableFamily::Netdev | TableFamily::Other(_), other) => Hook::Other(other),
        (_, 0) => Hook::Prerouting,
        (_, 1) => Hook::Input,
        (_, 2) => Hook::Forward,
        (_, 3) => Hook::Output,
        (_, 4) => Hook::Postrouting,
        (_, other) => Hook::Other(other),
    }
}

fn read_rule(attrs: &[u8], rules: Rules) -> Rule {
    let mut rule = Rule::default();
    for (kind, payload) in Attrs::new(attrs) {
        match kind {
            nft::rule::HANDLE => rule.handle = array(payload, 0).map(u64::from_be_bytes),
            nft::rule::EXPRESSIONS => {
                rule.exprs = match rules {
                    Rules::Whole => expr::read_list(payload),
                    Rules::Counters => expr::read_counters(payload),
                }
            }
            nft::rule::USERDATA => rule.udata = Udata(payload.to_vec()),
            _ => {}
        }
    }
    rule
}

fn read_object(attrs: &[u8]) -> Object {
    let mut name = String::new();
    let mut number = 0;
    let mut data: &[u8] = &[];
    let mut udata = Udata::default();
    for (kind, payload) in Attrs::new(attrs) {
        match kind {
            nft::obj::NAME => name = text(payload),
            nft::obj::TYPE => number = array(payload, 0).map_or(0, u32::from_be_bytes),
            nft::obj::DATA => data = payload,
            nft::obj::USERDATA => udata = Udata(payload.to_vec()),
            _ => {}
        }
    }
    Object {
        name,
        kind: object_kind(number, data).unwrap_or_else(|| ObjectKind::Other { number, data: data.to_vec() }),
        udata,
    }
}

fn object_kind(number: u32, data: &[u8]) -> Option<ObjectKind> {
    let mut f = Fields::of(data)?;
    let kind = match number {
        1 => {
            f.take(nft::counter::PAD);
            ObjectKind::Counter {
                packets: f.be64(nft::counter::PACKETS)?,
                bytes: f.be64(nft::counter::BYTES)?,
            }
        }
        3 => ObjectKind::CtHelper {
            helper: f.str(nft::ct_helper::NAME)?,
            l3proto: f.be16(nft::ct_helper::L3PROTO)?,
            l4proto: f.u8(nft::ct_helper::L4PROTO)?,
        },
        2 => {
            let quota = expr::quota(&mut f)?;
            ObjectKind::Other { number, data: expr_data(&quota)? }
        }
        4 => ObjectKind::Limit(expr::limit(&mut f)?),
        _ => return None,
    };
    f.done()?;
    Some(kind)
}
