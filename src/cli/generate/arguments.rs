//! The checks of a generator's arguments. They run before anything is written.

use std::{collections::HashSet, path::Path};

use cruet::Inflector;
use loco_rs::{Error, Result};

/// The types whose columns and JSON are the same on SQLite and PostgreSQL.
const COLUMN_TYPES: [&str; 16] = [
    "string",
    "text",
    "uuid",
    "small_int",
    "int",
    "big_int",
    "float",
    "double",
    "bool",
    "date",
    "time",
    "date_time",
    "tstz",
    "json",
    "jsonb",
    "enum",
];

/// The fields that name the owner of a row: a user or a group.
const USER_FIELD: &str = "user:references";
const GROUP_FIELD: &str = "chat_group:references:group_id";

/// Columns that a generated table has without a field.
const OWN_COLUMNS: [&str; 3] = ["id", "created_at", "updated_at"];

/// The words of Rust that cannot be names (The Rust Reference, "Keywords", edition 2024).
const RUST_KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn \
    else enum extern false final fn for gen if impl in let loop macro match mod move mut override \
    priv pub ref return self static struct super trait true try type typeof union unsafe unsized \
    use virtual where while yield";

/// The words that PostgreSQL or SQLite reserve, so that a statement written by hand would need quotes
/// (PostgreSQL, appendix C; <https://sqlite.org/lang_keywords.html>).
const SQL_KEYWORDS: &str = "all analyse analyze and any array as asc asymmetric authorization \
    between binary both case cast check collate collation column commit concurrently constraint \
    create cross current_catalog current_date current_role current_schema current_time \
    current_timestamp current_user default deferrable delete desc distinct do drop else end escape \
    except exists false fetch for foreign freeze from full grant group having ilike in index \
    indexed initially inner insert intersect into is isnull join lateral leading left like limit \
    localtime localtimestamp natural not notnull null offset on only or order outer overlaps \
    placing primary references returning right rollback select session_user set similar some \
    symmetric system_user table tablesample then to trailing transaction true union unique update \
    user using values variadic verbose when where window with";

/// The names of types that the generated code uses, so that a row cannot have one of these names.
const USED_TYPES: [&str; 42] = [
    "Actor",
    "ActiveModel",
    "ApiJson",
    "AppContext",
    "BodyErrors",
    "Box",
    "Column",
    "CommandError",
    "Conflict",
    "CurrentUser",
    "Default",
    "Entity",
    "Err",
    "Error",
    "Event",
    "Forbidden",
    "GroupMember",
    "Invalid",
    "Json",
    "Model",
    "None",
    "NotFound",
    "Ok",
    "Option",
    "Page",
    "Path",
    "PathNumber",
    "QueryParams",
    "RateLimited",
    "Rejection",
    "Result",
    "Routes",
    "Self",
    "Set",
    "Some",
    "State",
    "StatusCode",
    "String",
    "Text",
    "Throttle",
    "Unauthorized",
    "Unavailable",
];

/// The arguments of a generator that writes a table.
#[derive(Debug, Default)]
pub(super) struct TableArguments {
    /// The arguments for Loco's generator.
    pub loco_args: Vec<String>,
    /// The columns of each unique index over several columns: `unique:a,b`.
    pub unique_columns: Vec<String>,
    /// `true` with `--event`: each change of a row is an event of the group's log.
    pub is_event: bool,
    /// `true` if rows of a user were requested by nothing, so that the owner was added.
    pub has_default_owner: bool,
}

/// Checks the arguments of `scaffold` and `model`, and returns the arguments for Loco's generator.
///
/// # Errors
/// When an argument is missing, or is not supported. The text names the argument and the remedy.
pub(super) fn check_table(args: &[String]) -> Result<TableArguments> {
    let kind = args.get(1).map(String::as_str).unwrap_or_default();
    let example = format!("cargo loco generate {kind} post title:string! body:text");
    let mut positional = args.iter().skip(2).filter(|arg| !arg.starts_with('-'));
    let name = positional.next().filter(|name| !name.contains(':'));
    let name =
        name.ok_or_else(|| refuse(format!("the name is missing; for example: {example}")))?;
    check_row_name(name)?;
    let has_flag = |flag: &str| args.iter().any(|arg| arg == flag);
    let is_public = has_flag("--no-auth");
    let mut parsed = TableArguments {
        is_event: has_flag("--event"),
        ..TableArguments::default()
    };
    let mut columns = HashSet::new();
    let mut owners = Vec::new();
    for field in positional {
        let Some((field_name, spec)) = field.split_once(':') else {
            return Err(refuse(format!(
                "`{field}` has no type; a field is `name:type`, for example `{field}:string`"
            )));
        };
        if field_name == "unique" && spec.contains(',') {
            parsed.unique_columns.push(spec.to_owned());
            continue;
        }
        let column = check_field(field, field_name, spec)?;
        if [USER_FIELD, GROUP_FIELD].contains(&field.as_str()) {
            if is_public {
                return Err(refuse(format!(
                    "`{field}` gives each row an owner, but `--no-auth` makes all rows public; \
                     remove one of the two"
                )));
            }
            owners.push(field.as_str());
        }
        if !columns.insert(column.clone()) {
            return Err(refuse(format!("the column `{column}` occurs twice")));
        }
    }
    if columns.len() == owners.len() && kind == "scaffold" {
        return Err(refuse(format!(
            "there are no fields; for example: {example}"
        )));
    }
    if kind == "scaffold" && !is_public && owners.is_empty() {
        parsed.has_default_owner = true;
        owners.push(USER_FIELD);
    }
    if parsed.is_event && (kind != "scaffold" || !owners.contains(&GROUP_FIELD)) {
        return Err(refuse(format!(
            "`--event` needs `scaffold` and `{GROUP_FIELD}`: an event belongs to the log of a group"
        )));
    }
    let owner_columns = owners.iter().map(|owner| match *owner {
        GROUP_FIELD => "group_id",
        _ => "user_id",
    });
    columns.extend(owner_columns.map(ToOwned::to_owned));
    for unique in &parsed.unique_columns {
        for column in unique.split(',') {
            if !columns.contains(column) {
                return Err(refuse(format!(
                    "`unique:{unique}`: the table has no column `{column}`"
                )));
            }
        }
    }
    check_new(name)?;
    let is_own = |arg: &&String| *arg != "--event" && !is_unique_argument(arg);
    parsed.loco_args = args.iter().filter(is_own).cloned().collect();
    if parsed.has_default_owner {
        parsed.loco_args.push(USER_FIELD.to_owned());
    }
    Ok(parsed)
}

fn is_unique_argument(arg: &str) -> bool {
    arg.strip_prefix("unique:")
        .is_some_and(|columns| columns.contains(','))
}

/// Checks the arguments of `controller`, `task` and `worker`.
///
/// # Errors
/// When the name is missing, is not an identifier, or exists.
pub(super) fn check_code(kind: &str, args: &[String]) -> Result<()> {
    let mut positional = args.iter().skip(2).filter(|arg| !arg.starts_with('-'));
    let name = positional.next();
    let name = name.ok_or_else(|| {
        refuse(format!(
            "the name is missing; for example: cargo loco generate {kind} report"
        ))
    })?;
    check_identifier(name, "name")?;
    check_rust_keyword(name)?;
    let snake = snake_case(name);
    let file = match kind {
        "controller" => format!("src/controllers/{snake}.rs"),
        "task" => format!("src/tasks/{snake}.rs"),
        _ => format!("src/workers/{snake}.rs"),
    };
    if Path::new(&file).exists() {
        return Err(refuse(format!(
            "{file} already exists; choose another name"
        )));
    }
    if kind == "controller" {
        for action in positional {
            check_identifier(action, "action")?;
            check_rust_keyword(action)?;
            if action == "routes" {
                return Err(refuse(
                    "`routes` is the name of the function that lists the routes; choose another \
                     name"
                        .to_owned(),
                ));
            }
        }
    }
    Ok(())
}

/// Checks the fields of `migration`. Loco infers the rest from the name.
///
/// # Errors
/// When a field is not supported.
pub(super) fn check_migration(args: &[String]) -> Result<()> {
    let mut positional = args.iter().skip(2).filter(|arg| !arg.starts_with('-'));
    let name = positional.next().filter(|name| !name.contains(':'));
    let name = name.ok_or_else(|| {
        refuse("the name is missing; for example: cargo loco generate migration AddPinnedToPosts pinned:bool".to_owned())
    })?;
    check_identifier(name, "name")?;
    for field in positional {
        if let Some((field_name, spec)) = field.split_once(':') {
            check_field(field, field_name, spec)?;
        }
    }
    Ok(())
}

/// Checks the name of a row, such as `post`.
fn check_row_name(name: &str) -> Result<()> {
    check_identifier(name, "name")?;
    let singular = snake_case(name).to_singular();
    for word in [&singular, &singular.to_plural()] {
        if is_word(RUST_KEYWORDS, word) {
            return Err(refuse(format!(
                "`{word}` is a keyword of Rust; choose another name"
            )));
        }
        if is_word(SQL_KEYWORDS, word) {
            return Err(refuse(format!(
                "`{word}` is a keyword of SQL; choose another name"
            )));
        }
    }
    let type_name = heck::ToUpperCamelCase::to_upper_camel_case(singular.as_str());
    if USED_TYPES.contains(&type_name.as_str()) {
        return Err(refuse(format!(
            "the generated code uses a type `{type_name}` already; choose another name"
        )));
    }
    Ok(())
}

/// Checks that no file of a table with this name exists.
fn check_new(name: &str) -> Result<()> {
    let plural = snake_case(name).to_plural();
    for folder in ["models", "controllers", "views"] {
        for path in [
            format!("src/{folder}/{plural}.rs"),
            format!("src/{folder}/{plural}"),
        ] {
            if Path::new(&path).exists() {
                return Err(refuse(format!(
                    "{path} already exists, and was not changed; choose another name. To add a \
                     column to a table, use `cargo loco generate migration`"
                )));
            }
        }
    }
    Ok(())
}

/// Checks a field, and returns its column.
fn check_field(field: &str, name: &str, spec: &str) -> Result<String> {
    let (type_name, rest) = match spec.split_once(':') {
        Some((type_name, rest)) => (type_name, Some(rest)),
        None => (spec, None),
    };
    let base_type = type_name.trim_end_matches(['!', '^', '?']);
    let column = match (base_type, rest) {
        ("references", Some(column)) => column.to_owned(),
        ("references", None) => format!("{name}_id"),
        _ => name.to_owned(),
    };
    check_identifier(&column, "field")?;
    if column != snake_case(&column) {
        return Err(refuse(format!(
            "`{field}`: write the name in snake case: `{}`",
            snake_case(&column)
        )));
    }
    if is_word(RUST_KEYWORDS, &column) {
        return Err(refuse(format!(
            "`{field}`: `{column}` is a keyword of Rust; choose another name"
        )));
    }
    if is_word(SQL_KEYWORDS, &column) {
        return Err(refuse(format!(
            "`{field}`: `{column}` is a keyword of SQL; choose another name"
        )));
    }
    if OWN_COLUMNS.contains(&column.as_str()) {
        return Err(refuse(format!(
            "`{field}`: each table has a column `{column}` already"
        )));
    }
    let is_owner = [USER_FIELD, GROUP_FIELD].contains(&field);
    if !is_owner && ["user_id", "group_id", "by"].contains(&column.as_str()) {
        return Err(refuse(format!(
            "`{field}`: the name `{column}` is reserved for the owner of a row; write \
             `{USER_FIELD}` or `{GROUP_FIELD}`, or use another name"
        )));
    }
    if base_type != "references" && !COLUMN_TYPES.contains(&base_type) {
        return Err(refuse(format!(
            "`{field}`: the type `{base_type}` is not supported; the types that are the same on \
             SQLite and PostgreSQL are {}, references",
            COLUMN_TYPES.join(", ")
        )));
    }
    if base_type == "enum" {
        check_enum_values(field, rest.unwrap_or_default())?;
    }
    Ok(column)
}

/// Refuses enum values that cannot be the name of a variant.
fn check_enum_values(field: &str, values: &str) -> Result<()> {
    for value in values.trim_end_matches(['!', '^']).split(',') {
        let is_name = value.starts_with(|c: char| c.is_ascii_alphabetic())
            && value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !is_name {
            return Err(refuse(format!(
                "`{field}`: `{value}` is not a valid enum value; use letters, digits, `_` and \
                 `-`, and begin with a letter"
            )));
        }
    }
    Ok(())
}

fn check_identifier(text: &str, what: &str) -> Result<()> {
    let is_identifier = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !text.ends_with('_')
        && text.len() <= 40;
    if !is_identifier {
        return Err(refuse(format!(
            "`{text}` is not a valid {what}; use at most 40 letters, digits and `_`, and begin \
             with a letter"
        )));
    }
    Ok(())
}

/// Refuses a keyword of Rust as the name of a file, a module or a function.
fn check_rust_keyword(text: &str) -> Result<()> {
    if is_word(RUST_KEYWORDS, &snake_case(text)) {
        return Err(refuse(format!(
            "`{text}` is a keyword of Rust; choose another name"
        )));
    }
    Ok(())
}

/// Returns a name in snake case, by the crate that Loco's generators use.
fn snake_case(name: &str) -> String {
    heck::ToSnakeCase::to_snake_case(name)
}

fn is_word(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|other| other == word)
}

fn refuse(text: String) -> Error {
    Error::Message(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> String {
        let args: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
        match check_table(&args) {
            Ok(parsed) => parsed.loco_args.join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn arguments_that_would_not_compile_are_refused() {
        for (line, problem) in [
            (
                "generate scaffold vote type:string",
                "`type:string`: `type` is a keyword of Rust",
            ),
            (
                "generate scaffold vote order:int",
                "`order:int`: `order` is a keyword of SQL",
            ),
            (
                "generate scaffold question:string! options:json!",
                "the name is missing",
            ),
            ("generate scaffold", "the name is missing"),
            ("generate scaffold vote", "there are no fields"),
            (
                "generate scaffold vote user:references",
                "there are no fields",
            ),
            ("generate scaffold vote label", "`label` has no type"),
            (
                "generate scaffold type label:string",
                "`type` is a keyword of Rust",
            ),
            (
                "generate scaffold table label:string",
                "`table` is a keyword of SQL",
            ),
            (
                "generate scaffold text label:string",
                "uses a type `Text` already",
            ),
            (
                "generate scaffold user label:string",
                "src/models/users.rs already exists",
            ),
            (
                "generate scaffold vote id:int",
                "each table has a column `id` already",
            ),
            (
                "generate scaffold vote x:int x:int",
                "the column `x` occurs twice",
            ),
            (
                "generate scaffold vote Title:string",
                "write the name in snake case: `title`",
            ),
            (
                "generate scaffold vote x:int unique:x,y",
                "the table has no column `y`",
            ),
            (
                "generate scaffold vote x:money",
                "the type `money` is not supported",
            ),
            ("generate scaffold vote x:int --event", "`--event` needs"),
            (
                "generate scaffold vo-te x:int",
                "`vo-te` is not a valid name",
            ),
            (
                "generate scaffold vote by:string",
                "the name `by` is reserved",
            ),
            (
                "generate scaffold vote kind:enum:a,1",
                "`1` is not a valid enum value",
            ),
        ] {
            let told = check(line);
            assert!(told.contains(problem), "{line}: {told}");
        }
    }

    #[test]
    fn arguments_for_loco_lack_those_of_salam() {
        assert_eq!(
            check(
                "generate scaffold vote x:int chat_group:references:group_id unique:group_id,x --event"
            ),
            "generate scaffold vote x:int chat_group:references:group_id"
        );
        assert_eq!(
            check("generate scaffold vote x:int"),
            "generate scaffold vote x:int user:references"
        );
        assert_eq!(
            check("generate model vote x:int"),
            "generate model vote x:int"
        );
    }
}
