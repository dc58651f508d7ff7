//! Trust: how long programs are waited for in vain before they are given up. What changes from start to start is a job; a program
//! that hangs does so whatever its job is, and a walk has many starts.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long starts of one post may be waited for in vain, all together: what one start may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What the starts of a run have come to, by the names of engines.
#[derive(Debug, Default)]
pub struct Trust(Mutex<BTreeMap<&'static str, Standing>>);

/// What is known of one engine.
#[derive(Debug, Default)]
struct Standing {
    /// Whether it has worked anywhere: then what goes wrong is a matter of the post.
    has_worked: bool,
    /// What each post has waited in vain, since it worked there last.
    vain: BTreeMap<String, Vain>,
}

#[derive(Debug)]
struct Vain {
    time: Duration,
    what: String,
}

impl Standing {
    fn given_up(&self, post: &str) -> Option<String> {
        let is_over = |vain: &&Vain| vain.time >= PATIENCE;
        if let Some(mine) = self.vain.get(post).filter(is_over) {
            return Some(format!("{} and is not started again", mine.what));
        }
        let (other, vain) = self.vain.iter().find(|(_, vain)| is_over(vain))?;
        let same = format!("is not started, because that {other} {}", vain.what);
        (!self.has_worked).then_some(same)
    }
}

impl Trust {
    fn with<T>(&self, engine: &'static str, of: impl FnOnce(&mut Standing) -> T) -> T {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        of(known.entry(engine).or_default())
    }

    /// What an engine did that is not to be started at a post (`of service …`) any more.
    pub(super) fn given_up(&self, engine: &'static str, post: &str) -> Option<String> {
        self.with(engine, |known| known.given_up(post))
    }

    /// Notes that an engine works at a post.
    pub(super) fn note_works(&self, engine: &'static str, post: &str) {
        self.with(engine, |known| {
            known.has_worked = true;
            known.vain.remove(post);
        });
    }

    /// Notes that a post has waited in vain, and what the engine did instead; that, with what follows from it.
    pub(super) fn note_vain(
        &self,
        engine: &'static str,
        post: &str,
        time: Duration,
        what: String,
    ) -> String {
        self.with(engine, |known| {
            let before = known.vain.get(post).map_or(Duration::ZERO, |vain| vain.time);
            let vain = Vain { time: before + time, what: what.clone() };
            known.vain.insert(post.to_owned(), vain);
            known.given_up(post).filter(|_| before + time >= PATIENCE).unwrap_or(what)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "of node `a`";
    const B: &str = "of node `b`";

    #[test]
    fn one_that_hangs_is_started_once_and_nowhere_else() {
        let trust = Trust::default();
        let said = trust.note_vain("knot", A, PATIENCE, "has not answered".to_owned());
        assert_eq!(said, "has not answered and is not started again");
        assert_eq!(trust.given_up("knot", A), Some(said));
        let there = "is not started, because that of node `a` has not answered";
        assert_eq!(trust.given_up("knot", B).as_deref(), Some(there));
        assert_eq!(trust.given_up("nsd", B), None);
    }

    #[test]
    fn one_that_works_elsewhere_is_given_up_at_one_post_alone() {
        let trust = Trust::default();
        trust.note_works("knot", B);
        trust.note_vain("knot", A, PATIENCE, "has not answered".to_owned());
        assert!(trust.given_up("knot", A).is_some() && trust.given_up("knot", B).is_none());
    }

    #[test]
    fn one_that_ends_at_once_may_try_with_every_job() {
        let trust = Trust::default();
        let ends = || trust.note_vain("knot", A, PATIENCE / 4, "has ended".to_owned());
        assert_eq!([ends(), ends(), ends()], ["has ended"; 3].map(str::to_owned));
        assert_eq!(trust.given_up("knot", A), None);
        assert_eq!(ends(), "has ended and is not started again");
        trust.note_works("knot", A);
        assert_eq!(trust.given_up("knot", A), None);
    }
}
