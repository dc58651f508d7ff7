//! Taps: what enters a link while probes run. A tap costs nothing while nothing matches, since the kernel filters; and
//! since silence proves nothing by itself, each tap is proven alive by a canary frame when it is opened and again
//! before it is closed.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::oneshot, task::JoinHandle};

use super::{Deadline, attempt::micros, call::fresh_word, canary::Canary, within};
use crate::{
    model::tap::{Reading, Tap, Watch},
    net::{
        dump,
        namespace::Namespace,
        packet::{self, Ear, Layer, PacketSocket},
    },
    wire::{
        filter,
        frame::{self, Mark, canary_of},
        pcapng,
    },
};

/// How long a canary may take from one end of a link to the other. It takes microseconds; the rest is for a busy
/// machine.
const CANARY_PATIENCE: Duration = Duration::from_secs(2);
/// How many frames are noted in full.
const NOTED: usize = 16;
/// The longest frame: what segmentation offload hands over at once.
const LONGEST_FRAME: usize = 65_550;
/// Room for frames that wait to be read, in octets; the kernel grants what its limit allows.
const WAITING_ROOM: usize = 4 << 20;

/// A tap that is open: a task reads it until it is closed or dropped.
#[derive(Debug)]
pub struct LiveTap {
    close: oneshot::Sender<()>,
    reader: JoinHandle<Reading>,
}

/// Opens a tap in the namespace of a link and waits for its first canary. A tap that does not see it is open all the
/// same; its reading says so. With a path, what counts is also written there as pcapng. An error is a sentence.
pub async fn open_tap(
    segment: &Namespace,
    tap: &Tap,
    origin: Instant,
    canary: Arc<Canary>,
    capture: Option<&Path>,
) -> Result<LiveTap, String> {
    let cannot = |error: io::Error| format!("cannot tap segment `{}`: {error}", tap.segment);
    let mark = Mark(fresh_word());
    let socket = segment.run(|| listen(&tap.watch, mark)).map_err(cannot)?;
    let file = capture.map(|path| Capture::create(path, tap)).transpose().map_err(cannot)?;
    let mut meter = Meter {
        ear: Ear::new(socket).map_err(cannot)?,
        watch: tap.watch.clone(),
        canary,
        mark,
        turn: 0,
        origin,
        capture: file,
        reading: Reading::default(),
        buffer: vec![0; LONGEST_FRAME],
    };
    meter.reading.alive_before = meter.await_canary().await;
    let (close, closing) = oneshot::channel();
    let reader = tokio::spawn(meter.run(closing));
    Ok(LiveTap { close, reader })
}

impl LiveTap {
    /// Sends the last canary, closes the tap and says what it has seen.
    pub async fn close(self) -> Reading {
        // The reader may have ended early, when the link was taken away; its reading then says that it is not alive.
        let _ = self.close.send(());
        self.reader.await.unwrap_or_default()
    }
}

/// Listens on every port of the bridge; what the bridge itself hears again is left out. Where there is no bridge, on
/// every interface. What is delivered leaves by the ports.
fn listen(watch: &Watch, mark: Mark) -> io::Result<PacketSocket> {
    let bridge = dump::bridge()?;
    let program = filter::tap(watch, bridge, mark);
    let open = match watch {
        Watch::Delivered { .. } => packet::open_both_ways,
        _ => packet::open,
    };
    let socket = open(Layer::Link, &program, 0)?;
    socket.set_recv_buffer_size(WAITING_ROOM)?;
    Ok(socket)
}

/// What counts the frames.
struct Meter {
    ear: Ear,
    watch: Watch,
    canary: Arc<Canary>,
    mark: Mark,
    /// How many canaries have been sent.
    turn: u32,
    origin: Instant,
    capture: Option<Capture>,
    reading: Reading,
    buffer: Vec<u8>,
}

impl Meter {
    async fn run(mut self, mut closing: oneshot::Receiver<()>) -> Reading {
        loop {
            tokio::select! {
                heard = self.ear.hear(&mut self.buffer) => match heard {
                    Ok(length) => { self.count(length); }
                    Err(_) => return self.reading,
                },
                _ = &mut closing => break,
            }
        }
        // The canary comes last: whatever entered the link before it has been counted when it is seen.
        self.reading.alive_after = self.await_canary().await;
        self.reading.lost =
            packet::statistics(self.ear.socket()).map_or(u64::MAX, |(_, lost)| lost);
        self.reading
    }

    /// Sends a canary and reads until it is seen.
    async fn await_canary(&mut self) -> bool {
        self.turn += 1;
        let deadline = Deadline::after(CANARY_PATIENCE);
        if self.canary.call(self.mark, self.turn).is_err() {
            return false;
        }
        while let Ok(Ok(length)) = within(deadline, self.ear.hear(&mut self.buffer)).await {
            if self.count(length) == Some((self.mark, self.turn)) {
                return true;
            }
        }
        false
    }

    /// Counts a frame, unless it is a canary: then its mark and turn are returned.
    fn count(&mut self, length: usize) -> Option<(Mark, u32)> {
        let frame = &self.buffer[..length];
        if let Some(canary) = canary_of(frame) {
            return Some(canary);
        }
        let note = frame::decode(frame, micros(self.origin.elapsed()))?;
        if !frame::counts(&self.watch, &note, frame) {
            return None;
        }
        if let Some(capture) = &mut self.capture
            && let Err(error) = capture.write(frame)
        {
            // The count goes on without it.
            self.reading.trouble =
                Some(format!("cannot write to `{}`: {error}", capture.path.display()));
            self.capture = None;
        }
        self.reading.frames += 1;
        *self.reading.by_ethertype.entry(note.ethertype.clone()).or_default() += 1;
        if self.reading.first.len() < NOTED {
            self.reading.first.push(note);
        }
        None
    }
}

/// A file of what counted.
struct Capture {
    file: File,
    path: PathBuf,
}

impl Capture {
    fn create(path: &Path, tap: &Tap) -> io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(&pcapng::header(tap.segment.as_str(), &tap.label))?;
        Ok(Self { file, path: path.to_owned() })
    }

    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.file.write_all(&pcapng::packet(at_ns, frame))
    }
}
