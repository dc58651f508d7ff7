//! What an engine says: kept up to a limit, and its last words for people who ask why it ended.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{io::AsyncReadExt, net::unix::pipe};

/// Octets that are kept of what one engine says in a run.
const MOST: usize = 256 << 10;
/// Octets of its last words.
const TAIL: usize = 8 << 10;
/// Lines of its last words that are told, and letters of each.
const LINES: usize = 3;
const LONGEST: usize = 200;

/// The log of an engine.
#[derive(Debug)]
pub(in crate::serve) struct Log {
    path: Option<PathBuf>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    file: Option<File>,
    octets: usize,
    tail: Vec<u8>,
}

impl Log {
    /// A log in a folder, or one that keeps last words only.
    pub(in crate::serve) fn new(folder: Option<&Path>, name: &str) -> Arc<Self> {
        let path = folder.map(|folder| folder.join(format!("{name}.log")));
        Arc::new(Self { path, kept: Mutex::default() })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew for a program that is about to start.
    pub(in crate::serve) fn begin(&self, title: &str) {
        self.kept().tail.clear();
        self.keep(format!("--- {title}\n").as_bytes());
    }

    /// Reads until everybody who could write has ended. A log that cannot be written is no reason to stop an engine.
    pub(in crate::serve) async fn read(self: Arc<Self>, mut from: pipe::Receiver) {
        let mut buffer = vec![0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            self.take(&buffer[..length]);
        }
    }

    fn take(&self, octets: &[u8]) {
        self.keep(octets);
        let tail = &mut self.kept().tail;
        tail.extend(octets);
        let surplus = tail.len().saturating_sub(TAIL);
        tail.drain(..surplus);
    }

    fn keep(&self, octets: &[u8]) {
        let Some(path) = &self.path else { return };
        let mut kept = self.kept();
        let room = MOST.saturating_sub(kept.octets);
        if room == 0 {
            return;
        }
        if kept.file.is_none() {
            let folder = path.parent().map(std::fs::create_dir_all);
            let opened = OpenOptions::new().create(true).append(true).open(path);
            let (Some(Ok(())), Ok(file)) = (folder, opened) else { return };
            kept.file = Some(file);
        }
        let part = &octets[..octets.len().min(room)];
        kept.octets += octets.len();
        if let Some(file) = &mut kept.file {
            let _ = file.write_all(part);
            if octets.len() >= room {
                let _ = file.write_all(b"\n--- it says more, which is not kept\n");
            }
        }
    }

    /// What it has said last, since it was started.
    pub(in crate::serve) fn said(&self) -> String {
        String::from_utf8_lossy(&self.kept().tail).into_owned()
    }

    /// The last lines, as the end of a sentence.
    pub(in crate::serve) fn last_words(&self) -> String {
        let tail = self.said();
        let lines: Vec<_> = tail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        let shown = last
            .iter()
            .map(|line| line.chars().take(LONGEST).collect::<String>().escape_debug().to_string());
        let shown: Vec<_> = shown.collect();
        if shown.is_empty() {
            "it has said nothing".to_owned()
        } else {
            format!("its last words: `{}`", shown.join(" / "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_kept_up_to_a_limit_and_shown_without_tricks() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::new(Some(folder.path()), "ns-dns");
        log.begin("knot");
        assert_eq!(log.last_words(), "it has said nothing");
        for _ in 0..200 {
            log.take(&[b'x'; 4096]);
        }
        log.take(b"\none\n\x1b[31mtwo\xff\n");
        assert!(
            log.last_words().ends_with(" / one / \\u{1b}[31mtwo\u{fffd}`"),
            "{}",
            log.last_words()
        );
        let kept = std::fs::metadata(folder.path().join("ns-dns.log")).unwrap().len();
        assert!((MOST as u64..MOST as u64 + 100).contains(&kept), "{kept} octets");
    }
}
