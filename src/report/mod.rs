//! The report: from a run (what was done and found) to a document, and from the document to each format. Pure: the same
//! run always gives the same bytes.

pub mod run;
pub mod gate;
pub mod text;
pub mod document;
pub mod slug;
pub mod figure;
mod build;
mod escape;
pub mod markdown;
pub mod html;

use crate::model::evidence::Evidence;

pub use document::Document;
pub use run::Run;
pub use text::Catalogue;

/// A file format of the report.
pub trait Format: Sync {
    /// The file name extension, for example `md`.
    fn extension(&self) -> &'static str;

    /// The document in this format.
    fn render(&self, document: &Document) -> String;
}

/// Every format.
pub static FORMATS: &[&dyn Format] = &[&markdown::Markdown, &html::Html];

/// Writes the report of a run.
pub fn document(run: &Run, evidence: &[Evidence], catalogue: &Catalogue) -> Document {
    build::document(run, evidence, catalogue)
}

/// The JSON Schema of `run.json`.
pub fn run_schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(Run);
    // The patterns of the two families overlap, so that no IPv4 prefix would be exactly one of them.
    if let Some(net) = schema.pointer_mut("/$defs/IpNet").and_then(|net| net.as_object_mut())
        && let Some(families) = net.remove("oneOf")
    {
        net.insert("anyOf".to_owned(), families);
    }
    schema
}
