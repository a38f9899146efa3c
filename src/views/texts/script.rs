//! `script.ftl` as JSON, for the few lines of script that format it: a browser needs no parser of
//! Fluent for it.
//!
//! A pattern is a text, or a list of pieces: texts, `{"var": "name"}`, and `{"select": "name",
//! "cases": {"one": pattern, …}, "default": "other"}`. What else Fluent has is refused: terms and
//! references, attributes, functions.

use std::{borrow::Cow, collections::BTreeMap};

use fluent_syntax::{
    ast::{Entry, Expression, InlineExpression, Message, PatternElement, Variant, VariantKey},
    parser::parse_runtime,
    unicode::unescape_unicode_to_string,
};
use serde::Serialize;

use super::{BadText, syntax};

/// What a message says.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Pattern {
    Text(String),
    Pieces(Vec<Piece>),
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Piece {
    Text(String),
    Variable {
        var: String,
    },
    Select {
        select: String,
        cases: BTreeMap<String, Pattern>,
        default: String,
    },
}

/// Why a message cannot be taken.
type Refused = &'static str;

/// The messages of a file, by their names.
pub(super) fn compile(file: &str, source: &str) -> Result<BTreeMap<String, Pattern>, BadText> {
    let resource = parse_runtime(source).map_err(|(_, faults)| syntax(file, source, &faults))?;
    let mut messages = BTreeMap::new();
    for entry in &resource.body {
        let (name, compiled) = match entry {
            Entry::Message(found) => (found.id.name.to_owned(), message(found)),
            Entry::Term(term) => {
                let name = format!("-{}", term.id.name);
                (name, Err("terms are for page.ftl alone"))
            }
            _ => continue,
        };
        let place = format!("{file}, {name}");
        let compiled = compiled.map_err(|refused| BadText::new(&place, refused))?;
        if messages.insert(name, compiled).is_some() {
            return Err(BadText::new(place, "is there twice"));
        }
    }
    Ok(messages)
}

fn message(message: &Message<&str>) -> Result<Pattern, Refused> {
    match &message.value {
        Some(value) if message.attributes.is_empty() => pattern(&value.elements),
        _ => Err("attributes are for page.ftl alone"),
    }
}

fn pattern(elements: &[PatternElement<&str>]) -> Result<Pattern, Refused> {
    let mut pieces: Vec<Piece> = Vec::new();
    for element in elements {
        let piece = match element {
            PatternElement::TextElement { value } => Piece::Text((*value).to_owned()),
            PatternElement::Placeable { expression } => piece(expression)?,
        };
        match (pieces.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(text)) => *before += &text,
            (_, piece) => pieces.push(piece),
        }
    }
    Ok(match <[Piece; 1]>::try_from(pieces) {
        Ok([Piece::Text(text)]) => Pattern::Text(text),
        Ok([piece]) => Pattern::Pieces(vec![piece]),
        Err(pieces) => Pattern::Pieces(pieces),
    })
}

fn piece(expression: &Expression<&str>) -> Result<Piece, Refused> {
    match expression {
        Expression::Select { selector, variants } => select(selector, variants),
        Expression::Inline(InlineExpression::VariableReference { id }) => Ok(Piece::Variable {
            var: id.name.to_owned(),
        }),
        Expression::Inline(InlineExpression::StringLiteral { value }) => {
            let text: Cow<'_, str> = unescape_unicode_to_string(value);
            Ok(Piece::Text(text.into_owned()))
        }
        Expression::Inline(InlineExpression::NumberLiteral { value }) => {
            Ok(Piece::Text((*value).to_owned()))
        }
        Expression::Inline(InlineExpression::Placeable { expression }) => piece(expression),
        Expression::Inline(InlineExpression::FunctionReference { .. }) => {
            Err("functions are for page.ftl alone")
        }
        Expression::Inline(
            InlineExpression::MessageReference { .. } | InlineExpression::TermReference { .. },
        ) => Err("references are for page.ftl alone"),
    }
}

fn select(selector: &InlineExpression<&str>, variants: &[Variant<&str>]) -> Result<Piece, Refused> {
    let InlineExpression::VariableReference { id } = selector else {
        return Err("only a variable selects");
    };
    let mut cases = BTreeMap::new();
    let mut default = String::new();
    for variant in variants {
        let (VariantKey::Identifier { name: key } | VariantKey::NumberLiteral { value: key }) =
            variant.key;
        if variant.default {
            default = key.to_owned();
        }
        let case = pattern(&variant.value.elements)?;
        if cases.insert(key.to_owned(), case).is_some() {
            return Err("a case is there twice");
        }
    }
    Ok(Piece::Select {
        select: id.name.to_owned(),
        cases,
        default,
    })
}
