//! A proven transaction, encoded once and sent later, by another process or after a boot; and decoded again.
//!
//! A batch holds nothing of the socket that sends it: its port is 0 throughout, its numbers count its own messages,
//! and sets are named by numbers that hold within it. Only the generation belongs to the moment: it is left out when
//! sealing, and put in when loading.

use std::borrow::Cow;
use std::collections::HashMap;

use doorward::ruleset::{Checked, Elements, Sealed, Step, TableFamily, Transaction};

use crate::commit::{CommitError, Socket};
use crate::decode::{Collector, Item, Rules, item};
use crate::encode::{Batch, Sent, StepTooLong, batch};
use crate::message::{BATCH_BEGIN, BATCH_END, HEADER, Message, Messages, NFGEN, batch_begin, nft_message};
use crate::nft::{self, msg};
use crate::read::Generation;
use crate::wire::{Attrs, Writer, array, text};

impl<Where> Socket<Where> {
    /// Encodes what was proven, to be kept. [`CommitError::TooLong`] where netlink cannot say it.
    pub fn seal(transaction: &Checked<Transaction>) -> Result<Sealed, CommitError> {
        let batch = batch(transaction, None).map_err(|StepTooLong(step)| CommitError::TooLong { step })?;
        Ok(Sealed::seal(transaction, batch.bytes))
    }

    /// Sends what was sealed as it is: all of it takes effect, or nothing. With a generation it is refused as
    /// [`CommitError::Raced`] when the ruleset has moved on since. The steps that refusals name are those of
    /// [`unseal`].
    pub fn load_sealed(&self, sealed: &Sealed, generation: Option<Generation>) -> Result<(), CommitError> {
        let mut w = Writer::with_capacity(sealed.batch().len() + 8);
        batch_begin(&mut w, 0, generation.map(|g| g.0));
        let begin = w.len();
        w.raw(sealed.batch().get(HEADER + NFGEN..).ok_or(CommitError::NotOurs)?);
        let bytes = w.finish().map_err(|_| CommitError::NotOurs)?;
        let messages = index(&bytes, begin).ok_or(CommitError::NotOurs)?;
        if messages.is_empty() {
            return Ok(());
        }
        self.send_batch(&Batch { bytes, messages }, || unseal(sealed).map(Cow::Owned))
    }
}

/// Where each message of a batch begins, each taken as a step of its own; none where this is no batch of ours.
fn index(bytes: &[u8], begin: usize) -> Option<Vec<Sent>> {
    let (mut at, mut messages) = (begin, Vec::new());
    for message in Messages::new(bytes.get(begin..)?) {
        let next = at + HEADER + message.body.len().next_multiple_of(4);
        if message.kind == BATCH_END {
            return (next == bytes.len()).then_some(messages);
        }
        nft_message(message.kind)?;
        let step = messages.len();
        (usize::try_from(message.seq).ok()? == step + 1).then_some(())?;
        messages.push(Sent { at, step, first: 0 });
        at = next;
    }
    None
}

/// The transaction that was sealed, one step for each message: long lists of elements are several. None where this
/// is no batch of this crate. [`Transaction::creates`] makes the table of it, if it made one.
#[must_use]
pub fn unseal(sealed: &Sealed) -> Option<Transaction> {
    decode(sealed.batch())
}

pub(crate) fn decode(batch: &[u8]) -> Option<Transaction> {
    let mut messages = Messages::new(batch);
    (messages.next()?.kind == BATCH_BEGIN).then_some(())?;
    let mut transaction: Option<Transaction> = None;
    let mut keys = HashMap::new();
    for message in messages {
        if message.kind == BATCH_END {
            return transaction;
        }
        let attrs = message.body.get(NFGEN..)?;
        let family = TableFamily::from_number(*message.body.first()?);
        // Tables are named by the same attribute in every message.
        let table = text(Attrs::find(attrs, nft::table::NAME)?);
        let transaction = transaction.get_or_insert_with(|| Transaction::on(family, &table));
        (transaction.family == family && transaction.table == table).then_some(())?;
        transaction.steps.push(step(&message, attrs, &mut keys)?);
    }
    None
}

/// The step of one message; `keys` are the sets that the batch has made, with their flags and lengths of keys.
fn step(message: &Message, attrs: &[u8], keys: &mut HashMap<String, (u32, u32)>) -> Option<Step> {
    let named = |kind: u16| Attrs::find(attrs, kind).map(text);
    Some(match nft_message(message.kind)? {
        msg::DELTABLE => Step::DeleteTable,
        msg::DELRULE => Step::FlushChain(named(nft::rule::CHAIN)?),
        msg::DELCHAIN => Step::DeleteChain(named(nft::chain::NAME)?),
        msg::DELSET => Step::DeleteSet(named(nft::set::NAME)?),
        msg::DELOBJ => Step::DeleteObject {
            kind: u32::from_be_bytes(array(Attrs::find(attrs, nft::obj::TYPE)?, 0)?),
            name: named(nft::obj::NAME)?,
        },
        kind @ (msg::NEWSETELEM | msg::DELSETELEM) => {
            let set = named(nft::elems::SET)?;
            let (flags, key_len) = keys.get(&set).copied().unwrap_or_default();
            let list = Attrs::find(attrs, nft::elems::ELEMENTS);
            let read = |list| elements(list, key_len);
            match (kind, list) {
                (msg::DELSETELEM, None) => Step::FlushSet(set),
                (msg::DELSETELEM, Some(list)) => {
                    Step::DeleteElements { set, flags, key_len, elements: read(list) }
                }
                (_, list) => Step::AddElements { set, flags, key_len, elements: read(list?) },
            }
        }
        _ => match item(message, Rules::Whole)? {
            Item::Table(table) => Step::AddTable { flags: table.flags, udata: table.udata },
            Item::Chain { chain, .. } => {
                Step::AddChain { name: chain.name, base: chain.base, udata: chain.udata }
            }
            Item::Rule { chain, rule, .. } => Step::AddRule { chain, rule },
            Item::Set { set, .. } => {
                keys.insert(set.name.clone(), (set.flags, set.key_len));
                Step::AddSet(set)
            }
            Item::Object { object, .. } => Step::AddObject(object),
            Item::Elements { .. } | Item::Flowtable { .. } | Item::Generation(_) => return None,
        },
    })
}

fn elements(list: &[u8], key_len: u32) -> Elements {
    let mut collector = Collector::new(key_len);
    collector.take(list);
    collector.finish()
}
