//! Numbers of `nf_tables` (`include/uapi/linux/netfilter/nf_tables.h`); knows what they are called, no more.

/// Messages (`NFT_MSG_*`), without the subsystem.
pub(crate) mod msg {
    pub(crate) const NEWTABLE: u8 = 0;
    pub(crate) const GETTABLE: u8 = 1;
    pub(crate) const DELTABLE: u8 = 2;
    pub(crate) const NEWCHAIN: u8 = 3;
    pub(crate) const GETCHAIN: u8 = 4;
    pub(crate) const DELCHAIN: u8 = 5;
    pub(crate) const NEWRULE: u8 = 6;
    pub(crate) const GETRULE: u8 = 7;
    pub(crate) const DELRULE: u8 = 8;
    pub(crate) const NEWSET: u8 = 9;
    pub(crate) const GETSET: u8 = 10;
    pub(crate) const DELSET: u8 = 11;
    pub(crate) const NEWSETELEM: u8 = 12;
    pub(crate) const GETSETELEM: u8 = 13;
    pub(crate) const DELSETELEM: u8 = 14;
    pub(crate) const NEWGEN: u8 = 15;
    pub(crate) const GETGEN: u8 = 16;
    pub(crate) const NEWOBJ: u8 = 18;
    pub(crate) const GETOBJ: u8 = 19;
    pub(crate) const DELOBJ: u8 = 20;
    pub(crate) const NEWFLOWTABLE: u8 = 22;
    pub(crate) const GETFLOWTABLE: u8 = 23;
}

/// The one attribute of lists (`NFTA_LIST_ELEM`).
pub(crate) const LIST_ELEM: u16 = 1;

macro_rules! numbers {
    ($($(#[$doc:meta])* $module:ident { $($name:ident = $number:literal),* $(,)? })*) => {
        $(
            $(#[$doc])*
            pub(crate) mod $module {
                $(pub(crate) const $name: u16 = $number;)*
            }
        )*
    };
}

numbers! {
    table { NAME = 1, FLAGS = 2, USERDATA = 6 }
    chain { TABLE = 1, NAME = 3, HOOK = 4, POLICY = 5, TYPE = 7, FLAGS = 10, USERDATA = 12 }
    hook { NUM = 1, PRIORITY = 2, DEV = 3, DEVS = 4 }
    device { NAME = 1, PREFIX = 2 }
    rule { TABLE = 1, CHAIN = 2, HANDLE = 3, EXPRESSIONS = 4, USERDATA = 7 }
    set {
        TABLE = 1, NAME = 2, FLAGS = 3, KEY_TYPE = 4, KEY_LEN = 5, DATA_TYPE = 6, DATA_LEN = 7, POLICY = 8,
        DESC = 9, ID = 10, TIMEOUT = 11, GC_INTERVAL = 12, USERDATA = 13, OBJ_TYPE = 15, EXPR = 17,
        EXPRESSIONS = 18, COUNT = 20
    }
    set_desc { SIZE = 1, CONCAT = 2 }
    set_field { LEN = 1 }
    elems { TABLE = 1, SET = 2, ELEMENTS = 3, SET_ID = 4 }
    elem {
        KEY = 1, DATA = 2, FLAGS = 3, TIMEOUT = 4, EXPIRATION = 5, USERDATA = 6, EXPR = 7, OBJREF = 9,
        KEY_END = 10, EXPRESSIONS = 11
    }
    obj { TABLE = 1, NAME = 2, TYPE = 3, DATA = 4, USERDATA = 8 }
    flowtable { TABLE = 1, NAME = 2 }
    generation { ID = 1 }
    data { VALUE = 1, VERDICT = 2 }
    verdict { CODE = 1, CHAIN = 2 }
    expr { NAME = 1, DATA = 2 }
    immediate { DREG = 1, DATA = 2 }
    bitwise { SREG = 1, DREG = 2, LEN = 3, MASK = 4, XOR = 5, OP = 6, DATA = 7, SREG2 = 8 }
    byteorder { SREG = 1, DREG = 2, OP = 3, LEN = 4, SIZE = 5 }
    cmp { SREG = 1, OP = 2, DATA = 3 }
    range { SREG = 1, OP = 2, FROM = 3, TO = 4 }
    lookup { SET = 1, SREG = 2, DREG = 3, FLAGS = 5 }
    dynset {
        SET = 1, OP = 3, SREG_KEY = 4, SREG_DATA = 5, TIMEOUT = 6, EXPR = 7, PAD = 8, FLAGS = 9, EXPRESSIONS = 10
    }
    payload {
        DREG = 1, BASE = 2, OFFSET = 3, LEN = 4, SREG = 5, CSUM_TYPE = 6, CSUM_OFFSET = 7, CSUM_FLAGS = 8
    }
    exthdr { DREG = 1, TYPE = 2, OFFSET = 3, LEN = 4, FLAGS = 5, OP = 6, SREG = 7 }
    meta { DREG = 1, KEY = 2, SREG = 3 }
    rt { DREG = 1, KEY = 2 }
    ct { DREG = 1, KEY = 2, DIRECTION = 3, SREG = 4 }
    limit { RATE = 1, UNIT = 2, BURST = 3, TYPE = 4, FLAGS = 5, PAD = 6 }
    connlimit { COUNT = 1, FLAGS = 2 }
    counter { BYTES = 1, PACKETS = 2, PAD = 3 }
    last { SET = 1, MSECS = 2, PAD = 3 }
    log { GROUP = 1, PREFIX = 2, SNAPLEN = 3, QTHRESHOLD = 4, LEVEL = 5, FLAGS = 6 }
    quota { BYTES = 1, FLAGS = 2, PAD = 3, CONSUMED = 4 }
    reject { TYPE = 1, CODE = 2 }
    nat {
        TYPE = 1, FAMILY = 2, ADDR_MIN = 3, ADDR_MAX = 4, PROTO_MIN = 5, PROTO_MAX = 6, FLAGS = 7
    }
    masq { FLAGS = 1, PROTO_MIN = 2, PROTO_MAX = 3 }
    redir { PROTO_MIN = 1, PROTO_MAX = 2, FLAGS = 3 }
    objref { TYPE = 1, NAME = 2, SREG = 3, SET = 4 }
    fib { DREG = 1, RESULT = 2, FLAGS = 3 }
    ct_helper { NAME = 1, L3PROTO = 2, L4PROTO = 3 }
}

/// `NFT_DATA_VERDICT` as the type of a map's values.
pub(crate) const DATA_VERDICT: u32 = 0xffff_ff00;
/// `NFT_CHAIN_BINDING`: a chain without a name of its own, made for one rule.
pub(crate) const CHAIN_BINDING: u32 = 4;
/// How the kernel names such chains.
pub(crate) const BOUND_CHAIN: &str = "__chain";
/// `NFT_QUOTA_F_DEPLETED`.
pub(crate) const QUOTA_DEPLETED: u32 = 2;
/// `NFT_DYNSET_F_INV`.
pub(crate) const DYNSET_INV: u32 = 1;
/// `NFT_DYNSET_F_EXPR`: the list of expressions is given.
pub(crate) const DYNSET_EXPR: u32 = 2;
