//! An SVG picture in the making.

use std::fmt::{self, Display, Write};

use crate::report::document::clean;

/// The colours of the families and of what is off. On white they have contrasts of 3.5, 13.4, 12.6 and 4.5 to 1.
pub(super) mod ink {
    /// IPv4: amber.
    pub(in crate::report::figure) const V4: &str = "#c77400";
    /// IPv6: navy.
    pub(in crate::report::figure) const V6: &str = "#0b2f5b";
    /// Both.
    pub(in crate::report::figure) const BOTH: &str = "#333333";
    /// Neither.
    pub(in crate::report::figure) const OFF: &str = "#767676";
    /// Words.
    pub(in crate::report::figure) const WORDS: &str = "#1a1a1a";
}

/// Text within SVG.
pub(super) struct Xml<'t>(pub(super) &'t str);

impl Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in clean(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// How a text stands.
#[derive(Clone, Copy)]
pub(super) struct Type {
    /// Size in user units.
    pub(super) size: u32,
    /// Bold or not.
    pub(super) bold: bool,
    /// `start`, `middle` or `end`.
    pub(super) anchor: &'static str,
}

impl Type {
    /// Plain words that begin at their place.
    pub(super) const fn plain(size: u32) -> Self {
        Self { size, bold: false, anchor: "start" }
    }

    /// Bold words that begin at their place.
    pub(super) const fn bold(size: u32) -> Self {
        Self { size, bold: true, anchor: "start" }
    }

    /// The same around their place.
    pub(super) const fn centred(self) -> Self {
        Self { anchor: "middle", ..self }
    }
}

/// A picture in the making.
pub(super) struct Svg(String);

impl Svg {
    /// Begins a picture. `id` makes the ids in it unique on a page.
    pub(super) fn new(id: &str, width: u32, height: u32, title: &str, description: &str) -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\" \
             aria-labelledby=\"{id}-title {id}-desc\" \
             font-family=\"'DejaVu Sans', Verdana, sans-serif\">\n\
             <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{description}</desc>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
            Xml(title),
            description = escaped(description),
        ))
    }

    /// A rectangle.
    pub(super) fn rect(&mut self, at: (u32, u32), size: (u32, u32), look: &str) {
        let _ = writeln!(
            self.0,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {look}/>",
            at.0, at.1, size.0, size.1
        );
    }

    /// A line.
    pub(super) fn line(&mut self, from: (u32, u32), to: (u32, u32), look: &str) {
        let _ = writeln!(self.0, "<path d=\"M{} {}L{} {}\" {look}/>", from.0, from.1, to.0, to.1);
    }

    /// A disc.
    pub(super) fn disc(&mut self, at: (u32, u32), radius: u32, fill: &str) {
        let _ = writeln!(
            self.0,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{radius}\" fill=\"{fill}\"/>",
            at.0, at.1
        );
    }

    /// Words.
    pub(super) fn words(&mut self, at: (u32, u32), font: Type, fill: &str, words: &str) {
        let weight = if font.bold { " font-weight=\"bold\"" } else { "" };
        let anchor = match font.anchor {
            "start" => String::new(),
            other => format!(" text-anchor=\"{other}\""),
        };
        let _ = writeln!(
            self.0,
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\"{weight}{anchor} fill=\"{fill}\">{}</text>",
            at.0,
            at.1,
            font.size,
            Xml(words)
        );
    }

    /// Begins a group with a title, which readers see when they point at it.
    pub(super) fn open(&mut self, title: &str) {
        let _ = writeln!(self.0, "<g><title>{}</title>", Xml(title));
    }

    /// Ends it.
    pub(super) fn close(&mut self) {
        self.0.push_str("</g>\n");
    }

    /// Another picture, at a place in this one.
    pub(super) fn inset(&mut self, (x, y): (u32, u32), picture: &str) {
        let _ = write!(self.0, "<g transform=\"translate({x} {y})\">\n{picture}</g>\n");
    }

    /// A pattern to fill with.
    pub(super) fn hatching(&mut self, id: &str, colour: &str) {
        let _ = writeln!(
            self.0,
            "<pattern id=\"{id}\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\">\
             <rect width=\"7\" height=\"7\" fill=\"#ffffff\"/>\
             <path d=\"M0 7L7 0\" stroke=\"{colour}\" stroke-width=\"1.5\"/></pattern>"
        );
    }

    /// The picture.
    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

/// A description may be longer than a piece of foreign text; it is made of names and titles, each cleaned.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
