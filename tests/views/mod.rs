//! The texts and templates of pages.

mod pages;
mod texts;
