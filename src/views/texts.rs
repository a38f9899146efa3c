//! The texts of pages and of their scripts in each language: the Fluent files of assets/i18n.

mod accept_language;
mod script;

use std::collections::BTreeMap;

use fluent_bundle::{FluentArgs, FluentResource, concurrent::FluentBundle};
use fluent_langneg::{NegotiationStrategy, negotiate_languages};
use fluent_syntax::parser::ParserError;
use unic_langid::{CharacterDirection, LanguageIdentifier};

pub use self::script::Pattern;
use crate::assets;

/// The language of a user whose languages have no texts.
const DEFAULT_LANGUAGE: &str = "en";

/// The message of `page.ftl` with the language's own name. A language without the message is named by its tag.
const LANGUAGE_NAME_ID: &str = "language-name";

/// A file that cannot be used, or a text that cannot be formatted, with the location and the fault.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct TranslationError {
    place: String,
    fault: String,
}

impl TranslationError {
    fn new(place: impl Into<String>, fault: impl ToString) -> Self {
        Self {
            place: place.into(),
            fault: fault.to_string(),
        }
    }
}

/// The texts of one language.
pub struct LanguageTexts {
    id: LanguageIdentifier,
    pub tag: String,
    /// The language's own name.
    pub name: String,
    page: FluentBundle<FluentResource>,
    /// The texts that scripts format.
    pub script: BTreeMap<String, Pattern>,
}

impl LanguageTexts {
    /// Parses the two files of the language with this tag.
    ///
    /// # Errors
    /// The first fault, with its file, and its line or message.
    pub fn parse(tag: &str, page: String, script: &str) -> Result<Self, TranslationError> {
        let id: LanguageIdentifier = tag.parse().map_err(|_| {
            TranslationError::new(format!("assets/i18n/{tag}"), "not the tag of a language")
        })?;
        let mut language = Self {
            page: parse_bundle(id.clone(), &format!("assets/i18n/{tag}/page.ftl"), page)?,
            script: script::compile(&format!("assets/i18n/{tag}/script.ftl"), script)?,
            tag: tag.to_owned(),
            name: tag.to_owned(),
            id,
        };
        if language.page.has_message(LANGUAGE_NAME_ID) {
            language.name = language.format_message(LANGUAGE_NAME_ID, &FluentArgs::new())?;
        }
        Ok(language)
    }

    /// Formats a message of `page.ftl`.
    ///
    /// # Errors
    /// When the file has no such message, or the message needs other arguments.
    pub fn format_message(
        &self,
        id: &str,
        arguments: &FluentArgs,
    ) -> Result<String, TranslationError> {
        let place = || format!("assets/i18n/{}/page.ftl, {id}", self.tag);
        let message = self.page.get_message(id);
        let pattern = message
            .and_then(|message| message.value())
            .ok_or_else(|| TranslationError::new(place(), "the message does not exist"))?;
        let mut faults = Vec::new();
        let text = self
            .page
            .format_pattern(pattern, Some(arguments), &mut faults);
        match faults.first() {
            Some(fault) => Err(TranslationError::new(place(), fault)),
            None => Ok(text.into_owned()),
        }
    }

    /// Returns the direction of writing: `ltr` or `rtl`.
    #[must_use]
    pub fn direction(&self) -> &'static str {
        match self.id.character_direction() {
            CharacterDirection::RTL => "rtl",
            CharacterDirection::LTR | CharacterDirection::TTB => "ltr",
        }
    }
}

/// The texts in all languages.
pub struct Texts {
    default: LanguageTexts,
    others: Vec<LanguageTexts>,
}

impl Texts {
    /// Reads the files of all languages.
    ///
    /// # Errors
    /// The first fault of a file, or the first missing file.
    pub fn load() -> Result<Self, TranslationError> {
        let tags = assets::languages();
        let others = tags.iter().filter(|tag| *tag != DEFAULT_LANGUAGE);
        let default = load_language(DEFAULT_LANGUAGE)?;
        let others = others
            .map(|tag| load_language(tag))
            .collect::<Result<_, _>>()?;
        Ok(Self::new(default, others))
    }

    /// Returns the texts of these languages.
    #[must_use]
    pub fn new(default: LanguageTexts, others: Vec<LanguageTexts>) -> Self {
        Self { default, others }
    }

    /// Returns all languages, the default language first.
    pub fn languages(&self) -> impl Iterator<Item = &LanguageTexts> {
        std::iter::once(&self.default).chain(&self.others)
    }

    /// Returns the language with this tag.
    #[must_use]
    pub fn language(&self, tag: &str) -> Option<&LanguageTexts> {
        self.languages().find(|language| language.tag == tag)
    }

    /// Returns the language that matches an `Accept-Language` best. Without a match, the default language.
    #[must_use]
    pub fn negotiate(&self, accept_language: &str) -> &LanguageTexts {
        let wanted = accept_language::parse_accept_language(accept_language);
        let supported: Vec<_> = self.languages().map(|language| &language.id).collect();
        let matches = negotiate_languages(&wanted, &supported, None, NegotiationStrategy::Lookup);
        let best = matches.first().map(|id| **id);
        let best = best.and_then(|id| self.languages().find(|language| language.id == *id));
        best.unwrap_or(&self.default)
    }
}

fn load_language(tag: &str) -> Result<LanguageTexts, TranslationError> {
    let source = |file: &str| {
        let missing = || TranslationError::new(format!("assets/i18n/{tag}/{file}"), "is missing");
        assets::translation_source(tag, file).ok_or_else(missing)
    };
    LanguageTexts::parse(tag, source("page.ftl")?, &source("script.ftl")?)
}

fn parse_bundle(
    id: LanguageIdentifier,
    file: &str,
    source: String,
) -> Result<FluentBundle<FluentResource>, TranslationError> {
    let resource = FluentResource::try_new(source)
        .map_err(|(resource, faults)| first_syntax_error(file, resource.source(), &faults))?;
    let mut bundle = FluentBundle::new_concurrent(vec![id]);
    // Fluent's isolation marks keep a left-to-right name together in a right-to-left text. Here, markup does this,
    // and in a title the marks would be visible.
    bundle.set_use_isolating(false);
    let result = bundle.add_resource(resource);
    result.map_err(|duplicates| {
        TranslationError::new(
            file,
            duplicates
                .first()
                .map_or_else(String::new, ToString::to_string),
        )
    })?;
    Ok(bundle)
}

/// Returns the first error of the parser, with its line.
fn first_syntax_error(file: &str, source: &str, faults: &[ParserError]) -> TranslationError {
    let Some(fault) = faults.first() else {
        return TranslationError::new(file, "cannot be read");
    };
    let before = source.bytes().take(fault.pos.start);
    let line = before.filter(|byte| *byte == b'\n').count() + 1;
    TranslationError::new(format!("{file}, line {line}"), fault)
}
