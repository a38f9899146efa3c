//! The command line: `cargo run -p salam-polls -- start`, in the root of the project, where `config/` is.

use migration::Migrator;
use salam_polls::app::PollsApp;

#[tokio::main]
async fn main() -> loco_rs::Result<()> {
    loco_rs::cli::main::<PollsApp, Migrator>().await
}
