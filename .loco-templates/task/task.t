{% set file_name = name | snake_case -%}
{% set struct_name = file_name | pascal_case -%}
to: "src/tasks/{{ file_name }}.rs"
skip_exists: true
message: "The task `{{ name }}` is new: run it with `cargo loco task {{ name }}`."
injections:
- into: "src/tasks/mod.rs"
  after_last: "^pub mod "
  content: "pub mod {{ file_name }};"
- into: src/app.rs
  before: "// tasks-inject"
  content: "        tasks.register(tasks::{{ file_name }}::{{ struct_name }});"
---
//! The task `{{ name }}`: finds a user.

use loco_rs::prelude::*;

use super::operator::{TaskUsage, print_line};

const USAGE: TaskUsage = TaskUsage {
    name: "{{ name }}",
    example: "cargo loco task {{ name }} username:ann",
};

pub struct {{ struct_name }};

#[async_trait]
impl Task for {{ struct_name }} {
    fn task(&self) -> TaskInfo {
        TaskInfo {
            name: USAGE.name.to_owned(),
            detail: format!("Find a user: {}", USAGE.example),
        }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let user = USAGE.find_user(ctx, vars).await?;
        print_line(&format!("{}: found {}", USAGE.name, user.username))
    }
}
