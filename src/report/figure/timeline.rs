//! The timeline of a walk: one lane per phase, its steps, its waits, and the time in which it was asked.

use std::fmt::Write;

use super::svg::{Svg, Type, ink};
use crate::report::run::{PhaseRun, Run};

const GUTTER: u32 = 110;
const SCALE: u32 = 820;
const LANE: u32 = 46;
const TOP: u32 = 40;

/// The timeline of a run.
pub fn svg(run: &Run) -> String {
    let lanes = u32::try_from(run.phases.len()).unwrap_or(4) + 1;
    let axis = TOP + LANE * lanes;
    let mut svg = Svg::new(
        "timeline",
        GUTTER + SCALE + 90,
        axis + 76,
        "Timeline of the walk",
        &description(run),
    );
    svg.hatching("timeline-waits", ink::V6);
    let ticks = Axis::of(run.timings.wall_us);
    ticks.draw(&mut svg, axis);
    lane(&mut svg, 0, "Build", &ticks, &[("build", 0, run.timings.build_us)]);
    for (row, walked) in (1..).zip(&run.phases) {
        let parts = parts(walked);
        lane(&mut svg, row, &walked.phase.to_string(), &ticks, &parts);
        let at = ticks.x(walked.ended_us);
        let y = TOP + LANE * row;
        svg.line((at, y + 2), (at, y + LANE - 8), "stroke=\"#1a1a1a\" stroke-width=\"2\"");
        let gate = format!("{} {}", walked.gate.symbol(), walked.gate.word());
        svg.words((at + 6, y + 24), Type::bold(12), ink::WORDS, &gate);
    }
    legend(&mut svg, axis + 62);
    svg.finish()
}

/// What the timeline says, in words.
pub fn description(run: &Run) -> String {
    let mut words = format!("The lab was built in {}.", seconds(run.timings.build_us));
    for walked in &run.phases {
        let _ = write!(
            words,
            " {} began at {}: steps {}, waits {}, questions {}; gate {}.",
            walked.phase,
            seconds(walked.started_us),
            seconds(walked.steps_us),
            seconds(walked.waits.iter().map(|wait| wait.us).sum()),
            seconds(asking_us(walked)),
            walked.gate.word(),
        );
    }
    words
}

/// A duration as it stands in tables: `2.05 s`, or `12 ms` below a tenth of a second.
pub fn seconds(us: u64) -> String {
    if us >= 100_000 || us == 0 {
        format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000)
    } else {
        format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
    }
}

/// The time of a phase that neither steps nor waits took.
pub fn asking_us(walked: &PhaseRun) -> u64 {
    let waits: u64 = walked.waits.iter().map(|wait| wait.us).sum();
    (walked.ended_us - walked.started_us.min(walked.ended_us))
        .saturating_sub(walked.steps_us + waits)
}

/// Kind, begin and length.
type Part = (&'static str, u64, u64);

fn parts(walked: &PhaseRun) -> [Part; 3] {
    let waits = walked.waits.iter().map(|wait| wait.us).sum();
    let (steps, asked) = (walked.started_us, walked.started_us + walked.steps_us + waits);
    [
        ("steps", steps, walked.steps_us),
        ("waits", steps + walked.steps_us, waits),
        ("questions", asked, asking_us(walked)),
    ]
}

fn lane(svg: &mut Svg, row: u32, name: &str, axis: &Axis, parts: &[Part]) {
    let y = TOP + LANE * row;
    svg.words((12, y + 24), Type::bold(13), ink::WORDS, name);
    for (kind, from, us) in parts.iter().filter(|(_, _, us)| *us > 0) {
        let (left, right) = (axis.x(*from), axis.x(from + us));
        let width = (right - left).max(2);
        svg.open(&format!("{name}: {kind}, {}", seconds(*us)));
        svg.rect((left, y + 4), (width, LANE - 16), look(kind));
        let label = seconds(*us);
        if width > 62 && *kind == "questions" {
            svg.words((left + 6, y + 24), Type::plain(12), ink::WORDS, &label);
        }
        svg.close();
    }
}

fn look(kind: &str) -> &'static str {
    match kind {
        "waits" => "fill=\"url(#timeline-waits)\" stroke=\"#0b2f5b\"",
        "questions" => "fill=\"#e8ecf2\" stroke=\"#0b2f5b\"",
        _ => "fill=\"#333333\" stroke=\"#333333\"",
    }
}

fn legend(svg: &mut Svg, y: u32) {
    let mut x = GUTTER;
    for (kind, words) in [
        ("steps", "building and steps"),
        ("waits", "waits"),
        ("questions", "questions and judging"),
    ] {
        svg.rect((x, y - 11), (26, 14), look(kind));
        svg.words((x + 34, y), Type::plain(12), ink::WORDS, words);
        x += 74 + u32::try_from(words.len()).unwrap_or(0) * 8;
    }
    svg.words((x, y), Type::plain(12), ink::WORDS, "| end of phase and its gate");
}

/// The time axis: zero at the start of the run.
struct Axis {
    wall_us: u64,
    every_us: u64,
}

impl Axis {
    /// With marks at a round distance, ten at most.
    fn of(wall_us: u64) -> Self {
        let steps = [1, 2, 5].into_iter().cycle();
        let decades = (0..9).flat_map(|power| [power; 3]);
        let rounds = steps.zip(decades).map(|(step, power)| step * 10u64.pow(power) * 100_000);
        let every_us = rounds.clone().find(|every| wall_us / every <= 10);
        Self { wall_us: wall_us.max(1), every_us: every_us.unwrap_or(wall_us.max(1)) }
    }

    fn x(&self, us: u64) -> u32 {
        let part = u128::from(us.min(self.wall_us)) * u128::from(SCALE) / u128::from(self.wall_us);
        GUTTER + u32::try_from(part).unwrap_or(SCALE)
    }

    fn draw(&self, svg: &mut Svg, y: u32) {
        svg.line((GUTTER, y), (GUTTER + SCALE, y), "stroke=\"#1a1a1a\"");
        for mark in 0..=self.wall_us / self.every_us {
            let us = mark * self.every_us;
            let x = self.x(us);
            svg.line((x, TOP), (x, y + 5), "stroke=\"#d5d9e0\"");
            let tenths = us / 100_000;
            let words = match tenths % 10 {
                0 => format!("{}", tenths / 10),
                tenth => format!("{}.{tenth}", tenths / 10),
            };
            svg.words((x, y + 18), Type::plain(11).centred(), ink::WORDS, &words);
        }
        let middle = GUTTER + SCALE / 2;
        let words = "seconds from the start of the run";
        svg.words((middle, y + 36), Type::plain(12).centred(), ink::WORDS, words);
    }
}
