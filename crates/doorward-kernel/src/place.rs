//! Where in a step the kernel found a mistake: from the byte offset that it gives.

use crate::message::{HEADER, NFGEN, nft_message};
use crate::nft::{self, msg};
use crate::wire::{Attrs, array, text};

/// A place within a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Index of the element.
    Element(usize),
    /// Index of the expression, and the kernel's name of it.
    Expr {
        /// Index.
        index: usize,
        /// Name.
        name: String,
    },
    /// The name of the table.
    Table,
    /// The name of the chain, set or object.
    Name,
    /// Where a base chain sits.
    Hook,
    /// Another attribute, by its number.
    Attribute(u16),
}

/// What an offset from the header of a message on points to.
pub(crate) fn locate(message: &[u8], offset: usize, first: usize) -> Option<Place> {
    let kind = nft_message(u16::from_ne_bytes(array(message, 4)?))?;
    let start = HEADER + NFGEN;
    let (attr, at, payload) = child(message, start, offset)?;
    Some(match (kind, attr) {
        (msg::NEWSETELEM | msg::DELSETELEM, nft::elems::ELEMENTS) => {
            Place::Element(first + position(payload, at, offset)?)
        }
        (msg::NEWRULE, nft::rule::EXPRESSIONS) => {
            let index = position(payload, at, offset)?;
            let (_, one) = Attrs::new(payload).nth(index)?;
            Place::Expr { index, name: text(Attrs::find(one, nft::expr::NAME).unwrap_or_default()) }
        }
        // Tables are named by attribute 1 everywhere; in a message on the table itself that is its name.
        (_, 1) => Place::Table,
        (msg::NEWCHAIN, nft::chain::HOOK) => Place::Hook,
        (msg::NEWCHAIN | msg::DELCHAIN, nft::chain::NAME)
        | (
            msg::NEWRULE
            | msg::DELRULE
            | msg::NEWSET
            | msg::DELSET
            | msg::NEWSETELEM
            | msg::DELSETELEM
            | msg::NEWOBJ
            | msg::DELOBJ,
            2,
        ) => Place::Name,
        (_, other) => Place::Attribute(other),
    })
}

/// The attribute of a message that covers an offset: its kind, where its payload begins, its payload.
fn child(message: &[u8], start: usize, offset: usize) -> Option<(u16, usize, &[u8])> {
    let len = usize::try_from(u32::from_ne_bytes(array(message, 0)?)).ok()?;
    let mut at = start;
    for (kind, payload) in Attrs::new(message.get(start..len)?) {
        let end = at + 4 + payload.len().next_multiple_of(4);
        if (at..end).contains(&offset) {
            return Some((kind, at + 4, payload));
        }
        at = end;
    }
    None
}

/// The index within a list of the attribute that covers an offset.
fn position(list: &[u8], start: usize, offset: usize) -> Option<usize> {
    let mut at = start;
    Attrs::new(list).position(|(_, payload)| {
        let end = at + 4 + payload.len().next_multiple_of(4);
        let covers = (at..end).contains(&offset);
        at = end;
        covers
    })
}
