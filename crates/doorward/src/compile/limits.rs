//! Limits: a bucket per sentence and source that TCP asks with the SYN and pays with the handshake.
//!
//! nftables can take a token from a bucket but not look into one, and a forged SYN must not take one. So a
//! bucket of size B is kept as a bucket of size B-1 (`meter`), one token that may be owed (`debt`), and a set
//! of those who have nothing left (`spent`), which the SYN asks:
//!
//! - paying with tokens in the meter takes one;
//! - paying with an empty meter owes the last one: the source is in `debt` until its bucket would be full
//!   again, and in `spent` for the time in which one token comes back;
//! - who owes pays the debt first, and is refused if the meter has not even that.
//!
//! Every bucket of a door is charged, and the connection passes if one had room; that one had is kept in a bit
//! of the ct mark until all were asked.
//!
//! A full set counts as "under the limit" (language.md, ruling 4): the update does not match, the rule ends.

use super::PENDING;
use super::builder::Builder;
use super::code::{self, R0};
use crate::logged::What;
use crate::net::{Family, Proto};
use crate::resolve::model::{Limit, Rule, Traffic};
use crate::ruleset::{CmpOp, Expr, KeyPart, MetaKey, PayloadBase};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Timeouts are whole ticks of the kernel; this is a multiple of them at 100, 250, 300 and 1000 Hz, in
/// milliseconds.
const TICK: u64 = 20;

/// The kernel takes no longer timeout, in milliseconds: some 200,000 days.
const LONGEST: u64 = 200_000 * 86_400_000;

/// The chains of one limited sentence in one family.
pub(super) struct Gate {
    /// For the first packet: TCP asks, the others pay.
    pub first: String,
    /// For the packet that completes the TCP handshake: pays.
    pub pay: String,
}

/// What the bucket is kept by.
#[derive(Clone, Copy)]
enum Key {
    Source(Family),
    Sentence,
}

impl Key {
    fn part(self) -> KeyPart {
        match self {
            Key::Source(Family::V4) => KeyPart::Network(12, 4),
            // Whoever has one IPv6 address has a /64 of them.
            Key::Source(Family::V6) => KeyPart::Network(8, 8),
            Key::Sentence => KeyPart::Mark,
        }
    }

    fn load(self) -> Vec<Expr> {
        match self {
            Key::Source(Family::V4) => vec![code::payload(PayloadBase::Network, 12, 4, R0)],
            Key::Source(Family::V6) => vec![code::payload(PayloadBase::Network, 8, 8, R0)],
            // A constant, in a form that `nft` lists and reads.
            Key::Sentence => vec![code::meta(MetaKey::Mark, R0), code::mask(R0, code::host(0))],
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Key::Source(Family::V4) => "4",
            Key::Source(Family::V6) => "6",
            Key::Sentence => "all",
        }
    }
}

/// Builds the chains of a limited sentence, once per family.
pub(super) fn gate(
    builder: &mut Builder<'_>,
    rule: &Rule,
    limit: Limit,
    index: usize,
    family: Family,
) -> Gate {
    let number = match family {
        Family::V4 => "4",
        Family::V6 => "6",
    };
    let stem = |what: &str| builder.name(&format!("limit{index}_{what}{number}"));
    let gate = Gate { first: stem("first"), pay: stem("pay") };
    let ask = stem("ask");
    if builder.has(&gate.first) {
        return gate;
    }
    // A rate above one token a tick needs room for those of a tick.
    let a_tick = u64::from(limit.rate) * TICK / (u64::from(limit.seconds.max(1)) * 1000);
    let limit = Limit { burst: limit.burst.max(u32::try_from(a_tick).unwrap_or(u32::MAX)), ..limit };
    let key = if limit.per_source { Key::Source(family) } else { Key::Sentence };
    let sets = Sets::make(builder, rule, limit, key);
    let with_key = |code: Vec<Expr>| [key.load(), code].concat();

    if rule.traffic.iter().any(|traffic| !matches!(traffic, Traffic::Icmp(_))) {
        // What a trial let in and this generation judges again finds the bucket as if nobody had taken from it.
        let again = [code::ct_state(code::state::ESTABLISHED), code::not_icmp()].concat();
        builder.rule(&gate.first, [again, vec![code::goto(&builder.yes())]].concat());
    }
    builder.rule(&gate.first, [code::l4proto(Proto::TCP), vec![code::goto(&ask)]].concat());
    builder.rule(&gate.first, vec![code::goto(&gate.pay)]);

    builder.rule(&ask, with_key(vec![code::lookup(&sets.spent, R0, false), code::ret()]));
    // The first sentence that has room counts the hit, and every one that logs does.
    log(builder, &ask, rule, Vec::new());
    let count = [code::mark_clear(PENDING), vec![code::counter()]].concat();
    builder.commented(&ask, count, &rule.origin.comment());
    builder.rule(&ask, code::set_mark(!PENDING, PENDING));
    builder.rule(&ask, vec![code::ret()]);

    match &sets.meter {
        Some((meter, debt)) => {
            let owes = with_key(vec![code::lookup(debt, R0, false)]);
            let tokens = limit.burst - 1;
            let taking =
                |code: Vec<Expr>| with_key([vec![code::charge(meter, R0, limit, tokens)], code].concat());
            builder.rule(&gate.pay, [owes.clone(), taking(vec![code::ret()])].concat());
            builder.rule(&gate.pay, [owes, with_key(vec![code::delete(debt, R0)])].concat());
            let spend = with_key(vec![code::update(&sets.spent, R0, sets.token)]);
            let owe = with_key(vec![code::update(debt, R0, sets.full)]);
            builder.rule(&gate.pay, taking([spend, owe].concat()));
        }
        None => {
            // A bucket of one token: having nothing left is all there is to know.
            builder.rule(&gate.pay, with_key(vec![code::lookup(&sets.spent, R0, false), code::ret()]));
            builder.rule(&gate.pay, with_key(vec![code::update(&sets.spent, R0, sets.token)]));
        }
    }
    log(builder, &gate.pay, rule, not_tcp());
    let count = [not_tcp(), code::mark_set(PENDING), vec![code::counter()]].concat();
    builder.commented(&gate.pay, count, &rule.origin.comment());
    // Paid: the mark says so, as the other limits on the same door are still to be charged.
    builder.rule(&gate.pay, code::set_mark(!PENDING, 0));
    builder.rule(&gate.pay, vec![code::ret()]);
    gate
}

/// Logs packets that pass a test, if the sentence says so.
fn log(builder: &mut Builder<'_>, chain: &str, rule: &Rule, test: Vec<Expr>) {
    if rule.log {
        builder.rule(chain, [test, code::log(&What::sentence(&rule.origin, rule.verdict))].concat());
    }
}

/// Marks packets other than TCP as not paid for, before the buckets of their doors are asked.
pub(super) fn owe(builder: &mut Builder<'_>, chain: &str) {
    builder.rule(chain, [not_tcp(), code::set_mark(!PENDING, PENDING)].concat());
}

/// Lets in what found room: TCP that some bucket has a token for, the rest that some bucket was charged for. What
/// goes on does so without the mark.
pub(super) fn settle(builder: &mut Builder<'_>, chain: &str, owed: bool) {
    let yes = code::goto(&builder.yes());
    let tcp = [code::l4proto(Proto::TCP), code::mark_set(PENDING), vec![yes.clone()]].concat();
    builder.rule(chain, tcp);
    if owed {
        builder.rule(chain, [not_tcp(), code::mark_clear(PENDING), vec![yes]].concat());
        builder.rule(chain, [not_tcp(), code::set_mark(!PENDING, 0)].concat());
    }
}

fn not_tcp() -> Vec<Expr> {
    vec![code::meta(MetaKey::L4proto, R0), code::cmp(CmpOp::Neq, vec![Proto::TCP.0])]
}

/// How the sets of a sentence's buckets are called, between what they hold and what they are kept by.
pub(super) fn bucket(sentence: &str) -> String {
    let mut id = String::new();
    for byte in Sha256::digest(sentence.as_bytes()).iter().take(6) {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// Names of all sets in which a sentence's buckets can be, in both families: without room left, a key is in each.
pub(super) fn set_names(sentence: &str) -> impl Iterator<Item = String> + use<> {
    let id = bucket(sentence);
    ["spent", "debt", "meter"].into_iter().flat_map(move |what| {
        let id = id.clone();
        ["4", "6", "all"].into_iter().map(move |suffix| format!("{what}_{id}_{suffix}"))
    })
}

/// The bucket that a set belongs to, by the set's name.
pub(super) fn bucket_of(set: &str) -> Option<&str> {
    let rest = ["spent_", "debt_", "meter_"].iter().find_map(|stem| set.strip_prefix(stem))?;
    rest.rsplit_once('_').map(|(id, _)| id)
}

struct Sets {
    spent: String,
    /// Bucket without its last token, and who owes that one; none for a bucket of one token.
    meter: Option<(String, String)>,
    /// Time in which one token comes back, in milliseconds.
    token: u64,
    /// Time in which an empty bucket fills up, in milliseconds.
    full: u64,
}

impl Sets {
    /// Buckets belong to the exact sentence, so they are named by it and outlive generations.
    fn make(builder: &mut Builder<'_>, rule: &Rule, limit: Limit, key: Key) -> Sets {
        let id = bucket(&rule.origin.sentence);
        let name = |what: &str| format!("{what}_{id}_{}", key.suffix());
        let parts = [key.part()];
        let token = (u64::from(limit.seconds) * 1000).div_ceil(u64::from(limit.rate.max(1)));
        let token = token.div_ceil(TICK) * TICK;
        let full = token.saturating_mul(u64::from(limit.burst.max(1))).min(LONGEST);
        let spent = name("spent");
        builder.dynamic(&spent, &parts, None);
        let meter = (limit.burst > 1).then(|| {
            let (meter, debt) = (name("meter"), name("debt"));
            // A bucket that nobody touched until it is full again is no different from none.
            builder.dynamic(&meter, &parts, Some(full));
            builder.dynamic(&debt, &parts, None);
            (meter, debt)
        });
        Sets { spent, meter, token, full }
    }
}
