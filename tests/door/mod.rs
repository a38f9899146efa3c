//! Who comes in, from where, and what everybody is told on the way out.

mod client_address;
