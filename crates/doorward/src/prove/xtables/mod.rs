//! Matches and targets of iptables as conditions on fields and what they change; knows no binary structure.
//!
//! What bytes, connection and host tell of a packet is a condition on the same fields that nftables' own
//! expressions ask about, so that rules of both kinds can be compared. What no packet tells is a question with the
//! words of the match: one for all rules where the answer is the same for all, else a new one each time. So is what
//! a packet does tell, but is hardly ever asked: a text, options of TCP, headers of IPv6.
//!
//! A kernel that runs out of memory for a packet that it changes is not thought of; one that has no room in a list
//! is, as anybody can fill it.

mod bytes;
mod connection;
mod host;
mod memory;
mod target;
mod transport;

use super::lists::Lists;
use super::load::Choices;
use super::lower::{BYTES, Lowering, Op};
use super::point::EXTENDED;
use super::symbol::Byte;
use crate::net::Family;
use crate::ruleset::{CmpOp, Expr, PayloadBase, TableFamily, Verdict};
use crate::space::{Field, Pred};
use crate::xt::{self, Basis, Later, Masked, Match, Refuses, Target, Within, Xt};

/// Whether what an extension asks may have another answer each time.
pub(super) fn asks_anew(found: &Xt, lists: &Lists) -> bool {
    match found {
        Xt::Match(found) => is_fleeting(found, lists.sets_change),
        Xt::Target(found) => matches!(
            found,
            Target::Unknown { .. } | Target::Synproxy | Target::Tproxy(_) | Target::Snpt(_) | Target::Dnpt(_)
        ),
    }
}

/// Whether a match may hold for a packet here and not there.
fn is_fleeting(found: &Match, sets_change: bool) -> bool {
    match found {
        // What a connection has carried is the same wherever one packet is.
        Match::Connbytes(_) => false,
        Match::Set(_) => sets_change,
        // Another rule may set the label, or the mark that decides on the route.
        Match::Connlabel(_) => true,
        Match::Rpfilter(of) => of.with_mark,
        _ => matches!(found.basis(), Basis::Memory | Basis::Unknown),
    }
}

/// Whether an expression does nothing but tell people.
pub(super) fn only_tells(expr: &Expr, family: TableFamily) -> bool {
    let found = xt::read(expr, family);
    matches!(found, Some(Xt::Target(Target::Log(_) | Target::Nflog(_)) | Xt::Match(Match::Comment(_))))
}

impl Lowering<'_, '_, '_> {
    pub(super) fn xtables(&mut self, expr: &Expr, choices: &mut dyn Choices) {
        match xt::read(expr, self.table.1.family) {
            Some(Xt::Match(found)) => self.matched(&found, choices),
            Some(Xt::Target(found)) => self.target(&found),
            None => {}
        }
    }

    fn matched(&mut self, found: &Match, choices: &mut dyn Choices) {
        use Match as M;
        if found.changes() {
            self.effect(format_args!("{found:?}"));
        }
        self.begins(found);
        let holds = match found {
            M::Comment(_) => Pred::Const(true),
            M::Tcp(of) => return self.tcp(of),
            M::Udp(of) => self.ports(of),
            M::Sctp(of) => return self.sctp(of),
            M::Dccp(of) => return self.dccp(of),
            M::Multiport(of) => self.multiport(of),
            M::Icmp(of) => self.icmp(of.kind, of.codes, of.invert),
            M::Icmp6(of) => self.icmp(Some(of.kind), of.codes, of.invert),
            M::Esp(of) => self.transport_number(0, 4, *of),
            M::Ah(of) => self.transport_number(4, 4, *of),
            M::Ipcomp(of) => self.transport_number(2, 2, *of),
            M::Mh(of) => {
                let kind = Within { first: of.first.into(), last: of.last.into(), invert: of.invert };
                self.transport_number(2, 1, kind)
            }
            M::TcpMss(_) => return self.tcpmss(found),
            M::Ah6(_) => self.extension(51, found),
            M::Frag(_) => self.extension(44, found),
            M::Rt(_) => self.extension(43, found),
            M::HopOptions(of) => self.extension(if of.dest { 60 } else { 0 }, found),
            M::Ipv6header(_) | M::Text(_) | M::U32(_) | M::Bpf(_) => self.of_bytes(found),
            M::Hops(of) => {
                let at = if self.is_v4() { 8 } else { 7 };
                self.within(&network(at), (of.first, of.last), of.invert)
            }
            M::Tos(of) => self.dsfield(*of),
            M::Dscp(of) if of.value < 64 => {
                self.dsfield(Masked { value: of.value << 2, mask: 0xfc, invert: of.invert })
            }
            M::Dscp(of) => Pred::Const(of.invert),
            M::Ecn(of) => self.ecn(*of),
            M::Iprange(of) => self.iprange(of),
            M::State(of) => self.states(*of),
            M::Conntrack(of) => self.conntrack(of, choices),
            M::Connmark(of) => self.connmark(*of),
            M::Connlabel(of) => self.connlabel(found, of.invert),
            M::Connbytes(_) => self.connbytes(found),
            M::Helper(of) => self.helper(of),
            M::Addrtype(of) => self.addrtype(of),
            M::Length(of) => self.length(*of),
            M::Mac(of) => self.mac(*of),
            M::Mark(of) => self.masked(&Field::MARK, *of),
            M::Owner(of) => self.owner(of),
            M::Physdev(of) => self.physdev(of),
            M::Pkttype(of) => self.pkttype(*of),
            M::Policy(of) => self.policy(of),
            M::Devgroup(of) => self.devgroup(of),
            M::Cpu(of) => self.cpu(*of),
            M::Cgroup(of) => self.cgroup(of),
            M::Socket(of) => return self.socket(*of),
            M::Recent(of) => self.recent(of),
            M::Connlimit(_)
            | M::Eui64(_)
            | M::Hashlimit(_)
            | M::Limit(_)
            | M::Nfacct(_)
            | M::Quota(_)
            | M::Realm(_)
            | M::Rpfilter(_)
            | M::Set(_)
            | M::Statistic(_)
            | M::Time(_) => self.asked(found),
            M::Unknown { name, revision, data } => {
                self.forget_marks();
                self.anew(&format!("match {name}, revision {revision}, {data:02x?}"))
            }
        };
        self.test(holds);
    }

    /// For which packets it is false or drops them, before it looks at anything else.
    fn begins(&mut self, found: &Match) {
        match found.later() {
            Later::Same | Later::Misread => {}
            Later::False => self.not_later(),
            Later::FalseOrDrop => {
                // Where IPv6 begins is counted in bytes, so that none begins at 1.
                if self.is_v4() {
                    let later = self.symbols.terms.flag(&Field::LaterFragment);
                    let upper = self.symbols.terms.masked(&network(6), 0x1f, 0);
                    let lower = self.symbols.terms.equals(&network(7), 1);
                    self.drop_if(Pred::all([later, upper, lower]));
                }
                self.not_later();
            }
        }
        for refuses in found.drops() {
            match refuses {
                Refuses::Shorter(len) => {
                    let long = self.symbols.transport_reaches((*len).into());
                    self.drop_if(long.negated());
                }
                // Asked where the header was looked at.
                Refuses::Options => {}
                Refuses::Headers => {
                    let extended = self.symbols.terms.flag(&Field::Unknown(EXTENDED.to_owned()));
                    let broken = self.shared(&format!("{BYTES}its headers cannot be followed"));
                    self.drop_if(Pred::all([extended, broken]));
                }
                Refuses::AnotherHeader => {
                    const NOTHING: u32 = 59;
                    let none = Within { first: NOTHING, last: NOTHING, invert: false };
                    let last = self.transport_number(0, 1, none);
                    self.drop_if(last.negated());
                }
                Refuses::NoLinkHeader => {
                    let gone = self.shared("its Ethernet header is gone");
                    self.drop_if(gone);
                }
                Refuses::NoRoom | Refuses::Any => {
                    let words = match refuses {
                        Refuses::NoRoom => format!("there is no room for {}", memory::kept(found)),
                        _ => format!("it drops the packet: {found:?}"),
                    };
                    let full = self.anew(&words);
                    self.drop_if(full);
                }
            }
        }
    }

    fn is_v4(&self) -> bool {
        self.symbols.terms.family() == Family::V4
    }

    fn not_later(&mut self) {
        let later = self.symbols.terms.flag(&Field::LaterFragment);
        self.test(later.negated());
    }

    /// Drops packets, whatever the rule says of them.
    fn drop_if(&mut self, pred: Pred) {
        match pred {
            Pred::Const(false) => {}
            Pred::Const(true) => self.ops.push(Op::Verdict(Verdict::Drop)),
            pred => {
                let others = pred.clone().negated();
                self.ops.push(Op::Map(vec![(pred, Verdict::Drop), (others, Verdict::Continue)]));
            }
        }
    }

    /// Drops packets whose bytes are so; it is asked.
    fn drops_if_asked(&mut self, words: &str) {
        let asked = self.shared(&format!("{BYTES}{words}"));
        self.drop_if(asked);
    }

    /// A question with the same answer for each rule.
    fn shared(&mut self, words: &str) -> Pred {
        self.symbols.shared_unknown(words)
    }

    /// A question that may have another answer each time.
    fn anew(&mut self, words: &str) -> Pred {
        self.symbols.unknown(words)
    }

    /// Whether a number is within.
    fn within<T: Into<u128>>(&mut self, field: &Field, (first, last): (T, T), invert: bool) -> Pred {
        let within = self.symbols.terms.within(field, vec![(first.into(), last.into())]);
        inverted(within, invert)
    }

    /// Whether a number is so under a mask.
    fn masked<T: Into<u128> + Copy>(&mut self, field: &Field, of: Masked<T>) -> Pred {
        let (mask, value): (u128, u128) = (of.mask.into(), of.value.into());
        let equal = self.symbols.terms.masked(field, mask, value);
        inverted(equal, of.invert)
    }

    /// Whether bytes, read as one number, are within.
    fn number(&mut self, bytes: &[Byte], of: Within<u32>) -> Pred {
        let skipped = size_of::<u32>().saturating_sub(bytes.len());
        let largest = u32::MAX.checked_shr(u32::try_from(skipped * 8).unwrap_or(0)).unwrap_or(0);
        if of.first > of.last || of.first > largest {
            return Pred::Const(of.invert);
        }
        let (first, last) = (of.first.to_be_bytes(), of.last.min(largest).to_be_bytes());
        let words = || format!("a number from {} to {}", of.first, of.last);
        let above = self.symbols.compare(bytes, CmpOp::Gte, &first[skipped..], &words);
        let below = self.symbols.compare(bytes, CmpOp::Lte, &last[skipped..], &words);
        inverted(Pred::all([above, below]), of.invert)
    }
}

fn inverted(pred: Pred, invert: bool) -> Pred {
    if invert { pred.negated() } else { pred }
}

fn network(at: u32) -> Field {
    Field::Byte(PayloadBase::Network, at)
}

/// For loads that do not depend on the way.
struct NoChoice;

impl Choices for NoChoice {
    fn choose(&mut self, _: Pred) -> bool {
        false
    }
}
