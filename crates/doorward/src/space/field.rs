//! What can be told apart of a packet and its connection: the fields that a set of connections ranges over.

use crate::net::Family;
use crate::ruleset::{CtDir, CtKey, FibResult, MetaKey, PayloadBase};

/// One property. Its values are numbers of [`Field::width`] bits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Field {
    /// Name of the interface where it arrives: 16 bytes as one number, padded with zeros.
    Iif,
    /// Name of the interface where it leaves.
    Oif,
    /// `ct state`: exactly one of 1 invalid, 2 established, 4 related, 8 new, 64 untracked.
    State,
    /// `ct direction`: 1 for replies.
    Direction,
    /// Source address.
    Source,
    /// Destination address, after any destination NAT.
    Destination,
    /// What the opener addressed; only where destination NAT changed it.
    AddressedTo,
    /// Transport protocol.
    Protocol,
    /// Bytes 2 and 3 of the transport header: the destination port.
    Port,
    /// Port that the opener addressed; only where destination NAT changed it.
    AddressedPort,
    /// Bytes 0 and 1 of the transport header: the source port; of ICMP type and code.
    SourcePort,
    /// Byte 13 of the transport header: the flags of TCP.
    TcpFlags,
    /// A later fragment: it has no transport header.
    LaterFragment,
    /// Whether a socket of this host sent it.
    HasOwner,
    /// User who opened the socket.
    User,
    /// Group of that user.
    Group,
    /// Another byte of a header.
    Byte(PayloadBase, u32),
    /// Whether a header is at least so long.
    Reaches(PayloadBase, u32),
    /// Whether an extension header or option is there: kind of headers, number, and what is asked of it.
    HasHeader(u32, u8),
    /// Bytes of an extension header or option: kind, number, offset, length.
    Header(u32, u8, u32, u32),
    /// What the routing table says, by its result and the flags of the question.
    Fib(FibResult, u32),
    /// Another property of the packet.
    Meta(MetaKey),
    /// Whether a property of the packet is there.
    HasMeta(MetaKey),
    /// Another property of the connection.
    Ct(CtKey, Option<CtDir>),
    /// Whether a property of the connection is there.
    HasCt(CtKey, Option<CtDir>),
    /// Whether the source is banned.
    Banned,
    /// Whether the connection was there before the host had a firewall.
    Carried,
    /// Whether a bucket has room, by the sentence that it belongs to.
    Room(String),
    /// Something that cannot be told from the packet, in words.
    Unknown(String),
}

/// An address of this host (`RTN_LOCAL`).
pub const LOCAL: u128 = 2;

/// States that a packet can be in, as `ct state` numbers them, the most usual first.
pub mod state {
    /// The first packet of a connection.
    pub const NEW: u128 = 8;
    /// Both directions were seen.
    pub const ESTABLISHED: u128 = 2;
    /// Belongs to another connection.
    pub const RELATED: u128 = 4;
    /// Left out of tracking.
    pub const UNTRACKED: u128 = 64;
    /// Not to be made sense of.
    pub const INVALID: u128 = 1;
    /// All of them.
    pub const ALL: [u128; 5] = [NEW, ESTABLISHED, RELATED, UNTRACKED, INVALID];
}

/// How the values of a field become variables of the diagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coding {
    /// By classes of values that nothing asked can tell apart.
    Classes,
    /// Bit by bit: masks are cheap, and parts can be changed.
    Bits,
}

impl Field {
    /// The packet mark.
    pub const MARK: Field = Field::Meta(MetaKey::Mark);
    /// The connection mark.
    pub const CT_MARK: Field = Field::Ct(CtKey::Mark, None);
    /// `ct status`.
    pub const STATUS: Field = Field::Ct(CtKey::Status, None);
    /// The type of the source address (`fib saddr type`): [`LOCAL`] for one of this host's, loopback included.
    pub const SOURCE_TYPE: Field = Field::Fib(FibResult::AddrType, 1);
    /// The type of the destination address (`fib daddr type`).
    pub const DESTINATION_TYPE: Field = Field::Fib(FibResult::AddrType, 2);
    /// The interface by which it would be answered, 0 where that is not the one by which it came
    /// (`fib daddr . iif oif`).
    pub const BACK_OUT: Field = Field::Fib(FibResult::Oif, 2 | 8);
    /// Kind of the interface where it arrives (`bridge`), 16 bytes.
    pub const IIF_KIND: Field = Field::Meta(MetaKey::Iifkind);
    /// Name of the helper that announced the connection, 16 bytes.
    pub const HELPER: Field = Field::Ct(CtKey::Helper, None);

    /// Bits of a value.
    #[must_use]
    pub fn width(&self, family: Family) -> u32 {
        match self {
            Field::Iif | Field::Oif => 128,
            Field::Source | Field::Destination | Field::AddressedTo => u32::from(family.bits()),
            Field::Port | Field::AddressedPort | Field::SourcePort => 16,
            Field::State | Field::Direction | Field::Protocol | Field::TcpFlags | Field::Byte(..) => 8,
            Field::User | Field::Group | Field::Fib(..) => 32,
            Field::Header(.., len) => (len * 8).min(128),
            Field::Meta(key) => meta_width(*key),
            Field::Ct(key, _) => ct_width(*key),
            Field::LaterFragment
            | Field::HasOwner
            | Field::Reaches(..)
            | Field::HasHeader(..)
            | Field::HasMeta(_)
            | Field::HasCt(..)
            | Field::Banned
            | Field::Carried
            | Field::Room(_)
            | Field::Unknown(_) => 1,
        }
    }

    /// Whether this says what a packet is, rather than what state of the world decides.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Field::Unknown(_))
    }

    pub(super) fn coding(&self) -> Coding {
        match self {
            Field::Meta(MetaKey::Mark) | Field::Ct(CtKey::Mark | CtKey::Status, _) => Coding::Bits,
            _ => Coding::Classes,
        }
    }

    /// The place of the field among the variables: what decides most comes first, what nobody knows last.
    pub(super) fn rank(&self) -> u32 {
        match self {
            Field::Iif => 0,
            Field::Oif => 1,
            Field::State => 2,
            Field::Direction => 3,
            Field::Fib(..) => 4,
            Field::Banned => 5,
            Field::Source => 6,
            Field::AddressedTo => 7,
            Field::Destination => 8,
            Field::Protocol => 9,
            Field::AddressedPort => 10,
            Field::Port => 11,
            Field::SourcePort => 12,
            Field::TcpFlags => 13,
            Field::HasOwner => 14,
            Field::User => 15,
            Field::Group => 16,
            Field::Meta(MetaKey::Mark) | Field::Ct(CtKey::Mark, _) => 30,
            Field::Room(_) => 31,
            Field::Unknown(_) => 32,
            _ => 20,
        }
    }
}

fn meta_width(key: MetaKey) -> u32 {
    match key {
        MetaKey::Iifname
        | MetaKey::Oifname
        | MetaKey::BriIifname
        | MetaKey::BriOifname
        | MetaKey::Iifkind
        | MetaKey::Oifkind => 128,
        MetaKey::Protocol | MetaKey::Iiftype | MetaKey::Oiftype => 16,
        MetaKey::Nftrace | MetaKey::Nfproto | MetaKey::L4proto | MetaKey::Pkttype => 8,
        _ => 32,
    }
}

fn ct_width(key: CtKey) -> u32 {
    match key {
        CtKey::Helper | CtKey::Labels | CtKey::Src | CtKey::Dst | CtKey::SrcIp6 | CtKey::DstIp6 => 128,
        CtKey::ProtoSrc | CtKey::ProtoDst | CtKey::Zone => 16,
        CtKey::Direction | CtKey::L3protocol | CtKey::Protocol => 8,
        CtKey::Pkts | CtKey::Bytes | CtKey::Avgpkt => 64,
        _ => 32,
    }
}
