//! What targets do to the packet on its way: marks, bytes, and whether the way ends.

use super::super::load::Seen;
use super::super::walk::{Run, Step};
use super::{ACCEPT, DROP};
use crate::net::Family;
use crate::ruleset::{Expr, PayloadBase};
use crate::xt::{EcnSet, Target};

const TCP: u8 = 6;
const TCP_HEADER: usize = 20;
const DATA_OFFSET: usize = 12;
/// Byte and bits of the TCP header.
const FLAGS: u32 = 13;
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

impl<'a> Run<'_, 'a> {
    pub(super) fn target(&mut self, expr: &Expr, found: &Target) -> Step<'a> {
        use Target as T;
        let marked = self.marked(found);
        match found {
            T::Reject(_) => return Step::Rejected,
            T::Queue(_) => return Step::Queued,
            T::Dnat(_) | T::Snat(_) | T::Masquerade(_) | T::Netmap(_) | T::Redirect(_) => {
                return Step::Translated(None);
            }
            T::Tproxy(of) => {
                if !self.asks(expr) {
                    return Step::Verdict(&DROP);
                }
                self.state.mark = self.state.mark.map(|mark| mark & !of.mask ^ of.value);
                return Step::Verdict(&ACCEPT);
            }
            T::Synproxy if !self.asks(expr) => return Step::Verdict(&DROP),
            T::Unknown { .. } => {
                (self.state.mark, self.state.ct_mark) = (None, None);
                if !self.asks(expr) {
                    return Step::Verdict(if self.asks(expr) { &ACCEPT } else { &DROP });
                }
            }
            T::Mark { .. } | T::Connmark(_) | T::Hmark { .. } => {
                (self.state.mark, self.state.ct_mark) = marked;
            }
            T::Set(of) if of.map.is_some() => (self.state.mark, self.state.priority) = (None, None),
            T::Classify(priority) => self.state.priority = Some(*priority),
            T::Ct(of) => self.leave_out(of.notrack),
            T::Notrack => self.leave_out(true),
            T::Hops(hops) => {
                let at = if self.packet.family == Family::V4 { 8 } else { 7 };
                self.rewrite(PayloadBase::Network, at, |byte| hops.of(byte));
            }
            T::Tos { value, mask } => self.set_dsfield(*value, *mask),
            T::Dscp(dscp) => self.set_dsfield(dscp << 2, 0xfc),
            T::Ecn(of) => self.ecn(*of),
            T::TcpMss(size) => return self.tcpmss(*size),
            T::TcpOptStrip(_) if !self.packet.later_fragment => self.wire.forget_behind(TCP_HEADER),
            // Which address it becomes is not computed.
            T::Snpt(_) => self.forget_network(8, 16),
            T::Dnpt(_) => self.forget_network(24, 16),
            _ => {}
        }
        Step::On
    }

    fn asks(&mut self, expr: &Expr) -> bool {
        self.ask(expr, None)
    }

    /// Both marks after a target; none where they cannot be known.
    fn marked(&self, found: &Target) -> (Option<u32>, Option<u32>) {
        let connected = matches!(self.state.seen(self.packet), Seen::Entry(_));
        let (mark, ct_mark) = (self.state.mark, self.state.ct_mark);
        match (mark, ct_mark, connected) {
            (Some(packet), _, false) => (found.marked(packet, None), ct_mark),
            (Some(packet), Some(of), true) => {
                (found.marked(packet, Some(of)), found.connection_marked(packet, Some(of)))
            }
            // What does not depend on the unknown one is the same for two values of it.
            (Some(packet), None, true) => {
                let with = |of| (found.marked(packet, Some(of)), found.connection_marked(packet, Some(of)));
                let (none, all) = (with(0), with(u32::MAX));
                (none.0.filter(|mark| Some(*mark) == all.0), none.1.filter(|mark| Some(*mark) == all.1))
            }
            (None, _, _) => {
                let of = ct_mark.filter(|_| connected);
                let with = |packet| (found.marked(packet, of), found.connection_marked(packet, of));
                let (none, all) = (with(0), with(u32::MAX));
                let mark = none.0.filter(|mark| Some(*mark) == all.0);
                let ct = none.1.filter(|mark| Some(*mark) == all.1);
                (mark, if connected { ct } else { ct_mark })
            }
        }
    }

    fn forget_network(&mut self, offset: u32, len: usize) {
        self.wire.forget(PayloadBase::Network, offset, len);
    }

    fn leave_out(&mut self, notrack: bool) {
        if notrack && matches!(self.state.seen(self.packet), Seen::Nothing) {
            self.state.notrack = true;
        }
    }

    fn rewrite(&mut self, base: PayloadBase, at: u32, change: impl Fn(u8) -> u8) {
        let byte = self.wire.load(base, at, 1).and_then(|bytes| bytes.first().copied());
        if let Some(byte) = byte {
            self.wire.store(base, at, &[change(byte)]);
        }
    }

    fn set_dsfield(&mut self, value: u8, mask: u8) {
        let network = PayloadBase::Network;
        match self.packet.family {
            Family::V4 => self.rewrite(network, 1, |byte| byte & !mask ^ value),
            Family::V6 => {
                self.rewrite(network, 0, |byte| byte & !(mask >> 4) ^ value >> 4);
                self.rewrite(network, 1, |byte| byte & !(mask << 4) ^ value << 4);
            }
        }
    }

    fn ecn(&mut self, of: EcnSet) {
        if let Some(bits) = of.ip {
            self.set_dsfield(bits, 3);
        }
        let (ece, cwr) = (of.ece, of.cwr);
        if self.packet.l4proto != TCP || (ece, cwr) == (None, None) {
            return;
        }
        let set = |byte: u8, bit: u8, to: Option<bool>| match to {
            None => byte,
            Some(true) => byte | bit,
            Some(false) => byte & !bit,
        };
        self.rewrite(PayloadBase::Transport, FLAGS, |byte| set(set(byte, ECE, ece), CWR, cwr));
    }

    /// A size that is there and larger becomes this one; where none is there, one is put in.
    fn tcpmss(&mut self, size: Option<u16>) -> Step<'a> {
        const OPTION: [u8; 2] = [2, 4];
        if self.packet.later_fragment {
            return Step::On;
        }
        let header = self.wire.transport_bytes();
        let len = header.get(DATA_OFFSET).map_or(0, |byte| usize::from(byte >> 4) * 4);
        let Some(options) = header.get(TCP_HEADER..len) else { return Step::Verdict(&DROP) };
        let found = crate::xt::tcp_option(options, OPTION[0]);
        let whole = found.and_then(|at| Some((at, options.get(at..at + 4)?)));
        let data = header.len() > len;
        match (whole, size) {
            (Some((at, [_, 4, high, low])), Some(size)) if self.wire.knows_transport(12..60) => {
                let least = u16::from_be_bytes([*high, *low]).min(size);
                let at = u32::try_from(22 + at).unwrap_or(u32::MAX);
                self.wire.store(PayloadBase::Transport, at, &least.to_be_bytes());
            }
            // Without room for it nothing is put in.
            (None, _) if found.is_none() && (data || len >= 60) => {}
            (Some(_), _) => self.wire.forget_behind(TCP_HEADER),
            (None, _) => {
                self.wire.forget_behind(DATA_OFFSET);
                self.wire.stretched = true;
            }
        }
        Step::On
    }
}
