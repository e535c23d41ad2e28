//! Ports, flags and types: conditions on the header behind that of IP.
//!
//! That a packet is no later fragment, and long enough, has been tested before.

use super::super::lower::{BYTES, Lowering};
use super::inverted;
use crate::ruleset::PayloadBase;
use crate::space::{Field, Pred};
use crate::xt::{Dccp, Match, Multiport, Ports, PortsOf, Sctp, Tcp, Within};

impl Lowering<'_, '_, '_> {
    pub(super) fn ports(&mut self, of: &Ports) -> Pred {
        let source = self.port(&Field::SourcePort, of.source);
        let dest = self.port(&self.stand.destination().1, of.dest);
        Pred::all([source, dest])
    }

    fn port(&mut self, field: &Field, of: Within<u16>) -> Pred {
        self.within(field, (of.first, of.last), of.invert)
    }

    pub(super) fn tcp(&mut self, of: &Tcp) {
        let ports = self.ports(&of.ports);
        let flags = self.masked(&Field::TcpFlags, of.flags);
        self.test(Pred::all([ports, flags]));
        if let Some(option) = of.option {
            self.drop_malformed_tcp();
            let there = self.shared(&format!("{BYTES}there is a TCP option of kind {}", option.value));
            self.test(inverted(there, option.invert));
        }
    }

    /// Drops TCP whose header says that it is too short, or whose options are not all there.
    pub(super) fn drop_malformed_tcp(&mut self) {
        let short = self.symbols.terms.within(&byte(12), vec![(0, 0x4f)]);
        self.drop_if(short);
        self.drops_if_asked("the TCP options are cut off");
    }

    pub(super) fn sctp(&mut self, of: &Sctp) {
        let ports = self.ports(&of.ports);
        self.test(ports);
        if let Some(chunks) = &of.chunks {
            self.drops_if_asked("an SCTP chunk is cut off or empty");
            let upright = crate::xt::Chunks { invert: false, ..chunks.clone() };
            let there = self.shared(&format!("{BYTES}it has SCTP {upright:?}"));
            self.test(inverted(there, chunks.invert));
        }
    }

    pub(super) fn dccp(&mut self, of: &Dccp) {
        let ports = self.ports(&of.ports);
        // The type stands in bits 1 to 4.
        let types = (0..=u8::MAX).filter(|byte| of.of_type(byte >> 1 & 0x0f));
        let types = types.map(|byte| (byte.into(), byte.into())).collect();
        let types = self.symbols.terms.within(&byte(8), types);
        self.test(Pred::all([ports, types]));
        if let Some(option) = of.option {
            self.drops_if_asked("the DCCP options are cut off");
            let there = self.shared(&format!("{BYTES}there is a DCCP option of kind {}", option.value));
            self.test(inverted(there, option.invert));
        }
    }

    pub(super) fn multiport(&mut self, of: &Multiport) -> Pred {
        let port = self.stand.destination().1;
        let mut within = |field: &Field| {
            let ranges = of.ranges.iter().map(|(first, last)| (u128::from(*first), u128::from(*last)));
            self.symbols.terms.within(field, ranges.collect())
        };
        let found = match of.of {
            PortsOf::Source => within(&Field::SourcePort),
            PortsOf::Dest => within(&port),
            PortsOf::Either => Pred::any([within(&Field::SourcePort), within(&port)]),
        };
        inverted(found, of.invert)
    }

    /// Type and code stand where others have the source port.
    pub(super) fn icmp(&mut self, kind: Option<u8>, codes: (u8, u8), invert: bool) -> Pred {
        let Some(kind) = kind else { return Pred::Const(!invert) };
        let number = |code: u8| u16::from_be_bytes([kind, code]);
        self.within(&Field::SourcePort, (number(codes.0), number(codes.1)), invert)
    }

    /// Whether a number in the header is within.
    pub(super) fn transport_number(&mut self, offset: u32, len: u32, of: Within<u32>) -> Pred {
        // What misreads later fragments are loads of nftables only.
        let misread = std::mem::take(&mut self.symbols.odd.misread);
        let loaded =
            self.symbols.payload(self.stand, PayloadBase::Transport, offset, len, &mut super::NoChoice);
        self.symbols.odd.misread = misread;
        self.number(&loaded.bytes, of)
    }

    /// Of a later fragment it takes the first bytes for a header: what they are is asked.
    pub(super) fn tcpmss(&mut self, found: &Match) {
        let malformed = self.symbols.terms.within(&byte(12), vec![(0, 0x4f)]);
        let later = self.symbols.terms.flag(&Field::LaterFragment);
        let cut = self.shared(&format!("{BYTES}the TCP options are cut off"));
        let misread = self.shared(&format!("{BYTES}what follows is no TCP header"));
        let first = Pred::all([later.clone().negated(), Pred::any([malformed, cut])]);
        self.drop_if(Pred::any([first, Pred::all([later, misread])]));
        let holds = self.of_bytes(found);
        self.test(holds);
    }
}

fn byte(at: u32) -> Field {
    Field::Byte(PayloadBase::Transport, at)
}
