//! The report as Markdown: CommonMark with GitHub's tables, written by a template in which every value is escaped unless
//! a filter has made it safe.

use minijinja::{
    AutoEscape, Environment, Error, Output, State, UndefinedBehavior,
    syntax::SyntaxConfig,
    value::{Serde, Value},
};

use super::{Document, Format, document::clean_lines, escape};

/// CommonMark with GitHub's tables.
pub struct Markdown;

/// How blocks are laid out. A document has nothing else to decide.
const TEMPLATE: &str = include_str!("../../reports/markdown.md.j2");

impl Format for Markdown {
    fn extension(&self) -> &'static str {
        "md"
    }

    fn render(&self, document: &Document) -> String {
        let rendered = environment()
            .get_template("markdown.md")
            .and_then(|template| template.render(Value::from(Serde(document))))
            .expect("the template that is built in renders every document");
        format!("{}\n", rendered.trim_end())
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(syntax());
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("markdown".into()));
    environment.set_formatter(escaped);
    environment.add_filter("code", |text: &str| safe(escape::code(text)));
    environment.add_filter("cell_code", |text: &str| safe(escape::cell_code(text)));
    environment.add_filter("fence", |text: &str| safe(escape::fence(&clean_lines(text))));
    environment.add_filter("anchor", |slug: &str| safe(slug.to_owned()));
    environment.add_filter("marks", |level: usize| safe("#".repeat(level)));
    environment.add_template("markdown.md", TEMPLATE).expect("the template that is built in");
    environment
}

/// `{# #}` is a heading attribute for some readers of Markdown, so comments look different here.
fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .comment_delimiters("<#--", "--#>")
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .expect("delimiters that differ")
}

fn safe(text: String) -> Value {
    Value::from_safe_string(text)
}

/// Writes a value: as it is if a filter made it safe, else as words that mean nothing but themselves.
fn escaped(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = value.to_string();
    let text = if value.is_safe() { text } else { escape::words(&text) };
    out.write_str(&text).map_err(Error::from)
}
