//! The example application of docs/extending.md, which adds polls to Salam.

mod polls;
