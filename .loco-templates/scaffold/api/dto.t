to: src/views/{{ snake_plural }}.rs
skip_exists: true
injections:
- into: src/views/mod.rs
  after_last: "^pub mod "
  content: "pub mod {{ snake_plural }};"
---
{% set_global times = false %}{% set_global owned = false %}{% set_global grouped = false %}{% for f in fields %}{% if f.field_name == "user_id" %}{% set_global owned = true %}{% endif %}{% if f.field_name == "group_id" %}{% set_global grouped = true %}{% endif %}{% if f.rust_type is containing("DateTimeWithTimeZone") %}{% set_global times = true %}{% endif %}{% endfor -%}
//! The JSON of {{ snake_plural | replace(from="_", to=" ") }}.

{% if prelude_use %}{{ prelude_use | replace(from="DateTimeWithTimeZone, ", to="") | replace(from=", DateTimeWithTimeZone", to="") | replace(from="use sea_orm::prelude::{DateTimeWithTimeZone};", to="") }}
{% endif %}use serde::{ {%- if enums %}Deserialize, {% endif %}Serialize};
use utoipa::ToSchema;

{% if with_tz or times %}use super::format_time;
{% endif %}use crate::models::{{ snake_plural }}::Model;

{% for e in enums %}#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!("{{ e.variants.0.value }}"))]
pub enum {{ e.enum_type }} {
{% for v in e.variants %}    #[serde(rename = "{{ v.value }}")]
    {{ v.variant }},
{% endfor %}}

impl From<String> for {{ e.enum_type }} {
    fn from(value: String) -> Self {
        match value.as_str() {
{% for v in e.match_arms %}            "{{ v.value }}" => Self::{{ v.variant }},
{% endfor %}            _ => Self::{{ e.fallback_variant }},
        }
    }
}

impl {{ e.enum_type }} {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
{% for v in e.variants %}            Self::{{ v.variant }} => "{{ v.value }}",
{% endfor %}        }
    }
}

{% endfor -%}
{% set word = snake_singular | replace(from="_", to=" ") %}/// A {{ word }}.
#[derive(Serialize, ToSchema)]
pub struct {{ pascal_singular }} {
    #[schema(example = 1)]
    pub id: i64,
{% if owned and grouped %}    /// The username of the member who created the {{ word }}.
    #[schema(example = "ann")]
    pub by: String,
{% endif %}{% for f in fields %}{% if f.field_name != "user_id" and f.field_name != "group_id" %}{% if f.rust_type is containing("DateTimeWithTimeZone") %}    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub {{ f.field_name }}: {{ f.rust_type | replace(from="DateTimeWithTimeZone", to="String") }},
{% else %}{% set t = f.rust_type | replace(from="Option<", to="") | replace(from=">", to="") %}{% if t == "Date" or t == "Time" or t == "DateTime" %}    #[schema(value_type = {{ f.rust_type | replace(from=t, to="String") }}{% if t == "Date" %}, format = Date{% endif %})]
{% endif %}    pub {{ f.field_name }}: {{ f.rust_type }},
{% endif %}{% endif %}{% endfor %}{% if with_tz %}    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub created_at: String,
    #[schema(example = "2026-11-22T14:05:09.123Z")]
    pub updated_at: String,
{% endif %}}

{% if owned and grouped %}impl From<(Model, String)> for {{ pascal_singular }} {
    fn from((row, by): (Model, String)) -> Self {
        Self {
            id: row.id,
            by,
{% else %}impl From<Model> for {{ pascal_singular }} {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
{% endif %}{% for f in fields %}{% if f.field_name != "user_id" and f.field_name != "group_id" %}            {{ f.field_name }}: {% if f.rust_type is starting_with("Option<DateTimeWithTimeZone") %}row.{{ f.field_name }}.as_ref().map(format_time){% elif f.rust_type is containing("DateTimeWithTimeZone") %}format_time(&row.{{ f.field_name }}){% elif f.is_enum %}{% if f.nullable %}row.{{ f.field_name }}.map({{ f.enum_type }}::from){% else %}row.{{ f.field_name }}.into(){% endif %}{% else %}row.{{ f.field_name }}{% endif %},
{% endif %}{% endfor %}{% if with_tz %}            created_at: format_time(&row.created_at),
            updated_at: format_time(&row.updated_at),
{% endif %}        }
    }
}
