//! Surveys in groups: an application that depends on Salam and adds tables, endpoints and a task.
//!
//! Start with [`app`], which registers the added parts. `docs/extending.md` explains each part.

pub mod app;
pub mod controllers;
pub mod migrations;
pub mod models;
pub mod tasks;
pub mod views;
