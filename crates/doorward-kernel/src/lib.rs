//! The kernel's side of doorward: rulesets over netlink. Knows no policy language and prints nothing.

mod encode;
mod message;
mod nft;
mod place;
mod reason;
mod sealed;
mod socket;
mod wire;

pub mod abilities;
pub mod commit;
pub mod conntrack;
pub mod decode;
pub mod destroy;
pub mod diag;
pub mod elements;
pub mod guard;
pub mod link;
pub mod netns;
pub mod nflog;
pub mod read;

pub use commit::{CommitError, Refusal, Socket};
pub use guard::{Anywhere, Guard, HostForbidden, Own};
pub use place::Place;
pub use read::{Generation, Reader, Scope, SetName, Snapshot};
pub use sealed::unseal;
pub use socket::KernelError;

#[cfg(test)]
mod tests;
