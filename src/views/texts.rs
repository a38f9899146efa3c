//! What pages and their scripts say, in each language: the Fluent files of assets/i18n.

mod accept_language;
mod script;

use std::collections::BTreeMap;

use fluent_bundle::{FluentArgs, FluentResource, concurrent::FluentBundle};
use fluent_langneg::{NegotiationStrategy, negotiate_languages};
use fluent_syntax::parser::ParserError;
use unic_langid::{CharacterDirection, LanguageIdentifier};

pub use self::script::Pattern;
use crate::assets;

/// What somebody is answered in whose language is not there.
const DEFAULT_LANGUAGE: &str = "en";

/// The message of `page.ftl` by which a language calls itself. One without it goes by its tag.
const LANGUAGE_NAME_ID: &str = "language-name";

/// A file that cannot be used, or a text that cannot be said; where, and why.
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
    /// What the language calls itself.
    pub name: String,
    page: FluentBundle<FluentResource>,
    /// What scripts say, for them to format.
    pub script: BTreeMap<String, Pattern>,
}

impl LanguageTexts {
    /// The language of this tag by the sources of its two files.
    ///
    /// # Errors
    /// The first fault, with the file and the line or the message that it is in.
    pub fn parse(tag: &str, page: String, script: &str) -> Result<Self, TranslationError> {
        let id: LanguageIdentifier = tag.parse().map_err(|_| {
            TranslationError::new(format!("assets/i18n/{tag}"), "the name of no language")
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

    /// A message of `page.ftl`.
    ///
    /// # Errors
    /// When there is none of this name, or it needs something else than these arguments.
    pub fn format_message(
        &self,
        id: &str,
        arguments: &FluentArgs,
    ) -> Result<String, TranslationError> {
        let place = || format!("assets/i18n/{}/page.ftl, {id}", self.tag);
        let message = self.page.get_message(id);
        let pattern = message
            .and_then(|message| message.value())
            .ok_or_else(|| TranslationError::new(place(), "there is no such message"))?;
        let mut faults = Vec::new();
        let text = self
            .page
            .format_pattern(pattern, Some(arguments), &mut faults);
        match faults.first() {
            Some(fault) => Err(TranslationError::new(place(), fault)),
            None => Ok(text.into_owned()),
        }
    }

    /// How it is written: `ltr` or `rtl`.
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
    /// Reads them all.
    ///
    /// # Errors
    /// The first fault of a file, or that one is missing.
    pub fn load() -> Result<Self, TranslationError> {
        let tags = assets::languages();
        let others = tags.iter().filter(|tag| *tag != DEFAULT_LANGUAGE);
        let default = load_language(DEFAULT_LANGUAGE)?;
        let others = others
            .map(|tag| load_language(tag))
            .collect::<Result<_, _>>()?;
        Ok(Self::new(default, others))
    }

    #[must_use]
    pub fn new(default: LanguageTexts, others: Vec<LanguageTexts>) -> Self {
        Self { default, others }
    }

    /// All languages, the default one first.
    pub fn languages(&self) -> impl Iterator<Item = &LanguageTexts> {
        std::iter::once(&self.default).chain(&self.others)
    }

    #[must_use]
    pub fn language(&self, tag: &str) -> Option<&LanguageTexts> {
        self.languages().find(|language| language.tag == tag)
    }

    /// The language that suits an `Accept-Language` best; the default one where none does.
    #[must_use]
    pub fn negotiate(&self, accept_language: &str) -> &LanguageTexts {
        let wanted = accept_language::parse_accept_language(accept_language);
        let ours: Vec<_> = self.languages().map(|language| &language.id).collect();
        let found = negotiate_languages(&wanted, &ours, None, NegotiationStrategy::Lookup);
        let best = found.first().map(|id| **id);
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
    // The marks that keep a left-to-right name together among right-to-left words: markup does that
    // here, and in a title they would be seen.
    bundle.set_use_isolating(false);
    let added = bundle.add_resource(resource);
    added.map_err(|twice| {
        TranslationError::new(
            file,
            twice.first().map_or_else(String::new, ToString::to_string),
        )
    })?;
    Ok(bundle)
}

/// The first fault that the parser has found.
fn first_syntax_error(file: &str, source: &str, faults: &[ParserError]) -> TranslationError {
    let Some(fault) = faults.first() else {
        return TranslationError::new(file, "cannot be read");
    };
    let before = source.bytes().take(fault.pos.start);
    let line = before.filter(|byte| *byte == b'\n').count() + 1;
    TranslationError::new(format!("{file}, line {line}"), fault)
}
