//! The checks of a generator's arguments. They run before anything is written.

use std::{collections::HashSet, fs, path::Path};

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

/// Columns that each generated table has, and two names of fields that Loco ignores.
const OWN_COLUMNS: [&str; 5] = ["id", "created_at", "updated_at", "create_at", "update_at"];

/// The names that the owner of a row has in the table, in the entity or in the JSON.
const RESERVED_COLUMNS: [&str; 5] = ["user_id", "group_id", "by", "users", "chat_groups"];

/// The keywords of Rust (The Rust Reference, "Keywords", edition 2024).
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
const USED_TYPES: [&str; 62] = [
    "Action",
    "ActiveModel",
    "ActiveModelTrait",
    "Actor",
    "ApiJson",
    "AppContext",
    "BodyErrors",
    "Box",
    "Change",
    "Channels",
    "Column",
    "CommandError",
    "CommandKind",
    "Conflict",
    "CurrentUser",
    "Date",
    "DateTime",
    "DateTimeWithTimeZone",
    "Default",
    "Deserialize",
    "Entity",
    "Err",
    "Error",
    "Event",
    "Forbidden",
    "GroupMember",
    "IdempotencyKey",
    "IntoActiveModel",
    "Invalid",
    "Json",
    "Model",
    "ModelTrait",
    "None",
    "NotFound",
    "Ok",
    "Option",
    "Page",
    "Path",
    "PathNumber",
    "Query",
    "QueryParams",
    "RateLimited",
    "Rejection",
    "Result",
    "Routes",
    "RowJson",
    "Self",
    "Serialize",
    "Set",
    "SharedRowChange",
    "SharedStore",
    "Some",
    "State",
    "StatusCode",
    "String",
    "Text",
    "Throttle",
    "Time",
    "ToSchema",
    "Unauthorized",
    "Unavailable",
    "Uuid",
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
    /// `true` if the arguments name no owner, so that `user:references` was added.
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
    // The templates name events and types after this name, so Loco gets the singular.
    let row_name = snake_case(name).to_singular();
    let is_own = |arg: &&String| *arg != "--event" && !is_unique_argument(arg);
    let loco_args = args.iter().filter(is_own);
    parsed.loco_args = loco_args
        .map(|arg| if arg == name { &row_name } else { arg })
        .cloned()
        .collect();
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
    let folder = match kind {
        "controller" => "src/controllers",
        "task" => "src/tasks",
        _ => "src/workers",
    };
    let mut paths = vec![format!("{folder}/{snake}.rs"), format!("{folder}/{snake}")];
    if kind == "controller" {
        // The path of the endpoints has the plural.
        paths.push(format!("{folder}/{}.rs", snake.to_plural()));
        paths.push(format!("tests/requests/{snake}.rs"));
    }
    if let Some(path) = paths.iter().find(|path| Path::new(path).exists()) {
        return Err(refuse(format!(
            "{path} already exists; choose another name"
        )));
    }
    if kind == "controller" {
        let mut names = HashSet::from(["get", "index", "routes"].map(ToOwned::to_owned));
        for action in positional {
            check_identifier(action, "action")?;
            check_rust_keyword(action)?;
            if *action != snake_case(action) || !names.insert(action.clone()) {
                return Err(refuse(format!(
                    "`{action}`: the controller has this name already, or the name is not in snake \
                     case; choose another name"
                )));
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
    let sources = [
        "src/models",
        "src/controllers",
        "src/views",
        "src/models/_entities",
    ];
    let tests = ["tests/models", "tests/requests"];
    let files = sources.into_iter().chain(tests);
    let paths = files.flat_map(|folder| {
        [
            format!("{folder}/{plural}.rs"),
            format!("{folder}/{plural}"),
        ]
    });
    let migrations = fs::read_dir("migration/src")
        .into_iter()
        .flatten()
        .flatten();
    let suffix = format!("_{plural}.rs");
    // The names begin with `m20261130_120000`, and Loco skips a table that has a migration.
    let migrations = migrations
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|file| file.get(16..) == Some(&suffix))
        .map(|file| format!("migration/src/{file}"));
    let mut existing = paths
        .chain(migrations)
        .filter(|path| Path::new(path).exists());
    match existing.next() {
        None => Ok(()),
        Some(path) => Err(refuse(format!(
            "{path} already exists, and was not changed; choose another name. To add a column to \
             a table, use `cargo loco generate migration`"
        ))),
    }
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
    if !is_owner && RESERVED_COLUMNS.contains(&column.as_str()) {
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
    check_type_form(field, type_name, base_type, rest)?;
    if base_type == "references" && !is_owner {
        let table = snake_case(name.trim_end_matches('?')).to_plural();
        if !Path::new(&format!("src/models/_entities/{table}.rs")).exists() {
            return Err(refuse(format!(
                "`{field}`: there is no table `{table}`; generate it first"
            )));
        }
    }
    if base_type == "enum" {
        check_enum_values(field, rest.unwrap_or_default())?;
    }
    Ok(column)
}

/// Refuses forms of a type that Loco or the templates do not support.
fn check_type_form(
    field: &str,
    type_name: &str,
    base_type: &str,
    rest: Option<&str>,
) -> Result<()> {
    let flags = type_name.get(base_type.len()..).unwrap_or_default();
    let is_reference = base_type == "references";
    let is_supported = match base_type {
        "references" => !flags.contains(['!', '^']),
        "enum" => flags.is_empty(),
        "bool" | "tstz" | "json" | "jsonb" => !flags.contains(['?', '^']),
        _ => !flags.contains('?'),
    };
    let takes_rest = is_reference || base_type == "enum";
    if !is_supported || (rest.is_some() && !takes_rest) || (rest.is_none() && base_type == "enum") {
        return Err(refuse(format!(
            "`{field}`: this form of the type `{base_type}` is not supported; see docs/extending.md"
        )));
    }
    Ok(())
}

/// Refuses enum values that cannot be the name of a variant.
fn check_enum_values(field: &str, values: &str) -> Result<()> {
    let values: Vec<&str> = values.trim_end_matches(['!', '^']).split(',').collect();
    let mut variants = HashSet::new();
    for value in &values {
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
        let variant = heck::ToUpperCamelCase::to_upper_camel_case(*value);
        if variant == "Self" || !variants.insert(variant) {
            return Err(refuse(format!(
                "`{field}`: `{value}` is a keyword of Rust, or occurs twice"
            )));
        }
    }
    if values.len() < 2 {
        return Err(refuse(format!(
            "`{field}`: an enum needs two values or more"
        )));
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
                "generate scaffold zebra type:string",
                "`type:string`: `type` is a keyword of Rust",
            ),
            (
                "generate scaffold zebra order:int",
                "`order:int`: `order` is a keyword of SQL",
            ),
            (
                "generate scaffold question:string! options:json!",
                "the name is missing",
            ),
            ("generate scaffold", "the name is missing"),
            ("generate scaffold zebra", "there are no fields"),
            (
                "generate scaffold zebra user:references",
                "there are no fields",
            ),
            ("generate scaffold zebra label", "`label` has no type"),
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
                "generate scaffold reaction label:string",
                "src/models/reactions.rs already exists",
            ),
            (
                "generate scaffold zebra id:int",
                "each table has a column `id` already",
            ),
            (
                "generate scaffold zebra x:int x:int",
                "the column `x` occurs twice",
            ),
            (
                "generate scaffold zebra Title:string",
                "write the name in snake case: `title`",
            ),
            (
                "generate scaffold zebra x:int unique:x,y",
                "the table has no column `y`",
            ),
            (
                "generate scaffold zebra x:money",
                "the type `money` is not supported",
            ),
            ("generate scaffold zebra x:int --event", "`--event` needs"),
            (
                "generate scaffold ze-bra x:int",
                "`ze-bra` is not a valid name",
            ),
            (
                "generate scaffold zebra by:string",
                "the name `by` is reserved",
            ),
            (
                "generate scaffold zebra kind:enum:a,1",
                "`1` is not a valid enum value",
            ),
            (
                "generate scaffold zebra kind:enum:a",
                "an enum needs two values",
            ),
            (
                "generate scaffold zebra kind:enum:self,b",
                "`self` is a keyword of Rust",
            ),
            ("generate scaffold zebra kind:enum:a-b,a_b", "occurs twice"),
            (
                "generate scaffold zebra parent:references",
                "there is no table `parents`",
            ),
            (
                "generate scaffold zebra sent:bool^",
                "this form of the type `bool`",
            ),
            (
                "generate scaffold zebra x:string?",
                "this form of the type `string`",
            ),
            (
                "generate scaffold zebra x:string:5",
                "this form of the type `string`",
            ),
            (
                "generate scaffold zebra create_at:tstz",
                "a column `create_at` already",
            ),
            (
                "generate scaffold query x:int",
                "uses a type `Query` already",
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
                "generate scaffold zebra x:int chat_group:references:group_id unique:group_id,x --event"
            ),
            "generate scaffold zebra x:int chat_group:references:group_id"
        );
        assert_eq!(
            check("generate scaffold zebra x:int"),
            "generate scaffold zebra x:int user:references"
        );
        // The kinds of events are made of the singular.
        assert_eq!(
            check("generate model zebras x:int"),
            "generate model zebra x:int"
        );
        assert_eq!(
            check("generate model zebra x:int"),
            "generate model zebra x:int"
        );
    }
}
