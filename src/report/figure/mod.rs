//! Figures: SVG written by hand, readable without colour, with a title and a description, on an opaque white ground.

mod svg;
mod layout;
pub mod topology;
pub mod timeline;
