//! Expressions without a type of their own, by their names; reads no options, and knows none of iptables.

/// What is known of such an expression.
pub(super) enum Nature {
    /// It goes on and stores nothing.
    On,
    /// It goes on and stores something somewhere.
    Stores,
    /// It may go on, and stores nothing.
    Asks,
    /// It may go on, and stores something somewhere.
    AsksAndStores,
    Queued,
}

pub(super) fn nature(name: &str) -> Nature {
    match name {
        "queue" => Nature::Queued,
        "tproxy" | "synproxy" => Nature::Asks,
        "flow_offload" | "dup" => Nature::On,
        "numgen" | "hash" => Nature::Stores,
        // socket, osf, tunnel, xfrm, inner, and whatever comes.
        _ => Nature::AsksAndStores,
    }
}
