//! The report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere. It is made from
//! the Markdown, so that both say the same.

mod body;
mod digest;

use super::{Document, Format, markdown::Markdown};
use body::Body;

/// One HTML page.
pub struct Html;

/// The style sheet; the page's policy names its digest, so that no other style applies.
const STYLE: &str = include_str!("../../../reports/style.css");

impl Format for Html {
    fn extension(&self) -> &'static str {
        "html"
    }

    fn render(&self, document: &Document) -> String {
        let body = Body::new(&Markdown.render(document), document);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <a class=\"skip\" href=\"#content\">Skip to the report</a>\n\
             <header><p>{running}</p></header>\n\
             <nav aria-labelledby=\"contents\">\n<h2 id=\"contents\">Contents</h2>\n{contents}</nav>\n\
             <main id=\"content\">\n{body}</main>\n\
             <footer><p>{running}</p></footer>\n</body>\n</html>\n",
            digest = digest::sha256_base64(STYLE),
            title = escaped(&document.title),
            running = escaped(&document.running),
            contents = body.contents(),
            body = body.html(),
        )
    }
}

/// Text as HTML that means nothing but this text.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}
