//! The elements of one set with the time that is left to them, without the rest of its table: for a countdown.

use crate::decode::Collector;
use crate::message::nft_kind;
use crate::nft::{self, msg};
use crate::read::{Reader, SetName};
use crate::socket::KernelError;
use crate::wire::Writer;
use doorward::ruleset::{Element, Elements};
use rustix::io::Errno;

/// An element and its time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lifetime {
    /// The key, as [`Element::key`].
    pub key: Vec<u8>,
    /// How long it was given, in milliseconds; none where it has no time of its own: for ever, or as long as the
    /// set says.
    pub timeout: Option<u64>,
    /// How much of that is left, in milliseconds.
    pub expiration: Option<u64>,
}

impl Reader {
    /// The elements of one set and their times; none if there is no such table or no such set. Expired ones are not
    /// told, whether the kernel has collected them or not.
    ///
    /// One question, whatever else the table holds. [`KernelError::Unsettled`] when others change the ruleset again
    /// and again meanwhile.
    pub fn lifetimes(&self, name: &SetName) -> Result<Option<Vec<Lifetime>>, KernelError> {
        let body = |w: &mut Writer| {
            w.raw(&[name.family.number(), 0, 0, 0]);
            w.str(nft::elems::TABLE, &name.table);
            w.str(nft::elems::SET, &name.set);
        };
        let lists = self.channel.list(nft_kind(msg::GETSETELEM), body, |message| {
            crate::decode::element_list(message).map(lifetimes)
        });
        match lists {
            Ok(lists) => Ok(Some(lists.concat())),
            Err(KernelError::Refused { errno: Errno::NOENT, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn lifetimes(list: &[u8]) -> Vec<Lifetime> {
    // No key has this length, so that each element is read in full.
    let mut collector = Collector::new(0);
    collector.take(list);
    match collector.finish() {
        Elements::Full(list) => list
            .into_iter()
            .map(|Element { key, timeout, expiration, .. }| Lifetime { key, timeout, expiration })
            .collect(),
        Elements::Plain(_) => Vec::new(),
    }
}
