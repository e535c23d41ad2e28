//! The prover's opinion: where a packet lies in the sets that a ruleset accepts and refuses.

use crate::opinion::{Kernel, Opinion};
use doorward::net::Family;
use doorward::prove::{Facts, Program, Slice, value_of};
use doorward::ruleset::{CtKey, Expr, Hook, MetaKey, PayloadBase, Ruleset, exthdr};
use doorward::space::{Field, Node, Space, Terms};
use doorward::trace::{Conntrack, Packet};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// `IPS_DST_NAT`.
const TRANSLATED: u32 = 0x20;

/// The longest header of which it takes for granted that it is there: that of TCP up to its flags.
const HEADER: usize = 14;
/// Random rulesets have little in common with what is in use: their diagrams may grow without end.
const NODES: usize = 30_000;

/// Proofs of one ruleset, each made when the first packet asks for it.
struct Prover<'a> {
    ruleset: &'a Ruleset,
    kernel: &'a Kernel,
    proofs: RefCell<BTreeMap<(Family, Hook, bool), Option<Proof>>>,
}

/// What becomes of all packets of one family at one hook, whatever is not known of them.
struct Proof {
    space: Space,
    accepted: Node,
    refused: Node,
}

pub(crate) fn prover<'a>(ruleset: &'a Ruleset, kernel: &'a Kernel) -> Box<dyn Opinion + 'a> {
    Box::new(Prover { ruleset, kernel, proofs: RefCell::default() })
}

impl Opinion for Prover<'_> {
    fn name(&self) -> &'static str {
        "prover"
    }

    fn accepts(&self, packet: &Packet) -> Option<bool> {
        // It knows kernels only that look for fragments before they load, and whole headers.
        if packet.later_fragment && self.kernel.reads_fragments || packet.transport.len() < HEADER {
            return None;
        }
        let translated = matches!(&packet.ct, Conntrack::Entry(entry) if entry.status & TRANSLATED != 0);
        let slice = Slice { hook: packet.hook, translated };
        let mut proofs = self.proofs.borrow_mut();
        let key = (packet.family, packet.hook, translated);
        let proof = proofs.entry(key).or_insert_with(|| self.proof(packet.family, slice));
        let proof = proof.as_ref()?;
        let lies_in = |node| proof.space.contains(node, &|field| value_of(packet, field));
        match (lies_in(proof.accepted), lies_in(proof.refused)) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            _ => None,
        }
    }
}

impl Prover<'_> {
    /// None where the prover claims nothing.
    fn proof(&self, family: Family, slice: Slice) -> Option<Proof> {
        // Targets of iptables end rules in ways that it does not know yet.
        let chains = self.ruleset.tables.iter().flat_map(|table| &table.chains);
        let mut exprs = chains.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
        if exprs.any(|expr| matches!(expr, Expr::Unknown { name, .. } if name == "match" || name == "target"))
        {
            return None;
        }
        let mut terms = Terms::new(family);
        let interfaces = self.kernel.devices.iter().map(|device| (device.index, device.name.clone()));
        let facts = Facts { interfaces: interfaces.collect(), ..Facts::default() };
        let program = Program::of(&self.ruleset.tables, &[slice], &facts, &mut terms);
        let mut space = Space::within(terms, NODES).ok()?;
        let domain = space.domain();
        let (fates, _) = program.fates(&mut space, slice, domain, &|_| true).ok()?;
        let refused = space.or(fates.dropped, fates.rejected);
        let outside = space.not(domain);
        let mut certain = |node| {
            let node = space.or(node, outside);
            space.for_all(node, &|field| !is_told(field))
        };
        let (accepted, refused) = (certain(fates.accepted), certain(refused));
        space.holds_good().ok()?;
        Some(Proof { space, accepted, refused })
    }
}

/// Whether a packet tells the value of a field.
fn is_told(field: &Field) -> bool {
    match field {
        Field::Unknown(words) => words == "there are extension headers",
        Field::Banned | Field::Room(_) => false,
        Field::HasHeader(kind, _) | Field::Header(kind, ..) => *kind == exthdr::IPV6,
        Field::Byte(base, _) | Field::Reaches(base, _) => {
            !matches!(base, PayloadBase::Inner | PayloadBase::Other(_))
        }
        Field::HasMeta(key) => matches!(key, MetaKey::Skuid | MetaKey::Skgid),
        Field::Meta(key) => matches!(
            key,
            MetaKey::Mark | MetaKey::Iif | MetaKey::Oif | MetaKey::Iifkind | MetaKey::Oifkind | MetaKey::Len
        ),
        Field::HasCt(key, _) => *key == CtKey::Helper,
        _ => true,
    }
}
