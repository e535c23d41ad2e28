//! From sentences to values: names, services, lists, accounts; facts are handed in, nothing is asked.

pub mod model;
