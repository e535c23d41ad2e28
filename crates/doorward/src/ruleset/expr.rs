//! Expressions: the instructions of the kernel's packet machine; a value each, no meaning attached.

/// A register of 4 bytes; wider data takes the following ones. 0..=15.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Reg(pub u8);

/// How a rule or an element ends the walk (`NF_*`, `NFT_*`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// Ends this base chain; the next one still judges.
    Accept,
    /// Ends everything.
    Drop,
    /// Goes on with the next rule.
    Continue,
    /// Ends this rule, as if it did not match.
    Break,
    /// Back to the calling chain.
    Return,
    /// Calls a chain and comes back.
    Jump(String),
    /// Goes to a chain for good.
    Goto(String),
    /// To user space.
    Queue,
    /// Any other code.
    Other(i32),
}

/// One expression.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Expr {
    /// Loads a property of the packet into a register.
    Meta {
        /// Which.
        key: MetaKey,
        /// Where to.
        dreg: Reg,
    },
    /// Sets a property of the packet from a register.
    MetaSet {
        /// Which.
        key: MetaKey,
        /// Where from.
        sreg: Reg,
    },
    /// Loads bytes of the packet.
    Payload {
        /// Header that the offset counts from.
        base: PayloadBase,
        /// In bytes.
        offset: u32,
        /// In bytes.
        len: u32,
        /// Where to.
        dreg: Reg,
    },
    /// Writes bytes of the packet.
    PayloadSet {
        /// Header that the offset counts from.
        base: PayloadBase,
        /// In bytes.
        offset: u32,
        /// In bytes.
        len: u32,
        /// Where from.
        sreg: Reg,
        /// `NFT_PAYLOAD_CSUM_*`.
        csum_type: u32,
        /// In bytes.
        csum_offset: u32,
        /// `NFT_PAYLOAD_L4CSUM_PSEUDOHDR`.
        csum_flags: u32,
    },
    /// Loads from an extension header or option.
    Exthdr {
        /// Number of the header or option.
        header: u8,
        /// In bytes.
        offset: u32,
        /// In bytes.
        len: u32,
        /// [`exthdr::PRESENT`] loads 1 or 0 instead of the bytes.
        flags: u32,
        /// Which kind of headers: [`exthdr`].
        op: u32,
        /// Where to.
        dreg: Reg,
    },
    /// Goes on if a register compares so to a constant, byte by byte.
    Cmp {
        /// How.
        op: CmpOp,
        /// Register.
        sreg: Reg,
        /// Constant in network byte order, its length decides how much is compared.
        data: Vec<u8>,
    },
    /// Goes on if a register is (not) within two constants.
    Range {
        /// [`CmpOp::Eq`] within, [`CmpOp::Neq`] without.
        op: CmpOp,
        /// Register.
        sreg: Reg,
        /// First.
        from: Vec<u8>,
        /// Last.
        to: Vec<u8>,
    },
    /// Computes on bits.
    Bitwise {
        /// Where from.
        sreg: Reg,
        /// Where to.
        dreg: Reg,
        /// In bytes.
        len: u32,
        /// What.
        op: Bitop,
    },
    /// Swaps bytes.
    Byteorder {
        /// Where from.
        sreg: Reg,
        /// Where to.
        dreg: Reg,
        /// `NFT_BYTEORDER_NTOH` 0, `HTON` 1.
        op: u32,
        /// In bytes, all.
        len: u32,
        /// In bytes, of one number.
        size: u32,
    },
    /// Loads a constant.
    Immediate {
        /// Where to.
        dreg: Reg,
        /// The constant.
        data: Vec<u8>,
    },
    /// Ends the rule with a verdict.
    Verdict(Verdict),
    /// Goes on if a set holds the key; a map loads the value, a verdict map ends the rule.
    Lookup {
        /// Name of the set.
        set: String,
        /// Key.
        sreg: Reg,
        /// Where the value of a map goes; none for a set.
        dreg: Option<LookupTarget>,
        /// Goes on if the set does *not* hold the key.
        invert: bool,
    },
    /// Changes a set from the packet path.
    Dynset(Dynset),
    /// Loads a property of the connection.
    Ct {
        /// Which.
        key: CtKey,
        /// Of which direction.
        dir: Option<CtDir>,
        /// Where to.
        dreg: Reg,
    },
    /// Sets a property of the connection.
    CtSet {
        /// Which.
        key: CtKey,
        /// Of which direction.
        dir: Option<CtDir>,
        /// Where from.
        sreg: Reg,
    },
    /// Counts.
    Counter {
        /// Packets.
        packets: u64,
        /// Bytes.
        bytes: u64,
    },
    /// Goes on while under (or over) a rate.
    Limit(Limit),
    /// Goes on while under (or over) a volume.
    Quota {
        /// Limit.
        bytes: u64,
        /// Used up.
        consumed: u64,
        /// 1 = over.
        flags: u32,
    },
    /// Writes to the log.
    Log(Log),
    /// Answers and drops.
    Reject(Reject),
    /// Translates an address.
    Nat(Nat),
    /// Masquerades.
    Masq(NatRange),
    /// Redirects to this host.
    Redir(NatRange),
    /// Asks the routing table.
    Fib(Fib),
    /// Loads a property of the route.
    Rt {
        /// `NFT_RT_*`.
        key: u32,
        /// Where to.
        dreg: Reg,
    },
    /// Counts the connections of a key.
    Connlimit {
        /// How many.
        count: u32,
        /// 1 = over.
        flags: u32,
    },
    /// Uses a named object.
    Objref {
        /// `NFT_OBJECT_*`.
        kind: u32,
        /// Its name.
        name: String,
    },
    /// Uses the object that a map names.
    ObjrefMap {
        /// Key.
        sreg: Reg,
        /// Name of the map.
        set: String,
    },
    /// When the rule was last hit.
    Last {
        /// Milliseconds since then.
        msecs: u64,
        /// Whether ever.
        set: u32,
    },
    /// Leaves the packet out of connection tracking.
    Notrack,
    /// What this type has no word for: kept as read, under the kernel's name (`match` and `target` of
    /// iptables-nft, `socket`, `numgen`, `hash`, `queue`, `tproxy`, …).
    Unknown {
        /// The kernel's name of the expression.
        name: String,
        /// The bytes of `NFTA_EXPR_DATA`.
        data: Vec<u8>,
    },
}

/// Where a lookup puts its value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LookupTarget {
    /// Into a register.
    Value(Reg),
    /// The value is a verdict.
    Verdict,
}

/// Header that a payload offset counts from (`NFT_PAYLOAD_*`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PayloadBase {
    /// Link layer.
    Link,
    /// Network layer.
    Network,
    /// Transport layer; does not match in later fragments.
    Transport,
    /// Behind the transport header.
    Inner,
    /// Any other number.
    Other(u32),
}

/// How to compare (`NFT_CMP_*`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CmpOp {
    /// Equal.
    Eq,
    /// Not equal.
    Neq,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
}

/// What to do with bits (`NFT_BITWISE_*`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Bitop {
    /// `(reg & mask) ^ xor`.
    MaskXor {
        /// Kept bits.
        mask: Vec<u8>,
        /// Flipped bits.
        xor: Vec<u8>,
    },
    /// To the left by so many bits.
    Shl(u32),
    /// To the right by so many bits.
    Shr(u32),
    /// Any other operation, by number, with a second register.
    Other {
        /// `NFT_BITWISE_*`.
        op: u32,
        /// Second source, where the operation has one.
        sreg2: Option<Reg>,
    },
}

macro_rules! keys {
    ($(#[$doc:meta])* $name:ident { $($(#[$var_doc:meta])* $variant:ident = $number:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $($(#[$var_doc])* $variant,)*
            /// Any other number.
            Other(u32),
        }

        impl $name {
            /// The kernel's number.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self {
                    $($name::$variant => $number,)*
                    $name::Other(number) => number,
                }
            }

            /// The key of a number.
            #[must_use]
            pub const fn from_number(number: u32) -> $name {
                match number {
                    $($number => $name::$variant,)*
                    other => $name::Other(other),
                }
            }
        }
    };
}

keys! {
    /// Properties of a packet (`NFT_META_*`); the commented width is that of the register in bytes.
    MetaKey {
        /// Length, 4, host order.
        Len = 0,
        /// Ethertype, 2.
        Protocol = 1,
        /// Priority, 4, host order.
        Priority = 2,
        /// Mark, 4, host order.
        Mark = 3,
        /// Index of the input interface, 4, host order.
        Iif = 4,
        /// Index of the output interface, 4, host order.
        Oif = 5,
        /// Name of the input interface, 16, padded with zeros.
        Iifname = 6,
        /// Name of the output interface, 16, padded with zeros.
        Oifname = 7,
        /// Hardware type of the input interface, 2, host order.
        Iiftype = 8,
        /// Hardware type of the output interface, 2, host order.
        Oiftype = 9,
        /// User id of the socket, 4, host order.
        Skuid = 10,
        /// Group id of the socket, 4, host order.
        Skgid = 11,
        /// Trace flag, 1.
        Nftrace = 12,
        /// `NFPROTO_*`, 1.
        Nfproto = 15,
        /// Transport protocol, 1.
        L4proto = 16,
        /// Name of the bridge of the input port, 16.
        BriIifname = 17,
        /// Name of the bridge of the output port, 16.
        BriOifname = 18,
        /// Packet type, 1.
        Pkttype = 19,
        /// CPU, 4, host order.
        Cpu = 20,
        /// Interface group of the input interface, 4, host order.
        Iifgroup = 21,
        /// Interface group of the output interface, 4, host order.
        Oifgroup = 22,
        /// Control group, 4, host order.
        Cgroup = 23,
        /// Kind of the input interface, 16, padded with zeros.
        Iifkind = 26,
        /// Kind of the output interface, 16, padded with zeros.
        Oifkind = 27,
    }
}

keys! {
    /// Properties of a connection (`NFT_CT_*`).
    CtKey {
        /// State bits, 4, host order: 1 invalid, 2 established, 4 related, 8 new, 64 untracked.
        State = 0,
        /// Direction of this packet, 1.
        Direction = 1,
        /// Status bits, 4, host order: 1 expected, 2 seen reply, 4 assured, 16 source NAT, 32 destination NAT.
        Status = 2,
        /// Mark, 4, host order.
        Mark = 3,
        /// Security mark, 4, host order.
        Secmark = 4,
        /// Remaining time, 4, host order, milliseconds.
        Expiration = 5,
        /// Name of the helper of the master connection, 16.
        Helper = 6,
        /// Layer 3, 1.
        L3protocol = 7,
        /// Source address of a direction, 4 or 16.
        Src = 8,
        /// Destination address of a direction, 4 or 16.
        Dst = 9,
        /// Layer 4, 1.
        Protocol = 10,
        /// Source port of a direction, 2.
        ProtoSrc = 11,
        /// Destination port of a direction, 2.
        ProtoDst = 12,
        /// Labels, 16.
        Labels = 13,
        /// Packets.
        Pkts = 14,
        /// Bytes.
        Bytes = 15,
        /// Average packet.
        Avgpkt = 16,
        /// Zone, 2.
        Zone = 17,
        /// Events, 4.
        Eventmask = 18,
        /// IPv4 source address of a direction, 4.
        SrcIp = 19,
        /// IPv4 destination address of a direction, 4.
        DstIp = 20,
        /// IPv6 source address of a direction, 16.
        SrcIp6 = 21,
        /// IPv6 destination address of a direction, 16.
        DstIp6 = 22,
        /// Number of the entry, 4.
        Id = 23,
    }
}

/// Direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CtDir {
    /// From the one who opened it.
    Original,
    /// Back.
    Reply,
}

/// A change to a set from the packet path.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Dynset {
    /// Name of the set.
    pub set: String,
    /// What to do.
    pub op: DynsetOp,
    /// Key.
    pub key: Reg,
    /// Value, for maps.
    pub data: Option<Reg>,
    /// Timeout of the element in milliseconds; 0 or none takes the set's.
    pub timeout: Option<u64>,
    /// Goes on if the element was *not* there to change.
    pub invert: bool,
    /// Expressions of the element, e.g. a limit; the rule goes on as they say.
    pub exprs: Vec<Expr>,
}

/// What a dynset does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DynsetOp {
    /// Adds; an element that is there stays as it is.
    Add,
    /// Adds, or renews the timeout.
    Update,
    /// Deletes.
    Delete,
    /// Any other number.
    Other(u32),
}

/// A token bucket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Limit {
    /// So many …
    pub rate: u64,
    /// … per so many seconds.
    pub seconds: u64,
    /// Bucket size.
    pub burst: u32,
    /// What is counted.
    pub unit: LimitUnit,
    /// Goes on above the rate instead of below.
    pub over: bool,
}

/// What a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LimitUnit {
    /// Packets.
    Packets,
    /// Bytes.
    Bytes,
}

/// How to log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Log {
    /// First words of the line.
    pub prefix: Option<String>,
    /// Goes to this nflog group instead of the kernel log.
    pub group: Option<u16>,
    /// Bytes of the packet for nflog.
    pub snaplen: Option<u32>,
    /// Packets to collect for nflog.
    pub qthreshold: Option<u16>,
    /// syslog level.
    pub level: Option<u32>,
    /// `NF_LOG_*`.
    pub flags: Option<u32>,
}

/// How to refuse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reject {
    /// ICMP of the table's family, with this code.
    Icmp(u8),
    /// TCP reset.
    TcpReset,
    /// The ICMP of the packet's family with a code that means the same in both: 0 no route, 1 port,
    /// 2 host unreachable, 3 prohibited.
    Icmpx(u8),
}

/// A translation of addresses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Nat {
    /// Source (true) or destination.
    pub source: bool,
    /// `NFPROTO_*` of the address.
    pub family: u8,
    /// Registers with the first and last address.
    pub addr: (Option<Reg>, Option<Reg>),
    /// Registers with the first and last port.
    pub range: NatRange,
}

/// Ports and flags of a translation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct NatRange {
    /// Register with the first port.
    pub proto_min: Option<Reg>,
    /// Register with the last port.
    pub proto_max: Option<Reg>,
    /// `NF_NAT_RANGE_*`.
    pub flags: u32,
}

/// A question to the routing table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fib {
    /// What to load.
    pub result: FibResult,
    /// `NFTA_FIB_F_*`: 1 saddr, 2 daddr, 4 mark, 8 iif, 16 oif, 32 present.
    pub flags: u32,
    /// Where to.
    pub dreg: Reg,
}

/// What a routing question loads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FibResult {
    /// Index of the interface.
    Oif,
    /// Name of the interface.
    Oifname,
    /// Type of the address (`RTN_*`, 2 = local).
    AddrType,
    /// Any other number.
    Other(u32),
}

/// Constants of [`Expr::Exthdr`].
pub mod exthdr {
    /// IPv6 extension headers (`NFT_EXTHDR_OP_IPV6`).
    pub const IPV6: u32 = 0;
    /// TCP options.
    pub const TCPOPT: u32 = 1;
    /// IPv4 options.
    pub const IPV4: u32 = 2;
    /// SCTP chunks.
    pub const SCTP: u32 = 3;
    /// Flag: load whether it is there (`NFT_EXTHDR_F_PRESENT`).
    pub const PRESENT: u32 = 1;
}
