to: src/views/{{ snake_plural }}.rs
skip_exists: true
message: "View `{{ pascal_singular }}` was added."
injections:
- into: src/views/mod.rs
  append: true
  content: "pub mod {{ snake_plural }};"
---
//! Answers about {{ snake_plural }}, and what is sent to change them.

{% if prelude_use %}{{ prelude_use }}
{% endif %}use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::models::_entities::{{ snake_plural }}::Model;

{% for e in enums %}#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum {{ e.enum_type }} {
{% for v in e.variants %}    {{ v.variant }},
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
    pub const fn as_str(&self) -> &'static str {
        match self {
{% for v in e.variants %}            Self::{{ v.variant }} => "{{ v.value }}",
{% endfor %}        }
    }
}

{% endfor -%}
/// As it is answered.
#[derive(Serialize, ToSchema)]
pub struct {{ pascal_singular }} {
    pub id: i64,
{% for f in fields %}{% if f.rust_type is containing("DateTimeWithTimeZone") %}    #[schema(value_type = String, format = DateTime)]
{% endif %}    pub {{ f.field_name }}: {{ f.rust_type }},
{% endfor %}{% if with_tz %}    #[schema(value_type = String, format = DateTime)]
    pub created_at: DateTimeWithTimeZone,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: DateTimeWithTimeZone,
{% endif %}}

impl From<Model> for {{ pascal_singular }} {
    fn from(m: Model) -> Self {
        Self {
            id: m.id,
{% for f in fields %}            {{ f.field_name }}: {{ f.from_expr }},
{% endfor %}{% if with_tz %}            created_at: m.created_at,
            updated_at: m.updated_at,
{% endif %}        }
    }
}

/// As it is sent.
#[derive(Deserialize, ToSchema)]
pub struct {{ pascal_singular }}Params {
{% for f in fields %}{% if f.rust_type is containing("DateTimeWithTimeZone") %}    #[schema(value_type = String, format = DateTime)]
{% endif %}    pub {{ f.field_name }}: {{ f.rust_type }},
{% endfor %}}
