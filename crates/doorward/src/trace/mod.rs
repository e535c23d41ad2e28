//! A plain machine that runs a ruleset on one packet, step by step, as the kernel would; proves nothing.

mod packet;

pub use packet::{Conntrack, Device, Entry, Packet, Tuple};
