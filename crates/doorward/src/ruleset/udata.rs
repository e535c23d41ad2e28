//! User data: what user space leaves with kernel objects, in the layout that `nft` reads (libnftnl/udata.h).
//!
//! Each entry is one byte type, one byte length, value; nested where the type says so.

use super::KeyPart;

/// The bytes as the kernel keeps them; empty for none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Udata(pub Vec<u8>);

impl Udata {
    /// The entries on the top level; ends at the first that does not fit.
    pub fn entries(&self) -> impl Iterator<Item = (u8, &[u8])> {
        entries(&self.0)
    }

    /// Adds an entry; one that is too long for its length byte is left out.
    pub fn push(&mut self, kind: u8, value: &[u8]) {
        if let Ok(len) = u8::try_from(value.len()) {
            self.0.extend([kind, len]);
            self.0.extend(value);
        }
    }
}

/// Reads entries of any level.
fn entries(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&kind, rest) = bytes.split_first()?;
        let (&len, rest) = rest.split_first()?;
        let value = rest.get(..usize::from(len))?;
        bytes = rest.get(usize::from(len)..)?;
        Some((kind, value))
    })
}

/// Comment of a rule (`NFTNL_UDATA_RULE_COMMENT`).
pub const RULE_COMMENT: u8 = 0;
/// Comment of a set element (`NFTNL_UDATA_SET_ELEM_COMMENT`).
pub const ELEM_COMMENT: u8 = 0;
/// Comment of a chain (`NFTNL_UDATA_CHAIN_COMMENT`).
pub const CHAIN_COMMENT: u8 = 0;
/// Comment of a table (`NFTNL_UDATA_TABLE_COMMENT`).
pub const TABLE_COMMENT: u8 = 0;
/// Comment of a set (`NFTNL_UDATA_SET_COMMENT`).
pub const SET_COMMENT: u8 = 7;
/// Longest comment that `nft` reads back, in bytes without the final zero.
pub const COMMENT_MAX: usize = 127;

const KEY_BYTEORDER: u8 = 0;
const DATA_BYTEORDER: u8 = 1;
const KEY_TYPEOF: u8 = 3;
const DATA_TYPEOF: u8 = 4;
const DATA_INTERVAL: u8 = 6;

/// User data with one comment, cut to what `nft` reads, at a character's edge.
#[must_use]
pub fn comment(kind: u8, text: &str) -> Udata {
    let mut end = text.len().min(COMMENT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut value = text.as_bytes()[..end].to_vec();
    value.push(0);
    let mut udata = Udata::default();
    udata.push(kind, &value);
    udata
}

/// The comment in user data, if there is one of this kind.
#[must_use]
pub fn comment_of(kind: u8, udata: &Udata) -> Option<String> {
    let (_, value) = udata.entries().find(|(k, _)| *k == kind)?;
    let text = value.strip_suffix(&[0]).unwrap_or(value);
    Some(String::from_utf8_lossy(text).into_owned())
}

/// nftables' number for the type of a key and the user data with which `nft` prints it again.
///
/// Keys of typed parts only are printed as `type`; a raw part makes the whole key a `typeof`.
#[must_use]
pub fn key_typeof(parts: &[KeyPart]) -> (u32, Udata) {
    let key_type = parts.iter().fold(0, |sum, part| sum << 6 | part.type_number());
    let raw = parts.iter().any(|part| part.is_raw());
    let mut udata = Udata::default();
    if let [one] = parts {
        udata.push(KEY_BYTEORDER, &one.byteorder().to_le_bytes());
        if raw {
            udata.push(KEY_TYPEOF, &one.typeof_entry().0);
        }
    } else {
        udata.push(KEY_BYTEORDER, &0u32.to_le_bytes());
        let mut inner = Udata::default();
        if raw {
            for (index, part) in (0u8..).zip(parts) {
                inner.push(index, &part.typeof_entry().0);
            }
        }
        udata.push(KEY_TYPEOF, &typeof_of(EXPR_CONCAT, &inner).0);
    }
    (key_type, udata)
}

/// Adds what `nft` wants to see in the user data of a verdict map over `parts`.
pub fn mark_verdict_map(udata: &mut Udata, parts: &[KeyPart]) {
    let mut out = Udata::default();
    for (kind, value) in udata.entries() {
        out.push(kind, value);
        if kind == KEY_BYTEORDER {
            out.push(DATA_BYTEORDER, &0u32.to_le_bytes());
        }
    }
    if parts.iter().any(|part| part.is_raw()) {
        out.push(DATA_TYPEOF, &typeof_of(EXPR_VERDICT, &Udata::default()).0);
    }
    out.push(DATA_INTERVAL, &0u32.to_le_bytes());
    *udata = out;
}

/// Adds what `nft` wants to see in the user data of a map to values of this type.
pub(super) fn mark_map(udata: &mut Udata, value: &Udata) {
    let mut out = Udata::default();
    let of_value = |wanted: u8| value.entries().find(move |(kind, _)| *kind == wanted);
    for (kind, key) in udata.entries() {
        out.push(kind, key);
        if let (KEY_BYTEORDER, Some((_, order))) = (kind, of_value(KEY_BYTEORDER)) {
            out.push(DATA_BYTEORDER, order);
        }
    }
    if let Some((_, of)) = of_value(KEY_TYPEOF) {
        out.push(DATA_TYPEOF, of);
    }
    out.push(DATA_INTERVAL, &0u32.to_le_bytes());
    *udata = out;
}

/// nft's own numbers of expressions (`enum expr_types`), as they stand in `typeof` data.
const EXPR_VERDICT: u32 = 1;
const EXPR_PAYLOAD: u32 = 7;
const EXPR_META: u32 = 9;
const EXPR_CONCAT: u32 = 13;

fn typeof_of(expr: u32, data: &Udata) -> Udata {
    let mut out = Udata::default();
    out.push(0, &expr.to_le_bytes());
    out.push(1, &data.0);
    out
}

impl KeyPart {
    /// nft's number of the data type (`enum datatypes`).
    #[must_use]
    pub const fn type_number(self) -> u32 {
        match self {
            KeyPart::Network(..) | KeyPart::Transport(..) => 4,
            KeyPart::Nfproto => 2,
            KeyPart::Addr4 => 7,
            KeyPart::Addr6 => 8,
            KeyPart::L4proto => 12,
            KeyPart::Port => 13,
            KeyPart::Mark => 19,
            KeyPart::Skuid => 24,
            KeyPart::Skgid => 25,
            KeyPart::CtState => 26,
            KeyPart::Iifname | KeyPart::Oifname => 41,
        }
    }

    /// Whether the part has no type of its own, only a place in the packet.
    const fn is_raw(self) -> bool {
        matches!(self, KeyPart::Network(..) | KeyPart::Transport(..))
    }

    /// `enum byteorder` of nft: 0 none, 1 host, 2 network.
    const fn byteorder(self) -> u32 {
        match self {
            KeyPart::L4proto | KeyPart::Nfproto => 0,
            KeyPart::Skuid
            | KeyPart::Skgid
            | KeyPart::Mark
            | KeyPart::CtState
            | KeyPart::Iifname
            | KeyPart::Oifname => 1,
            _ => 2,
        }
    }

    fn typeof_entry(self) -> Udata {
        let payload = |desc: u32, kind: u32, raw: Option<(u32, u16, u16)>| {
            let mut data = Udata::default();
            data.push(0, &desc.to_le_bytes());
            data.push(1, &kind.to_le_bytes());
            if let Some((base, offset, len)) = raw {
                data.push(2, &base.to_le_bytes());
                data.push(3, &(u32::from(offset) * 8).to_le_bytes());
                data.push(4, &(u32::from(len) * 8).to_le_bytes());
            }
            typeof_of(EXPR_PAYLOAD, &data)
        };
        let meta = |key: u32| {
            let mut data = Udata::default();
            data.push(0, &key.to_le_bytes());
            typeof_of(EXPR_META, &data)
        };
        match self {
            KeyPart::Network(offset, len) => payload(0, 0, Some((2, offset, len))),
            KeyPart::Transport(offset, len) => payload(0, 0, Some((3, offset, len))),
            // The generic transport header's destination port, as in `th dport`.
            KeyPart::Port => payload(11, 2, None),
            // An address by type has no place in the packet; `nft` falls back to the type.
            KeyPart::Addr4 | KeyPart::Addr6 | KeyPart::CtState => Udata::default(),
            KeyPart::Mark => meta(3),
            KeyPart::Iifname => meta(6),
            KeyPart::Oifname => meta(7),
            KeyPart::Skuid => meta(10),
            KeyPart::Skgid => meta(11),
            KeyPart::Nfproto => meta(15),
            KeyPart::L4proto => meta(16),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(udata: &Udata) -> String {
        udata.0.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// Bytes read back from sets that nft 1.0.6 had made.
    #[test]
    fn key_types_as_nft_writes_them() {
        use KeyPart::{Iifname, L4proto, Network, Nfproto, Port, Skuid, Transport};
        for (parts, number, bytes) in [
            (
                vec![Network(12, 4)],
                0x04,
                "0004020000000326000407000000011e000400000000010400000000020402000000030460000000040420000000",
            ),
            (vec![Nfproto], 0x02, "000400000000"),
            (vec![L4proto, Port], 0x30d, "000400000000030800040d0000000100"),
            (
                vec![Iifname, Network(8, 16), L4proto, Port],
                0x00a4_430d,
                "000400000000036600040d000000015e000e00040900000001060004060000000126000407000000011e0004000000000104000000000204020000000304400000000404800000000\
                 20e00040900000001060004100000000314000407000000010c00040b000000010402000000",
            ),
            (
                vec![Network(12, 4), Skuid, L4proto, Transport(0, 1)],
                0x0011_8304,
                "000400000000037800040d00000001700026000407000000011e000400000000010400000000020402000000030460000000040420000000010e000409000000010600040a00000002\
                 0e00040900000001060004100000000326000407000000011e000400000000010400000000020403000000030400000000040408000000",
            ),
        ] {
            let (key_type, udata) = key_typeof(&parts);
            assert_eq!(key_type, number, "{parts:?}");
            assert_eq!(hex(&udata), bytes.replace([' ', '\n'], ""), "{parts:?}");
        }
    }

    #[test]
    fn verdict_map_as_nft_writes_it() {
        let parts = [KeyPart::Network(12, 4), KeyPart::Port];
        let (_, mut udata) = key_typeof(&parts);
        mark_verdict_map(&mut udata, &parts);
        assert_eq!(
            hex(&udata),
            "000400000000010400000000034600040d000000013e0026000407000000011e000400000000010400000000020402000000030460000000040420000000\
             0114000407000000010c00040b00000001040200000004080004010000000100060400000000"
        );
    }

    #[test]
    fn map_as_nft_writes_it() {
        use KeyPart::{Addr4, L4proto, Port};
        for (parts, to, bytes) in [
            (
                vec![L4proto, Port],
                vec![Addr4, Port],
                "000400000000010400000000030800040d0000000100040800040d0000000100060400000000",
            ),
            (vec![Port], vec![Port], "000402000000010402000000060400000000"),
        ] {
            let (_, mut udata) = key_typeof(&parts);
            mark_map(&mut udata, &key_typeof(&to).1);
            assert_eq!(hex(&udata), bytes, "{parts:?} to {to:?}");
        }
    }

    #[test]
    fn comments_are_cut_at_a_character() {
        let long = "ü".repeat(100);
        let udata = comment(RULE_COMMENT, &long);
        assert_eq!(comment_of(RULE_COMMENT, &udata).as_deref(), Some("ü".repeat(63).as_str()));
    }
}
