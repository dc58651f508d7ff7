//! One translator at work.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use crate::{
    model::{
        family::Family,
        fault::TranslationFault,
        translation::{Timers, Translator, TranslatorState},
    },
    serve::tube::Tube,
    wire::{
        icmp,
        translate::{self, Datagram, Dropped},
    },
};

/// The longest frame.
const LONGEST: usize = 65_600;

/// What a translator knows, for itself and for whoever looks at it.
pub(super) struct Knowledge {
    pub(super) told: Translator,
    began: Instant,
    translator: Mutex<translate::Translator>,
    faults: Mutex<Vec<TranslationFault>>,
    translated: AtomicU64,
    dropped: AtomicU64,
}

impl Knowledge {
    pub(super) fn new(told: Translator) -> Arc<Self> {
        let translator = Mutex::new(translate::Translator::new(&told, Timers::default()));
        Arc::new(Self {
            told,
            began: Instant::now(),
            translator,
            faults: Mutex::default(),
            translated: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    fn translator(&self) -> MutexGuard<'_, translate::Translator> {
        self.translator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Vec<TranslationFault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timers(&self) -> Timers {
        const SHORT_S: u64 = 30;
        let usual = Timers::default();
        let short = self.faults().contains(&TranslationFault::ShortTimers);
        if short { Timers { udp_s: SHORT_S, ..usual } } else { usual }
    }

    pub(super) fn state(&self) -> TranslatorState {
        let logs = !self.faults().contains(&TranslationFault::NoLog);
        let mappings =
            if logs { self.translator().mappings(self.began.elapsed()) } else { Vec::new() };
        TranslatorState {
            told: self.told.clone(),
            engine: "NAT64, built in".to_owned(),
            timers: self.timers(),
            mappings,
            translated: self.translated.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    /// What comes of a packet.
    fn take(&self, packet: &[u8]) -> Vec<Vec<u8>> {
        let spoilt = self.faults().iter().any(|fault| leaves_out(*fault, packet));
        let made = if spoilt {
            None
        } else {
            let open = self.faults().contains(&TranslationFault::Open);
            let refuses = if open { &[][..] } else { &self.told.refuses };
            let timers = self.timers();
            let mut translator = self.translator();
            translator.keep(timers);
            let made = translator.take(packet, refuses, self.began.elapsed());
            if made == Err(Dropped::Address) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return translate::prohibited(packet, self.told.gateway).into_iter().collect();
            }
            made.ok()
        };
        let counter = if made.is_some() { &self.translated } else { &self.dropped };
        counter.fetch_add(1, Ordering::Relaxed);
        made.unwrap_or_default()
    }
}

/// Takes and puts until its link is gone.
pub(super) async fn run(knowledge: Arc<Knowledge>, tube: Tube) {
    let mut frame = vec![0; LONGEST];
    loop {
        match tube.take(&mut frame).await {
            Ok(packet) => {
                for made in knowledge.take(packet) {
                    let family = if made[0] >> 4 == 4 { Family::V4 } else { Family::V6 };
                    // What the gateway's link does not take is lost, as on any link.
                    let _ = tube.put(&made, family);
                }
            }
            // The link has been taken away: there is nothing more to translate.
            Err(error) if is_passing(&error) => {}
            Err(_) => return,
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENETDOWN)
}

/// Whether a fault concerns a packet.
fn leaves_out(fault: TranslationFault, packet: &[u8]) -> bool {
    const UDP: u8 = 17;
    let Ok(datagram) = Datagram::read_quoted(packet) else { return false };
    let family = datagram.family();
    let kind = (datagram.protocol == icmp::protocol(family))
        .then(|| datagram.payload.first_chunk::<2>())
        .flatten();
    match fault {
        TranslationFault::Stopped => true,
        TranslationFault::Open | TranslationFault::NoLog | TranslationFault::ShortTimers => false,
        TranslationFault::NoFragments => datagram.part.is_some(),
        TranslationFault::NoUdp => datagram.protocol == UDP,
        TranslationFault::NoEcho => kind.is_some_and(|[kind, _]| {
            [icmp::echo_request_type(family), icmp::echo_reply_type(family)].contains(kind)
        }),
        TranslationFault::NoTooBig => {
            kind.is_some_and(|[kind, code]| icmp::is_too_big(family, *kind, *code))
        }
    }
}
