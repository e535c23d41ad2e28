//! Expressions without a type of their own, among them those of iptables; reads names, no options.

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
    /// It goes on and changes a mark.
    Marks,
    /// It leaves the packet out of tracking, or gives it a template for that.
    Tracks,
    Rejected,
    Queued,
    Translated,
}

pub(super) fn nature(name: &str, data: &[u8]) -> Nature {
    match name {
        "queue" => Nature::Queued,
        "match" | "tproxy" | "synproxy" => Nature::Asks,
        "target" => target(target_name(data)),
        "flow_offload" | "dup" => Nature::On,
        "numgen" | "hash" => Nature::Stores,
        // socket, osf, tunnel, xfrm, inner, and whatever comes.
        _ => Nature::AsksAndStores,
    }
}

fn target(name: &str) -> Nature {
    match name {
        "REJECT" => Nature::Rejected,
        "NFQUEUE" => Nature::Queued,
        "SNAT" | "DNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP" => Nature::Translated,
        "LOG" | "NFLOG" | "AUDIT" | "TRACE" | "CHECKSUM" | "CLASSIFY" | "SET" => Nature::On,
        "MARK" | "CONNMARK" => Nature::Marks,
        "CT" | "NOTRACK" => Nature::Tracks,
        _ => Nature::Asks,
    }
}

/// `NFTA_TARGET_NAME`, the first of the attributes; empty if it is not there.
fn target_name(data: &[u8]) -> &str {
    const NAME: u16 = 1;
    let [a, b, c, d, rest @ ..] = data else { return "" };
    let len = usize::from(u16::from_ne_bytes([*a, *b]));
    if u16::from_ne_bytes([*c, *d]) != NAME {
        return "";
    }
    let name = len.checked_sub(4).and_then(|len| rest.get(..len)).unwrap_or(&[]);
    std::str::from_utf8(name).unwrap_or("").trim_end_matches('\0')
}
