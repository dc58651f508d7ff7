//! The body of the page: an allow-list over the events of the Markdown. What is not on the list becomes text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    ops::Range,
};

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::escaped;
use crate::report::{
    Document,
    document::{Figure, Table},
    slug::Slugs,
};

/// The body in the making.
pub(super) struct Body<'d> {
    html: String,
    contents: Vec<(HeadingLevel, String, String)>,
    slugs: Slugs,
    figures: BTreeMap<&'d str, &'d Figure>,
    /// Anchors beside those of headings: of tables, figures and rows that are referred to.
    anchors: BTreeSet<String>,
    given: BTreeSet<String>,
    tables: usize,
}

/// One block on the top level: a range of events.
type Blocks = Vec<Range<usize>>;

impl<'d> Body<'d> {
    /// Renders the Markdown of a document.
    pub(super) fn new(markdown: &str, document: &'d Document) -> Self {
        let events: Vec<_> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
        let mut body = Self {
            html: String::new(),
            contents: Vec::new(),
            slugs: Slugs::default(),
            figures: document.figures().map(|figure| (figure.file.as_str(), figure)).collect(),
            anchors: anchors(document),
            given: BTreeSet::new(),
            tables: 0,
        };
        body.blocks(&events);
        body
    }

    /// What goes into `main`.
    pub(super) fn html(&self) -> &str {
        &self.html
    }

    /// The list of sections.
    pub(super) fn contents(&self) -> String {
        let mut list = String::from("<ul>\n");
        for (level, anchor, text) in &self.contents {
            let class = if *level == HeadingLevel::H2 { "" } else { " class=\"sub\"" };
            let _ = writeln!(list, "<li{class}><a href=\"#{anchor}\">{text}</a></li>");
        }
        list + "</ul>\n"
    }

    /// A paragraph before a table is its caption; a paragraph after a figure is its caption.
    fn blocks(&mut self, events: &[Event<'_>]) {
        let blocks = split(events);
        let mut at = 0;
        while let Some(block) = blocks.get(at) {
            let block = &events[block.clone()];
            let next = blocks.get(at + 1).map(|range| &events[range.clone()]);
            at += match (self.figure_of(block), next) {
                (Some(figure), Some(caption)) => self.figure(figure, caption),
                (None, Some(table)) if is_table(table) => self.table(block, table),
                _ => self.block(block),
            };
        }
    }

    /// The picture that a paragraph consists of, if it is one of ours.
    fn figure_of(&self, block: &[Event<'_>]) -> Option<&'d Figure> {
        match block {
            [
                Event::Start(Tag::Paragraph),
                Event::Start(Tag::Image { dest_url, .. }),
                ..,
                Event::End(TagEnd::Image),
                Event::End(TagEnd::Paragraph),
            ] => self.figures.get(dest_url.as_ref()).copied(),
            _ => None,
        }
    }

    fn figure(&mut self, figure: &Figure, caption: &[Event<'_>]) -> usize {
        let id = format!("figure-{}", figure.number);
        let caption = self.inlines(inner(caption));
        let _ = write!(
            self.html,
            "<figure id=\"{id}\" aria-labelledby=\"{id}-caption\">\n\
             <div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{id}-caption\">\n\
             {}</div>\n<figcaption id=\"{id}-caption\">{caption}</figcaption>\n</figure>\n",
            figure.svg
        );
        2
    }

    fn table(&mut self, caption: &[Event<'_>], table: &[Event<'_>]) -> usize {
        self.tables += 1;
        let id = format!("table-{}", self.tables);
        let caption = self.inlines(inner(caption));
        let _ = write!(
            self.html,
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{id}-caption\">\n\
             <table id=\"{id}\">\n<caption id=\"{id}-caption\"><span>{caption}</span></caption>\n"
        );
        self.rows(inner(table));
        self.html.push_str("</tbody>\n</table>\n</div>\n");
        2
    }

    fn rows(&mut self, events: &[Event<'_>]) {
        let (mut head, mut first, mut cell) = (false, true, 0..0);
        for (at, event) in events.iter().enumerate() {
            match event {
                Event::Start(Tag::TableHead) => {
                    (head, first) = (true, true);
                    self.html.push_str("<thead>\n<tr>");
                }
                Event::End(TagEnd::TableHead) => {
                    head = false;
                    self.html.push_str("</tr>\n</thead>\n<tbody>\n");
                }
                Event::Start(Tag::TableRow) => {
                    first = true;
                    self.html.push_str("<tr>");
                }
                Event::End(TagEnd::TableRow) => self.html.push_str("</tr>\n"),
                Event::Start(Tag::TableCell) => cell = at + 1..at + 1,
                Event::End(TagEnd::TableCell) => {
                    cell.end = at;
                    self.cell(&events[cell.clone()], head, first);
                    first = false;
                }
                _ => {}
            }
        }
    }

    fn cell(&mut self, events: &[Event<'_>], head: bool, first: bool) {
        let words = self.inlines(events);
        let _ = match (head, first) {
            (true, _) if words.is_empty() => write!(self.html, "<td></td>"),
            (true, _) => write!(self.html, "<th scope=\"col\">{words}</th>"),
            (false, true) => {
                let anchor = self.row_anchor(&words);
                write!(self.html, "<th scope=\"row\"{anchor}>{words}</th>")
            }
            (false, false) => write!(self.html, "<td>{words}</td>"),
        };
    }

    /// The id of a row that is referred to by the words in its first cell.
    fn row_anchor(&mut self, words: &str) -> String {
        let anchor = words.to_lowercase();
        if self.anchors.contains(&anchor) && self.given.insert(anchor.clone()) {
            return format!(" id=\"{anchor}\"");
        }
        String::new()
    }

    fn block(&mut self, events: &[Event<'_>]) -> usize {
        match &events[0] {
            Event::Start(Tag::Heading { level, .. }) => self.heading(*level, inner(events)),
            Event::Start(Tag::CodeBlock(_)) => {
                let text: String = inner(events).iter().map(plain).collect();
                let _ = writeln!(
                    self.html,
                    "<pre tabindex=\"0\"><code>{}</code></pre>",
                    escaped(&text)
                );
            }
            _ => {
                let html = self.inlines(events);
                let _ = writeln!(self.html, "{html}");
            }
        }
        1
    }

    fn heading(&mut self, level: HeadingLevel, events: &[Event<'_>]) {
        let words: String = events.iter().map(plain).collect();
        let anchor = self.slugs.next(&words);
        let html = self.inlines(events);
        let _ = writeln!(self.html, "<{level} id=\"{anchor}\">{html}</{level}>");
        if matches!(level, HeadingLevel::H2 | HeadingLevel::H3) {
            self.contents.push((level, anchor, escaped(&words)));
        }
    }

    /// Everything within a block; lists and quotes too.
    fn inlines(&self, events: &[Event<'_>]) -> String {
        let mut html = String::new();
        for (at, event) in events.iter().enumerate() {
            let _ = match event {
                Event::Start(tag) => write!(html, "{}", self.opening(tag, &events[at + 1..])),
                Event::End(end) => write!(html, "{}", closing(*end)),
                Event::Code(code) => write!(html, "<code>{}</code>", escaped(code)),
                Event::SoftBreak => writeln!(html),
                other => write!(html, "{}", escaped(&plain(other))),
            };
        }
        html
    }

    fn opening(&self, tag: &Tag<'_>, rest: &[Event<'_>]) -> String {
        match tag {
            Tag::Paragraph => "<p>".to_owned(),
            Tag::BlockQuote(_) => "<div class=\"note\">".to_owned(),
            Tag::List(None) => "<ul>\n".to_owned(),
            Tag::List(Some(_)) => "<ol>\n".to_owned(),
            Tag::Item => "<li>".to_owned(),
            Tag::Strong => format!("<strong{}>", status(rest.first())),
            Tag::Link { dest_url, .. } => format!("<a href=\"{}\">", self.target(dest_url, rest)),
            _ => String::new(),
        }
    }

    /// Where a link goes: within the page and nowhere else; to the very row, table or figure where there is one.
    fn target(&self, url: &str, rest: &[Event<'_>]) -> String {
        let words: String =
            rest.iter().take_while(|e| !matches!(e, Event::End(_))).map(plain).collect();
        let near = words.to_lowercase().replace(' ', "-");
        match url.strip_prefix('#') {
            _ if self.anchors.contains(&near) => format!("#{near}"),
            Some(anchor) => format!("#{}", escaped(anchor)),
            None => "#content".to_owned(),
        }
    }
}

fn closing(end: TagEnd) -> &'static str {
    match end {
        TagEnd::Paragraph => "</p>",
        TagEnd::BlockQuote(_) => "</div>",
        TagEnd::List(false) => "</ul>",
        TagEnd::List(true) => "</ol>",
        TagEnd::Item => "</li>\n",
        TagEnd::Strong => "</strong>",
        TagEnd::Link => "</a>",
        _ => "",
    }
}

/// The text of an event; raw HTML is text like any other.
fn plain(event: &Event<'_>) -> String {
    match event {
        Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => {
            text.to_string()
        }
        _ => String::new(),
    }
}

/// The class of strong words that begin with the symbol of a verdict or gate.
fn status(words: Option<&Event<'_>>) -> &'static str {
    let Some(Event::Text(words)) = words else { return "" };
    match words.split_once(' ').map(|(symbol, _)| symbol) {
        Some("✔") => " class=\"status good\"",
        Some("✘") => " class=\"status bad\"",
        Some("◐") => " class=\"status worse\"",
        Some("?" | "!" | "⊘") => " class=\"status open\"",
        Some("–" | "i") => " class=\"status none\"",
        _ => "",
    }
}

/// The blocks on the top level.
fn split(events: &[Event<'_>]) -> Blocks {
    let (mut blocks, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            blocks.push(start..at + 1);
            start = at + 1;
        }
    }
    blocks
}

fn inner<'e, 'a>(block: &'e [Event<'a>]) -> &'e [Event<'a>] {
    block.get(1..block.len().saturating_sub(1)).unwrap_or_default()
}

fn is_table(block: &[Event<'_>]) -> bool {
    matches!(block.first(), Some(Event::Start(Tag::Table(_))))
}

fn anchors(document: &Document) -> BTreeSet<String> {
    let tables = document.tables().map(|table| format!("table-{}", table.number));
    let figures = document.figures().map(|figure| format!("figure-{}", figure.number));
    let rows = document.tables().flat_map(Table::row_labels).map(str::to_lowercase);
    tables.chain(figures).chain(rows).collect()
}
