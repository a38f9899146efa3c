//! What pages say.

mod pages;
mod texts;
