{% set mig_ts = ts | date(format="%Y%m%d_%H%M%S") -%}
{% set plural_snake = name | plural | snake_case -%}
{% set module_name = "m" ~  mig_ts ~ "_" ~ plural_snake -%}
{% set unique_indexes = get_env(name="SALAM_GENERATE_UNIQUE", default="") -%}
to: "migration/src/{{module_name}}.rs"
skip_glob: "migration/src/m????????_??????_{{plural_snake}}.rs"
message: "The migration `{{module_name}}` ran on the development database. Other databases run it at their next start."
injections:
- into: "migration/src/lib.rs"
  before: "inject-above"
  content: "            Box::new({{module_name}}::Migration),"
- into: "migration/src/lib.rs"
  before: "pub mod skeletons;"
  content: "mod {{module_name}};"
---
use loco_rs::schema::*;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        {% if with_tz %}create_table{% else %}create_table_without_timestamps{% endif %}(
            m,
            "{{plural_snake}}",
            &[
                ("id", ColType::PkAuto),
{% for column in columns %}                ("{{column.0}}", ColType::{{column.1}}),
{% endfor %}            ],
            &[{% for ref in references %}("{{ref.0}}", "{{ref.1}}"), {% endfor %}],
        )
        .await?;
{% for ref in references %}{% set target = ref.0 | trim_end_matches(pat="?") %}{% if ref.1 %}{% set column = ref.1 %}{% else %}{% set column = target ~ "_id" %}{% endif %}        // Finds the rows of one {{ target | replace(from="_", to=" ") }}, also when it is deleted.
        m.create_index(
            Index::create()
                .name("idx-{{plural_snake}}-{{column}}")
                .table("{{plural_snake}}")
                .col("{{column}}")
                .to_owned(),
        )
        .await?;
{% endfor %}{% if unique_indexes %}{% for index in unique_indexes | split(pat=";") %}        m.create_index(
            Index::create()
                .name("unq-{{plural_snake}}{% for column in index | split(pat=",") %}-{{column}}{% endfor %}")
                .table("{{plural_snake}}")
{% for column in index | split(pat=",") %}                .col("{{column}}")
{% endfor %}                .unique()
                .to_owned(),
        )
        .await?;
{% endfor %}{% endif %}        Ok(())
    }

    async fn down(&self, m: &SchemaManager) -> Result<(), DbErr> {
        drop_table(m, "{{plural_snake}}").await
    }
}
