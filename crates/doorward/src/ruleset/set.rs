//! Sets, maps and their elements; knows how a key is laid out, not what it is for.

use super::{Expr, Udata, Verdict, udata};

/// Constants of [`Set::flags`] (`NFT_SET_*`).
pub mod set_flags {
    /// Without a name of its own.
    pub const ANONYMOUS: u32 = 0x1;
    /// Cannot change.
    pub const CONSTANT: u32 = 0x2;
    /// Holds intervals.
    pub const INTERVAL: u32 = 0x4;
    /// Maps keys to values.
    pub const MAP: u32 = 0x8;
    /// Elements can time out.
    pub const TIMEOUT: u32 = 0x10;
    /// Changed from the packet path.
    pub const EVAL: u32 = 0x20;
    /// Maps keys to objects.
    pub const OBJECT: u32 = 0x40;
    /// The key is several values.
    pub const CONCAT: u32 = 0x80;
    /// Elements carry expressions.
    pub const EXPR: u32 = 0x100;
}

/// A set, map or verdict map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set {
    /// Name, unique in its table.
    pub name: String,
    /// [`set_flags`].
    pub flags: u32,
    /// nftables' number for the type of the key; 6 bits a part in a concatenation.
    pub key_type: u32,
    /// Bytes of the key.
    pub key_len: u32,
    /// Bytes of each part of a concatenation of intervals (`NFTA_SET_DESC_CONCAT`); empty elsewhere.
    pub key_parts: Vec<u32>,
    /// What a map maps to; none for a set.
    pub data: Option<DataType>,
    /// `NFT_OBJECT_*` of an object map.
    pub object_kind: Option<u32>,
    /// How many elements it is made for.
    pub size: Option<u32>,
    /// Default timeout of an element in milliseconds.
    pub timeout: Option<u64>,
    /// How often expired elements are collected, in milliseconds.
    pub gc_interval: Option<u32>,
    /// `NFT_SET_POL_*`: 0 performance, 1 memory.
    pub policy: u32,
    /// Expressions that each element gets, e.g. a counter.
    pub exprs: Vec<Expr>,
    /// Free data of user space: `typeof`, comment.
    pub udata: Udata,
    /// The elements.
    pub elements: Elements,
}

/// What a map maps to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DataType {
    /// A verdict (`NFT_DATA_VERDICT`).
    Verdict,
    /// A value: nftables' number of its type, and its bytes.
    Value {
        /// Type.
        kind: u32,
        /// Bytes.
        len: u32,
    },
}

/// Elements, in one of two forms: a list of a million addresses must not cost a million structures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Elements {
    /// Keys only, one behind the other, each [`Set::key_len`] bytes.
    Plain(Vec<u8>),
    /// With all that an element can have.
    Full(Vec<Element>),
}

impl Elements {
    /// How many there are, given the length of a key.
    #[must_use]
    pub fn count(&self, key_len: u32) -> usize {
        match self {
            Elements::Plain(bytes) => bytes.len() / (key_len.max(1) as usize),
            Elements::Full(list) => list.len(),
        }
    }

    fn into_full(self, key_len: u32) -> Vec<Element> {
        match self {
            Elements::Plain(bytes) => {
                bytes.chunks_exact(key_len.max(1) as usize).map(|key| Element::of(key.to_vec())).collect()
            }
            Elements::Full(list) => list,
        }
    }
}

/// An element.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Element {
    /// The key; parts of a concatenation are padded to 4 bytes each. Empty for the catch-all.
    pub key: Vec<u8>,
    /// The last key of an interval in a concatenation.
    pub key_end: Option<Vec<u8>>,
    /// The value of a map.
    pub data: Option<Data>,
    /// The object of an object map.
    pub object: Option<String>,
    /// `NFT_SET_ELEM_*`: 1 interval end, 2 catch-all.
    pub flags: u32,
    /// Lifetime in milliseconds.
    pub timeout: Option<u64>,
    /// What is left of it in milliseconds.
    pub expiration: Option<u64>,
    /// State: counters, limits.
    pub exprs: Vec<Expr>,
    /// Free data of user space; the comment carries our origin.
    pub udata: Udata,
}

impl Element {
    /// An element with a key only.
    #[must_use]
    pub fn of(key: Vec<u8>) -> Element {
        Element { key, ..Element::default() }
    }

    /// The same element with a comment, which `nft` shows.
    #[must_use]
    pub fn commented(mut self, text: &str) -> Element {
        self.udata = udata::comment(udata::ELEM_COMMENT, text);
        self
    }
}

/// A value in a map.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Data {
    /// A verdict.
    Verdict(Verdict),
    /// Bytes.
    Value(Vec<u8>),
}

/// A part of a key that we build ourselves; it decides type, length and the `typeof` that `nft` prints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum KeyPart {
    /// Raw bytes of the network header: offset and length in bytes.
    Network(u16, u16),
    /// Raw bytes of the transport header: offset and length in bytes.
    Transport(u16, u16),
    /// An IPv4 address by type, for what conntrack says.
    Addr4,
    /// An IPv6 address by type, for what conntrack says.
    Addr6,
    /// Transport protocol.
    L4proto,
    /// Destination port.
    Port,
    /// Name of the input interface.
    Iifname,
    /// Name of the output interface.
    Oifname,
    /// User id.
    Skuid,
    /// Group id.
    Skgid,
    /// A mark.
    Mark,
    /// Connection state.
    CtState,
    /// Family of the packet.
    Nfproto,
}

impl KeyPart {
    /// Bytes that the value has, before padding.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            KeyPart::Network(_, len) | KeyPart::Transport(_, len) => len as u32,
            KeyPart::Addr4 | KeyPart::Skuid | KeyPart::Skgid | KeyPart::Mark | KeyPart::CtState => 4,
            KeyPart::Addr6 | KeyPart::Iifname | KeyPart::Oifname => 16,
            KeyPart::L4proto | KeyPart::Nfproto => 1,
            KeyPart::Port => 2,
        }
    }

    /// Registers that the value takes.
    #[must_use]
    pub const fn regs(self) -> u8 {
        match self.bytes().div_ceil(4) {
            0 | 1 => 1,
            2 => 2,
            3 => 3,
            _ => 4,
        }
    }
}

impl Set {
    /// A set over these parts; `nft` will list and reload it with the same meaning.
    #[must_use]
    pub fn over(name: impl Into<String>, parts: &[KeyPart]) -> Set {
        let (key_type, udata) = udata::key_typeof(parts);
        let concat = parts.len() > 1;
        let lens: Vec<u32> = parts.iter().map(|part| part.bytes()).collect();
        Set {
            name: name.into(),
            flags: 0,
            key_type,
            key_len: if concat {
                lens.iter().map(|len| len.div_ceil(4) * 4).sum()
            } else {
                lens.iter().sum()
            },
            key_parts: Vec::new(),
            data: None,
            object_kind: None,
            size: None,
            timeout: None,
            gc_interval: None,
            policy: 0,
            exprs: Vec::new(),
            udata,
            elements: Elements::Full(Vec::new()),
        }
    }

    /// How many elements packets may bring it to have: what is not said is 65,535 (`net/netfilter/nft_dynset.c`).
    #[must_use]
    pub fn room(&self) -> u32 {
        const UNSAID: u32 = 0xffff;
        self.size.filter(|size| *size > 0).unwrap_or(UNSAID)
    }

    /// The same set with nothing in it.
    #[must_use]
    pub fn without_elements(&self) -> Set {
        Set {
            name: self.name.clone(),
            exprs: self.exprs.clone(),
            udata: self.udata.clone(),
            key_parts: self.key_parts.clone(),
            elements: Elements::Full(Vec::new()),
            ..*self
        }
    }

    /// Puts elements behind those that are there.
    pub(super) fn add(&mut self, more: Elements) {
        let len = self.key_len;
        self.elements = match (std::mem::replace(&mut self.elements, Elements::Full(Vec::new())), more) {
            (Elements::Plain(mut all), Elements::Plain(more)) => {
                all.extend(more);
                Elements::Plain(all)
            }
            (all, more) if all.count(len) == 0 => more,
            (all, more) => {
                let mut all = all.into_full(len);
                all.append(&mut more.into_full(len));
                Elements::Full(all)
            }
        };
    }

    /// A verdict map over these parts.
    #[must_use]
    pub fn verdict_map(name: impl Into<String>, parts: &[KeyPart]) -> Set {
        let mut map = Set::over(name, parts);
        map.flags = set_flags::MAP;
        map.data = Some(DataType::Verdict);
        udata::mark_verdict_map(&mut map.udata, parts);
        map
    }
    /// A map from these parts to those.
    #[must_use]
    pub fn map(name: impl Into<String>, parts: &[KeyPart], to: &[KeyPart]) -> Set {
        let mut map = Set::over(name, parts);
        let value = Set::over("", to);
        map.flags = set_flags::MAP;
        map.data = Some(DataType::Value { kind: value.key_type, len: value.key_len });
        udata::mark_map(&mut map.udata, &value.udata);
        map
    }
}
