//! The document: a tree of blocks without any format. Every format renders this and nothing else. Text that came from a
//! node or a file is a node of its own (`Inline::Foreign`), cleaned once, here.

use std::{collections::BTreeMap, fmt::Write};

use serde::Serialize;

use super::slug::Slugs;

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Inline {
    /// Our own words.
    Text {
        /// The words.
        text: String,
    },
    /// Words that came from a node, a device or a file.
    Foreign {
        /// The words, cleaned.
        text: String,
    },
    /// Something to be read letter by letter: an address, an id, a command.
    Code {
        /// The letters, cleaned.
        text: String,
    },
    /// Our own words, strong.
    Strong {
        /// The words.
        text: String,
    },
    /// A reference to a heading, table or figure by its label, before the document is put together.
    See {
        /// The label.
        label: String,
        /// The words; `None` for `Table 3` or `Figure 1`.
        text: Option<String>,
    },
    /// A link within the document.
    Link {
        /// The anchor of a heading.
        to: String,
        /// The words.
        text: String,
    },
}

/// The longest piece of foreign text that a report shows, in characters. The whole of it is in the evidence.
pub(super) const LONGEST: usize = 400;

impl Inline {
    /// Our own words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// Words of others.
    pub fn foreign(text: &str) -> Self {
        Self::Foreign { text: clean(text) }
    }

    /// Letters.
    pub fn code(text: impl AsRef<str>) -> Self {
        Self::Code { text: clean(text.as_ref()) }
    }

    /// Strong words.
    pub fn strong(text: impl Into<String>) -> Self {
        Self::Strong { text: text.into() }
    }

    /// `Table 3` or `Figure 1`.
    pub fn see(label: impl Into<String>) -> Self {
        Self::See { label: label.into(), text: None }
    }

    /// A link with words of its own.
    pub fn link(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self::See { label: label.into(), text: Some(text.into()) }
    }

    /// The words without any mark.
    pub fn plain(&self) -> &str {
        match self {
            Self::Text { text }
            | Self::Foreign { text }
            | Self::Code { text }
            | Self::Strong { text }
            | Self::Link { text, .. }
            | Self::See { text: Some(text), .. } => text,
            Self::See { text: None, .. } => "",
        }
    }
}

/// A line of inlines.
pub type Line = Vec<Inline>;

/// A table. The first column names its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its label.
    pub label: String,
    /// Its number; 0 until the document is put together.
    pub number: usize,
    /// What it shows.
    pub caption: String,
    /// The heads of its columns.
    pub columns: Vec<String>,
    /// Its rows, each as long as `columns`.
    pub rows: Vec<Vec<Line>>,
    /// Whether rows are referred to by the words in their first column.
    pub register: bool,
}

impl Table {
    /// The words by which its rows are referred to; none unless it is a register.
    pub fn row_labels(&self) -> impl Iterator<Item = &str> {
        let rows = self.rows.iter().filter(|_| self.register);
        rows.filter_map(|row| row.first()?.first()).map(Inline::plain)
    }
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// Its label.
    pub label: String,
    /// Its number; 0 until the document is put together.
    pub number: usize,
    /// What it shows.
    pub caption: String,
    /// What it says, for those who do not see it.
    pub alternative: String,
    /// The picture as SVG.
    #[serde(skip)]
    pub svg: String,
    /// The file that holds it beside a Markdown report, relative to it.
    pub file: String,
}

/// A block of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Block {
    /// A heading.
    Heading {
        /// 1 for the title.
        level: usize,
        /// Its words.
        line: Line,
        /// By which it is referred to, where it is.
        label: Option<String>,
    },
    /// A paragraph.
    Paragraph {
        /// Its line.
        line: Line,
    },
    /// A remark that stands out.
    Note {
        /// Its line.
        line: Line,
    },
    /// A list.
    List {
        /// Whether it is numbered.
        ordered: bool,
        /// Its items.
        items: Vec<Line>,
    },
    /// Letters as they are, line by line.
    Literal {
        /// The letters, cleaned.
        text: String,
    },
    /// A table.
    Table(Table),
    /// A picture.
    Figure(Figure),
}

/// A document that is put together: numbered, and every reference resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Document {
    /// The title of the page: short, for tabs and bookmarks.
    pub title: String,
    /// What stands on top and at the foot of every page.
    pub running: String,
    /// Its blocks.
    pub blocks: Vec<Block>,
}

/// Where a label leads: the anchor of a heading, and the words for it.
struct Target {
    anchor: String,
    words: String,
}

impl Document {
    /// Puts a document together: numbers tables and figures in their order and resolves references. A reference to a
    /// label that does not exist becomes plain words.
    pub fn new(title: String, running: String, mut blocks: Vec<Block>) -> Self {
        let targets = number(&mut blocks);
        for line in blocks.iter_mut().flat_map(lines) {
            for inline in line {
                if let Inline::See { label, text } = inline {
                    *inline = resolved(targets.get(label), label, text.take());
                }
            }
        }
        Self { title, running, blocks }
    }

    /// Its figures, in order.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Figure(figure) => Some(figure),
            _ => None,
        })
    }

    /// Its tables, in order.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Table(table) => Some(table),
            _ => None,
        })
    }
}

fn resolved(target: Option<&Target>, label: &str, text: Option<String>) -> Inline {
    match (target, text) {
        (Some(target), text) => Inline::Link {
            to: target.anchor.clone(),
            text: text.unwrap_or_else(|| target.words.clone()),
        },
        (None, text) => Inline::text(text.unwrap_or_else(|| label.to_owned())),
    }
}

/// Numbers tables and figures. A table or figure is reached through the heading above it, which every format has.
fn number(blocks: &mut [Block]) -> BTreeMap<String, Target> {
    let (mut slugs, mut targets) = (Slugs::default(), BTreeMap::new());
    let (mut above, mut tables, mut figures) = (String::new(), 0, 0);
    for block in blocks {
        let (label, words) = match block {
            Block::Heading { line, label, .. } => {
                let words: String = line.iter().map(Inline::plain).collect();
                above = slugs.next(&words);
                (label.clone(), words)
            }
            Block::Table(table) => {
                tables += 1;
                table.number = tables;
                for name in table.row_labels() {
                    let target = Target { anchor: above.clone(), words: name.to_owned() };
                    targets.insert(name.to_owned(), target);
                }
                (Some(table.label.clone()), format!("Table {tables}"))
            }
            Block::Figure(figure) => {
                figures += 1;
                figure.number = figures;
                figure.file = format!("figures/fig-{figures:02}-{}.svg", figure.label);
                (Some(figure.label.clone()), format!("Figure {figures}"))
            }
            _ => continue,
        };
        if let Some(label) = label {
            targets.insert(label, Target { anchor: above.clone(), words });
        }
    }
    targets
}

/// Every line of a block.
fn lines(block: &mut Block) -> Vec<&mut Line> {
    match block {
        Block::Heading { line, .. } | Block::Paragraph { line } | Block::Note { line } => {
            vec![line]
        }
        Block::List { items, .. } => items.iter_mut().collect(),
        Block::Table(table) => table.rows.iter_mut().flatten().collect(),
        Block::Literal { .. } | Block::Figure(_) => Vec::new(),
    }
}

/// Foreign text made fit to be shown: one line, no terminal sequences, control and direction characters visible, not
/// longer than a reader can bear.
pub fn clean(text: &str) -> String {
    let cleaned: String = without_escapes(text).chars().map(visible).collect();
    let words = cleaned.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(LONGEST) {
        _ if words.is_empty() => "(empty)".to_owned(),
        Some((at, _)) => format!("{}… ({} characters)", &words[..at], words.chars().count()),
        None => words,
    }
}

/// Letters of several lines made fit to be shown: as `clean`, line by line.
pub fn clean_lines(text: &str) -> String {
    let keep = |line: &str| without_escapes(line).chars().map(visible).collect::<String>();
    text.lines().map(keep).collect::<Vec<_>>().join("\n")
}

/// A character that changes how others are read becomes visible; line ends become blanks.
fn visible(c: char) -> Shown {
    match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Shown::Char(' '),
        '\u{061c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}'
        | '\u{00ad}' => Shown::Code(u32::from(c)),
        c if c.is_control() => Shown::Char('\u{fffd}'),
        c => Shown::Char(c),
    }
}

enum Shown {
    Char(char),
    Code(u32),
}

impl FromIterator<Shown> for String {
    fn from_iter<I: IntoIterator<Item = Shown>>(shown: I) -> Self {
        let mut text = Self::new();
        for piece in shown {
            match piece {
                Shown::Char(c) => text.push(c),
                Shown::Code(code) => {
                    let _ = write!(text, "<U+{code:04X}>");
                }
            }
        }
        text
    }
}

/// Text without the control sequences of terminals (ECMA-48 CSI and OSC).
fn without_escapes(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            kept.push(c);
            continue;
        }
        match rest.next() {
            Some('[') => {
                let _final_byte = rest.find(|c| ('@'..='~').contains(c));
            }
            Some(']') => {
                let _bell = rest.find(|c| matches!(c, '\u{7}' | '\\'));
            }
            _ => kept.push('\u{fffd}'),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_visible_line() {
        for (text, shown) in [
            ("a\nb\tc", "a b c"),
            ("  ", "(empty)"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("user\u{202e}gpj.exe", "user<U+202E>gpj.exe"),
            ("nul\0", "nul\u{fffd}"),
        ] {
            assert_eq!(clean(text), shown);
        }
        assert!(clean(&"x".repeat(1 << 20)).ends_with("… (1048576 characters)"));
    }

    #[test]
    fn references_lead_to_the_heading_above() {
        let table = Table {
            label: "t".to_owned(),
            number: 0,
            caption: String::new(),
            columns: Vec::new(),
            rows: Vec::new(),
            register: false,
        };
        let document = Document::new(
            String::new(),
            String::new(),
            vec![
                Block::Heading { level: 1, line: vec![Inline::text("The top")], label: None },
                Block::Paragraph { line: vec![Inline::see("t"), Inline::see("nowhere")] },
                Block::Table(table),
            ],
        );
        let Block::Paragraph { line } = &document.blocks[1] else { panic!("a paragraph") };
        let link = Inline::Link { to: "the-top".to_owned(), text: "Table 1".to_owned() };
        assert_eq!(*line, [link, Inline::text("nowhere")]);
    }
}
