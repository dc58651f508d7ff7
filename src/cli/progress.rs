//! Live progress on stderr: one line that is written over on a terminal, plain lines everywhere else.

use std::{
    io::{IsTerminal, Write},
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    model::{finding::Finding, phase::Phase, verdict::Verdict},
    report::run::PhaseRun,
    walk::Event,
};

/// How often the live line is written anew, and how often a plain line repeats what is going on.
const LIVE: Duration = Duration::from_millis(100);
const PLAIN: Duration = Duration::from_secs(2);

/// Shows a walk.
pub(super) struct Progress {
    live: bool,
    state: Mutex<State>,
}

struct State {
    phase: Option<(Phase, usize, usize)>,
    shown: Instant,
    began: Instant,
    failures: usize,
}

impl Progress {
    /// On a terminal, unless `CI` or `NO_COLOR` asks for plain lines.
    pub(super) fn new() -> Self {
        let plain = ["CI", "NO_COLOR"].iter().any(|name| std::env::var_os(name).is_some());
        let now = Instant::now();
        Self {
            live: !plain && std::io::stderr().is_terminal(),
            state: Mutex::new(State { phase: None, shown: now, began: now, failures: 0 }),
        }
    }

    /// Shows what happened.
    pub(super) fn tell(&self, event: &Event<'_>) {
        let mut state = self.state.lock().expect("no holder panics");
        match event {
            Event::Entering { phase, at, of } => {
                state.phase = Some((*phase, *at, *of));
                self.line(&mut state, "entering");
            }
            // Elsewhere than on a terminal one line for all waves is enough.
            Event::Made { done, of, .. } if !self.live => {
                if done == of {
                    self.line(&mut state, &format!("{of} steps made"));
                }
            }
            Event::Made { wave, done, of } => {
                self.line(&mut state, &format!("{done} of {of} steps: {}", wave.purpose.title()));
            }
            Event::Settling => {
                self.line(&mut state, "waiting for duplicate address detection and advertisements");
            }
            Event::Verified { deviations: [] } => self.line(&mut state, "kernel state verified"),
            Event::Verified { deviations } => {
                let text =
                    format!("{} differences to the plan: {}", deviations.len(), deviations[0]);
                self.line(&mut state, &text);
            }
            Event::Stopping => {
                self.line(&mut state, "stopping; interrupt it again to end it at once");
            }
            Event::Without { said } => {
                self.line(&mut state, &format!("warning: {said}"));
                self.done_line();
            }
            Event::Asking { answered, of, checks_done, checks, failures } => {
                let interval = if self.live { LIVE } else { PLAIN };
                if state.shown.elapsed() >= interval {
                    let text = format!(
                        "{checks_done} of {checks} checks done, {answered} of {of} questions \
                         answered, {} failures so far",
                        state.failures + failures
                    );
                    self.line(&mut state, &text);
                }
            }
            Event::Left { walked, findings } => self.left(&mut state, walked, findings),
        }
    }

    fn line(&self, state: &mut State, text: &str) {
        state.shown = Instant::now();
        let seconds = state.began.elapsed().as_secs_f32();
        let phase = state
            .phase
            .map_or_else(String::new, |(phase, at, of)| format!("[{at}/{of}] {phase}: "));
        let line = format!("{seconds:6.1} s  {phase}{text}");
        let mut err = std::io::stderr().lock();
        // A closed stderr must not end a walk. A line longer than the terminal is cut, not wrapped.
        let _ = if self.live {
            write!(err, "\r\x1b[K\x1b[?7l{line}\x1b[?7h")
        } else {
            writeln!(err, "{line}")
        };
        let _ = err.flush();
    }

    fn left(&self, state: &mut State, walked: &PhaseRun, findings: &[Finding]) {
        let bad = walked.count(Verdict::Fail) + walked.count(Verdict::Degraded);
        state.failures += bad;
        let open = walked.judgements.iter().filter(|j| j.verdict.is_open()).count();
        let judged = walked.judgements.len();
        let here = findings.iter().filter(|finding| finding.phases.contains(&walked.phase)).count();
        let text = format!(
            "{} of {judged} judgements pass, {bad} fail, {open} open; {here} findings; gate {}",
            walked.count(Verdict::Pass),
            walked.gate.word(),
        );
        self.line(state, &text);
        self.done_line();
    }

    /// Leaves the live line as it is, for good.
    fn done_line(&self) {
        if self.live {
            let _ = writeln!(std::io::stderr());
        }
    }

    /// Ends the live line.
    pub(super) fn done(&self) {
        if self.live {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
