//! The netlink edge.
