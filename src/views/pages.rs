//! The pages that people use: the templates of assets/views, in the languages of assets/i18n.

use std::{borrow::Cow, sync::Arc};

use fluent_bundle::{FluentArgs, FluentValue, types::FluentNumber};
use loco_rs::{Error, Result, controller::views::ViewRenderer};
use serde::Serialize;
use tera::{Context, Kwargs, State, Tera, TeraResult, Value};

use super::texts::{LanguageTexts, Texts};
use crate::assets;

pub const INDEX: &str = "index.html";
pub const PLAYGROUND: &str = "playground.html";

/// What a page is told by whoever shows it. What else its template may use, the engine adds.
#[derive(Serialize)]
pub struct PageData<'a> {
    /// The tag of the language that it is in.
    pub lang: &'a str,
}

/// The engine that renders them.
#[derive(Clone)]
pub struct PageEngine(Arc<PageTemplates>);

/// Templates and texts that belong together.
pub struct PageTemplates {
    templates: Tera,
    texts: Arc<Texts>,
}

impl PageEngine {
    /// Reads all templates and texts, and tries each page in each language.
    ///
    /// # Errors
    /// When one is faulty.
    pub fn build() -> Result<Self> {
        let edition = PageTemplates::load()?;
        for language in edition.texts.languages() {
            for page in [INDEX, PLAYGROUND] {
                let lang = &language.tag;
                edition.render(page, &PageData { lang })?;
            }
        }
        Ok(Self(Arc::new(edition)))
    }

    /// The texts, and with them the languages, that were there when the server started.
    #[must_use]
    pub fn texts(&self) -> &Texts {
        &self.0.texts
    }
}

impl ViewRenderer for PageEngine {
    fn render<S: Serialize>(&self, key: &str, data: S) -> Result<String> {
        // What is in the binary stays as it is; on the disk it may have changed.
        if cfg!(debug_assertions) {
            PageTemplates::load()?.render(key, &data)
        } else {
            self.0.render(key, &data)
        }
    }
}

/// What every template may use.
#[derive(Serialize)]
struct PageLayout<'a> {
    dir: &'a str,
    languages: Vec<LanguageChoice<'a>>,
    /// Where the files are that the page loads, as they are now.
    #[serde(rename = "static")]
    static_base: String,
    /// What scripts say, as JSON that can stand in an element `script`.
    texts: String,
    /// The scripts, below `static`.
    modules: Vec<Cow<'static, str>>,
}

/// A language to change to.
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

    /// That of these templates, each with its name.
    ///
    /// # Errors
    /// When a template is faulty.
    pub fn from_templates(named: Vec<(String, String)>, texts: Texts) -> Result<Self> {
        let texts = Arc::new(texts);
        let mut templates = Tera::default();
        let known = texts.clone();
        templates.register_filter("t", move |id: &str, arguments: Kwargs, state: &State| {
            translate(&known, id, &arguments, state)
        });
        // All at once: each is looked through for those that it names.
        templates.add_raw_templates(named).map_err(template_error)?;
        Ok(Self { templates, texts })
    }

    /// The page of a template, in the language that its data name by `lang`.
    ///
    /// # Errors
    /// When the template wants what is not there: a message, a variable.
    pub fn render(&self, template: &str, data: &impl Serialize) -> Result<String> {
        let mut context = Context::from_serialize(data)?;
        let tag = context.get("lang").and_then(Value::as_str);
        let language = tag.and_then(|tag| self.texts.language(tag));
        let language = language.ok_or_else(|| Error::string("a page in no language of ours"))?;
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
            // Whatever stands in a text, it cannot end the element.
            texts: serde_json::to_string(&language.script)?.replace('<', "\\u003c"),
            modules: assets::script_modules(),
        })
    }
}

/// What is wrong and where, without all of the template around it.
fn template_error(fault: impl ToString) -> Error {
    Error::Message(fault.to_string())
}

/// The filter `t`: `{{ "greeting" | t(name=name) }}` is the message `greeting` of page.ftl in the
/// language of the page.
fn translate(texts: &Texts, id: &str, arguments: &Kwargs, state: &State) -> TeraResult<String> {
    // A component knows what it is given: it must be given `lang`.
    let tag: String = state
        .get("lang")?
        .ok_or_else(|| tera::Error::message(format!("{id}: there is no `lang` here")))?;
    let language = texts
        .language(&tag)
        .ok_or_else(|| tera::Error::message(format!("{id}: there are no texts in {tag}")))?;
    let mut given = FluentArgs::new();
    for (name, value) in arguments.iter() {
        given.set(name.to_string(), fluent_value(value));
    }
    language
        .format_message(id, &given)
        .map_err(tera::Error::message)
}

/// Numbers stay numbers, as plurals go by them.
fn fluent_value(value: &Value) -> FluentValue<'static> {
    let text = value.to_string();
    let number = text
        .parse()
        .ok()
        .filter(|_: &FluentNumber| value.is_number());
    number.map_or_else(|| text.into(), FluentValue::Number)
}
