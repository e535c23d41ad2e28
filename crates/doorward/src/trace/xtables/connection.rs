//! Matches on what connection tracking knows of the packet, and what each says where it knows nothing.

use super::{Look, Says};
use crate::ruleset::CtDir;
use crate::trace::Entry;
use crate::trace::load::is_icmp_error;
use crate::xt::{Conntrack, Helper, Masked, States};

impl Look<'_> {
    pub(super) fn is_in(&self, of: States) -> bool {
        let (state, entry) = self.seen();
        of.contains(state, entry.map_or(0, |entry| entry.status))
    }

    pub(super) fn conntrack(&self, of: &Conntrack) -> Says {
        let (state, entry) = self.seen();
        let Some(entry) = entry else { return Says::Holds(of.without_connection(state)) };
        let fails = of.states.is_some_and(|states| !states.contains(state, entry.status))
            || of.direction.is_some_and(|direction| (direction == CtDir::Reply) != (entry.direction == 1))
            || !tuples(of, entry)
            || of.status.is_some_and(|status| !status.contains(entry.status));
        if fails {
            return Says::Holds(false);
        }
        let proto = of.proto.map_or(Some(true), |proto| {
            // An error of ICMP belongs to a connection of another protocol.
            let error = entry.state == States::RELATED && is_icmp_error(self.packet);
            (!error).then(|| proto.contains(&self.packet.l4proto.into()))
        });
        match (proto, of.expires) {
            (Some(false), _) => Says::Holds(false),
            (Some(true), None) => Says::Holds(true),
            _ => Says::Asks,
        }
    }

    pub(super) fn connmark(&self, of: Masked<u32>) -> Says {
        match (self.seen().1, self.state.ct_mark) {
            (None, _) => Says::Holds(false),
            (Some(_), mark) => mark.map(|mark| of.contains(mark)).into(),
        }
    }

    /// Something that is known of connections and not of packets.
    pub(super) fn of_connection(&self, without: bool) -> Says {
        if self.seen().1.is_none() { Says::Holds(without) } else { Says::Asks }
    }

    pub(super) fn helper(&self, of: &Helper) -> bool {
        let helper = self.seen().1.and_then(|entry| entry.helper.as_deref());
        helper.map_or(of.invert, |helper| of.contains(helper))
    }
}

fn tuples(of: &Conntrack, entry: &Entry) -> bool {
    let (original, reply) = (&entry.original, &entry.reply);
    let addrs = [
        (of.orig_source, original.source),
        (of.orig_dest, original.destination),
        (of.reply_source, reply.source),
        (of.reply_dest, reply.destination),
    ];
    let ports = [
        (of.orig_sport, original.source_port),
        (of.orig_dport, original.destination_port),
        (of.reply_sport, reply.source_port),
        (of.reply_dport, reply.destination_port),
    ];
    addrs.iter().all(|(wanted, addr)| wanted.is_none_or(|wanted| wanted.contains(*addr)))
        && ports.iter().all(|(wanted, port)| wanted.is_none_or(|wanted| wanted.contains(*port)))
}
