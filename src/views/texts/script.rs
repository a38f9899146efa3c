//! `script.ftl` as JSON, which a few lines of script format, so that a browser needs no parser of Fluent.
//!
//! A pattern is a text, or a list of pieces: texts, `{"var": "name"}`, and `{"select": "name",
//! "cases": {"one": pattern, …}, "default": "other"}`. Other features of Fluent are rejected: terms, references,
//! attributes and functions.

use std::{borrow::Cow, collections::BTreeMap};

use fluent_syntax::{
    ast::{Entry, Expression, InlineExpression, Message, PatternElement, Variant, VariantKey},
    parser::parse_runtime,
    unicode::unescape_unicode_to_string,
};
use serde::Serialize;

use super::{TranslationError, first_syntax_error};

/// The text of a message.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Pattern {
    Text(String),
    Pieces(Vec<Piece>),
}

/// A piece of a pattern.
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

/// The reason why a message is rejected.
type UnsupportedReason = &'static str;

/// Compiles the messages of a file. Returns them by their names.
pub(super) fn compile(
    file: &str,
    source: &str,
) -> Result<BTreeMap<String, Pattern>, TranslationError> {
    let resource =
        parse_runtime(source).map_err(|(_, faults)| first_syntax_error(file, source, &faults))?;
    let mut messages = BTreeMap::new();
    for entry in &resource.body {
        let (name, compiled) = match entry {
            Entry::Message(message) => (message.id.name.to_owned(), compile_message(message)),
            Entry::Term(term) => {
                let name = format!("-{}", term.id.name);
                (name, Err("terms are allowed only in page.ftl"))
            }
            _ => continue,
        };
        let place = format!("{file}, {name}");
        let compiled = compiled.map_err(|reason| TranslationError::new(&place, reason))?;
        if messages.insert(name, compiled).is_some() {
            return Err(TranslationError::new(place, "the message occurs twice"));
        }
    }
    Ok(messages)
}

fn compile_message(message: &Message<&str>) -> Result<Pattern, UnsupportedReason> {
    match &message.value {
        Some(value) if message.attributes.is_empty() => compile_pattern(&value.elements),
        _ => Err("attributes are allowed only in page.ftl"),
    }
}

fn compile_pattern(elements: &[PatternElement<&str>]) -> Result<Pattern, UnsupportedReason> {
    let mut pieces: Vec<Piece> = Vec::new();
    for element in elements {
        let piece = match element {
            PatternElement::TextElement { value } => Piece::Text((*value).to_owned()),
            PatternElement::Placeable { expression } => compile_piece(expression)?,
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

fn compile_piece(expression: &Expression<&str>) -> Result<Piece, UnsupportedReason> {
    match expression {
        Expression::Select { selector, variants } => compile_select(selector, variants),
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
        Expression::Inline(InlineExpression::Placeable { expression }) => compile_piece(expression),
        Expression::Inline(InlineExpression::FunctionReference { .. }) => {
            Err("functions are allowed only in page.ftl")
        }
        Expression::Inline(
            InlineExpression::MessageReference { .. } | InlineExpression::TermReference { .. },
        ) => Err("references are allowed only in page.ftl"),
    }
}

fn compile_select(
    selector: &InlineExpression<&str>,
    variants: &[Variant<&str>],
) -> Result<Piece, UnsupportedReason> {
    let InlineExpression::VariableReference { id } = selector else {
        return Err("a selector must be a variable");
    };
    let mut cases = BTreeMap::new();
    let mut default = String::new();
    for variant in variants {
        let (VariantKey::Identifier { name: key } | VariantKey::NumberLiteral { value: key }) =
            variant.key;
        if variant.default {
            default = key.to_owned();
        }
        let case = compile_pattern(&variant.value.elements)?;
        if cases.insert(key.to_owned(), case).is_some() {
            return Err("a case occurs twice");
        }
    }
    Ok(Piece::Select {
        select: id.name.to_owned(),
        cases,
        default,
    })
}
