//! The web pages: the templates of assets/views, in the languages of assets/i18n.
//!
//! The template engine is tera 2. A filter of tera 1, which Loco uses, cannot read the context, so each use of the
//! filter `t` would have to name the language.

use std::{borrow::Cow, sync::Arc};

use fluent_bundle::{FluentArgs, FluentValue, types::FluentNumber};
use loco_rs::{Error, Result, controller::views::ViewRenderer};
use serde::Serialize;
use tera::{Context, Kwargs, State, Tera, TeraResult, Value};

use super::texts::{LanguageTexts, Texts};
use crate::assets;

/// The template of the chat page.
pub const INDEX: &str = "index.html";
/// The template of the page to try the API and the sockets.
pub const PLAYGROUND: &str = "playground.html";

/// The data that a handler gives to a page. The engine adds the rest: see [`PageLayout`].
#[derive(Serialize)]
pub struct PageData<'a> {
    /// The tag of the page's language.
    pub lang: &'a str,
}

/// The engine that renders the pages.
#[derive(Clone)]
pub struct PageEngine(Arc<PageTemplates>);

/// The templates, with the texts that they use.
pub struct PageTemplates {
    templates: Tera,
    texts: Arc<Texts>,
}

impl PageEngine {
    /// Loads all templates and texts, and renders each page in each language once.
    ///
    /// # Errors
    /// When a template or a text is faulty.
    pub fn build() -> Result<Self> {
        let templates = PageTemplates::load()?;
        for language in templates.texts.languages() {
            for page in [INDEX, PLAYGROUND] {
                let lang = &language.tag;
                templates.render(page, &PageData { lang })?;
            }
        }
        Ok(Self(Arc::new(templates)))
    }

    /// Returns the texts, and so the languages, that were loaded when the server started.
    #[must_use]
    pub fn texts(&self) -> &Texts {
        &self.0.texts
    }
}

impl ViewRenderer for PageEngine {
    fn render<S: Serialize>(&self, key: &str, data: S) -> Result<String> {
        // Files in the binary do not change. Files on disk may have changed.
        if cfg!(debug_assertions) {
            PageTemplates::load()?.render(key, &data)
        } else {
            self.0.render(key, &data)
        }
    }
}

/// The data that every template can use.
#[derive(Serialize)]
struct PageLayout<'a> {
    dir: &'a str,
    languages: Vec<LanguageChoice<'a>>,
    /// The current base path of the files that the page loads.
    #[serde(rename = "static")]
    static_base: String,
    /// The texts of scripts, as JSON that can stand in an element `script`.
    texts: String,
    /// The scripts, as paths below `static`.
    modules: Vec<Cow<'static, str>>,
}

/// A language that the user can choose.
#[derive(Serialize)]
struct LanguageChoice<'a> {
    tag: &'a str,
    name: &'a str,
    dir: &'a str,
    current: bool,
}

impl PageTemplates {
    fn load() -> Result<Self> {
        let texts = Texts::load().map_err(template_error)?;
        Self::from_templates(assets::templates(), texts)
    }

    /// Makes the page templates from pairs of a template's name and its text.
    ///
    /// # Errors
    /// When a template is faulty.
    pub fn from_templates(sources: Vec<(String, String)>, texts: Texts) -> Result<Self> {
        let texts = Arc::new(texts);
        let mut templates = Tera::default();
        let filter_texts = texts.clone();
        templates.register_filter("t", move |id: &str, arguments: Kwargs, state: &State| {
            translate(&filter_texts, id, &arguments, state)
        });
        // Tera must get all templates in one call, because they refer to each other.
        templates
            .add_raw_templates(sources)
            .map_err(template_error)?;
        Ok(Self { templates, texts })
    }

    /// Renders a template in the language that the field `lang` of its data names.
    ///
    /// # Errors
    /// When the template refers to a message or a variable that does not exist.
    pub fn render(&self, template: &str, data: &impl Serialize) -> Result<String> {
        let mut context = Context::from_serialize(data)?;
        let tag = context.get("lang").and_then(Value::as_str);
        let language = tag.and_then(|tag| self.texts.language(tag));
        let language =
            language.ok_or_else(|| Error::string("the page has no supported language"))?;
        context.extend(Context::from_serialize(&self.layout(language)?)?);
        self.templates
            .render(template, &context)
            .map_err(template_error)
    }

    fn layout<'a>(&'a self, language: &'a LanguageTexts) -> Result<PageLayout<'a>> {
        let languages = self.texts.languages().map(|other| LanguageChoice {
            tag: &other.tag,
            name: &other.name,
            dir: other.direction(),
            current: other.tag == language.tag,
        });
        Ok(PageLayout {
            dir: language.direction(),
            languages: languages.collect(),
            static_base: format!("/static/v-{}", assets::version()),
            // Without a `<`, no text can end the element.
            texts: serde_json::to_string(&language.script)?.replace('<', "\\u003c"),
            modules: assets::script_modules(),
        })
    }
}

/// Returns the error's text, which names the fault and its position, without the text of the template.
fn template_error(error: impl ToString) -> Error {
    Error::Message(error.to_string())
}

/// The filter `t`. It returns a message of page.ftl in the language of the page.
///
/// Example: `{{ "greeting" | t(name=name) }}` is the message `greeting`.
fn translate(texts: &Texts, id: &str, arguments: &Kwargs, state: &State) -> TeraResult<String> {
    // A component sees only its arguments, so one of them must be `lang`.
    let tag: String = state
        .get("lang")?
        .ok_or_else(|| tera::Error::message(format!("{id}: the variable `lang` is missing")))?;
    let language = texts
        .language(&tag)
        .ok_or_else(|| tera::Error::message(format!("{id}: no texts for the language {tag}")))?;
    let mut message_arguments = FluentArgs::new();
    for (name, value) in arguments.iter() {
        message_arguments.set(name.to_string(), fluent_value(value));
    }
    language
        .format_message(id, &message_arguments)
        .map_err(tera::Error::message)
}

/// Converts a value for Fluent. Numbers stay numbers, because plural forms depend on them.
fn fluent_value(value: &Value) -> FluentValue<'static> {
    let text = value.to_string();
    let number = text
        .parse()
        .ok()
        .filter(|_: &FluentNumber| value.is_number());
    number.map_or_else(|| text.into(), FluentValue::Number)
}
